"""A broker and an HTTP API small enough to be wrong on purpose, for the load generator to find out."""

import selectors
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import msgspec

from longline.mqtt.codec import Decoder, encode
from longline.mqtt.packets import (
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
)

BAD_CREDENTIALS = 0x86


class Peer:
    """What the broker knows of one connection."""

    def __init__(self, sock: socket.socket, http: bool) -> None:
        self.sock = sock
        self.http = http
        self.decoder = Decoder(1 << 20)
        self.client = ""
        self.version = 4
        self.request = b""
        self.packet_id = 0
        self.held: dict[int, Publish] = {}
        """Messages of QoS 2 whose PUBREL has yet to come."""


class Broker:
    """Routes by equal topic names, in one thread; `faults` says what it does wrong, and to which delivery."""

    def __init__(
        self,
        *,
        lose: int = 0,
        repeat: int = 0,
        refuse: str = "",
        hang_up: str = "",
        leave_open: int = 0,
        refuse_batches: int = 0,
        forget: int = 0,
    ) -> None:
        self.lose = lose
        """The number of a delivery, from 1, that is never made."""
        self.repeat = repeat
        """The number of a delivery that is made twice."""
        self.refuse = refuse
        """Beginning of the client identifiers that are refused."""
        self.hang_up = hang_up
        """Client identifier whose connection is closed at its first PINGREQ."""
        self.leave_open = leave_open
        """The number of a PUBREC whose exchange is not gone on with."""
        self.recs = 0
        self.refuse_batches = refuse_batches
        """How many POSTs are answered 429 at first."""
        self.forget = forget
        """The number of a message to the app server, from 1, that is acknowledged and not stored."""
        self.told: list[str] = []
        """What devices have published to the app server."""
        self.registered: set[str] = set()
        self.waiting: dict[str, list[tuple[str, bytes]]] = {}
        """For registered devices that are not there: topics and payloads."""
        self.deliveries = 0
        self.clients: dict[str, Peer] = {}
        self.subscriptions: dict[str, list[tuple[Peer, int]]] = {}
        self.connects: list[Connect] = []
        self.pings = 0
        self.pending: list[tuple[str, str]] = []
        """Message and device, until it is acknowledged."""
        self.selector = selectors.DefaultSelector()
        self.running = True
        self.mqtt = self.listen(False)
        self.http = self.listen(True)

    def listen(self, http: bool) -> int:
        """A listener on a free port."""
        listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        listener.setblocking(False)
        self.selector.register(listener, selectors.EVENT_READ, http)
        return int(listener.getsockname()[1])

    def serve(self) -> None:
        """Until `running` is False."""
        while self.running:
            for key, _ in self.selector.select(0.05):
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                if isinstance(key.data, Peer):
                    self.read(key.data)
                else:
                    accepted, _ = sock.accept()
                    self.selector.register(accepted, selectors.EVENT_READ, Peer(accepted, key.data))
        for key in list(self.selector.get_map().values()):
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            sock.close()
        self.selector.close()

    def read(self, peer: Peer) -> None:
        try:
            data = peer.sock.recv(65536)
        except OSError:
            data = b""
        if not data:
            self.drop(peer)
        elif peer.http:
            self.read_http(peer, data)
        else:
            for packet in peer.decoder.feed(data):
                self.handle(peer, packet)
                if peer.sock.fileno() < 0:
                    return

    def drop(self, peer: Peer) -> None:
        self.selector.unregister(peer.sock)
        peer.sock.close()
        if self.clients.get(peer.client) is peer:
            del self.clients[peer.client]
        for topic, members in self.subscriptions.items():
            self.subscriptions[topic] = [member for member in members if member[0] is not peer]

    def handle(self, peer: Peer, packet: Packet) -> None:
        if isinstance(packet, Connect):
            self.connects.append(packet)
            peer.client, peer.version = packet.client_id, packet.version
            self.clients[peer.client] = peer
            if self.refuse and packet.client_id.startswith(self.refuse):
                self.send(peer, Connack(reason=BAD_CREDENTIALS))
                self.drop(peer)
            else:
                self.send(peer, Connack())
                for topic, payload in self.waiting.pop(peer.client, []):
                    self.deliver(peer, topic, payload, 1)
        elif isinstance(packet, Subscribe):
            for subscription in packet.subscriptions:
                self.subscriptions.setdefault(subscription.filter, []).append((peer, subscription.qos))
            self.send(peer, Suback(packet.packet_id, [s.qos for s in packet.subscriptions]))
        elif isinstance(packet, Publish | Pubrel | Pubrec):
            self.exchange(peer, packet)
        elif isinstance(packet, Puback):
            waiting = [each for each in self.pending if each[1] == peer.client]
            if waiting:
                self.pending.remove(waiting[0])
        elif isinstance(packet, Pingreq):
            self.pings += 1
            if peer.client == self.hang_up:
                self.drop(peer)
            else:
                self.send(peer, Pingresp())
        elif isinstance(packet, Disconnect):
            self.drop(peer)

    def exchange(self, peer: Peer, packet: Publish | Pubrel | Pubrec) -> None:
        """A message of QoS 2 is routed at its PUBREL, as mosquitto does."""
        if isinstance(packet, Pubrel):
            self.send(peer, Pubcomp(packet.packet_id))
            self.route(peer.held.pop(packet.packet_id))
        elif isinstance(packet, Pubrec):
            self.recs += 1
            if self.recs != self.leave_open:
                self.send(peer, Pubrel(packet.packet_id))
        elif packet.qos == 2:
            peer.held[packet.packet_id] = packet
            self.send(peer, Pubrec(packet.packet_id))
        else:
            if packet.qos:
                self.send(peer, Puback(packet.packet_id))
            self.route(packet)

    def route(self, message: Publish) -> None:
        if message.topic.startswith("up/"):
            self.told.append(bytes(message.payload).decode())
        for member, qos in self.subscriptions.get(message.topic, []):
            self.deliver(member, message.topic, message.payload, min(qos, message.qos))

    def deliver(self, peer: Peer, topic: str, payload: bytes, qos: int) -> None:
        self.deliveries += 1
        times = 0 if self.deliveries == self.lose else 2 if self.deliveries == self.repeat else 1
        for _ in range(times):
            peer.packet_id = peer.packet_id % 65535 + 1
            self.send(peer, Publish(topic, payload, qos, packet_id=peer.packet_id if qos else 0))

    def send(self, peer: Peer, packet: Packet) -> None:
        peer.sock.sendall(encode(packet, peer.version))

    def read_http(self, peer: Peer, data: bytes) -> None:
        peer.request += data
        head, end, body = peer.request.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
        if not end or len(body) < int(fields.get(b"content-length", b"0")):
            return
        peer.request = b""
        assert fields[b"authorization"] == b"bearer server-key"
        method, path, _ = head.split(b"\r\n")[0].decode().split(" ")
        status, answer = self.answer(method, path, body)
        text = msgspec.json.encode(answer)
        reason = b"HTTP/1.1 %d Whatever\r\ncontent-length: %d\r\n\r\n" % (status, len(text))
        peer.sock.sendall(reason + text)

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, object]:
        parts = path.split("/")
        if method == "POST":
            if self.refuse_batches:
                self.refuse_batches -= 1
                return 429, {"error": {"code": "overloaded"}}
            return self.post(path, msgspec.json.decode(body))
        if method == "PUT":
            return 201, {}
        if parts[4].startswith("upstream"):
            events = [
                {"type": "upstream", "payload": payload}
                for number, payload in enumerate(self.told, 1)
                if number != self.forget
            ]
            if "tail=true" in parts[4]:
                return 200, {"events": [], "next_cursor": "0", "gap": False}
            read = "cursor=0" not in parts[4]
            return 200, {"events": [] if read else events, "next_cursor": "1", "gap": False}
        if parts[4] == "devices":
            return 200, {
                "device": parts[5],
                "pending": [device for _, device in self.pending].count(parts[5]),
            }
        pending = [message for message, _ in self.pending].count(parts[5])
        targeted = len(self.clients)
        ledger = {"targeted": targeted, "pending": pending, "acked": targeted - pending}
        return 200, {"ledger": {**ledger, "expired": 0, "collapsed": 0, "dropped": {}}}

    def post(self, path: str, body: dict[str, list[dict[str, object]]]) -> tuple[int, object]:
        if path.endswith("/devices:batch"):
            self.registered |= {str(device["device"]) for device in body["devices"]}
            return 200, {}
        if path.endswith("/members:add"):
            return 200, {}
        if path.endswith("/messages"):
            return 202, self.push(body)
        return 202, {"results": [self.push(message) for message in body["messages"]]}

    def push(self, message: Mapping[str, object]) -> dict[str, str]:
        if message["audience"] in ("all", {"group": "team"}):
            return self.push_to_all(message)
        name = f"m{self.deliveries}"
        device = msgspec.convert(message["audience"], dict[str, list[str]])["devices"][0]
        self.pending.append((name, device))
        payload = str(message["payload"]).encode()
        if device in self.clients:
            self.deliver(self.clients[device], f"push/{name}", payload, 1)
        else:
            assert device in self.registered
            self.waiting.setdefault(device, []).append((f"push/{name}", payload))
        return {"message_id": name}

    def push_to_all(self, message: Mapping[str, object]) -> dict[str, str]:
        name = f"m{self.deliveries}"
        qos = msgspec.convert(message["options"], dict[str, int])["qos"]
        for device, peer in self.clients.items():
            if qos:
                self.pending.append((name, device))
            self.deliver(peer, f"push/{name}", str(message["payload"]).encode(), qos)
        return {"message_id": name}


@contextmanager
def serving(broker: Broker) -> Iterator[Broker]:
    """Runs a broker in a thread and ends it."""
    thread = threading.Thread(target=broker.serve, name="broker")
    thread.start()
    try:
        yield broker
    finally:
        broker.running = False
        thread.join()
