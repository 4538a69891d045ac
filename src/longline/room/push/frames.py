"""Messages in the form in which many receivers get them, and what of them is passed on."""

from typing import Final, final

from longline.model.messages import Message
from longline.model.topics import PUSH_PREFIX
from longline.mqtt.codec import PublishFrame
from longline.mqtt.packets import MQTT_5_0
from longline.mqtt.properties import SUBSCRIPTION_IDENTIFIER, TOPIC_ALIAS, Properties, PropertyId

_PUSH: Final = PUSH_PREFIX


@final
class Frames:
    """A push as it goes over the wire, encoded once for each protocol version, topic prefix and second."""

    __slots__ = ("_frame4", "_frame5", "_left", "_prefixed", "message")

    def __init__(self, message: Message) -> None:
        self.message = message
        self._frame4: PublishFrame | None = None
        self._frame5: PublishFrame | None = None
        self._left = 0  # s until it is over, as `_frame5` says
        self._prefixed: dict[str, Frames] | None = None

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
        message = self.message
        if version == MQTT_5_0:
            left = max(0, (message.expires_at - now_ms + 999) // 1000)
            frame = self._frame5
            if frame is None or left != self._left:
                properties: Properties = {
                    PropertyId.MESSAGE_EXPIRY_INTERVAL: left,
                    PropertyId.CONTENT_TYPE: message.content_type,
                    PropertyId.USER_PROPERTY: [
                        ("message-id", message.id),
                        ("sent-at", str(message.created_at)),
                    ],
                }
                frame = self._frame5 = PublishFrame(
                    prefix + _PUSH + message.id, message.payload, message.qos, False, properties, version
                )
                self._left = left
            return frame
        frame = self._frame4
        if frame is None:
            frame = self._frame4 = PublishFrame(
                prefix + _PUSH + message.id, message.payload, message.qos, False, None, version
            )
        return frame


def forwarded(properties: Properties | None) -> Properties | None:
    """What of a publisher's properties goes on to subscribers: all but what is between it and us."""
    if properties is None or not (TOPIC_ALIAS in properties or SUBSCRIPTION_IDENTIFIER in properties):
        return properties
    rest = {k: v for k, v in properties.items() if k not in (TOPIC_ALIAS, SUBSCRIPTION_IDENTIFIER)}
    return rest or None
