"""The fifteen MQTT packets as plain values, the same for 3.1, 3.1.1 and 5.0.

What 3.1.1 cannot say (properties, most reason codes) is simply left out when a packet is written in that
version, so the code above speaks of one kind of PUBACK and not of two. Fields are mutable and unchecked:
the codec checks what comes from a peer when it is read, and what cannot be encoded when it is written.
"""

from typing import Final, final

from longline.mqtt.properties import Properties, without_secrets

CONNECT: Final = 1
CONNACK: Final = 2
PUBLISH: Final = 3
PUBACK: Final = 4
PUBREC: Final = 5
PUBREL: Final = 6
PUBCOMP: Final = 7
SUBSCRIBE: Final = 8
SUBACK: Final = 9
UNSUBSCRIBE: Final = 10
UNSUBACK: Final = 11
PINGREQ: Final = 12
PINGRESP: Final = 13
DISCONNECT: Final = 14
AUTH: Final = 15

MQTT_3_1: Final = 3  # the protocol levels of CONNECT, section 3.1.2.2
MQTT_3_1_1: Final = 4
MQTT_5_0: Final = 5


class Value:
    """Equality and a readable form out of `fields`, for packets and for the parts that they hold."""

    __slots__ = ()

    def fields(self) -> dict[str, object]:
        """Every field by name, in the order of the constructor."""
        return {}

    def shown(self) -> dict[str, object]:
        """The fields as they may appear in a log: without secrets."""
        return self.fields()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Value) and type(self) is type(other) and self.fields() == other.fields()

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={value!r}" for name, value in self.shown().items())
        return f"{type(self).__name__}({inside})"


class Packet(Value):
    """Any packet; `kind` is its type in the fixed header, section 2.1.2."""

    __slots__ = ("kind",)

    def __init__(self, kind: int) -> None:
        self.kind = kind


@final
class Will(Value):
    """The message that the server publishes when a client goes without saying so, section 3.1.2.5."""

    __slots__ = ("payload", "properties", "qos", "retain", "topic")

    def __init__(
        self,
        topic: str,
        payload: bytes,
        qos: int = 0,
        retain: bool = False,
        properties: Properties | None = None,
    ) -> None:
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.retain = retain
        self.properties = properties

    def fields(self) -> dict[str, object]:
        return {
            "topic": self.topic,
            "payload": self.payload,
            "qos": self.qos,
            "retain": self.retain,
            "properties": self.properties,
        }


@final
class Connect(Packet):
    """A client's first packet, section 3.1.

    `keep_alive` is in seconds, 0 for none. `clean_start` is what 3.1.1 calls Clean Session. `size` is that of
    the packet in bytes, where it was read.
    """

    __slots__ = (
        "clean_start",
        "client_id",
        "keep_alive",
        "password",
        "properties",
        "size",
        "username",
        "version",
        "will",
    )

    def __init__(
        self,
        version: int,
        client_id: str,
        clean_start: bool = True,
        keep_alive: int = 0,
        username: str | None = None,
        password: bytes | None = None,
        will: Will | None = None,
        properties: Properties | None = None,
    ) -> None:
        super().__init__(CONNECT)
        self.version = version
        self.client_id = client_id
        self.clean_start = clean_start
        self.keep_alive = keep_alive
        self.username = username
        self.password = password
        self.will = will
        self.properties = properties
        self.size = 0

    def fields(self) -> dict[str, object]:
        return {
            "version": self.version,
            "client_id": self.client_id,
            "clean_start": self.clean_start,
            "keep_alive": self.keep_alive,
            "username": self.username,
            "password": self.password,
            "will": self.will,
            "properties": self.properties,
        }

    def shown(self) -> dict[str, object]:
        shown = self.fields()
        if self.password is not None:
            shown["password"] = "***"
        shown["properties"] = without_secrets(self.properties)
        return shown


@final
class Connack(Packet):
    """The server's answer to CONNECT, section 3.2. `reason` is an MQTT 5 reason code in both versions."""

    __slots__ = ("properties", "reason", "session_present")

    def __init__(
        self, session_present: bool = False, reason: int = 0, properties: Properties | None = None
    ) -> None:
        super().__init__(CONNACK)
        self.session_present = session_present
        self.reason = reason
        self.properties = properties

    def fields(self) -> dict[str, object]:
        return {
            "session_present": self.session_present,
            "reason": self.reason,
            "properties": self.properties,
        }

    def shown(self) -> dict[str, object]:
        return {**self.fields(), "properties": without_secrets(self.properties)}


@final
class Publish(Packet):
    """An application message, section 3.3. `packet_id` is 0 for QoS 0, which has none."""

    __slots__ = ("dup", "packet_id", "payload", "properties", "qos", "retain", "topic")

    def __init__(
        self,
        topic: str,
        payload: bytes,
        qos: int = 0,
        retain: bool = False,
        dup: bool = False,
        packet_id: int = 0,
        properties: Properties | None = None,
    ) -> None:
        super().__init__(PUBLISH)
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.retain = retain
        self.dup = dup
        self.packet_id = packet_id
        self.properties = properties

    def fields(self) -> dict[str, object]:
        return {
            "topic": self.topic,
            "payload": self.payload,
            "qos": self.qos,
            "retain": self.retain,
            "dup": self.dup,
            "packet_id": self.packet_id,
            "properties": self.properties,
        }


class Acknowledgement(Packet):
    """What PUBACK, PUBREC, PUBREL and PUBCOMP share: the identifier of a PUBLISH, and how it went."""

    __slots__ = ("packet_id", "properties", "reason")

    def __init__(self, kind: int, packet_id: int, reason: int, properties: Properties | None) -> None:
        super().__init__(kind)
        self.packet_id = packet_id
        self.reason = reason
        self.properties = properties

    def fields(self) -> dict[str, object]:
        return {"packet_id": self.packet_id, "reason": self.reason, "properties": self.properties}


@final
class Puback(Acknowledgement):
    """The answer to a PUBLISH with QoS 1, section 3.4."""

    __slots__ = ()

    def __init__(self, packet_id: int, reason: int = 0, properties: Properties | None = None) -> None:
        super().__init__(PUBACK, packet_id, reason, properties)


@final
class Pubrec(Acknowledgement):
    """The first answer to a PUBLISH with QoS 2, section 3.5."""

    __slots__ = ()

    def __init__(self, packet_id: int, reason: int = 0, properties: Properties | None = None) -> None:
        super().__init__(PUBREC, packet_id, reason, properties)


@final
class Pubrel(Acknowledgement):
    """The answer to PUBREC, section 3.6."""

    __slots__ = ()

    def __init__(self, packet_id: int, reason: int = 0, properties: Properties | None = None) -> None:
        super().__init__(PUBREL, packet_id, reason, properties)


@final
class Pubcomp(Acknowledgement):
    """The answer to PUBREL, and the end of QoS 2, section 3.7."""

    __slots__ = ()

    def __init__(self, packet_id: int, reason: int = 0, properties: Properties | None = None) -> None:
        super().__init__(PUBCOMP, packet_id, reason, properties)


@final
class Subscription(Value):
    """One filter of a SUBSCRIBE with its options, section 3.8.3.1. 3.1.1 has only filter and QoS."""

    __slots__ = ("filter", "no_local", "qos", "retain_as_published", "retain_handling")

    def __init__(
        self,
        filter: str,
        qos: int = 0,
        no_local: bool = False,
        retain_as_published: bool = False,
        retain_handling: int = 0,
    ) -> None:
        self.filter = filter
        self.qos = qos
        self.no_local = no_local
        self.retain_as_published = retain_as_published
        self.retain_handling = retain_handling

    @property
    def options(self) -> int:
        """The options as the byte of MQTT 5."""
        return (
            self.qos
            | (4 if self.no_local else 0)
            | (8 if self.retain_as_published else 0)
            | self.retain_handling << 4
        )

    def fields(self) -> dict[str, object]:
        return {
            "filter": self.filter,
            "qos": self.qos,
            "no_local": self.no_local,
            "retain_as_published": self.retain_as_published,
            "retain_handling": self.retain_handling,
        }


@final
class Subscribe(Packet):
    """A request for messages, section 3.8."""

    __slots__ = ("packet_id", "properties", "subscriptions")

    def __init__(
        self, packet_id: int, subscriptions: list[Subscription], properties: Properties | None = None
    ) -> None:
        super().__init__(SUBSCRIBE)
        self.packet_id = packet_id
        self.subscriptions = subscriptions
        self.properties = properties

    def fields(self) -> dict[str, object]:
        return {
            "packet_id": self.packet_id,
            "subscriptions": self.subscriptions,
            "properties": self.properties,
        }


@final
class Suback(Packet):
    """The answer to SUBSCRIBE, one reason for each filter in its order, section 3.9."""

    __slots__ = ("packet_id", "properties", "reasons")

    def __init__(self, packet_id: int, reasons: list[int], properties: Properties | None = None) -> None:
        super().__init__(SUBACK)
        self.packet_id = packet_id
        self.reasons = reasons
        self.properties = properties

    def fields(self) -> dict[str, object]:
        return {"packet_id": self.packet_id, "reasons": self.reasons, "properties": self.properties}


@final
class Unsubscribe(Packet):
    """The end of some subscriptions, section 3.10."""

    __slots__ = ("filters", "packet_id", "properties")

    def __init__(self, packet_id: int, filters: list[str], properties: Properties | None = None) -> None:
        super().__init__(UNSUBSCRIBE)
        self.packet_id = packet_id
        self.filters = filters
        self.properties = properties

    def fields(self) -> dict[str, object]:
        return {"packet_id": self.packet_id, "filters": self.filters, "properties": self.properties}


@final
class Unsuback(Packet):
    """The answer to UNSUBSCRIBE, section 3.11. 3.1.1 has no reasons: they are empty there."""

    __slots__ = ("packet_id", "properties", "reasons")

    def __init__(self, packet_id: int, reasons: list[int], properties: Properties | None = None) -> None:
        super().__init__(UNSUBACK)
        self.packet_id = packet_id
        self.reasons = reasons
        self.properties = properties

    def fields(self) -> dict[str, object]:
        return {"packet_id": self.packet_id, "reasons": self.reasons, "properties": self.properties}


@final
class Pingreq(Packet):
    """A client's sign of life, section 3.12."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(PINGREQ)


@final
class Pingresp(Packet):
    """The server's answer to PINGREQ, section 3.13."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(PINGRESP)


@final
class Disconnect(Packet):
    """The last packet of a connection, section 3.14. In 3.1.1 only clients send it, without a reason."""

    __slots__ = ("properties", "reason")

    def __init__(self, reason: int = 0, properties: Properties | None = None) -> None:
        super().__init__(DISCONNECT)
        self.reason = reason
        self.properties = properties

    def fields(self) -> dict[str, object]:
        return {"reason": self.reason, "properties": self.properties}


@final
class Auth(Packet):
    """A step of an enhanced authentication, section 3.15; MQTT 5 only."""

    __slots__ = ("properties", "reason")

    def __init__(self, reason: int = 0, properties: Properties | None = None) -> None:
        super().__init__(AUTH)
        self.reason = reason
        self.properties = properties

    def fields(self) -> dict[str, object]:
        return {"reason": self.reason, "properties": self.properties}

    def shown(self) -> dict[str, object]:
        return {"reason": self.reason, "properties": without_secrets(self.properties)}
