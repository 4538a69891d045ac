"""Connections behind a proxy: whose header is believed, what it changes, and what its absence costs."""

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest

from longline.mqtt.codec import encode
from longline.mqtt.packets import MQTT_5_0, Connack, Connect, Pingreq, Pingresp
from longline.mqtt.reasons import ReasonCode
from longline.room.session.client import ClientConnection
from longline.room.wire.addresses import Addresses
from longline.room.wire.proxied import Proxied, Proxies
from longline.room.wire.websocket import WebSocketConnection, WebSocketRules
from longline.websocket.asking import request
from longline.websocket.upgrade import UpgradeRules
from tests.unit.room.fixture import FakeTransport, Peer, RoomFixture

PROXY = ("10.1.2.3", 40_000)
STRANGER = ("192.0.2.66", 40_000)
LINE = b"PROXY TCP4 203.0.113.7 10.0.0.1 56324 1883\r\n"
HELLO = encode(Connect(MQTT_5_0, "phone"), MQTT_5_0)


class Behind(Peer):
    """A client whose connection comes from a proxy, or from somebody who would like to be one."""

    def __init__(self, gate: "Gate", peer: tuple[str, int] | None, *, web: bool = False) -> None:
        super().__init__(gate.room, MQTT_5_0)
        gate.room.counters.connections -= 1  # what `Peer` has made is not wanted here
        gate.room.wheel.clear(self.connection)
        self._web = web
        self.wire = FakeTransport(gate.room.turns, peer)
        proxied = Proxied(gate.room.services, gate.proxies, self._make)
        self.wire.protocol = cast(ClientConnection, proxied)
        self.proxied = proxied
        self.made = 0
        proxied.connection_made(cast(asyncio.Transport, self.wire))

    def _make(self, origin: str | None) -> object:
        self.made += 1
        self.connection = ClientConnection(self.room.services, self.room.share, origin)
        if self._web:
            return WebSocketConnection(self.connection, WebSocketRules(UpgradeRules((), 8192), 1 << 20))
        return self.connection

    def bytes(self, data: bytes) -> None:
        protocol = cast(ClientConnection | None, self.wire.protocol)  # or what stands before it
        if protocol is not None and not self.wire.closing:
            protocol.data_received(data)


class Gate:
    """A room behind proxies."""

    def __init__(self, *, most: int = 100, deny: Sequence[str] = (), per_address: int = 0) -> None:
        self.room = RoomFixture(admits=lambda connection: self.addresses.admit(connection))
        self.addresses = Addresses(
            self.room.counters,
            lambda: self.room.time,
            allow=(),
            deny=deny,
            max_connections=most,
            listener_share=0,
            per_address=per_address,
            rate=0,
            rate_per_address=0,
        )
        self.room.services.released = self.addresses.release
        self.proxies = Proxies(["10.0.0.0/8", "2001:db8::/32"], lambda: self.addresses.max_connections)

    def behind(self, peer: tuple[str, int] | None = PROXY, *, web: bool = False) -> Behind:
        return Behind(self, peer, web=web)


def test_the_address_in_the_header_is_the_clients() -> None:
    gate = Gate()
    client = gate.behind()
    assert gate.room.counters.headers_awaited == 1
    assert gate.room.counters.connections == 0
    client.bytes(LINE + HELLO)
    gate.room.let_in(client)
    assert client.receive() == [Connack()]
    assert client.connection.peer == "203.0.113.7"
    assert gate.room.counters.headers_awaited == 0
    assert gate.room.counters.connections == 1
    client.connection.fault(ReasonCode.PROTOCOL_ERROR, "a_code", "something")
    assert gate.room.noted.refused_peers == ["203.0.113.7"]


def test_the_header_may_be_cut_anywhere() -> None:
    raw = LINE + HELLO
    for cut in range(len(raw) + 1):
        gate = Gate()
        client = gate.behind()
        client.bytes(raw[:cut])
        client.bytes(raw[cut:])
        gate.room.let_in(client)
        assert client.receive() == [Connack()]
        client.send(Pingreq())
        assert client.receive() == [Pingresp()]


def test_a_header_stands_before_the_request_for_a_websocket() -> None:
    gate = Gate()
    client = gate.behind(web=True)
    client.bytes(LINE + request("example.org", 80, bytes(16)))
    assert client.wire.writes[0].startswith(b"HTTP/1.1 101 ")
    assert client.connection.peer == "203.0.113.7"


def test_who_has_no_header_from_there_is_closed_before_anything_is_made() -> None:
    gate = Gate()
    client = gate.behind()
    client.bytes(HELLO)
    assert client.wire.aborted
    assert client.made == 0
    assert gate.room.noted.refusals == ["proxy_header"]
    assert gate.room.noted.refused_peers == [PROXY[0]]
    assert gate.room.counters.refused == {"proxy_header": 1}
    assert gate.room.counters.closed == {"proxy_header": 1}
    gate.room.turns.settle()
    assert gate.room.counters.headers_awaited == 0
    assert gate.room.wheel.size == 0


@pytest.mark.parametrize("said", [b"", b"PROXY TCP4 203.0.113.7"])
def test_a_header_that_does_not_come_in_time(said: bytes) -> None:
    gate = Gate()
    client = gate.behind()
    client.bytes(said)
    gate.room.tick(10)
    assert not client.wire.aborted
    gate.room.tick(1)
    assert client.wire.aborted
    assert gate.room.counters.refused == {"proxy_header": 1}
    assert gate.room.counters.headers_awaited == 0


def test_the_time_for_connect_begins_with_the_header() -> None:
    gate = Gate()
    client = gate.behind()
    gate.room.tick(9)
    client.bytes(LINE)
    gate.room.tick(9)
    assert not client.wire.closing
    gate.room.tick(2)
    assert client.wire.closing
    assert gate.room.counters.refused == {"connect_timeout": 1}


@pytest.mark.parametrize("header", [LINE, b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + bytes(12)])
def test_a_header_of_anybody_else_is_refused(header: bytes) -> None:
    gate = Gate()
    client = gate.behind(STRANGER)
    assert client.made == 1
    client.bytes(header + HELLO)
    assert client.receive() == []
    assert client.wire.closing
    assert gate.room.noted.refused_peers == [STRANGER[0]]


def test_anybody_else_needs_none() -> None:
    gate = Gate()
    client = gate.behind(STRANGER)
    client.bytes(HELLO)
    gate.room.let_in(client)
    assert client.receive() == [Connack()]
    assert client.connection.peer == STRANGER[0]


@pytest.mark.parametrize("peer", ["10.255.0.1", "::ffff:10.1.2.3", "2001:db8:1::1"])
def test_proxies_are_known_by_their_networks(peer: str) -> None:
    client = Gate().behind((peer, 1))
    assert client.made == 0
    assert Gate().behind(("fe80::1%eth0", 1)).made == 1


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"])
def test_a_proxy_that_speaks_for_itself_has_its_own_address(header: bytes) -> None:
    gate = Gate()
    client = gate.behind()
    client.bytes(header + HELLO)
    gate.room.let_in(client)
    assert client.receive() == [Connack()]
    assert client.connection.peer == PROXY[0]


def test_lists_go_by_the_address_in_the_header() -> None:
    gate = Gate(deny=["203.0.113.0/24"])
    client = gate.behind()
    client.bytes(LINE + HELLO)
    assert client.wire.aborted
    assert gate.room.counters.refused == {"address_denied": 1}
    assert gate.room.noted.refused_peers == ["203.0.113.7"]
    assert gate.room.noted.admitted == []


def test_counts_go_by_the_address_in_the_header() -> None:
    gate = Gate(per_address=1)
    first, second, other = gate.behind(), gate.behind(), gate.behind()
    first.bytes(LINE)
    second.bytes(LINE)
    other.bytes(LINE.replace(b"203.0.113.7", b"203.0.113.8"))
    assert [peer.wire.aborted for peer in (first, second, other)] == [False, True, False]
    first.wire.abort()
    gate.room.turns.settle()
    third = gate.behind()
    third.bytes(LINE)
    assert not third.wire.aborted


def test_no_more_headers_are_awaited_than_connections_may_be() -> None:
    gate = Gate(most=3)
    clients = [gate.behind() for _ in range(4)]
    assert [client.wire.aborted for client in clients] == [False, False, False, True]
    assert gate.room.counters.refused == {"too_many_connections": 1}
    gate.room.turns.settle()
    assert gate.room.counters.headers_awaited == 3
    clients[0].wire.abort()
    gate.room.turns.settle()
    assert gate.room.counters.headers_awaited == 2
    assert not gate.behind().wire.aborted


def test_those_past_their_header_count_too_for_each_is_an_open_file() -> None:
    gate = Gate(most=3)
    for _ in range(2):
        gate.behind().bytes(LINE)
    assert [gate.behind().wire.aborted for _ in range(2)] == [False, True]


def test_who_has_gone_already_leaves_nothing() -> None:
    gate = Gate()
    client = gate.behind(None)
    assert client.wire.aborted
    gate.room.turns.settle()
    assert gate.room.counters.headers_awaited == 0
    assert client.made == 0


def test_a_room_that_ends_closes_those_that_wait() -> None:
    gate = Gate()
    client = gate.behind()
    assert gate.room.wheel.outlets() == [client.proxied]
    client.proxied.close(ReasonCode.SERVER_SHUTTING_DOWN, "server_shutting_down")
    assert client.wire.aborted
    assert gate.room.wheel.size == 0
    client.proxied.eof_received()
    client.proxied.data_received(LINE)
    assert client.made == 0
