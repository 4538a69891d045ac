"""The duties of a store of messages, and the values that pass through it.

A push to named devices is one *inbox* entry per device. A push to everyone is one entry in the app's
*broadcast log* with the frozen set of ordinals it was for; devices read the log from a cursor of
their own. Both are read back as `Push`es, oldest first. The ledger is not a set of counters: it is
derived from which device stands in which state, so it balances by construction and every change is
safe to repeat.

Methods take batches because every engine shares its dearest step (an fsync, a round trip) among
everything that arrives together. A batch is answered in its order. Unless said otherwise a method
that changes something returns after the change is durable: it survives the death of any process.
`app` is always `App.number`.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from longline.model import (
    App,
    Audience,
    Binding,
    DeliveryRecord,
    Device,
    Ledger,
    Message,
    Profile,
    State,
)

# --- sending -------------------------------------------------------------------------------------


class Envelope(msgspec.Struct, frozen=True):
    """A message and whom it is for."""

    message: Message
    audience: Audience


class Submission(msgspec.Struct, frozen=True):
    """Messages that one request brought, stored together or not at all.

    With an `idempotency_key`, the first submission of that key to the app is remembered for
    `idempotency_ttl` ms from its `now`, and a later one with the same `digest` of the request stores
    nothing and repeats the first one's results.
    """

    app: int
    envelopes: tuple[Envelope, ...]
    now: int
    idempotency_key: str | None = None
    digest: bytes = b""
    idempotency_ttl: int = 86_400_000


class Accepted(msgspec.Struct, frozen=True, tag="accepted"):
    """The message is stored. `targeted` counts devices, also those that do not exist."""

    message_id: str
    targeted: int


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """The message was not stored; `code` is that of a `LonglineError`: `no_target`, `app_not_found`."""

    code: str


class Target(msgspec.Struct, frozen=True, gc=False):
    """One device of a unicast: its place in that device's inbox and where the device is now.

    `binding` was read after the commit, so whoever binds later finds the message in the inbox. `before` is
    the position of what was put into the inbox before it and may still wait there, or any later one below
    `position`; 0 when nothing waits, or where nothing is lost or late on the way to the room. Who has not
    got that far has to read the inbox first.
    """

    device: str
    ordinal: int
    position: int
    binding: Binding | None
    before: int = 0


class Unicast(msgspec.Struct, frozen=True):
    """What is to be routed of a message to named devices (those of them that exist)."""

    app: int
    message: Message
    targets: tuple[Target, ...]


class Part(msgspec.Struct, frozen=True):
    """A broadcast's entry in one part of the app's log, and whom of that part it is for."""

    position: int
    audience: bytes


class Broadcast(msgspec.Struct, frozen=True):
    """What is to be routed of a message to everyone.

    An engine may keep the log in parts, each with positions of its own; a device stays in one part. Of `n`
    parts, the device with ordinal `o` is in `parts[o % n]`, whose `audience`, a serialized roaring bitmap,
    has `o // n` when the broadcast is for it.
    """

    app: int
    message: Message
    parts: tuple[Part, ...]


class Outcome(msgspec.Struct, frozen=True):
    """A submission's results in order, and what is to be routed now (nothing when `replayed`)."""

    results: tuple[Accepted | Refused, ...]
    routes: tuple[Unicast | Broadcast, ...]
    replayed: bool = False


class IdempotencyConflict(msgspec.Struct, frozen=True):
    """The key was used for another request; nothing was stored."""


# --- receiving -----------------------------------------------------------------------------------


class Arrive(msgspec.Struct, frozen=True):
    """A device with a valid token is at the door. It is registered when it is not yet."""

    app: int
    device: str
    now: int


class Arrival(msgspec.Struct, frozen=True):
    """`pending`: False when there is certainly nothing to fetch. `log_after`: the cursor of the device.

    `banned_until`: ms, 0 for never banned.
    """

    ordinal: int
    pending: bool
    log_after: int
    banned_until: int


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


class Push(msgspec.Struct, frozen=True):
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

    pushes: tuple[Push, ...]
    log_after: int
    complete: bool


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """One device's news of one push: written to its connection, or settled.

    `state` is PENDING for "written", else the outcome; `reason` goes with DROPPED. Only what is
    pending can be settled: any later receipt changes nothing. `sent_at` is 0 when it was not written.

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


class Cursor(msgspec.Struct, frozen=True, gc=False):
    """A device has nothing pending in the log up to and including `log_after`.

    `epoch` as in `Receipt`: a session that does not own its device any more moves no cursor.
    """

    app: int
    ordinal: int
    log_after: int
    epoch: int = 0


# --- asking --------------------------------------------------------------------------------------


class Registration(msgspec.Struct, frozen=True):
    """A device to register, or whose profile to replace."""

    device: str
    profile: Profile


class Status(msgspec.Struct, frozen=True):
    """A message and where it stands. `open` is False once its TTL has run out or it was cancelled."""

    message: Message
    ledger: Ledger
    open: bool


class Event(msgspec.Struct, frozen=True, gc=False):
    """Something that happened to a device, for its app server. `kind`: `presence`; `data`: a JSON object.

    `source` and `sequence` name it: a source's sequences rise, and one that is not above the highest
    recorded of its source has been recorded before.
    """

    app: int
    kind: str
    device: str
    at: int
    data: bytes
    source: str
    sequence: int


class Durability(msgspec.Struct, frozen=True):
    """What an accepted message survives at the moment of its 202, as far as the engine makes sure of it.

    `level`: `memory` (the store's process must live), `fsync` (on its disk), `replicated` (also in the memory
    of `copies` replicas).
    """

    level: str
    copies: int = 0


class Saver(Protocol):
    """The port. Every method raises `Unavailable` when the engine is closed or broken, and `Overloaded`
    when its bounded queue is full; in both cases nothing of the call was stored.

    An engine on the other side of a network may not know whether a call was carried out when its connection
    breaks. It repeats the call, which every method bears, and raises `Unavailable` when it still does not
    know after its deadline; then the call may have been stored. An interrupted `enqueue` is completed by
    `complete`, or it never happened."""

    def durability(self) -> Durability:
        """What `enqueue` and `settle` promise on their return."""
        ...

    async def close(self) -> None:
        """Finishes what was accepted, then releases the store."""
        ...

    # apps

    async def create_app(self, app: App) -> App:
        """Stores a new app under the next free number (the given number is ignored); `AppExists`."""
        ...

    async def find_app(self, name: str) -> App | None: ...

    async def list_apps(self, after: str, limit: int) -> list[App]:
        """Apps by name, those after `after` ("" for the first)."""
        ...

    async def update_app(self, app: App, before: App) -> bool:
        """Replaces name, pubsub, server_key_hash and device_secret; `AppNotFound`.

        False, and nothing is changed, when the stored app is not `before`: somebody else was faster.
        """
        ...

    async def delete_app(self, app: int) -> None:
        """Removes the app with its devices, messages and ledgers. Its number is not used again.

        Nothing finds it any more when this returns; what it takes up may be freed later, by `expire`.
        """
        ...

    # devices

    async def register(self, app: int, batch: Sequence[Registration], now: int) -> list[Device]:
        """Registers devices or replaces their profiles, all together; `AppNotFound`."""
        ...

    async def find_devices(self, app: int, names: Sequence[str]) -> list[Device | None]: ...

    async def list_devices(
        self, app: int, *, tag: str | None, alias: str | None, after: int, limit: int
    ) -> list[Device]:
        """Devices by ordinal, those after `after` (-1 for the first)."""
        ...

    async def count_devices(self, app: int) -> int: ...

    async def count_pending(self, app: int, ordinals: Sequence[int], now: int) -> list[int]:
        """How many messages, broadcasts included, wait for each device."""
        ...

    async def delete_device(self, app: int, device: str, now: int) -> bool:
        """Forgets a device; what is pending for it becomes dropped, `device_deleted`.

        False: no such device. Its ordinal is not used again. An `online_only` message to it by name, which
        is over within seconds, may end by itself instead.
        """
        ...

    async def ban(self, app: int, device: str, until: int) -> bool:
        """Refuses the device until `until` (ms; 0 lifts the ban). False: no such device."""
        ...

    async def arrive(self, batch: Sequence[Arrive]) -> list[Arrival | None]:
        """Registers who is new, and says what a connection needs to know to start.

        None for a device whose app does not exist (any more).
        """
        ...

    # messages

    async def enqueue(self, batch: Sequence[Submission]) -> list[Outcome | IdempotencyConflict]:
        """Stores submissions, each atomically: message, inbox or log entries, and idempotency key.

        An `Everyone` audience is the set of devices registered at the commit. A message with a
        collapse key makes older pending ones of the same key collapsed, for the devices of both;
        `online_only` messages take no part in that, since a newer one may reach nobody.
        Devices that do not exist count in the ledger as dropped, `device_not_found`. An
        `online_only` message enters the ledger, but no inbox and no log.
        Positions rise in the order of commits, and the results of one engine are delivered in that order.
        """
        ...

    async def fetch(self, batch: Sequence[Fetch]) -> list[Page]:
        """Reads what is pending and not expired."""
        ...

    async def settle(self, batch: Sequence[Receipt]) -> None:
        """Moves deliveries out of pending (once each), and notes what was written to a connection."""
        ...

    async def assign(self, app: int, message_id: str, nodes: Sequence[str]) -> None:
        """Notes which nodes have a broadcast's sub-task: to write it to their own devices.

        Until then, the broadcast is among those that `unrouted` returns. Nodes that finished already stay so.
        """
        ...

    async def finish(self, app: int, message_id: str, node: str, at: int) -> None:
        """A node's sub-task is done: written to all of its devices that it could be written to.

        When the last one is, an `online_only` broadcast is dropped, `offline`, for every device to which
        it was not written. A node without a sub-task of it changes nothing.
        """
        ...

    async def unrouted(self, before: int, limit: int) -> list[Unicast | Broadcast]:
        """Messages stored before `before` (ms) that are pending for connected devices, though nobody said
        they were written: whoever was to route them may have died.

        Each is returned once in a while only. An engine whose centers and rooms die together has none.
        """
        ...

    async def complete(self, before: int, limit: int) -> list[Unicast | Broadcast]:
        """Carries out submissions that were begun before `before` (ms) and interrupted; what is to be "
        "routed."""
        ...

    async def unfinished(self, node: str, limit: int) -> list[tuple[int, str]]:
        """App and message id of broadcasts whose sub-task a node still has; for one that is dead."""
        ...

    async def advance(self, batch: Sequence[Cursor]) -> None:
        """Moves cursors into the log forward. A cursor never moves back."""
        ...

    async def status(self, app: int, message_id: str) -> Status | None: ...

    async def deliveries(
        self, app: int, message_id: str, after: int, limit: int
    ) -> list[tuple[int, DeliveryRecord]] | None:
        """Rows of a unicast's ledger with their ordinals, by ordinal, those after `after` (-1: first).

        None: no such message. A broadcast has none: its ledger is made of sets.
        """
        ...

    async def cancel(self, app: int, message_id: str, now: int) -> bool:
        """Drops what is still pending, `cancelled`. False: no such message."""
        ...

    async def expire(self, now: int, limit: int) -> int:
        """Ends messages whose time is over, at most `limit`; returns how many it ended or purged.

        Pending becomes expired (`online_only`: dropped, `offline`, where it was never written).
        Ended messages whose ledger retention is over, and old idempotency keys, are removed.
        """
        ...

    async def next_expiry(self) -> int | None:
        """When `expire` next has work, in ms; None: nothing is stored."""
        ...

    # events for app servers

    async def record(self, batch: Sequence[Event]) -> None:
        """Appends events to their apps' queues, those of one source in the order given, each once."""
        ...

    async def events(self, app: int, after: str, limit: int) -> list[tuple[str, Event]]:
        """Events with their cursors, those behind the cursor `after` ("" for the oldest kept).

        The queue of an app is bounded; the oldest events go first.
        """
        ...

    def statistics(self) -> Mapping[str, int]:
        """Plain figures for the metrics: queue lengths, commits, rows, bytes."""
        ...
