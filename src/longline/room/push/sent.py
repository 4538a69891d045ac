"""A push on a connection."""

from typing import final

from longline.room.session.inflight import InFlight
from longline.room.session.session import Session


@final
class SentPush(InFlight):
    """A push that was written and not acknowledged yet, with whose it is. `sent_at` in ms."""

    __slots__ = ("noted", "online_only", "sent_at", "session")

    def __init__(
        self, session: Session, position: int, broadcast: bool, online_only: bool, sent_at: int
    ) -> None:
        super().__init__(session.window, position, broadcast)
        self.session = session
        self.online_only = online_only
        self.sent_at = sent_at
        self.noted = False  # settled, or "sent" was written into the ledger: nothing more to note
