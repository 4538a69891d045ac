"""The duties of what waits for devices: inboxes, cursors into the broadcast log, and receipts."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from longline.model.ledger import State
from longline.model.messages import Message


class Arrive(msgspec.Struct, frozen=True):
    """A device with a valid token connects. It is registered when it is not yet."""

    app: int
    device: str
    now: int


class Arrival(msgspec.Struct, frozen=True):
    """`pending`: False when there is certainly nothing to fetch. `log_after`: the cursor of the device.

    `banned_until`: ms, 0 for never banned. `session`: False when there is certainly no MQTT session of the
    device that is kept (see `SessionStore`).
    """

    ordinal: int
    pending: bool
    log_after: int
    banned_until: int
    session: bool = False


class Fetch(msgspec.Struct, frozen=True):
    """Asks for what a device has pending after two positions.

    At most `limit` pushes, and of those from the inbox no more than `limit_bytes` in all, but one always.
    (A broadcast is one object in memory for all devices that read it.)
    """

    app: int
    ordinal: int
    inbox_after: int
    log_after: int
    limit: int
    now: int
    limit_bytes: int = 1024 * 1024


class PendingPush(msgspec.Struct, frozen=True):
    """A message waiting for one device. `position` counts in the log if `broadcast`, else in the inbox.

    `sent_before`: it was written to a connection of this device earlier, but never acknowledged.
    """

    message: Message
    position: int
    broadcast: bool
    sent_before: bool


class Page(msgspec.Struct, frozen=True):
    """Pushes oldest first; when `complete`, nothing more was pending after the two positions.

    `log_after`: how far the log has been read, which can be past the last push for this device.
    """

    pushes: tuple[PendingPush, ...]
    log_after: int
    complete: bool


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """One device's news of one push: written to its connection, or settled.

    `state` is PENDING for "written", else the outcome; `reason` goes with DROPPED. Only what is
    pending can be settled, and any later receipt changes nothing, but for ACKED: what a device took is acked,
    whatever it had been taken for (expired before the receipt came, collapsed by a newer one, cancelled).
    `sent_at` is 0 when it was not written. `message_id` lets an engine find what is not pending any more;
    without it, the engine may look among what is.

    `epoch` is that of the session it speaks for, 0 for none. When another session owns the device by now,
    the receipt changes nothing, unless it is ACKED: that the device took the push stays true.
    """

    app: int
    ordinal: int
    position: int
    broadcast: bool
    state: State
    at: int
    sent_at: int = 0
    reason: str | None = None
    epoch: int = 0
    message_id: str = ""


class Cursor(msgspec.Struct, frozen=True, gc=False):
    """A device has nothing pending in the log up to and including `log_after`.

    `epoch` as in `Receipt`: a session that does not own its device any more moves no cursor.
    """

    app: int
    ordinal: int
    log_after: int
    epoch: int = 0


class InboxStore(Protocol):
    """The port. What holds for every port of the saver stands in the folder's first paragraph.

    Each item of a batch is atomic by itself, and the items of one device are taken in the order given. One
    that the store cannot serve holds up no other: it has nothing to fetch, or is not settled. A batch that
    fails may have been done in part; repeating it is safe: of a device's outcomes ACKED counts, else the
    first.
    """

    async def arrive(self, batch: Sequence[Arrive]) -> list[Arrival | None]:
        """Registers who is new, and says what a connection needs to know to start.

        None for a device whose app does not exist (any more), or of which the store has something that nobody
        can read.
        """
        ...

    async def fetch(self, batch: Sequence[Fetch]) -> list[Page]:
        """Reads what is pending and not expired."""
        ...

    async def count(self, app: int, ordinals: Sequence[int], now: int) -> list[int]:
        """How many messages, broadcasts included, wait for each device."""
        ...

    async def settle(self, batch: Sequence[Receipt]) -> None:
        """Moves deliveries out of pending (once each), or to ACKED from wherever they are while their ledger
        is kept; and notes what was written to a connection."""
        ...

    async def advance(self, batch: Sequence[Cursor]) -> None:
        """Moves cursors into the log forward. A cursor never moves back."""
        ...
