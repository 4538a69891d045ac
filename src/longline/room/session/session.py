"""What a device has going on: how far it has read, what it has not acknowledged, its filters.

A session is there whether its client is connected or not. While it is, an `Attachment` stands between the
two.
"""

from collections import deque
from collections.abc import Callable
from enum import IntEnum
from typing import Final, final

from longline.delivery.acl import Acl
from longline.flow.bucket import Bucket
from longline.model.limits import AppLimits
from longline.mqtt.reasons import ReasonCode
from longline.room.pubsub.message import Held
from longline.room.pubsub.replays import Replays
from longline.room.pubsub.subscriptions import Subscriber, Subscriptions
from longline.room.session.inflight import PacketIds, Reserved
from longline.room.session.outlet import Outlet
from longline.room.session.window import Window
from longline.saver.port.inboxes import GUEST
from longline.telemetry.traffic import AppTraffic

UNKNOWN: Final = -1
NO_LIMITS: Final = AppLimits()


class Gone(IntEnum):
    """How a session ended, which decides how long the device still counts as there."""

    BROKEN = 0  # the connection broke, or we went away: the device comes right back
    LEFT = 1  # the device said DISCONNECT
    CLOSED = 2  # the platform wanted it gone
    TAKEN_OVER = 3  # another session of the device has its place


@final
class Tenant:
    """An app as the room sees it while devices of it are connected, all of them of its `generation`.

    `queues`: whether any session that is kept may have a filter in it, be it connected or not, anywhere.
    `acl`: its rules; None where everything is allowed. `sifting`: they have changed, and some sessions still
    have what the former ones allowed. `limits`: the app's own. `traffic`: what it does here.
    """

    __slots__ = (
        "acl",
        "app",
        "generation",
        "limits",
        "name",
        "pubsub",
        "queues",
        "sessions",
        "sifting",
        "subscriptions",
        "traffic",
    )

    def __init__(
        self,
        app: int,
        name: str,
        pubsub: bool,
        generation: int,
        subscriptions: "Subscriptions[Session]",
        traffic: AppTraffic,
    ) -> None:
        self.app = app
        self.name = name
        self.pubsub = pubsub
        self.generation = generation
        self.queues = False
        self.subscriptions = subscriptions
        self.sessions: dict[str, Session] = {}
        self.acl: Acl | None = None
        self.sifting = False
        self.limits = NO_LIMITS
        self.traffic = traffic


@final
class Session:
    """One device's session. Empty collections are None: most devices are idle, and there are millions.

    The store is the queue of pushes: how far the device has got with it, and what is in flight, is in
    `window`. `expiry` is the Session Expiry Interval that its client has asked for, in seconds; `kept` what
    the store has of the session, where it outlives the connection or has a will. `why` is the code of what we
    ended its connection for, "" where its client did.
    """

    __slots__ = (
        "attachment",
        "device",
        "epoch",
        "expiry",
        "gone",
        "kept",
        "lost_before",
        "ordinal",
        "plain",
        "tenant",
        "told",
        "why",
        "window",
    )

    def __init__(self, tenant: Tenant, device: str, epoch: int, window: int) -> None:
        self.tenant = tenant
        self.device = device
        self.epoch = epoch
        self.window = Window(window)
        self.attachment: Attachment | None = None  # while its client is connected
        self.ordinal = UNKNOWN  # until the store has told of the device
        self.told = 0  # as in `Cursor`
        self.lost_before = 0  # receipts that the room had lost when this session began
        self.expiry = 0
        self.gone = Gone.BROKEN
        self.why = ""
        self.kept: Persistence | None = None
        self.plain: Plain | None = None  # while it has any of it

    @property
    def guest(self) -> bool:
        """Whether its device is not registered: no push is for it."""
        return self.ordinal == GUEST

    @property
    def resumed(self) -> bool:
        """Whether CONNACK told of a session that was present."""
        kept = self.kept
        return kept is not None and kept.present

    @property
    def durable(self) -> bool:
        """Whether its filters are in the store, and messages with QoS 1 and 2 for it are in its queue."""
        kept = self.kept
        return kept is not None and kept.durable

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
class Persistence:
    """What the store has of a session (`SessionStore`), as the room needs it while its client is connected.

    `number` is 0 until the store has opened it. `epoch` is that under which the store knows the connection,
    and `closed` that under which it was told of its end. `durable`: it has filters and a queue there; else
    the store has its will, and its end, and nothing more. `will`: whether that is to be published when the
    connection ends. Of the queue everything up to `read` was dealt with, `written` is the latest place that
    was written to this connection, and what an earlier one may have been sent is not after `sent`. `more`:
    there may be something behind `read`; `asked`: it is to be read. `given`: what groups have put there with
    QoS 1 on this connection, and is not acknowledged, by place. `flights`: pushes with QoS 2, as (position,
    broadcast), whose packet identifiers the store has and that were not written to this connection yet.
    `replaying`: retained messages on their way to the queue, or in it and unacknowledged, of which `replayed`
    has the places.
    """

    __slots__ = (
        "asked",
        "closed",
        "durable",
        "epoch",
        "expires_in",
        "flights",
        "given",
        "more",
        "number",
        "present",
        "read",
        "replayed",
        "replaying",
        "sent",
        "will",
        "written",
    )

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.closed = 0
        self.number = 0
        self.present = False
        self.durable = False
        self.will = False
        self.expires_in: int | None = None  # s, where DISCONNECT has changed it
        self.read = 0
        self.written = 0
        self.sent = 0
        self.more = False
        self.asked = False
        self.given: dict[int, Held] | None = None
        self.flights: dict[tuple[int, bool], Reserved] | None = None
        self.replaying = 0
        self.replayed: set[int] | None = None


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
        self.sharing: Sharing | None = None  # once the connection was asked to have several

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

    def client_remembers(self) -> bool:
        """Whether what its client remembers of packet identifiers outlives the connection."""
        first = self.first
        return self.session.durable if first is None else first.session.durable

    def every(self) -> "list[Attachment]":
        """All on the connection of this one, the first."""
        return [self] if self.sharing is None else [self, *self.sharing.others]

    # --- several on one connection ----------------------------------------------------------------

    def neighbours(self) -> "list[Attachment]":
        """All on the connection of this one, whether it is the first or not."""
        sharing = self.sharing
        first = self if sharing is None or sharing.first is None else sharing.first
        return first.every()

    def shared(self) -> "Sharing":
        """How this one, the first, shares its connection: from now on, and also when it is alone again."""
        sharing = self.sharing
        if sharing is None:
            sharing = self.sharing = Sharing("", None)
        return sharing

    def join(self, other: "Attachment", prefix: str) -> None:
        """Has another session on the connection of this one, the first."""
        self.shared().others.append(other)
        other.sharing = Sharing(prefix, self)
        other.session.window.share(self.session.window)

    def part(self, other: "Attachment") -> None:
        """The other session is on the connection no more."""
        if self.sharing is not None:
            self.sharing.others.remove(other)

    def at(self, topic: str) -> "Attachment | None":
        """Whose a topic or filter is that begins as those of others than this one, the first, do."""
        sharing = self.sharing
        if sharing is not None:
            for other in sharing.others:
                own = other.sharing
                if own is not None and own.let_in and topic.startswith(own.prefix):
                    return other if len(topic) > len(own.prefix) else None
        return None

    def in_turn(self) -> "list[Attachment]":
        """As `every`, beginning with the one whose turn it is: where there is room for few, all get some."""
        sharing = self.sharing
        if sharing is None:
            return [self]
        every = [self, *sharing.others]
        turn = sharing.turn % len(every)
        return every[turn:] + every[:turn]

    def next_turn(self) -> "Attachment":
        """Whose turn it is now: that of the one behind the last."""
        sharing = self.sharing
        if sharing is None:
            return self
        sharing.turn = (sharing.turn + 1) % (1 + len(sharing.others))
        return self if not sharing.turn else sharing.others[sharing.turn - 1]

    def spare(self) -> int:
        """How many plain messages its session may be sent now.

        As `Window.spare`, but that half of the window is kept for the pushes of any session on the
        connection: plain messages take up what is free at once, and pushes have to be read first.
        """
        window = self.session.window
        sharing = self.sharing
        if sharing is None:
            return window.spare()
        for attachment in self.neighbours():
            if attachment.session.window.waits():
                return window.free() - (window.size + 1) // 2
        return window.free()


@final
class Sharing:
    """How an attachment shares its connection: as the `first`, which has `others`, or after it.

    `asked_at`: when it was asked for, in seconds, rising. `let_in`: whether it was answered; until then
    nothing is taken for it. `ends_at`: when what it was let in with runs out and its app wants it to go then,
    in ms of Unix time; 0 for never. The first one's has, besides, who is `asking` to be let in on the same
    connection, by app: whom to tell when it is not to be any more, and why; and what limits how often that is
    tried.
    """

    __slots__ = ("asked_at", "asking", "ends_at", "first", "let_in", "others", "prefix", "tries", "turn")

    def __init__(self, prefix: str, first: Attachment | None) -> None:
        self.prefix = prefix
        self.first = first
        self.others: list[Attachment] = []
        self.asking: dict[str, Callable[[ReasonCode, str], None]] = {}
        self.tries: Bucket | None = None
        self.asked_at = 0.0
        self.ends_at = 0
        self.let_in = False
        self.turn = 0
