"""What a device may publish and subscribe to.

Every refusal is decided before work is done for the peer, and names its reason once for each kind of
peer: a reason code for MQTT 5, a stable code for the log and the metrics.
"""

from typing import Final, final

from longline.model.topics import RESERVED, UNSUBSCRIBABLE
from longline.mqtt.codec import payload_is_as_declared
from longline.mqtt.packets import Publish, Subscription
from longline.mqtt.reasons import ReasonCode
from longline.mqtt.topics import byte_length, is_shared, split_shared, valid_filter
from longline.room.pubsub.sharer import Sharer
from longline.room.session.session import Session

ALIAS_BYTES: Final = 65_536  # that the topics of one client's aliases may have together

MARKS: Final = "$@"  # how topics begin that are none of an app's own

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
NOT_ATTACHED: Final = Refusal(
    ReasonCode.NOT_AUTHORIZED, "not_attached", "no app is attached whose topics begin so"
)
GUEST: Final = Refusal(
    ReasonCode.NOT_AUTHORIZED, "not_registered", "only registered devices can send to the platform"
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
TOO_COSTLY: Final = Refusal(
    ReasonCode.QUOTA_EXCEEDED,
    "topic_too_costly",
    "the app has filters that the topic matches in too many ways",
)
ACL_DENIED: Final = Refusal(ReasonCode.NOT_AUTHORIZED, "acl_denied", "the app's rules do not allow this")
TOO_DEEP: Final = Refusal(ReasonCode.TOPIC_NAME_INVALID, "topic_too_deep", "the topic has too many levels")

SHARE_NAME_TOO_LONG: Final = Refusal(
    ReasonCode.QUOTA_EXCEEDED, "share_name_too_long", "the share name is longer than it may be"
)
TOO_MANY_GROUPS: Final = Refusal(
    ReasonCode.QUOTA_EXCEEDED,
    "too_many_groups",
    "the app has as many groups of shared subscriptions here as it may",
)
TOO_MANY_MEMBERS: Final = Refusal(
    ReasonCode.QUOTA_EXCEEDED,
    "too_many_members",
    "the group of this shared subscription has as many members here as it may",
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
INDEX_FULL: Final = Refusal(
    ReasonCode.QUOTA_EXCEEDED,
    "topic_index_full",
    "the topic filters of this app's clients have as many levels here as they may",
)


@final
class Rules:
    """The room's, read from its settings."""

    __slots__ = (
        "max_filter_bytes",
        "max_index_levels",
        "max_share_groups",
        "max_share_members",
        "max_share_name",
        "max_subscriptions",
        "max_topic_levels",
        "publish_rate",
        "receive_maximum",
        "shares",
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
        max_index_levels: int,
        publish_rate: float,
        shares: Sharer | None = None,
        max_share_groups: int = 10_000,
        max_share_members: int = 1_000,
        max_share_name: int = 128,
    ) -> None:
        self.receive_maximum = receive_maximum
        self.max_subscriptions = max_subscriptions
        self.max_filter_bytes = max_filter_bytes
        self.max_index_levels = max_index_levels
        self.max_topic_levels = max_topic_levels
        self.publish_rate = publish_rate  # of one client, a second; 0: any
        self.topic_alias_maximum = topic_alias_maximum
        self.shares = shares
        self.max_share_groups = max_share_groups
        self.max_share_members = max_share_members
        self.max_share_name = max_share_name

    def publication(self, session: Session, packet: Publish) -> Refusal | None:
        """Why a publication is not taken; None when it is."""
        tenant = session.tenant
        refusal = self.topic(packet.topic, tenant.pubsub)
        if refusal is not None:
            return refusal
        acl = tenant.acl
        if acl is not None and not acl.may_publish(session.device, packet.topic):
            return ACL_DENIED
        if packet.properties is not None and not payload_is_as_declared(packet.payload, packet.properties):
            return NOT_AS_DECLARED
        return None

    def handed_over(self, session: Session, packet: Publish) -> Refusal | None:
        """Why a publication to the platform itself is not handed to it; None when it is."""
        if session.guest:
            return GUEST
        if packet.topic.count("/") >= self.max_topic_levels:
            return TOO_DEEP
        if packet.properties is not None and not payload_is_as_declared(packet.payload, packet.properties):
            return NOT_AS_DECLARED
        return None

    def topic(self, topic: str, pubsub: bool) -> Refusal | None:
        """Why nothing can be published to a topic; `pubsub`: whether the app has plain publish/subscribe."""
        if topic[0] in MARKS or reserved(topic):
            return RESERVED_TOPIC
        if not pubsub:
            return NO_PUBSUB
        if topic.count("/") >= self.max_topic_levels:
            return TOO_DEEP
        return None

    def subscription(self, session: Session, wanted: Subscription, mqtt5: bool) -> Refusal | None:
        """Why a subscription is not taken; None when it is."""
        filter = inner = wanted.filter
        if is_shared(filter):
            if mqtt5:
                if not valid_filter(filter):
                    return BAD_FILTER
                name, inner = split_shared(filter)
                # A push is one device's, and whoever subscribes to it is granted what it has anyway.
                if inner[0] in MARKS or reserved(inner):
                    return RESERVED_FILTER
                refusal = self._membership(session, filter, name or "")
                if refusal is not None:
                    return refusal
            # In 3.1.1 a filter like any other, for topics that nobody can publish to.
        elif filter[0] in MARKS or not subscribable(filter):
            return RESERVED_FILTER
        if not valid_filter(inner, self.max_topic_levels, mqtt5):
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
        if self._index_full(session, filter, inner):
            return INDEX_FULL
        if reserved(filter):
            return None
        if not session.tenant.pubsub:
            return NO_PUBSUB
        acl = session.tenant.acl
        if acl is not None and not acl.may_subscribe(session.device, filter):
            return ACL_DENIED
        return None

    def _index_full(self, session: Session, filter: str, inner: str) -> bool:
        """Whether there is no room for a filter, `inner` without its share name, that is not there yet."""
        index, shares = session.tenant.subscriptions, self.shares
        levels = index.levels if shares is None else index.levels + shares.levels(session.tenant.app)
        if levels + index.most_levels(inner) <= self.max_index_levels:
            return False
        held = session.subscriptions
        return not (index.wanted(filter) if filter == inner else held is not None and filter in held)

    def _membership(self, session: Session, key: str, name: str) -> Refusal | None:
        """Why a session may not be a member of a group; None when it may."""
        if byte_length(name) > self.max_share_name:
            return SHARE_NAME_TOO_LONG
        shares = self.shares
        held = session.subscriptions
        if shares is None or (held is not None and key in held):
            return None
        app = session.tenant.app
        members = shares.members(app, key)
        if members >= self.max_share_members:
            return TOO_MANY_MEMBERS
        if not members and shares.groups(app) >= self.max_share_groups:
            return TOO_MANY_GROUPS
        return None


def reserved(topic: str) -> bool:
    """Whether a topic or filter belongs to the platform by its first level."""
    end = topic.find("/")
    return (topic if end < 0 else topic[:end]) in _RESERVED


def subscribable(filter: str) -> bool:
    """Whether devices may subscribe there, if it belongs to the platform by its first level."""
    end = filter.find("/")
    return (filter if end < 0 else filter[:end]) not in _UNSUBSCRIBABLE
