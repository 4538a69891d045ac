"""The duties of membership and leadership."""

from typing import Protocol

import msgspec


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A member: its roles, where it listens (`{"mqtt": "127.0.0.1:1883"}`), since when (ms), its version."""

    node: str
    roles: tuple[str, ...]
    addresses: dict[str, str]
    since: int
    version: str


class Keeper(Protocol):
    """The port. A member that dies without leaving disappears by itself."""

    async def join(self, node: Node) -> None:
        """Makes a node a member, or replaces what is known of it."""
        ...

    async def leave(self, node: str) -> None: ...

    async def members(self) -> list[Node]:
        """Who is a member now, by name."""
        ...

    async def leads(self, duty: str, node: str) -> bool:
        """Whether this member is the one to do a duty that must be done by only one."""
        ...
