"""A gap that a device was told of and has not acknowledged yet."""

from collections.abc import Callable
from typing import final

from longline.room.session.inflight import InFlight
from longline.room.session.session import Session
from longline.saver.port.inboxes import Gap


@final
class GapNotice(InFlight):
    """What `$link/gap` said on this connection; `known` is called when it is acknowledged."""

    __slots__ = ("_gap", "_known", "_session")

    def __init__(self, session: Session, gap: Gap, known: Callable[[Session, Gap], None]) -> None:
        super().__init__(session.window, 0, False)
        self._session = session
        self._gap = gap
        self._known = known

    def acknowledged(self) -> None:
        """The device knows."""
        self._known(self._session, self._gap)
