"""What a process has heard of the cluster, and a bell for those who wait for news: below every engine."""

import asyncio
import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from longline.errors import Unavailable, ValidationFailed
from longline.keeper.port import Kept, Node

MAX_VALUE: Final = 512 * 1024
"""Bytes of a value: ZooKeeper takes a megabyte with everything around it."""

MAX_KEY: Final = 256

_LEVEL: Final = r"(?!\.{1,2}(?:/|$))[A-Za-z0-9._-]+"
_KEY: Final = re.compile(rf"{_LEVEL}(?:/{_LEVEL})*")


def check_key(key: str) -> None:
    """Raises `ValidationFailed` for a key that not every engine can keep; `.` and `..` are no levels."""
    if len(key) > MAX_KEY or not _KEY.fullmatch(key):
        problem = f"expected up to {MAX_KEY} letters, digits, '.', '_' and '-', in levels separated by '/'"
        raise ValidationFailed(f"{key[:MAX_KEY]!r} cannot be a key", details=[("key", problem)])


def check_name(name: str) -> None:
    """Raises `ValidationFailed` for what cannot be the name of a node or a duty: one level of a key."""
    if "/" in name:
        raise ValidationFailed(f"{name[:MAX_KEY]!r} cannot be a name: it has a '/'")
    check_key(name)


def check_write(key: str, value: bytes | None) -> None:
    """Raises `ValidationFailed` for what cannot be kept."""
    check_key(key)
    if value is not None and len(value) > MAX_VALUE:
        raise ValidationFailed(f"a value of {len(value)} bytes is over {MAX_VALUE}")


class Lead(NamedTuple):
    """Who leads a duty, and since which term."""

    node: str
    term: int


class View:
    """Members, values and leaders as last heard of. The engine puts in; everybody reads, without waiting."""

    def __init__(self) -> None:
        self.members: Mapping[str, Node] = {}
        self.values: Mapping[str, Kept] = {}
        self.leaders: Mapping[str, Lead] = {}
        self._terms: dict[str, int] = {}
        self._changes = 1  # so that whoever has seen nothing, 0, need not wait
        self._bell = asyncio.Event()
        self._closed = False

    def put_members(self, members: Mapping[str, Node]) -> None:
        """Replaces what is known of members."""
        if members != self.members:
            self.members = members
            self.ring()

    def put_values(self, values: Mapping[str, Kept]) -> None:
        """Replaces what is known of values."""
        if values != self.values:
            self.values = values
            self.ring()

    def put_leader(self, duty: str, lead: Lead | None) -> None:
        """Replaces what is known of a duty's leader; None: nobody leads it."""
        if lead == self.leaders.get(duty):
            return
        leaders = {other: led for other, led in self.leaders.items() if other != duty}
        if lead is not None:
            leaders[duty] = lead
            self.put_term(duty, lead.term)
        self.leaders = leaders
        self.ring()

    def put_term(self, duty: str, term: int) -> None:
        """A duty has come as far as this term; it never goes back."""
        self._terms[duty] = max(term, self._terms.get(duty, 0))

    def by_name(self) -> list[Node]:
        """The members, in order."""
        return [node for _, node in sorted(self.members.items())]

    def below(self, prefix: str) -> dict[str, Kept]:
        """The values whose keys begin so."""
        return {key: kept for key, kept in self.values.items() if key.startswith(prefix)}

    def term(self, duty: str) -> int:
        """Of the present leader, or of the last one when nobody leads; 0 when nobody ever did."""
        return self._terms.get(duty, 0)

    def ring(self) -> None:
        """Something has changed."""
        self._changes += 1
        self._bell.set()
        self._bell = asyncio.Event()

    def close(self) -> None:
        """Nothing will change any more: whoever waits gets `Unavailable`."""
        self._closed = True
        self.ring()

    async def changed(self, seen: int) -> int:
        """As the port's."""
        while self._changes == seen and not self._closed:
            await self._bell.wait()
        if self._closed:
            raise Unavailable("the keeper is closed")
        return self._changes
