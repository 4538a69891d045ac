"""What a device may publish and subscribe to.

Every refusal is decided before work is done for the peer, and names its reason once for each kind of
peer: a reason code for MQTT 5, a stable code for the log and the metrics.
"""

from typing import Final, final

from longline.model.topics import RESERVED, UNSUBSCRIBABLE
from longline.mqtt.codec import payload_is_as_declared
from longline.mqtt.packets import Publish, Subscription
from longline.mqtt.reasons import ReasonCode
from longline.mqtt.topics import byte_length, is_shared, valid_filter
from longline.room.session.session import Session

ALIAS_BYTES: Final = 65_536  # that the topics of one client's aliases may have together

_RESERVED: Final = RESERVED  # bound once: a name of another module is looked up each time
_UNSUBSCRIBABLE: Final = UNSUBSCRIBABLE


@final
class Refusal:
    """Why something is not taken. `fatal`: the standard wants the connection closed for it."""

    __slots__ = ("code", "fatal", "message", "reason")

    def __init__(self, reason: ReasonCode, code: str, message: str, fatal: bool = False) -> None:
        self.reason = reason
        self.code = code
        self.message = message
        self.fatal = fatal


ALIAS: Final = Refusal(  # [MQTT-3.3.2-9]
    ReasonCode.TOPIC_ALIAS_INVALID, "topic_alias_invalid", "a topic alias that was not offered", True
)
ALIAS_UNKNOWN: Final = Refusal(  # section 3.3.2.3.4
    ReasonCode.PROTOCOL_ERROR, "topic_alias_unknown", "a topic alias that was not defined", True
)
ALIASES_TOO_LONG: Final = Refusal(
    ReasonCode.QUOTA_EXCEEDED,
    "topic_aliases_too_long",
    "the topics that have aliases are longer together than they may be",
    True,
)
RECEIVE_MAXIMUM: Final = Refusal(
    ReasonCode.RECEIVE_MAXIMUM_EXCEEDED,
    "receive_maximum_exceeded",
    "more publications without an answer than CONNACK has allowed",
    True,
)
RESERVED_TOPIC: Final = Refusal(
    ReasonCode.NOT_AUTHORIZED, "topic_reserved", "this topic is the platform's: devices cannot publish to it"
)
NO_PUBSUB: Final = Refusal(
    ReasonCode.NOT_AUTHORIZED, "pubsub_off", "the app has plain publish/subscribe switched off"
)
NOT_AS_DECLARED: Final = Refusal(
    ReasonCode.PAYLOAD_FORMAT_INVALID,
    "payload_format_invalid",
    "a payload that is not the text it says it is",
)
PACKET_ID_IN_USE: Final = Refusal(
    ReasonCode.PACKET_IDENTIFIER_IN_USE,
    "packet_identifier_in_use",
    "a packet identifier that stands for a publication with QoS 2 which was not released",
)
TOO_DEEP: Final = Refusal(ReasonCode.TOPIC_NAME_INVALID, "topic_too_deep", "the topic has too many levels")


SHARED: Final = Refusal(
    ReasonCode.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED,
    "shared_subscriptions_not_supported",
    "shared subscriptions are not supported; CONNACK said so",
)
RESERVED_FILTER: Final = Refusal(
    ReasonCode.NOT_AUTHORIZED,
    "topic_reserved",
    "this topic is the platform's: devices cannot subscribe to it",
)
BAD_FILTER: Final = Refusal(
    ReasonCode.TOPIC_FILTER_INVALID, "topic_filter_invalid", "not a topic filter, or one with too many levels"
)
TOO_MANY: Final = Refusal(
    ReasonCode.QUOTA_EXCEEDED, "too_many_subscriptions", "the session has as many topic filters as it may"
)

TOO_LONG: Final = Refusal(
    ReasonCode.QUOTA_EXCEEDED,
    "filters_too_long",
    "the session's topic filters are longer together than they may be",
)


@final
class Rules:
    """The room's, read from its settings."""

    __slots__ = (
        "max_filter_bytes",
        "max_subscriptions",
        "max_topic_levels",
        "receive_maximum",
        "topic_alias_maximum",
    )

    def __init__(
        self,
        *,
        receive_maximum: int,
        max_subscriptions: int,
        max_filter_bytes: int,
        max_topic_levels: int,
        topic_alias_maximum: int,
    ) -> None:
        self.receive_maximum = receive_maximum
        self.max_subscriptions = max_subscriptions
        self.max_filter_bytes = max_filter_bytes
        self.max_topic_levels = max_topic_levels
        self.topic_alias_maximum = topic_alias_maximum

    def publication(self, session: Session, packet: Publish) -> Refusal | None:
        """Why a publication is not taken; None when it is."""
        topic = packet.topic
        if topic.startswith("$") or reserved(topic):
            return RESERVED_TOPIC
        if not session.tenant.pubsub:
            return NO_PUBSUB
        if topic.count("/") >= self.max_topic_levels:
            return TOO_DEEP
        if packet.properties is not None and not payload_is_as_declared(packet.payload, packet.properties):
            return NOT_AS_DECLARED
        return None

    def subscription(self, session: Session, wanted: Subscription, mqtt5: bool) -> Refusal | None:
        """Why a subscription is not taken; None when it is."""
        filter = wanted.filter
        if is_shared(filter):
            if mqtt5:
                return SHARED
            # In 3.1.1 a filter like any other, for topics that nobody can publish to.
        elif filter.startswith("$") or not subscribable(filter):
            return RESERVED_FILTER
        if not valid_filter(filter, self.max_topic_levels, mqtt5):
            return BAD_FILTER
        held = session.subscriptions
        if held is not None and len(held) >= self.max_subscriptions and filter not in held:
            return TOO_MANY
        plain = session.plain
        length = byte_length(filter)
        if (0 if plain is None else plain.filter_bytes) + length > self.max_filter_bytes and (
            held is None or filter not in held
        ):
            return TOO_LONG
        if not session.tenant.pubsub and not reserved(filter):
            return NO_PUBSUB
        return None


def reserved(topic: str) -> bool:
    """Whether a topic or filter belongs to the platform by its first level."""
    end = topic.find("/")
    return (topic if end < 0 else topic[:end]) in _RESERVED


def subscribable(filter: str) -> bool:
    """Whether devices may subscribe there, if it belongs to the platform by its first level."""
    end = filter.find("/")
    return (filter if end < 0 else filter[:end]) not in _UNSUBSCRIBABLE
