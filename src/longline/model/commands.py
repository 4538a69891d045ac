"""What nodes tell rooms to do: deliveries to write, connections to end, what has changed."""

from enum import Enum

import msgspec

from longline.model.devices import Binding
from longline.model.messages import Message


class Target(msgspec.Struct, frozen=True, gc=False):
    """One device of a unicast: its place in that device's inbox and where the device is now.

    `binding` was read after the commit, so whoever binds later finds the message in the inbox. `before` is
    the position of what was put into the inbox before it and may still wait there, or any later one below
    `position`; 0 when nothing waits, or where nothing is lost or late on the way to the room. `log_before` is
    that of the broadcast that was put into the log before it, likewise; 0 for none. Who has not got that far
    has to read first.
    """

    device: str
    ordinal: int
    position: int
    binding: Binding | None
    before: int = 0
    log_before: int = 0


class Unicast(msgspec.Struct, frozen=True):
    """What is to be routed of a message to named devices (those of them that exist)."""

    app: int
    message: Message
    targets: tuple[Target, ...]


class Part(msgspec.Struct, frozen=True):
    """A broadcast's entry in one part of the app's log, and whom of that part it is for.

    `before` is the position of the entry before it that may still be open, or any later one below `position`;
    0 for none. `inbox_before` has devices, by their place in the part, to which a unicast may be on its way
    that was stored before this, and its position; none where nothing is lost or late on the way to the room.
    """

    position: int
    audience: bytes
    before: int = 0
    inbox_before: dict[int, int] = {}


class Broadcast(msgspec.Struct, frozen=True):
    """What is to be routed of a message to everyone, or to whom else an expression describes.

    An engine may keep the log in parts, each with positions of its own; a device stays in one part. Of `n`
    parts, the device with ordinal `o` is in `parts[o % n]`, whose `audience`, a serialized roaring bitmap,
    has `o // n` when the broadcast is for it.
    """

    app: int
    message: Message
    parts: tuple[Part, ...]


class CloseReason(Enum):
    """Why a connection is ended by the server."""

    TAKEN_OVER = "taken_over"
    KICKED = "kicked"
    BANNED = "banned"
    DEVICE_DELETED = "device_deleted"
    APP_DELETED = "app_deleted"
    KEY_ROTATED = "key_rotated"


class Close(msgspec.Struct, frozen=True):
    """End a device's connection, if it still is the one with this epoch."""

    app: int
    device: str
    epoch: int
    reason: CloseReason


class AppChanged(msgspec.Struct, frozen=True):
    """An app was changed or deleted: forget what is remembered of it.

    `reason` ends the app's connections too (it was deleted); None leaves them, but for those of an earlier
    `generation`.
    """

    app: int
    name: str
    reason: CloseReason | None = None
    generation: int = 0


class ForGroups(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which groups of shared subscriptions a room is to serve with a message.

    `groups`: by the filters that members subscribe to, `$share/{name}/{filter}`; of each, one member gets it.
    `tried`: rooms that had nobody who could take it. `only`: it is for groups alone, plain subscribers have
    it. `unsure`: rooms of whose groups the sender does not know for certain, the receiver among them. Of a
    group that is not in `served`, the first of these (by name) that has members serves it. `decides`: the
    receiver chooses for all groups, of whatever room, as the room of a publisher does.
    """

    groups: tuple[str, ...] = ()
    tried: tuple[str, ...] = ()
    only: bool = False
    unsure: tuple[str, ...] = ()
    served: tuple[str, ...] = ()
    decides: bool = False


class Forward(msgspec.Struct, frozen=True, omit_defaults=True):
    """A message of plain publish/subscribe, for the subscribers on this node.

    `properties` are those that go on to subscribers, encoded as in an MQTT 5 PUBLISH (section 2.2.2) without
    their length; empty for none. `at` is when it was published (ms), for one that expires; 0 for others.
    `id`: that under which it is retained; empty for one that is not. `queued`: sessions that are kept have it
    in their queues, where they get it with QoS 1 or 2. `expires_at` (ms) is for one whose expiry interval is
    not among its properties; 0 for none. `share`: what of shared subscriptions. `sender`: the device whose
    will it is, for subscriptions with no local; empty for any other.
    """

    app: int
    topic: str
    payload: bytes
    qos: int
    properties: bytes = b""
    at: int = 0
    id: str = ""
    queued: bool = False
    expires_at: int = 0
    share: ForGroups | None = None
    sender: str = ""


class Filled(msgspec.Struct, frozen=True):
    """There is something in the queues of these devices' sessions: they are to be read.

    It carries nothing: lost, late or doubled it does no harm.
    """

    app: int
    devices: tuple[str, ...]


class Desired(msgspec.Struct, frozen=True):
    """Something else is desired of a device than before: its shadow is to be read.

    It carries nothing: late or doubled it does no harm, and where it is lost the device hears it later.
    """

    app: int
    device: str


class Vouched(msgspec.Struct, frozen=True):
    """An operator vouches for a device that has acknowledged nothing: it is sent pushes again.

    The store knows; late or doubled it does no harm, and where it is lost the device's next connection is.
    """

    app: int
    device: str


class SessionsKept(msgspec.Struct, frozen=True):
    """A session of the app that outlives its connection has a filter: publications go to the queues.

    `node` and `asks` as in `Routes`.
    """

    app: int
    node: str = ""
    asks: int = 0


class Routes(msgspec.Struct, frozen=True):
    """Which topic filters have subscribers on `node`: `added` and `removed`, as (app, filter).

    A `whole` table replaces what was known of the node: it begins with this command, goes on with what the
    next ones add, and ends with one that says nothing. `wanted`: the node asks for the whole table of the one
    that it sends this to. `shared`: groups of shared subscriptions, as (app, `$share/{name}/{filter}`, about
    how many members there; 0 for none any more). In a whole table they follow all filters: who does not know
    of them takes such a command for the end.

    `asks`: a number that `node` is to be told as one of the `heard`, once the commands up to this one are
    carried out; 0 for none.
    """

    node: str
    added: tuple[tuple[int, str], ...] = ()
    removed: tuple[tuple[int, str], ...] = ()
    whole: bool = False
    wanted: bool = False
    shared: tuple[tuple[int, str, int], ...] = ()
    asks: int = 0
    heard: tuple[int, ...] = ()


class Cancelled(msgspec.Struct, frozen=True):
    """A message was cancelled: stop writing it."""

    app: int
    message_id: str


class Looked(msgspec.Struct, frozen=True):
    """Somebody looks at what became of an app's messages: tell the store now what was written of them."""

    app: int


class Resync(msgspec.Struct, frozen=True):
    """Commands were lost: read again what is pending for every connected device."""


Command = (
    Unicast
    | Broadcast
    | Close
    | AppChanged
    | Forward
    | Filled
    | Desired
    | Vouched
    | SessionsKept
    | Routes
    | Cancelled
    | Looked
    | Resync
)
