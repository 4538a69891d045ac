"""What a device has going on: how far it has read, what it has not acknowledged, its filters.

A session is there whether its client is connected or not. While it is, an `Attachment` stands between the
two.
"""

from collections import deque
from enum import IntEnum
from typing import Final, final

from longline.mqtt.codec import PublishFrame
from longline.room.pubsub.subscriptions import Subscriptions
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

    The store is the queue of pushes: how far the device has got with it, and what is in flight, is in
    `window`.
    """

    __slots__ = (
        "attachment",
        "device",
        "epoch",
        "gone",
        "lost_before",
        "ordinal",
        "queue",
        "subscriptions",
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
        self.gone = Gone.BROKEN
        self.queue: deque[PublishFrame] | None = None  # plain QoS 1 messages that wait for the window
        self.subscriptions: set[str] | None = None


@final
class Attachment:
    """A session on a connection.

    The first is of the app and device that the connection was let in as; topics go to it as they are.
    `others` may follow on the same connection, for sessions of other apps: their topics begin with `prefix`.
    Packet identifiers and the client's Receive Maximum are the connection's [MQTT-2.2.1-4]: its sessions'
    windows have what is in flight in common.
    """

    __slots__ = ("first", "others", "outlet", "prefix", "session")

    def __init__(
        self, session: Session, outlet: Outlet, prefix: str = "", first: "Attachment | None" = None
    ) -> None:
        self.session = session
        self.outlet = outlet
        self.prefix = prefix
        self.first = first  # None when it is this one
        self.others: list[Attachment] | None = None

    def every(self) -> "list[Attachment]":
        """All on the connection of this one, the first."""
        return [self] if self.others is None else [self, *self.others]
