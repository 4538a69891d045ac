"""The names under which a process has joined, and what has become of them."""

from collections.abc import Iterable
from enum import Enum, auto

from longline.errors import Fenced


class Standing(Enum):
    """What a name that joined here is."""

    MEMBER = auto()
    LEAVING = auto()  # leads nothing any more, and may still be listed
    DEAD = auto()  # others took it for dead; it never comes back


class Names:
    """Of a process there are one or two, and those that died and were not left since."""

    def __init__(self) -> None:
        self._standings: dict[str, Standing] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._standings

    def begin(self, name: str) -> None:
        """A name joins, for the first time or again. Raises `Fenced` for one that died."""
        if self._standings.get(name) is Standing.DEAD:
            raise Fenced(f"{name} was taken for dead by the others; join under a new name")
        self._standings[name] = Standing.MEMBER

    def leave(self, name: str) -> bool:
        """A name is about to leave; whether there is anything to be taken off a list."""
        if self._standings.get(name) not in (Standing.MEMBER, Standing.LEAVING):
            return False
        self._standings[name] = Standing.LEAVING
        return True

    def forget(self, name: str) -> None:
        """A name has left, or never joined."""
        self._standings.pop(name, None)

    def die(self, names: Iterable[str]) -> None:
        """Others have taken these for dead."""
        for name in names:
            if name in self._standings:  # and has not left meanwhile
                self._standings[name] = Standing.DEAD

    def is_member(self, name: str) -> bool:
        """Neither dead nor leaving."""
        return self._standings.get(name) is Standing.MEMBER

    def is_dead(self, name: str) -> bool:
        """Taken for dead."""
        return self._standings.get(name) is Standing.DEAD

    def not_dead(self) -> list[str]:
        """Those that others may still list."""
        return [name for name, standing in self._standings.items() if standing is not Standing.DEAD]
