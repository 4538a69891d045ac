"""What a device has going on: how far it has read, what it has not acknowledged, its filters.

A session is there whether its client is connected or not. While it is, an `Attachment` stands between the
two.
"""

from collections import deque
from enum import IntEnum
from typing import Final, final

from longline.room.pubsub.message import Held
from longline.room.pubsub.replays import Replays
from longline.room.pubsub.subscriptions import Subscriber, Subscriptions
from longline.room.session.inflight import PacketIds
from longline.room.session.outlet import Outlet
from longline.room.session.window import Window

UNKNOWN: Final = -1


class Gone(IntEnum):
    """How a session ended, which decides how long the device still counts as there."""

    BROKEN = 0  # the connection broke, or we went away: the device comes right back
    LEFT = 1  # the device said DISCONNECT
    CLOSED = 2  # the platform wanted it gone
    TAKEN_OVER = 3  # another session of the device has its place


@final
class Tenant:
    """An app as the room sees it while devices of it are connected, all of them of its `generation`."""

    __slots__ = ("app", "generation", "name", "pubsub", "sessions", "subscriptions")

    def __init__(
        self, app: int, name: str, pubsub: bool, generation: int, subscriptions: "Subscriptions[Session]"
    ) -> None:
        self.app = app
        self.name = name
        self.pubsub = pubsub
        self.generation = generation
        self.subscriptions = subscriptions
        self.sessions: dict[str, Session] = {}


@final
class Session:
    """One device's session. Empty collections are None: most devices are idle, and there are millions.

    The store is the queue of pushes: how far the device has got with it, and what is in flight, is in
    `window`. `expiry` is the Session Expiry Interval that its client has asked for, in seconds; `resumed`:
    whether CONNACK told of a session that was present.
    """

    __slots__ = (
        "attachment",
        "device",
        "epoch",
        "expiry",
        "gone",
        "lost_before",
        "ordinal",
        "plain",
        "resumed",
        "tenant",
        "window",
    )

    def __init__(self, tenant: Tenant, device: str, epoch: int, window: int) -> None:
        self.tenant = tenant
        self.device = device
        self.epoch = epoch
        self.window = Window(window)
        self.attachment: Attachment | None = None  # while its client is connected
        self.ordinal = UNKNOWN  # until the store has told of the device
        self.lost_before = 0  # receipts that the room had lost when this session began
        self.expiry = 0
        self.gone = Gone.BROKEN
        self.resumed = False  # nothing of a session is kept for later yet
        self.plain: Plain | None = None  # while it has any of it

    @property
    def subscriptions(self) -> dict[str, int] | None:
        """Its topic filters, with their options."""
        plain = self.plain
        return None if plain is None else plain.subscriptions

    @property
    def queue(self) -> deque[Held] | None:
        """Plain messages with QoS 1 or 2 that wait for the window."""
        plain = self.plain
        return None if plain is None else plain.queue

    @property
    def received(self) -> PacketIds | None:
        """The publications of its client with QoS 2 that were taken, and whose PUBREL has not come."""
        plain = self.plain
        return None if plain is None else plain.received

    @property
    def replays(self) -> "Replays[Subscriber[Session]] | None":
        """Retained messages that are on their way to it."""
        plain = self.plain
        return None if plain is None else plain.replays

    def tidy(self) -> None:
        """Something it had of plain publish/subscribe is gone."""
        plain = self.plain
        if (
            plain is not None
            and plain.subscriptions is None
            and plain.queue is None
            and plain.received is None
            and plain.replays is None
        ):
            self.plain = None


@final
class Plain:
    """What a session has of plain publish/subscribe.

    `subscriptions` are the options of each filter: the byte of SUBSCRIBE (section 3.8.3.1), with the QoS that
    was granted, and above it the subscription identifier, 0 for none. `filter_bytes` and `queue_bytes` are
    what the filters have, and what waits in the queue.
    """

    __slots__ = ("filter_bytes", "queue", "queue_bytes", "received", "replays", "subscriptions")

    def __init__(self) -> None:
        self.subscriptions: dict[str, int] | None = None
        self.filter_bytes = 0
        self.queue: deque[Held] | None = None
        self.queue_bytes = 0
        self.received: PacketIds | None = None
        self.replays: Replays[Subscriber[Session]] | None = None  # while retained messages are on their way


@final
class Attachment:
    """A session on a connection.

    The first is of the app and device that the connection was let in as; topics go to it as they are. Others
    may follow on the same connection, for sessions of other apps: their topics begin with a prefix. Packet
    identifiers and the client's Receive Maximum are the connection's [MQTT-2.2.1-4]: its sessions' windows
    have what is in flight in common.
    """

    __slots__ = ("outlet", "session", "sharing")

    def __init__(self, session: Session, outlet: Outlet) -> None:
        self.session = session
        self.outlet = outlet
        self.sharing: Sharing | None = None  # while the connection has several

    @property
    def prefix(self) -> str:
        """What topics begin with, empty for the first."""
        return "" if self.sharing is None else self.sharing.prefix

    @property
    def first(self) -> "Attachment | None":
        """The first on the connection; None when it is this one."""
        return None if self.sharing is None else self.sharing.first

    @property
    def others(self) -> "list[Attachment] | None":
        """Those that came after this one, the first."""
        return None if self.sharing is None else self.sharing.others

    def every(self) -> "list[Attachment]":
        """All on the connection of this one, the first."""
        return [self] if self.sharing is None else [self, *self.sharing.others]

    def join(self, other: "Attachment", prefix: str) -> None:
        """Has another session on the connection of this one, the first."""
        if self.sharing is None:
            self.sharing = Sharing("", None)
        self.sharing.others.append(other)
        other.sharing = Sharing(prefix, self)
        other.session.window.share(self.session.window)

    def part(self, other: "Attachment") -> None:
        """The other session is on the connection no more."""
        sharing = self.sharing
        if sharing is not None:
            sharing.others.remove(other)
            if not sharing.others:
                self.sharing = None


@final
class Sharing:
    """How an attachment shares its connection: as the `first`, which has `others`, or after it."""

    __slots__ = ("first", "others", "prefix")

    def __init__(self, prefix: str, first: Attachment | None) -> None:
        self.prefix = prefix
        self.first = first
        self.others: list[Attachment] = []
