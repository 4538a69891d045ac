"""The duties of the ledger: what became of a message."""

from typing import Protocol

import msgspec

from longline.model.ledger import DeliveryRecord, Ledger
from longline.model.messages import Message


class Status(msgspec.Struct, frozen=True):
    """A message and where it stands. `open` is False once its TTL has run out or it was cancelled."""

    message: Message
    ledger: Ledger
    open: bool


class LedgerStore(Protocol):
    """The port. What holds for every port of the saver stands in the folder's first paragraph.

    A ledger balances at every moment, and never shows less than what was settled before it was asked for.
    """

    async def status(self, app: int, message_id: str) -> Status | None: ...

    async def deliveries(
        self, app: int, message_id: str, after: int, limit: int
    ) -> list[tuple[int, DeliveryRecord]] | None:
        """Rows of a unicast's ledger with their ordinals, by ordinal, those after `after` (-1: first).

        None: no such message. A broadcast has none: its ledger is made of sets.
        """
        ...
