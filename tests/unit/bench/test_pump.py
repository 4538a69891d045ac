"""QoS 2 of the load generator: both ends of an exchange, over a socket but without a broker."""

import socket
from collections.abc import Iterator

import pytest

from longline.bench.hot.pump import STAMP, LoadTopic, PublishingClient, Pump, SubscribingClient
from longline.bench.hot.wire import LIVE, Handshakes, LoadClient, Poller
from longline.mqtt.codec import Decoder, encode
from longline.mqtt.packets import MQTT_3_1_1, MQTT_5_0, Packet, Pubcomp, Publish, Pubrec, Pubrel

QUOTA_EXCEEDED = 0x97


@pytest.fixture
def pump() -> Iterator[Pump]:
    made = Pump(Poller(), MQTT_5_0)
    yield made
    made.poller.close()


def joined(client: LoadClient) -> socket.socket:
    """Makes a client live, and gives the broker's end of its connection."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    client.phase = LIVE
    client.adopt(ours, False)
    return theirs


def subscriber(pump: Pump, window: int) -> SubscribingClient:
    topic = LoadTopic(pump, 0, window, 1)
    return SubscribingClient(pump, topic, Handshakes(), b"", b"")


def publisher(pump: Pump, quota: int) -> tuple[PublishingClient, LoadTopic]:
    topic = LoadTopic(pump, 0, 100, 1)
    client = PublishingClient(pump, Handshakes(), b"", 2, quota)
    whole = encode(Publish("t", bytes(STAMP.size), 2, packet_id=1), MQTT_5_0)
    topic.head = whole[: -STAMP.size - 3]
    topic.publishers.append(client)
    client.topics.append(topic)
    return client, topic


def delivery(sequence: int, identifier: int) -> bytes:
    return encode(Publish("t", STAMP.pack(0, sequence), 2, packet_id=identifier), MQTT_5_0)


def said(peer: socket.socket, version: int = MQTT_5_0) -> list[Packet]:
    """What the client has sent."""
    return list(Decoder(1 << 20, version=version).feed(peer.recv(65536)))


@pytest.mark.parametrize("step", [1, 3, 1000])
def test_an_exchange_is_answered_to_its_end_and_counts_once(pump: Pump, step: int) -> None:
    client = subscriber(pump, 10)
    data = delivery(0, 7) + encode(Pubrel(7), MQTT_5_0) + delivery(1, 7) + encode(Pubrel(7), MQTT_5_0)
    answers: list[Packet] = []
    with joined(client) as peer:
        for at in range(0, len(data), step):
            peer.sendall(data[at : at + step])
            pump.poller.turn(1.0)
        answers = said(peer)
    assert answers == [Pubrec(7), Pubcomp(7), Pubrec(7), Pubcomp(7)]
    assert (pump.received, client.rows, pump.surplus, pump.unfinished) == (2, 2, 0, 0)


def test_a_message_that_comes_again_before_its_pubrel_is_one_too_many(pump: Pump) -> None:
    """[MQTT-4.3.3-10] It is the same message until then."""
    client = subscriber(pump, 10)
    with joined(client) as peer:
        peer.sendall(delivery(0, 7) + delivery(0, 7))
        pump.poller.turn(1.0)
        assert said(peer) == [Pubrec(7), Pubrec(7)]
    assert (pump.received, pump.surplus, pump.unfinished) == (1, 1, 1)


@pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])
def test_a_publisher_releases_what_was_received_and_is_through_at_the_pubcomp(
    pump: Pump, version: int
) -> None:
    client, topic = publisher(pump, quota=2)
    with joined(client) as peer:
        assert client.publish(topic, 0, 5, 0) == 2
        client.depart()
        assert [packet.packet_id for packet in said(peer) if isinstance(packet, Publish)] == [1, 2]
        peer.sendall(encode(Pubrec(1), version) + encode(Pubrec(2), version))
        pump.poller.turn(1.0)
        assert said(peer, version) == [Pubrel(1), Pubrel(2)]
        assert (client.publish(topic, 2, 5, 0), pump.unfinished) == (0, 2)
        peer.sendall(encode(Pubcomp(1), version))
        pump.poller.turn(1.0)
        assert (client.publish(topic, 2, 5, 0), pump.unfinished) == (1, 2)


def test_a_message_that_is_refused_is_over_and_is_not_released(pump: Pump) -> None:
    client, topic = publisher(pump, quota=2)
    with joined(client) as peer:
        client.publish(topic, 0, 2, 0)
        client.depart()
        said(peer)
        peer.sendall(encode(Pubrec(1, QUOTA_EXCEEDED), MQTT_5_0) + encode(Pubrec(2), MQTT_5_0))
        pump.poller.turn(1.0)
        assert said(peer) == [Pubrel(2)]
    assert (client.unacked, pump.unfinished) == (1, 1)
