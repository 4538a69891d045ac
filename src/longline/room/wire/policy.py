"""What a peer may do: who may connect, and what a device may publish and subscribe to.

Every refusal is decided before work is done for the peer, and names its reason once for each kind of
peer: a reason code for MQTT 5, a stable code for the log and the metrics.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, final

from longline.mqtt.packets import MQTT_5_0, Publish, Subscription
from longline.mqtt.properties import TOPIC_ALIAS
from longline.mqtt.reasons import ReasonCode
from longline.mqtt.topics import is_shared, valid_filter

if TYPE_CHECKING:
    from longline.room.session.session import Session
    from longline.room.wire.connection import Connection

ANONYMOUS: Final = "anonymous-"  # how the device names begin that we give to clients without one
RESERVED: Final = ("push", "up", "group", "event")  # first levels that belong to the platform


@final
class Refusal:
    """Why a publication is not taken. `fatal`: the standard wants the connection closed for it."""

    __slots__ = ("code", "fatal", "message", "reason")

    def __init__(self, reason: ReasonCode, code: str, message: str, fatal: bool = False) -> None:
        self.reason = reason
        self.code = code
        self.message = message
        self.fatal = fatal


QOS_2: Final = Refusal(  # [MQTT-3.2.2-11]
    ReasonCode.QOS_NOT_SUPPORTED, "qos_not_supported", "QoS 2 is not supported; CONNACK said so", True
)
RETAIN: Final = Refusal(  # [MQTT-3.2.2-14]
    ReasonCode.RETAIN_NOT_SUPPORTED,
    "retain_not_supported",
    "retained messages are not supported; CONNACK said so",
    True,
)
ALIAS: Final = Refusal(
    ReasonCode.TOPIC_ALIAS_INVALID,
    "topic_alias_invalid",
    "a topic alias that was not offered or not defined",
    True,
)
RESERVED_TOPIC: Final = Refusal(
    ReasonCode.NOT_AUTHORIZED, "topic_reserved", "this topic is the platform's: devices cannot publish to it"
)
NO_PUBSUB: Final = Refusal(
    ReasonCode.NOT_AUTHORIZED, "pubsub_off", "the app has plain publish/subscribe switched off"
)
TOO_DEEP: Final = Refusal(ReasonCode.TOPIC_NAME_INVALID, "topic_too_deep", "the topic has too many levels")


@final
class Policy:
    """The room's rules, read from its settings."""

    __slots__ = (
        "admit_address",
        "connect_packet_size",
        "connect_timeout",
        "elsewhere",
        "max_packet_size",
        "max_subscriptions",
        "max_topic_levels",
        "release_address",
        "topic_alias_maximum",
    )

    def __init__(
        self,
        admit_address: "Callable[[Connection], bool]",
        release_address: Callable[[str], None],
        connect_packet_size: int,
        connect_timeout: int,
        max_packet_size: int,
        max_subscriptions: int,
        max_topic_levels: int,
        topic_alias_maximum: int,
    ) -> None:
        self.admit_address = admit_address
        self.release_address = release_address
        self.connect_packet_size = connect_packet_size
        self.connect_timeout = connect_timeout
        self.max_packet_size = max_packet_size
        self.max_subscriptions = max_subscriptions
        self.max_topic_levels = max_topic_levels
        self.topic_alias_maximum = topic_alias_maximum
        # While nobody is let in: names the server (`host:port`) for a client of this app and device, or
        # None where it should come back by the address that it knows.
        self.elsewhere: Callable[[str, str], str | None] | None = None

    def admits(self, connection: "Connection") -> bool:
        """Whether a new connection may stay."""
        return self.admit_address(connection)

    def released(self, connection: "Connection") -> None:
        """A connection is gone."""
        if connection.peer is not None:
            self.release_address(connection.peer)

    def refusal(self, connection: "Connection", session: "Session", packet: Publish) -> Refusal | None:
        """Why a publication is not taken; None when it is. Resolves its topic alias on the way."""
        if packet.qos > 1:
            return QOS_2
        if packet.retain:
            return RETAIN
        properties = packet.properties
        if properties is not None and TOPIC_ALIAS in properties and not self._resolve(connection, packet):
            return ALIAS
        topic = packet.topic
        if topic.startswith("$"):
            return RESERVED_TOPIC
        end = topic.find("/")
        if (topic if end < 0 else topic[:end]) in RESERVED:
            return RESERVED_TOPIC
        if not session.tenant.pubsub:
            return NO_PUBSUB
        if topic.count("/") >= self.max_topic_levels:
            return TOO_DEEP
        return None

    def _resolve(self, connection: "Connection", packet: Publish) -> bool:
        """Section 3.3.2.3.4: an alias with a topic defines it, an alias without one uses it."""
        properties = packet.properties
        if properties is None:
            return False
        alias = properties[TOPIC_ALIAS]
        if not isinstance(alias, int) or not 0 < alias <= self.topic_alias_maximum:
            return False
        aliases = connection.aliases
        if packet.topic:
            if aliases is None:
                aliases = connection.aliases = {}
            aliases[alias] = packet.topic
            return True
        if aliases is None or alias not in aliases:
            return False
        packet.topic = aliases[alias]
        return True

    def subscribe(self, connection: "Connection", session: "Session", wanted: Subscription) -> int:
        """Enters a subscription; returns the reason code for SUBACK: the QoS granted, or a refusal."""
        version = connection.link.version
        refusal = self._subscription_refusal(session, wanted)
        if refusal is not None:
            connection.report(refusal.code, refusal.message)
            # Section 3.9.3 of 3.1.1 knows one failure only
            return refusal.reason if version == MQTT_5_0 else ReasonCode.UNSPECIFIED_ERROR
        qos = min(wanted.qos, 1)
        filter = wanted.filter
        end = filter.find("/")
        if (filter if end < 0 else filter[:end]) in RESERVED:
            return qos  # a device gets what is its own there without asking; asking does no harm
        connection.broker.subscribe(session, filter, qos, wanted.no_local)
        return qos

    def _subscription_refusal(self, session: "Session", wanted: Subscription) -> Refusal | None:
        filter = wanted.filter
        if is_shared(filter):
            return SHARED
        if filter.startswith("$"):
            return RESERVED_FILTER
        if not valid_filter(filter, self.max_topic_levels):
            return BAD_FILTER
        held = session.subscriptions
        if held is not None and len(held) >= self.max_subscriptions and filter not in held:
            return TOO_MANY
        end = filter.find("/")
        if not session.tenant.pubsub and (filter if end < 0 else filter[:end]) not in RESERVED:
            return NO_PUBSUB
        return None


SHARED: Final = Refusal(
    ReasonCode.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED,
    "shared_subscriptions_not_supported",
    "shared subscriptions are not supported; CONNACK said so",
)
RESERVED_FILTER: Final = Refusal(
    ReasonCode.NOT_AUTHORIZED, "topic_reserved", "topics that begin with $ are the platform's"
)
BAD_FILTER: Final = Refusal(
    ReasonCode.TOPIC_FILTER_INVALID, "topic_filter_invalid", "not a topic filter, or one with too many levels"
)
TOO_MANY: Final = Refusal(
    ReasonCode.QUOTA_EXCEEDED, "too_many_subscriptions", "the session has as many topic filters as it may"
)
