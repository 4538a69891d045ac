"""A push on a connection."""

from typing import final

from longline.model.ledger import State
from longline.room.session.inflight import InFlight, Stepwise
from longline.room.session.session import Session
from longline.saver.port.inboxes import Receipt


@final
class SentPush(InFlight):
    """A push that was written and not acknowledged yet: which message, and whose. `sent_at` in ms."""

    __slots__ = ("message_id", "noted", "online_only", "sent_at", "session")

    def __init__(
        self,
        session: Session,
        position: int,
        broadcast: bool,
        message_id: str,
        online_only: bool,
        sent_at: int,
    ) -> None:
        super().__init__(session.window, position, broadcast)
        self.session = session
        self.message_id = message_id
        self.online_only = online_only
        self.sent_at = sent_at
        self.noted = False  # settled, or "sent" was written into the ledger: nothing more to note

    def receipt(self, state: State, at: int) -> Receipt:
        """What the ledger is told of it at `at` (ms)."""
        session = self.session
        return Receipt(
            session.tenant.app,
            session.ordinal,
            self.position,
            self.broadcast,
            state,
            at,
            self.sent_at,
            None,
            session.epoch,
            self.message_id,
        )


@final
class SentTwice(Stepwise):
    """A push with QoS 2, which the device acknowledges in two steps.

    `recorded`: the store has its packet identifier, which outlives the connection.
    """

    __slots__ = ("push", "recorded")

    def __init__(self, push: SentPush, recorded: bool, released: bool = False) -> None:
        super().__init__(push.owner, push.position, push.broadcast, 2, released)
        self.push = push
        self.recorded = recorded
