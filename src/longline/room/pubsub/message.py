"""A message of plain publish/subscribe, in the forms in which subscribers get it."""

from collections.abc import Callable
from typing import final

from longline.mqtt.codec import PublishFrame
from longline.mqtt.packets import MQTT_3_1_1, MQTT_5_0, Publish
from longline.mqtt.properties import MESSAGE_EXPIRY
from longline.room.push.frames import forwarded, outer_properties
from longline.room.session.inflight import ExactlyOnce, InFlight


@final
class FanoutMessage:
    """A message on its way to subscribers, with the forms in which it was encoded so far.

    `sender` is whoever published it, None for one from another room. `clock` in ms. `ends` is when it is
    over, by that clock; 0 for never. `id` is that under which it is retained, or empty; `retain` the flag
    with which it is sent. `queued`: sessions that are kept get it from their queues, but for QoS 0.
    """

    __slots__ = (
        "_4_0",
        "_4_1",
        "_4_2",
        "_5_0",
        "_5_1",
        "_5_2",
        "_flagged",
        "_left",
        "_prefixed",
        "_properties",
        "ends",
        "id",
        "packet",
        "queued",
        "retain",
        "sender",
    )

    def __init__(
        self, sender: object, packet: Publish, clock: Callable[[], int], id: str = "", retain: bool = False
    ) -> None:
        self.sender = sender
        self.packet = packet
        self.id = id
        self.retain = retain
        self.queued = False
        self._left = 0  # s until it is over, as what was encoded says
        self.ends = 0
        properties = self._properties = forwarded(packet.properties)
        if properties is not None and MESSAGE_EXPIRY in properties:
            left = properties[MESSAGE_EXPIRY]
            if isinstance(left, int):
                self._left = left
                self.ends = clock() + 1000 * left
        # By version and QoS: names and no list, for most messages have few subscribers.
        self._4_0: PublishFrame | None = None
        self._4_1: PublishFrame | None = None
        self._4_2: PublishFrame | None = None
        self._5_0: PublishFrame | None = None
        self._5_1: PublishFrame | None = None
        self._5_2: PublishFrame | None = None
        self._prefixed: dict[tuple[str, int, int], PublishFrame] | None = None
        self._flagged: FanoutMessage | None = None

    def as_published(self) -> "FanoutMessage":
        """With the retain flag that its publisher has set, for who wants to see it [MQTT-3.3.1-13]."""
        if not self.packet.retain or self.retain:
            return self
        flagged = self._flagged
        if flagged is None:
            flagged = self._flagged = FanoutMessage(self.sender, self.packet, _no_time, self.id, True)
            flagged.ends = self.ends
        if flagged._left != self._left:
            flagged._count_down(self._left)
        return flagged

    def renew(self, now: int) -> bool:
        """Counts its expiry interval down to what is left of it [MQTT-3.3.2-6]; False when it is over."""
        if not self.ends:
            return True
        left = (self.ends - now + 999) // 1000
        if left <= 0:
            return False
        if left != self._left:
            self._count_down(left)
        return True

    def _count_down(self, left: int) -> None:
        self._left = left
        if self._properties is not None:
            self._properties = {**self._properties, MESSAGE_EXPIRY: left}
            self._5_0 = self._5_1 = self._5_2 = None
            self._prefixed = None

    def frame(self, mqtt5: bool, qos: int) -> PublishFrame:
        """As it goes to a session whose topics have no prefix."""
        if qos == 2:
            return self._exactly_once(mqtt5)
        if mqtt5:
            frame = self._5_1 if qos else self._5_0
            if frame is None:
                frame = self._encoded("", MQTT_5_0, qos)
                if qos:
                    self._5_1 = frame
                else:
                    self._5_0 = frame
        else:
            frame = self._4_1 if qos else self._4_0
            if frame is None:
                frame = self._encoded("", MQTT_3_1_1, qos)
                if qos:
                    self._4_1 = frame
                else:
                    self._4_0 = frame
        return frame

    def _exactly_once(self, mqtt5: bool) -> PublishFrame:
        frame = self._5_2 if mqtt5 else self._4_2
        if frame is None:
            frame = self._encoded("", MQTT_5_0 if mqtt5 else MQTT_3_1_1, 2)
            if mqtt5:
                self._5_2 = frame
            else:
                self._4_2 = frame
        return frame

    def with_prefix(self, prefix: str, version: int, qos: int) -> PublishFrame:
        prefixed = self._prefixed
        if prefixed is None:
            prefixed = self._prefixed = {}
        key = (prefix, version, qos)
        frame = prefixed.get(key)
        if frame is None:
            frame = prefixed[key] = self._encoded(prefix, version, qos)
        return frame

    def _encoded(self, prefix: str, version: int, qos: int) -> PublishFrame:
        packet = self.packet
        properties = self._properties if version == MQTT_5_0 else None
        if prefix and properties is not None:
            properties = outer_properties(properties, prefix)
        return PublishFrame(prefix + packet.topic, packet.payload, qos, self.retain, properties, version)


def _no_time() -> int:
    return 0


class Held:
    """A message that waits for a session's window, not yet in the form in which it is written.

    `prefix` is that of the session's topics, `identifiers` its subscriptions' (encoded), `size` what the
    message had in bytes when it began to wait.
    """

    __slots__ = ("identifiers", "message", "prefix", "qos", "size")

    def __init__(self, message: FanoutMessage, prefix: str, qos: int, identifiers: bytes, size: int) -> None:
        self.message = message
        self.prefix = prefix
        self.qos = qos
        self.identifiers = identifiers
        self.size = size

    @property
    def topic(self) -> str:
        """As its receiver sees it."""
        return self.prefix + self.message.packet.topic

    def entry(self) -> InFlight | None:
        """What its packet identifier stands for when it is written."""
        return None if self.qos == 1 else ExactlyOnce()

    def alike(self, message: FanoutMessage, prefix: str, qos: int, identifiers: bytes, size: int) -> bool:
        """Whether it would be the same for another session."""
        return (
            self.message is message
            and self.qos == qos
            and self.size == size
            and self.identifiers == identifiers
            and self.prefix == prefix
        )

    def frame(self, now: int, version: int) -> PublishFrame | None:
        """As it goes to a client now; None when it is over [MQTT-3.3.2-5]."""
        message = self.message
        if not message.renew(now):
            return None
        mqtt5 = version == MQTT_5_0
        if self.prefix:
            frame = message.with_prefix(self.prefix, version, self.qos)
        else:
            frame = message.frame(mqtt5, self.qos)
        return frame.extended(self.identifiers) if self.identifiers and mqtt5 else frame
