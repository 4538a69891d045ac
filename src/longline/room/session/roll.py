"""The sessions of an app by the ordinals of their devices: for who has something for a few of them.

Made when it is first asked for: an app in which nothing is for a few has none. A session gets its ordinal
after it has come, and is sorted in the next time that somebody asks.
"""

from collections.abc import Iterable
from typing import final

from longline.room.session.session import Session


@final
class Roll:
    """Owned by the index of sessions; told of every session that comes and goes."""

    __slots__ = ("_known", "_new")

    def __init__(self, sessions: Iterable[Session]) -> None:
        self._known: dict[int, Session] = {}
        self._new: dict[Session, None] = dict.fromkeys(sessions)

    def add(self, session: Session) -> None:
        """It has come."""
        self._new[session] = None

    def remove(self, session: Session) -> None:
        """It is over."""
        self._new.pop(session, None)
        if self._known.get(session.ordinal) is session:
            del self._known[session.ordinal]

    def of(self, ordinals: Iterable[int]) -> list[Session]:
        """Those of these devices; and those of which nobody knows yet whose they are."""
        for session in list(self._new):
            if session.guest:
                del self._new[session]
            elif session.ordinal >= 0:
                self._known[session.ordinal] = session
                del self._new[session]
        known = self._known
        found = list(self._new)
        for ordinal in ordinals:
            one = known.get(ordinal)
            if one is not None:
                found.append(one)
        return found
