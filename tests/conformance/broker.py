"""A live node, and clients that say whatever bytes they are given, with nothing of ours in between."""

import asyncio
import os
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final, Unpack

import jwt
import pytest
import uvloop

from tests.conformance import wire
from tests.conformance.wire import ConnectFields, Packet, Property
from tests.integration.live_node import LiveNode
from tests.integration.shapes import Server
from tests.waiting import WITHIN

NAMES: Final = count(1)
ANONYMOUS_APP: Final = "open"
FENCE: Final = "\U0010fffd/fence"  # a topic with a retained message: the last that `#` brings, too

BOTH: Final = pytest.mark.parametrize("version", [4, 5], ids=["3.1.1", "5.0"])
# Not on workers: they share a port, so nobody can say which of them a client comes to.
SHAPES: Final = pytest.mark.shape("embedded", "cluster")


@dataclass(frozen=True)
class Broker:
    """A server with an app whose devices may publish and subscribe, and which makes their tokens itself."""

    server: "Server | LiveNode"
    app: str
    secret: str

    def token(self, device: str) -> bytes:
        return jwt.encode({"sub": device}, self.secret, "HS256").encode()


@contextmanager
def live_node(data: Path) -> Iterator[LiveNode]:
    """An embedded node on a loop and in a thread of its own. By its end it must have met no fault of ours."""
    standing: Future[tuple[LiveNode, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def live() -> dict[str, float]:
        async with LiveNode(data, {"room.anonymous_app": ANONYMOUS_APP}) as node:
            enough = asyncio.Event()
            standing.set_result((node, asyncio.get_running_loop(), enough))
            await enough.wait()
            return await node.metrics()

    def run() -> dict[str, float]:
        debug = os.environ.get("LONGLINE_TEST_LOOP") == "asyncio"
        factory = asyncio.new_event_loop if debug else uvloop.new_event_loop
        try:
            with asyncio.Runner(debug=debug, loop_factory=factory) as runner:
                return runner.run(live())
        except BaseException as error:
            if not standing.done():
                standing.set_exception(error)
            raise

    with ThreadPoolExecutor(1) as thread:
        ended = thread.submit(run)
        node, loop, enough = standing.result()
        try:
            yield node
        finally:
            loop.call_soon_threadsafe(enough.set)
            figures = ended.result()
        assert [name for name in figures if name.startswith("longline_faults_total{")] == []


def with_app(server: "Server | LiveNode") -> Broker:
    """Makes an app for a module's tests."""
    name = f"conformance-{next(NAMES)}"

    async def make() -> str:
        async with server.center() as center:
            return (await center.create_app(name, pubsub=True)).device_secret

    broker = Broker(server, name, asyncio.run(make()))
    publisher = Client(broker, server.mqtt_port, 5, "fence")
    publisher.enter()
    publisher.publish(FENCE, b"here", 1, retain=1)
    publisher.close()
    return broker


class Client:
    """One connection. What it reads is held to the form of packets, and to what it has said in CONNECT."""

    def __init__(self, broker: Broker, port: int, version: int, name: str) -> None:
        self.broker = broker
        self.version = version
        self.name = name
        self.connack: Packet | None = None
        self.max_size = 1 << 28  # what it takes, in bytes, and how many aliases
        self.max_alias = 0
        self.unanswered: set[int] = set()  # identifiers of the server's that are in use
        self._ids = count(1)
        self._held = b""
        self._early: list[Packet] = []  # read, and to be read again
        self._socket = socket.create_connection(("127.0.0.1", port), WITHIN)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    # --- bytes ------------------------------------------------------------------------------------

    def send(self, *data: bytes) -> None:
        self._socket.sendall(b"".join(data))

    def read(self) -> Packet | None:
        """The next packet; None when the server has closed."""
        if self._early:
            return self._early.pop(0)
        while (found := self._read()) is not None and found.topic == FENCE:
            pass
        return found

    def _until(self, wanted: Callable[[Packet], bool]) -> Packet:
        """Reads up to a packet; those before it are read again."""
        while (found := self._read()) is None or not wanted(found):
            assert found is not None, f"closed, behind {self._early}"
            if found.topic != FENCE:
                self._early.append(found)
        return found

    def _read(self) -> Packet | None:
        while not (size := wire.frame(self._held)):
            try:
                data = self._socket.recv(65536)
            except ConnectionError:  # closed with bytes of ours unread
                data = b""
            if not data:
                assert not self._held, "the server has closed inside a packet"
                return None
            self._held += data
        found = wire.parse(self._held[:size], self.version)
        self._held = self._held[size:]
        self._check(found)
        return found

    def _check(self, found: Packet) -> None:
        assert found.size <= self.max_size  # [MQTT-3.1.2-24]
        assert found.number(wire.ALIAS) <= self.max_alias  # [MQTT-3.1.2-26], [MQTT-3.1.2-27]
        if found.kind == wire.PUBLISH and found.qos and not found.dup:
            assert found.id not in self.unanswered  # [MQTT-2.2.1-4]
            self.unanswered.add(found.id)

    def finish_sending(self) -> None:
        """Closes its half: the server still has what was sent before."""
        self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Hangs up without a word."""
        self._socket.close()

    # --- what a test expects ----------------------------------------------------------------------

    def expect(self, kind: int) -> Packet:
        found = self.read()
        assert found is not None, f"closed instead of packet {kind}"
        assert found.kind == kind, found
        return found

    def until_closed(self) -> list[Packet]:
        """Everything up to the server's close."""
        return list(iter(self.read, None))

    def ping(self) -> list[Packet]:
        """Everything up to the answer of a PINGREQ: what was on its way when that came is among it."""
        self.send(wire.PING)
        found: list[Packet] = []
        while (packet := self.read()) is None or packet.kind != wire.PINGRESP:
            assert packet is not None, f"closed, behind {found}"
            found.append(packet)
        return found

    def refused(self, *reasons: int) -> None:
        """The connection ends, and MQTT 5 says why: in CONNACK or DISCONNECT, and with nothing behind it."""
        found = self.until_closed()
        if self.version != 5:
            assert found == []
            return
        kind = wire.CONNACK if self.connack is None else wire.DISCONNECT
        assert [(packet.kind, packet.reason in reasons) for packet in found] == [(kind, True)], found

    # --- what clients do --------------------------------------------------------------------------

    def connect(self, *properties: Property, **fields: Unpack[ConnectFields]) -> Packet | None:
        """CONNECT as a device of the app, and what comes for it."""
        self.say_connect(*properties, **fields)
        return self.read()

    def say_connect(self, *properties: Property, **fields: Unpack[ConnectFields]) -> None:
        said = dict(properties)
        self.max_size = int(str(said.get(wire.MAXIMUM_SIZE, self.max_size)))
        self.max_alias = int(str(said.get(wire.ALIAS_MAXIMUM, 0)))
        given: ConnectFields = {
            "client_id": self.name,
            "user": self.broker.app,
            "password": self.broker.token(self.name),
            **fields,
        }
        self.send(wire.connect(self.version, properties=properties, **given))

    def enter(self, *properties: Property, **fields: Unpack[ConnectFields]) -> Packet:
        """CONNECT that is let in."""
        found = self.connect(*properties, **fields)
        assert found is not None
        assert (found.kind, found.reason) == (wire.CONNACK, 0), found
        self.connack = found
        return found

    def subscribe(self, *filters: tuple[str, int], properties: tuple[Property, ...] = ()) -> list[int]:
        """Returns the reasons of SUBACK, when what is retained has come: it is the next to be read.

        What is published meanwhile is held up, and could come behind the answer to a PINGREQ.
        """
        id, fence = next(self._ids), next(self._ids)
        self.send(wire.subscribe(self.version, id, *filters, properties=properties))
        suback = self._until(lambda packet: packet.kind == wire.SUBACK)
        assert suback.id == id
        self.send(wire.subscribe(self.version, fence, (FENCE, 0)))
        awaited = {wire.SUBACK, wire.PUBLISH}
        while awaited:
            packet = self._read()
            assert packet is not None, f"closed, behind {self._early}"
            if packet.kind == wire.SUBACK or packet.topic == FENCE:
                awaited.discard(packet.kind)
            else:
                self._early.append(packet)
        return suback.reasons

    def publish(
        self,
        topic: str,
        payload: bytes = b"",
        qos: int = 1,
        *,
        retain: int = 0,
        properties: tuple[Property, ...] = (),
    ) -> int:
        """Returns the reason of the first answer, when all of them have come; at QoS 0, that of none."""
        id = next(self._ids)
        self.send(wire.publish(self.version, topic, payload, qos, id, retain=retain, properties=properties))
        if not qos:
            return 0
        found = self.expect(wire.PUBACK if qos == 1 else wire.PUBREC)
        assert found.id == id
        if qos == 2 and found.reason < 0x80:
            self.send(wire.answer(wire.PUBREL, id))
            assert self.expect(wire.PUBCOMP).id == id
        return found.reason

    def acknowledge(self, packet: Packet) -> None:
        """Everything that a PUBLISH is answered with."""
        if packet.qos == 1:
            self.send(wire.answer(wire.PUBACK, packet.id))
        elif packet.qos == 2:
            self.send(wire.answer(wire.PUBREC, packet.id))
            pubrel = self._until(lambda found: found.kind == wire.PUBREL)
            assert (pubrel.id, pubrel.reason) == (packet.id, 0)
            self.send(wire.answer(wire.PUBCOMP, packet.id))
        self.unanswered.discard(packet.id)

    def take(self) -> Packet:
        """The next packet, which is a message, and answers it."""
        found = self.expect(wire.PUBLISH)
        self.acknowledge(found)
        return found

    def retained(self, *filters: tuple[str, int], properties: tuple[Property, ...] = ()) -> list[Packet]:
        """Subscribes; returns what is retained, as far as the window has room for it."""
        self.subscribe(*filters, properties=properties)
        found, self._early = self._early, []
        for packet in found:
            assert packet.kind == wire.PUBLISH
            self.acknowledge(packet)
        return found


class Clients:
    """Those of one test, all at one room: there, who is answered has reached every subscriber."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self._port = broker.server.mqtt_port
        self._clients: list[Client] = []

    def open(self, version: int = 5, name: str | None = None) -> Client:
        """A connection over which nothing was said yet."""
        client = Client(self.broker, self._port, version, name or f"device{next(NAMES)}")
        self._clients.append(client)
        return client

    def enter(self, version: int = 5, *properties: Property, **fields: Unpack[ConnectFields]) -> Client:
        """A client that was let in."""
        client = self.open(version)
        client.enter(*properties, **fields)
        return client

    def close(self) -> None:
        for client in self._clients:
            client.close()
