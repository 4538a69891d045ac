"""Messages in the form in which many receivers get them, and what of them is passed on."""

from typing import Final, final

from msgspec.structs import replace

from longline.model.messages import Message
from longline.model.topics import GROUP_PREFIX, PUSH_PREFIX, REPLY_PREFIX
from longline.mqtt.codec import PublishFrame
from longline.mqtt.packets import MQTT_5_0
from longline.mqtt.properties import (
    RESPONSE_TOPIC,
    SUBSCRIPTION_IDENTIFIER,
    TOPIC_ALIAS,
    Properties,
    PropertyId,
)

_PUSH: Final = PUSH_PREFIX
_GROUP: Final = GROUP_PREFIX


@final
class Frames:
    """A push as it goes over the wire, encoded once for each protocol version, topic prefix and second.

    It goes to `push/{id}`, to its group, or where the device has asked for an answer. What each delivery asks
    of the message is here besides, where compiled code finds it at once.
    """

    __slots__ = (
        "_frame4",
        "_frame5",
        "_left",
        "_lowered",
        "_prefixed",
        "expires_at",
        "message",
        "message_id",
        "online_only",
        "qos",
    )

    def __init__(self, message: Message) -> None:
        self.message = message
        self.message_id = message.id
        self.qos = message.qos
        self.expires_at = message.expires_at
        self.online_only = message.online_only
        self._frame4: PublishFrame | None = None
        self._frame5: PublishFrame | None = None
        self._left = 0  # s until it is over, as `_frame5` says
        self._prefixed: dict[str, Frames] | None = None
        self._lowered: Frames | None = None

    def lowered(self) -> "Frames":
        """The same with QoS 1."""
        lowered = self._lowered
        if lowered is None:
            lowered = self._lowered = Frames(replace(self.message, qos=1))
        return lowered

    def of(self, version: int, now_ms: int, prefix: str = "") -> PublishFrame:
        if prefix:
            return self._with_prefix(prefix).encoded(version, now_ms, prefix)
        return self.encoded(version, now_ms, prefix)

    def _with_prefix(self, prefix: str) -> "Frames":
        prefixed = self._prefixed
        if prefixed is None:
            prefixed = self._prefixed = {}
        frames = prefixed.get(prefix)
        if frames is None:
            frames = prefixed[prefix] = Frames(self.message)
        return frames

    def encoded(self, version: int, now_ms: int, prefix: str) -> PublishFrame:
        """In the form for one prefix, which has to be the same each time."""
        if version == MQTT_5_0:
            left = max(0, (self.expires_at - now_ms + 999) // 1000)
            frame = self._frame5
            if frame is None or left != self._left:
                properties = self._properties(left, prefix)
                frame = self._frame5 = self._encode(prefix, properties, version)
                self._left = left
            return frame
        frame = self._frame4
        if frame is None:
            frame = self._frame4 = self._encode(prefix, None, version)
        return frame

    def _encode(self, prefix: str, properties: Properties | None, version: int) -> PublishFrame:
        message = self.message
        if message.said is None:
            topic = prefix + (message.topic or _PUSH + message.id)
        else:
            topic = prefix + _GROUP + message.said.group
        return PublishFrame(topic, message.payload, message.qos, False, properties, version)

    def _properties(self, left: int, prefix: str) -> Properties:
        message = self.message
        said = message.said
        told = [("message-id", message.id), ("sent-at", str(message.created_at))]
        if said is not None:
            told.append(("sequence", str(said.sequence)))
            if said.sender is not None:
                told.append(("sender", said.sender))
        properties: Properties = {
            PropertyId.MESSAGE_EXPIRY_INTERVAL: left,
            PropertyId.CONTENT_TYPE: message.content_type,
            PropertyId.USER_PROPERTY: told,
        }
        if message.call:
            properties[PropertyId.RESPONSE_TOPIC] = prefix + REPLY_PREFIX + message.id
            properties[PropertyId.CORRELATION_DATA] = message.id.encode()
        elif message.correlation is not None:
            properties[PropertyId.CORRELATION_DATA] = message.correlation
        return properties


def forwarded(properties: Properties | None) -> Properties | None:
    """What of a publisher's properties goes on to subscribers: all but what is between it and us."""
    if properties is None or not (TOPIC_ALIAS in properties or SUBSCRIPTION_IDENTIFIER in properties):
        return properties
    rest = {k: v for k, v in properties.items() if k not in (TOPIC_ALIAS, SUBSCRIPTION_IDENTIFIER)}
    return rest or None


def outer_properties(properties: Properties, prefix: str) -> Properties:
    """Those of a message as they go to a session whose topics begin with a prefix."""
    answer = properties.get(RESPONSE_TOPIC)
    return {**properties, RESPONSE_TOPIC: prefix + answer} if isinstance(answer, str) else properties
