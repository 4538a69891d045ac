"""Another implementation, the package `mqtt5`, reads what we write, and we read what it writes."""

import mqtt5
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longline.mqtt.codec import Decoder, encode
from longline.mqtt.packets import (
    Acknowledgement,
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Publish,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
    Will,
)
from longline.mqtt.properties import Properties
from longline.mqtt.properties import PropertyId as P
from tests.unit.mqtt.strategies import connects, packets
from tests.unit.mqtt.vectors import GOOD, Good

LIMIT = 1 << 20

# The other package's names of the properties.
NAMES = {
    P.PAYLOAD_FORMAT_INDICATOR: "payload_format_indicator",
    P.MESSAGE_EXPIRY_INTERVAL: "message_expiry_interval",
    P.CONTENT_TYPE: "content_type",
    P.RESPONSE_TOPIC: "response_topic",
    P.CORRELATION_DATA: "correlation_data",
    P.SUBSCRIPTION_IDENTIFIER: "subscription_ids",
    P.SESSION_EXPIRY_INTERVAL: "session_expiry_interval",
    P.ASSIGNED_CLIENT_IDENTIFIER: "assigned_client_id",
    P.SERVER_KEEP_ALIVE: "server_keep_alive",
    P.AUTHENTICATION_METHOD: "authentication_method",
    P.AUTHENTICATION_DATA: "authentication_data",
    P.REQUEST_PROBLEM_INFORMATION: "request_problem_info",
    P.WILL_DELAY_INTERVAL: "will_delay_interval",
    P.REQUEST_RESPONSE_INFORMATION: "request_response_info",
    P.RESPONSE_INFORMATION: "response_info",
    P.SERVER_REFERENCE: "server_reference",
    P.REASON_STRING: "reason_str",
    P.RECEIVE_MAXIMUM: "receive_max",
    P.TOPIC_ALIAS_MAXIMUM: "topic_alias_max",
    P.TOPIC_ALIAS: "topic_alias",
    P.MAXIMUM_QOS: "max_qos",
    P.RETAIN_AVAILABLE: "retain_available",
    P.USER_PROPERTY: "user_properties",
    P.MAXIMUM_PACKET_SIZE: "max_packet_size",
    P.WILDCARD_SUBSCRIPTION_AVAILABLE: "wildcard_subscription_available",
    P.SUBSCRIPTION_IDENTIFIER_AVAILABLE: "subscription_id_available",
    P.SHARED_SUBSCRIPTION_AVAILABLE: "shared_subscription_available",
}


def their_view(packet: Packet) -> dict[str, object]:
    """The fields that the other package should see in a packet of ours."""
    match packet:
        case Connect():
            return {
                "client_id": packet.client_id,
                "clean_start": packet.clean_start,
                "keep_alive": packet.keep_alive,
                "username": packet.username,
                "password": packet.password,
                **described(packet.properties),
            }
        case Connack():
            present = {"session_present": packet.session_present, "reason_code": packet.reason}
            return present | described(packet.properties)
        case Publish():
            return {
                "topic": packet.topic,
                "payload": packet.payload,
                "qos": packet.qos,
                "retain": packet.retain,
                "duplicate": packet.dup,
                "packet_id": packet.packet_id or None,
                **described(packet.properties),
            }
        case Acknowledgement():
            return {"packet_id": packet.packet_id, "reason_code": packet.reason} | described(
                packet.properties
            )
        case Subscribe():
            properties = described(packet.properties)
            identifiers = properties.pop("subscription_ids", None)
            one = identifiers[0] if isinstance(identifiers, list) else None
            return {"packet_id": packet.packet_id, "subscription_id": one, **properties}
        case Suback() | Unsuback():
            return {"packet_id": packet.packet_id, "reason_codes": packet.reasons} | described(
                packet.properties
            )
        case Unsubscribe():
            return {"packet_id": packet.packet_id, "patterns": packet.filters} | described(packet.properties)
        case Disconnect() | Auth():
            return {"reason_code": packet.reason} | described(packet.properties)
        case _:
            assert isinstance(packet, Pingreq | Pingresp)
            return {}


def described(properties: Properties | None) -> dict[str, object]:
    return {NAMES[P(id)]: value for id, value in (properties or {}).items()}


def compare(packet: Packet, theirs: mqtt5.Packet) -> None:
    assert type(theirs).__name__.lower() == type(packet).__name__.lower() + "packet"
    for name, value in their_view(packet).items():
        assert getattr(theirs, name) == value, name
    if isinstance(packet, Connect) and isinstance(theirs, mqtt5.ConnectPacket):
        compare_wills(packet.will, theirs.will)
    if isinstance(packet, Subscribe) and isinstance(theirs, mqtt5.SubscribePacket):
        seen = [
            (f.pattern, f.max_qos, f.no_local, f.retain_as_published, f.retain_handling)
            for f in theirs.topic_filters
        ]
        assert seen == [tuple(wanted.fields().values()) for wanted in packet.subscriptions]


def compare_wills(ours: Will | None, theirs: mqtt5.Will | None) -> None:
    if ours is None or theirs is None:
        assert ours is None
        assert theirs is None
        return
    assert (theirs.topic, theirs.payload or b"", theirs.qos, theirs.retain) == (
        ours.topic,
        ours.payload,
        ours.qos,
        ours.retain,
    )
    for name, value in described(ours.properties).items():
        assert getattr(theirs, name) == value, name


def there_and_back(packet: Packet, from_client: bool) -> None:
    raw = encode(packet, 5)
    theirs, size = mqtt5.read(memoryview(raw))
    assert size == len(raw)
    compare(packet, theirs)
    # It leaves out values that are the default, so what comes back is compared by what it means to them.
    version = 0 if isinstance(packet, Connect) else 5
    back = Decoder(LIMIT, version, from_client).feed(theirs.write())
    assert len(back) == 1
    again, _ = mqtt5.read(memoryview(encode(back[0], 5)))
    assert repr(again) == repr(theirs)


# Section 3.15.2.1 allows an AUTH of two bytes; the other package does not read it.
SHARED = [vector for vector in GOOD if vector.version == 5 and vector.raw != b"\xf0\0"]


@pytest.mark.parametrize("vector", SHARED, ids=lambda vector: vector.name)
def test_the_vectors_mean_the_same_to_another_implementation(vector: Good) -> None:
    theirs, size = mqtt5.read(memoryview(vector.raw))
    assert size == len(vector.raw)
    compare(vector.packet, theirs)


@given(connects(5))
def test_a_connect_goes_there_and_back(packet: Packet) -> None:
    there_and_back(packet, True)


@given(st.booleans().flatmap(lambda sender: st.tuples(packets(5, sender), st.just(sender))))
def test_a_packet_goes_there_and_back(case: tuple[Packet, bool]) -> None:
    packet, from_client = case
    there_and_back(packet, from_client)


@given(st.sampled_from([vector for vector in SHARED if len(vector.raw) < 500]), st.data())
def test_what_we_accept_of_a_spoilt_packet_another_implementation_reads_alike(
    vector: Good, data: st.DataObject
) -> None:
    """We are the stricter of the two: nothing passes here that it would read otherwise, or not at all."""
    raw = bytearray(vector.raw)
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    decoder = Decoder(LIMIT, 0 if isinstance(vector.packet, Connect) else 5, vector.from_client)
    read = decoder.feed(bytes(raw))
    if read and decoder.version == 5:
        theirs, _ = mqtt5.read(memoryview(raw))
        compare(read[0], theirs)
