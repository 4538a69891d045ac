"""How far an app's log has come to all of its sessions here, where some entries are not for all.

A broadcast for a few goes to their sessions alone, so the windows of the others do not hear of its position.
What is newer says that it comes after that position, and to a window that lags behind it would look as if
something were missing. So it is remembered once for all of them: a stretch of the log, one for each part, of
which every entry was here and has come to whomever it is for. A window that has nothing to read and stands
within the stretch stands as well at its end.

An entry that comes out of turn is kept apart until those before it have come. When too many are, the stretch
begins anew with the latest, and whoever stands before it reads the store.
"""

from typing import Final, final

from longline.room.session.window import Window

APART: Final = 64  # entries of one part that wait for those before them


@final
class Chain:
    """The stretch of one part of a log: what is behind `base`, up to `upto`; none while `upto` is 0."""

    __slots__ = ("_apart", "base", "upto")

    def __init__(self) -> None:
        self.base = 0
        self.upto = 0
        self._apart: list[tuple[int, int]] = []

    def passed(self, before: int, position: int) -> None:
        """An entry has come to whom it is for. `before`: the last one that may be open, before it."""
        if not self.upto:
            self.base, self.upto = before, position
        elif before > self.upto:
            self._apart.append((position, before))
            if len(self._apart) > APART:
                self.upto, self.base = max(self._apart)
                self._apart = []
        elif position > self.upto:
            self.upto = position
            if self._apart:
                self._join()

    def _join(self) -> None:
        self._apart.sort()
        apart: list[tuple[int, int]] = []
        for position, before in self._apart:
            if before <= self.upto:
                self.upto = max(self.upto, position)
            else:
                apart.append((position, before))
        self._apart = apart

    def lift(self, window: Window, position: int) -> None:
        """Has a window stand at the end of the stretch, if that is before what comes next to it."""
        if self.upto < position:
            window.pass_by(self.upto, self.base)
