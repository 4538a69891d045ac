"""The duties of the ledger: what became of a message."""

from typing import Protocol

import msgspec

from longline.model.ledger import DeliveryRecord, Ledger, State
from longline.model.messages import Message


class Status(msgspec.Struct, frozen=True):
    """A message and where it stands. `open` is False once its TTL has run out or it was cancelled.

    `label`: its sender's word for it. `broadcast`: whether its ledger is made of sets.
    """

    message: Message
    ledger: Ledger
    open: bool
    label: str | None = None
    broadcast: bool = False


class MessagesAsked(msgspec.Struct, frozen=True):
    """Which messages: of ids below `before` and not below `least`, and of this `label` unless it is None.

    Ids are UUIDs as text; None: there is no such bound. At most `limit` messages.
    """

    before: str | None = None
    least: str | None = None
    label: str | None = None
    limit: int = 100


class Listed(msgspec.Struct, frozen=True):
    """One message of a list, without its content."""

    message_id: str
    created_at: int
    label: str | None
    ledger: Ledger


class MessagePage(msgspec.Struct, frozen=True):
    """Messages, the latest first. `rest`: what is further on is `before` this id; None: nothing is.

    A page may be short, or empty, though there is more. `work`: deliveries that were counted for it, and each
    set of devices as so many as it takes the time of, about.
    """

    messages: tuple[Listed, ...]
    rest: str | None
    work: int = 0


class DeviceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A message and where it stands for one device; times in ms, None for what has not happened.

    Of a message to everyone or to an expression it is not known when it was sent and settled.
    """

    message_id: str
    label: str | None
    state: State
    reason: str | None
    accepted_at: int
    sent_at: int | None
    settled_at: int | None


class DevicePage(msgspec.Struct, frozen=True):
    """Messages of a device, the latest first; `rest` and `work` as in `MessagePage`."""

    messages: tuple[DeviceRecord, ...]
    rest: str | None
    work: int = 0


class LedgerStore(Protocol):
    """The port. What holds for every port of the saver stands in the folder's first paragraph.

    A ledger balances at every moment, and never shows less than what was settled before it was asked for.
    """

    async def status(self, app: int, message_id: str) -> Status | None: ...

    async def latest(self, app: int, asked: MessagesAsked) -> MessagePage:
        """Messages in the order of their ids, the latest first, which is that in which they were handed in.

        It looks at a bounded number of messages, whatever is asked for. What is stored while somebody goes
        from page to page is on none of those that follow, and nothing else is left out or shown twice.
        """
        ...

    async def of_device(
        self, app: int, ordinal: int, before: str | None, limit: int, *, waiting: bool
    ) -> DevicePage:
        """Messages for a device in the order of their ids, the latest first: at most `limit`, below `before`.

        `waiting`: those that are kept for it and pending. It looks at a bounded number of messages: as many
        as wait, or else as the app has, whoever they are for.
        """
        ...

    async def delivery(self, app: int, message_id: str, ordinal: int) -> DeviceRecord | None:
        """One message and where it stands for one device; None: it was never for it, or is not there."""
        ...

    async def deliveries(
        self, app: int, message_id: str, after: int, limit: int
    ) -> list[tuple[int, DeliveryRecord]] | None:
        """Where a message stands for its devices, with their ordinals, by ordinal: the first `limit` of those
        after `after` (-1: of all).

        None: no such message. Of a broadcast it is not known when it was sent and settled. A device that was
        deleted has its name for as long as ledgers are kept.
        """
        ...
