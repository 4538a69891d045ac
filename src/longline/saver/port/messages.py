"""The duties of a store of messages: taking submissions in, and messages back."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from longline.model.commands import Broadcast, Unicast
from longline.model.messages import Envelope
from longline.saver.port.inboxes import InboxBounds


class Submission(msgspec.Struct, frozen=True):
    """Messages that one request brought, stored together or not at all.

    With an `idempotency_key`, the first submission of that key to the app of which anything is stored is
    remembered for `idempotency_ttl` ms from its `now`, and a later one with the same `digest` of the request
    stores nothing and repeats the first one's results. One of which nothing was stored leaves the key free:
    its devices may be there when it comes again.

    `inbox`: what may wait for each device of this app; None for what the engine was opened with.
    `retention`: ms that the messages' ledgers are kept; None likewise.
    """

    app: int
    envelopes: tuple[Envelope, ...]
    now: int
    idempotency_key: str | None = None
    digest: bytes = b""
    idempotency_ttl: int = 86_400_000
    inbox: InboxBounds | None = None
    retention: int | None = None


class Accepted(msgspec.Struct, frozen=True, tag="accepted"):
    """The message is stored. `targeted` counts devices, also those that do not exist."""

    message_id: str
    targeted: int


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """The message was not stored; `code` is that of a `LonglineError`: `no_target`, `app_not_found`.

    And `internal` for all messages of a submission that the store refuses, while it takes others of its
    batch.
    """

    code: str


class Outcome(msgspec.Struct, frozen=True):
    """A submission's results in order, and what is to be routed now (nothing when `replayed`)."""

    results: tuple[Accepted | Refused, ...]
    routes: tuple[Unicast | Broadcast, ...]
    replayed: bool = False


class IdempotencyConflict(msgspec.Struct, frozen=True):
    """The key was used for another request; nothing was stored."""


class MessageStore(Protocol):
    """The port. What holds for every port of the saver stands in the folder's first paragraph.

    A submission is stored whole or not at all. What was stored is read by whoever asks after the answer, and
    is delivered at least once until it is settled, taken back, or its time is over.
    """

    async def enqueue(self, batch: Sequence[Submission]) -> list[Outcome | IdempotencyConflict]:
        """Stores submissions, each atomically: message, inbox or log entries, and idempotency key.

        An expression is the set of devices that it describes at the commit. A message with a collapse key
        makes older pending ones of the same key collapsed, for the devices of both; `online_only` messages
        take no part in that, since a newer one may reach nobody. Devices that do not exist count in the
        ledger as dropped, `device_not_found`. An `online_only` message enters the ledger, but no inbox and no
        log. Positions rise in the order of commits, for one device over inbox and log, and the results of one
        engine are delivered in that order. Each target, and each part of a broadcast, tells of the last
        broadcast before it that may still be open (`log_before`, `before`): of any that is pending for the
        device, and was stored before it, the position is at or below that. An engine whose messages travel
        between processes also tells of the unicast before it: each target of any, a broadcast of those that
        are on their way to devices that are connected, as many as there may be in a fraction of a second.
        """
        ...

    async def cancel(self, app: int, message_id: str, now: int) -> bool:
        """Drops what is still pending, `cancelled`. False: no such message."""
        ...
