"""What a connected device has going on: how far it has read, what it has not acknowledged, its filters."""

from collections import deque
from enum import IntEnum
from typing import TYPE_CHECKING, Final, final

from longline.mqtt.codec import PublishFrame

if TYPE_CHECKING:
    from longline.room.pubsub.subscriptions import Subscriptions
    from longline.room.wire.connection import Connection

UNKNOWN: Final = -1
MAX_PACKET_ID: Final = 65_535


class Gone(IntEnum):
    """How a session ended, which decides how long the device still counts as there."""

    BROKEN = 0  # the connection broke, or we went away: the device comes right back
    LEFT = 1  # the device said DISCONNECT
    CLOSED = 2  # the platform wanted it gone
    TAKEN_OVER = 3  # another session of the device has its place


@final
class InFlight:
    """A push that was written and not acknowledged yet. `sent_at` in ms."""

    __slots__ = ("broadcast", "noted", "online_only", "position", "sent_at", "session")

    def __init__(
        self, session: "Session", position: int, broadcast: bool, online_only: bool, sent_at: int
    ) -> None:
        self.session = session
        self.position = position
        self.broadcast = broadcast
        self.online_only = online_only
        self.sent_at = sent_at
        self.noted = False  # settled, or "sent" was written into the ledger: nothing more to note


@final
class Tenant:
    """An app as the room sees it while devices of it are connected."""

    __slots__ = ("app", "name", "pubsub", "sessions", "subscriptions")

    def __init__(self, app: int, name: str, pubsub: bool, subscriptions: "Subscriptions[Session]") -> None:
        self.app = app
        self.name = name
        self.pubsub = pubsub
        self.subscriptions = subscriptions
        self.sessions: dict[str, Session] = {}


@final
class Session:
    """One device's session. Empty collections are None: most devices are idle, and there are millions.

    The store is the queue of pushes: a session holds only those in its window, and the positions up
    to which it has got its inbox and the broadcast log. `more` says that the store may hold pushes
    after these positions; while it is set, new pushes are not written out of turn but left to be
    read in order, and `missed` remembers that one came during a read.

    Centers do not wait for each other, so a push can come behind one that was stored after it. Nothing that
    is stored before `inbox_read` and `log_read` can: the store itself was read up to there, without a gap.
    A `gap` is closed by reading from there again, but for what was in flight then, which is in `skip`.
    """

    __slots__ = (
        "connection",
        "device",
        "epoch",
        "fetching",
        "gap",
        "gone",
        "inbox_position",
        "inbox_read",
        "inflight",
        "log_cursor",
        "log_position",
        "log_read",
        "lost_before",
        "missed",
        "more",
        "next_id",
        "ordinal",
        "queue",
        "skip",
        "subscriptions",
        "tenant",
        "window",
    )

    def __init__(
        self, tenant: Tenant, device: str, epoch: int, connection: "Connection", window: int
    ) -> None:
        self.tenant = tenant
        self.device = device
        self.epoch = epoch
        self.connection: Connection | None = connection
        self.window = window
        self.ordinal = UNKNOWN
        self.inbox_position = 0
        self.inbox_read = 0
        self.log_position = 0
        self.log_read = 0
        self.log_cursor = 0  # what the store knows of log_read
        self.lost_before = 0  # receipts that the room had lost when this session began
        self.more = True  # until the first read says otherwise
        self.gap = True  # the same: what the session before it acknowledged must not come again
        self.missed = False
        self.fetching = False
        self.gone = Gone.BROKEN
        self.next_id = 0
        self.skip: set[tuple[int, bool]] | None = None  # (position, broadcast)
        self.inflight: dict[int, InFlight | None] | None = None  # None: a message of plain publish/subscribe
        self.queue: deque[PublishFrame] | None = None  # plain QoS 1 messages that wait for the window
        self.subscriptions: set[str] | None = None

    def free(self) -> int:
        """How many more QoS 1 messages may be written now."""
        inflight = self.inflight
        return self.window if inflight is None else self.window - len(inflight)

    def spare(self) -> int:
        """The same for plain messages: while pushes wait in the store, half of the window is theirs."""
        return self.free() - (self.window + 1) // 2 if self.more else self.free()

    def take_id(self, entry: InFlight | None) -> int:
        """A packet identifier that was not in use [MQTT-2.2.1-4] and now stands for `entry`.

        The caller has seen that the window has room.
        """
        inflight = self.inflight
        if inflight is None:
            inflight = self.inflight = {}
        packet_id = self.next_id
        while True:
            packet_id = packet_id + 1 if packet_id < MAX_PACKET_ID else 1
            if packet_id not in inflight:
                break
        self.next_id = packet_id
        inflight[packet_id] = entry
        return packet_id

    def in_flight(self, position: int, broadcast: bool) -> bool:
        """Whether this push was written and not acknowledged yet."""
        inflight = self.inflight
        if inflight is not None:
            for entry in inflight.values():
                if entry is not None and entry.position == position and entry.broadcast == broadcast:
                    return True
        return False

    def read_again(self) -> None:
        """Goes back to where the store was read up to without a gap, to find what came by another way."""
        self.gap = False
        self.more = True
        self.inbox_position = self.inbox_read
        self.log_position = self.log_read
        self.skip = None
        if self.inflight is not None:
            self.skip = {(e.position, e.broadcast) for e in self.inflight.values() if e is not None}

    def settled_log(self) -> int:
        """The log position up to which nothing is pending for this device: below what is still in flight."""
        position = self.log_read
        if self.inflight is not None:
            for entry in self.inflight.values():
                if entry is not None and entry.broadcast:
                    position = min(position, entry.position - 1)
        return position
