"""The duties of membership, leadership and settings that change at run time."""

from collections.abc import Iterable, Mapping
from typing import Final, Protocol

import msgspec

AGENT: Final = "agent"
"""The role of members that keep a host's processes running, and serve nobody themselves."""


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What a node has measured of itself lately.

    `connections` now, and `capacity`, how many it takes; `cpu`: share of one core in use, 0 to 1 (more with
    threads); `lag`: the event loop's, in seconds.
    """

    connections: int = 0
    capacity: int = 0
    cpu: float = 0.0
    lag: float = 0.0


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A member.

    `node` is its name, unique also in time: a process that starts again, or has been declared dead, takes a
    new one. `roles`; `addresses`: where it is reached, by protocol (`{"mqtt": "127.0.0.1:1883"}`); `since` in
    ms; `host`: the machine or pod, which stays the same over restarts; `region` and `networks` (such as
    carriers) that it is near to; `weight`: its share of clients beside others; `pool`: clients are sent to
    pools, "" for the common one; `draining`: it takes no new clients; `settings_version`: of the dynamic
    settings in force there.
    """

    node: str
    roles: tuple[str, ...]
    addresses: dict[str, str]
    since: int
    version: str
    host: str = ""
    region: str = ""
    networks: tuple[str, ...] = ()
    weight: float = 1.0
    pool: str = ""
    draining: bool = False
    settings_version: int = 0
    load: Load = Load()


def nodes_among(members: Iterable[Node]) -> list[Node]:
    """The members that serve; agents do not."""
    return [member for member in members if AGENT not in member.roles]


class Kept(msgspec.Struct, frozen=True):
    """A value that was written, and its version: 1 for the first, and one more with every write."""

    value: bytes
    version: int


class Keeper(Protocol):
    """The port. A member that dies without leaving disappears by itself.

    What is read is the latest that this process has heard of, without waiting, also while the engine cannot
    be reached; methods that change something raise `Unavailable` then.
    """

    async def close(self) -> None:
        """Leaves with all members of this process."""
        ...

    async def join(self, node: Node) -> None:
        """Makes a node a member, or replaces what is known of it.

        It stays one for as long as this process is in touch with the others: after a time without, they
        take it for dead, and it has to join again, under a new name.
        """
        ...

    async def leave(self, node: str) -> None: ...

    async def members(self) -> list[Node]:
        """Who is a member now, by name."""
        ...

    def in_touch(self) -> bool:
        """False once the members of this process may have been taken for dead."""
        ...

    def age(self) -> float:
        """How many seconds old what is read may be: what happened before that is in it."""
        ...

    async def leads(self, duty: str, node: str) -> bool:
        """Whether this member is the one to do a duty that must be done by only one."""
        ...

    async def term(self, duty: str) -> int:
        """A number that rises whenever somebody else begins to lead a duty: what a late leader is fenced "
        "by."""
        ...

    async def read(self, key: str) -> Kept | None: ...

    async def read_all(self, prefix: str) -> Mapping[str, Kept]:
        """What is kept below `prefix`, such as `drains/`, by its whole key."""
        ...

    async def write(self, key: str, value: bytes | None, version: int | None = None) -> int:
        """Keeps a value, durably, or removes it (None); its new version, 0 when removed.

        With `version`, only if the present one is that (0: there is none); otherwise `Conflict`. A key has
        levels of letters, digits, `.`, `_` and `-`, separated by `/`.
        """
        ...

    async def changed(self, seen: int) -> int:
        """Waits until members, leaders or values may differ from when this returned `seen` (0 at first)."""
        ...
