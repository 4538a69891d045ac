"""The duties of what waits for devices: inboxes, cursors into the broadcast log, and receipts."""

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from longline.model.devices import Came
from longline.model.ledger import State
from longline.model.messages import Message
from longline.saver.port.parking import Standing

GUEST: Final = -2  # instead of an ordinal; -1 is that of a device which nobody has asked for yet
INBOX_FULL: Final = "inbox_full"  # why the oldest message of a device was dropped for a newer one
TOO_LARGE: Final = "too_large_for_client"  # why a message was dropped that its client does not take


class InboxBounds(msgspec.Struct, frozen=True):
    """What may wait for a device.

    `messages`: in its inbox, at any time, and together with what it has in the log when it comes.
    `payload_bytes`: what the messages in its inbox may add up to, about; one is always kept. What is more is
    dropped: the oldest of those without high priority, and where there are none, the oldest.
    """

    messages: int = 5000
    payload_bytes: int = 64 * 1024 * 1024


class Gap(msgspec.Struct, frozen=True):
    """How many messages for a device have ended without being written to a connection of it, since when (ms).

    What was taken back does not count, nor what was only for who was there. `told` is as in `Arrival`, and
    `noted` the part of it that was counted one by one: the store knows by them what the device was told.
    """

    dropped: int
    expired: int
    collapsed: int
    since: int
    told: int
    noted: tuple[int, int, int, int] | None


class Arrive(msgspec.Struct, frozen=True):
    """A device that was let in connects. It is registered when it is not yet, unless `register` says no.

    `inbox_messages`: what may wait for it, where that is another number than the engine was opened with; else
    0. `came`: what is noted of this visit; None for a connection that was there before. `epoch` and `node`
    are those of its session; with 0 the connection is left out of the history of its device.
    """

    app: int
    device: str
    now: int
    register: bool = True
    inbox_messages: int = 0
    came: Came | None = None
    epoch: int = 0
    node: str = ""


class Arrival(msgspec.Struct, frozen=True):
    """`pending`: False when there is certainly nothing to fetch. `log_after`: the cursor of the device.

    `ordinal` is GUEST, and everything else empty, for one that is not registered and was not to be.
    `banned_until`: ms, 0 for never banned. `session`: False when there is certainly no MQTT session of the
    device that is kept (see `SessionStore`). `shadow`: whether it is to be told what is desired of it. `gap`:
    what it was not told of yet, None when there is nothing; `told`: up to where the ends of broadcasts were
    looked at for that. `standing`: see `ParkingStore`.
    """

    ordinal: int
    pending: bool
    log_after: int
    banned_until: int
    session: bool = False
    shadow: bool = False
    gap: Gap | None = None
    told: int = 0
    standing: Standing | None = None


class Fetch(msgspec.Struct, frozen=True):
    """Asks for what a device has pending after two positions.

    At most `limit` pushes, and of those from the inbox no more than `limit_bytes` in all, but one always.
    (A broadcast is one object in memory for all devices that read it.)

    `urgent`: how many of high priority are wanted before all others, wherever after the positions they are.
    """

    app: int
    ordinal: int
    inbox_after: int
    log_after: int
    limit: int
    now: int
    limit_bytes: int = 1024 * 1024
    urgent: int = 0


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

    `log_after`: how far the log has been read, which can be past the last push for this device. `urgent`:
    those of high priority that were asked for, oldest first; they are among the others too, in their turn.
    They have `Fetch.limit_bytes` in all, too, but one always.
    """

    pushes: tuple[PendingPush, ...]
    log_after: int
    complete: bool
    urgent: tuple[PendingPush, ...] = ()


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

    `told`: the device misses nothing that it was not told of, up to where `Arrival.told` says; 0 when it does
    not know of its gap yet. `epoch` as in `Receipt`: a session that does not own its device any more moves no
    cursor.
    """

    app: int
    ordinal: int
    log_after: int
    epoch: int = 0
    told: int = 0


class Told(msgspec.Struct, frozen=True, gc=False):
    """A device knows of its gap, as its arrival said what that is."""

    app: int
    ordinal: int
    gap: Gap


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
        can read. What waits for a device beyond `InboxBounds` is dropped by that.
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

    async def close_gaps(self, batch: Sequence[Told]) -> None:
        """Forgets of each gap what its device was told, and nothing that has come since."""
        ...
