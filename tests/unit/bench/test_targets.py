"""The packets that are made beforehand, read by the codec."""

import jwt
import pytest

from longline.bench.hot.pump import GAP, STAMP
from longline.bench.targets import AnyTarget, BenchFailed, LoadTarget, probe, source_of
from longline.mqtt.codec import Decoder
from longline.mqtt.packets import Connect, Packet, Publish, Subscribe
from tests.unit.bench.peers import Broker, serving

SECRET = "s" * 32


def decoded(data: bytes, version: int) -> Packet:
    (packet,) = Decoder(1 << 20, version=version).feed(data)
    return packet


@pytest.mark.parametrize("protocol", [4, 5])
def test_each_client_signs_a_token_of_its_own(protocol: int) -> None:
    target = LoadTarget(protocol=protocol, app="news", secret=SECRET)
    connect = decoded(target.connect("d1", 60), 0)
    assert isinstance(connect, Connect)
    assert (connect.version, connect.client_id, connect.keep_alive) == (protocol, "d1", 60)
    assert connect.username == "news"
    assert connect.password is not None
    assert jwt.decode(connect.password, SECRET, algorithms=["HS256"]) == {"sub": "d1"}


def test_without_an_app_the_credentials_are_those_given_or_none() -> None:
    with_password = decoded(AnyTarget(username="u", password="p").connect("c", 0), 0)
    without = decoded(AnyTarget().connect("c", 0), 0)
    assert isinstance(with_password, Connect)
    assert isinstance(without, Connect)
    assert (with_password.username, with_password.password) == ("u", b"p")
    assert (without.username, without.password) == (None, None)


@pytest.mark.parametrize("protocol", [4, 5])
@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("size", [16, 128, 20_000])
def test_the_halves_of_a_publish_join_around_identifier_and_stamp(protocol: int, qos: int, size: int) -> None:
    head, tail = AnyTarget(protocol=protocol).publish("bench/t0", qos, size)
    identifier = b"\x12\x34" if qos else b""
    packet = decoded(head + identifier + GAP[protocol] + STAMP.pack(7, 9) + tail, protocol)
    assert isinstance(packet, Publish)
    assert (packet.topic, packet.qos, packet.packet_id) == ("bench/t0", qos, 0x1234 if qos else 0)
    assert len(packet.payload) == size
    assert STAMP.unpack_from(packet.payload) == (7, 9)


def test_a_payload_too_small_for_its_stamp_is_refused() -> None:
    with pytest.raises(BenchFailed, match="16 bytes"):
        AnyTarget().publish("t", 0, 15)


@pytest.mark.parametrize("protocol", [4, 5])
def test_a_subscribe_asks_for_its_topic(protocol: int) -> None:
    packet = decoded(AnyTarget(protocol=protocol).subscribe("bench/t0", 1), protocol)
    assert isinstance(packet, Subscribe)
    assert [(s.filter, s.qos) for s in packet.subscriptions] == [("bench/t0", 1)]


def test_few_connections_leave_the_source_address_to_the_kernel() -> None:
    assert source_of(7, 25_000, "127.0.0.1") == ""
    assert source_of(7, 1_000_000, "192.0.2.1") == ""


def test_many_connections_take_a_new_source_address_before_its_ports_run_out() -> None:
    total = 200_000
    per_address: dict[str, int] = {}
    for number in range(total):
        address = source_of(number, total, "127.0.0.1")
        per_address[address] = per_address.get(address, 0) + 1
    assert max(per_address.values()) <= 25_000
    assert all(address.startswith("127.0.") for address in per_address)


@pytest.mark.parametrize("protocol", [4, 5])
def test_the_probe_says_why_a_broker_refuses(protocol: int) -> None:
    with serving(Broker(refuse="bad")) as broker:
        target = AnyTarget(port=broker.mqtt, protocol=protocol)
        assert probe(target, "good", 60).receive_maximum == 65535
        with pytest.raises(BenchFailed, match="0x86"):
            probe(target, "bad", 60)


def test_the_probe_says_that_nobody_listens() -> None:
    with serving(Broker()) as broker:
        port = broker.mqtt
    with pytest.raises(BenchFailed, match=f"127.0.0.1:{port}"):
        probe(AnyTarget(port=port), "c", 60)


def test_the_probe_recognises_what_is_no_broker() -> None:
    with serving(Broker()) as broker, pytest.raises(BenchFailed, match="did not answer"):
        probe(AnyTarget(port=broker.http), "c", 60, timeout=0.2)
