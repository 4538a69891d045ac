"""The names under which a process has joined, and what has become of them."""

from collections.abc import Iterable
from enum import Enum, auto

from longline.errors import Fenced


class MemberState(Enum):
    """What a name that joined here is."""

    MEMBER = auto()
    LEAVING = auto()  # leads nothing any more, and may still be listed
    DEAD = auto()  # others took it for dead; it never comes back


class Names:
    """Of a process there are one or two, and those that died and were not left since."""

    def __init__(self) -> None:
        self._states: dict[str, MemberState] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._states

    def begin(self, name: str) -> None:
        """A name joins, for the first time or again. Raises `Fenced` for one that died."""
        if self._states.get(name) is MemberState.DEAD:
            raise Fenced(f"{name} was taken for dead by the others; join under a new name")
        self._states[name] = MemberState.MEMBER

    def leave(self, name: str) -> bool:
        """A name is about to leave; whether there is anything to be taken off a list."""
        if self._states.get(name) not in (MemberState.MEMBER, MemberState.LEAVING):
            return False
        self._states[name] = MemberState.LEAVING
        return True

    def forget(self, name: str) -> None:
        """A name has left, or never joined."""
        self._states.pop(name, None)

    def die(self, names: Iterable[str]) -> None:
        """Others have taken these for dead."""
        for name in names:
            if name in self._states:  # and has not left meanwhile
                self._states[name] = MemberState.DEAD

    def is_member(self, name: str) -> bool:
        """Neither dead nor leaving."""
        return self._states.get(name) is MemberState.MEMBER

    def is_dead(self, name: str) -> bool:
        """Taken for dead."""
        return self._states.get(name) is MemberState.DEAD

    def not_dead(self) -> list[str]:
        """Those that others may still list."""
        return [name for name, state in self._states.items() if state is not MemberState.DEAD]
