"""Devices at the least cost: raw sockets under one epoll, and only what MQTT 3.1.1 needs to take pushes.

    python -m tests.adversity.light < plan.json

They take whatever comes, acknowledge it, and come again when they are cut off. `ready` is printed when all
are connected, and a `Summary` as JSON when standard input is closed.
"""

import select
import socket
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

import jwt
import msgspec

from longline.bench.dialling import raise_file_limit

CONNACK, PUBLISH, SUBACK, PINGRESP = 2, 3, 9, 13
PINGREQ = b"\xc0\x00"
DISCONNECT = b"\xe0\x00"

AT_ONCE = 64  # handshakes in the air at the beginning
AGAIN_AFTER = 0.2  # s
RECEIVE = 1 << 16  # bytes


class Plan(msgspec.Struct, frozen=True):
    """Whom to connect to, and as whom."""

    host: str
    port: int
    app: str
    secret: str
    devices: list[str]


class Summary(msgspec.Struct, frozen=True):
    """What came, and how often a connection ended that had been let in."""

    pushes: int
    cut_off: int


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack(">H", len(data)) + data


def packet(kind: int, body: bytes) -> bytes:
    """A whole packet; `kind` is its first byte."""
    length, left = b"", len(body)
    while left > 127:
        length += bytes([left & 127 | 128])
        left >>= 7
    return bytes([kind]) + length + bytes([left]) + body


def connect(app: str, device: str, secret: str, keep_alive: int = 3600) -> bytes:
    """A CONNECT of MQTT 3.1.1, with a clean session."""
    token = jwt.encode({"sub": device}, secret, algorithm="HS256")
    return packet(
        0x10, text("MQTT") + struct.pack(">BBH", 4, 0xC2, keep_alive) + text(device) + text(app) + text(token)
    )


def subscribe(filters: list[str], qos: int = 0, number: int = 1) -> bytes:
    return packet(0x82, struct.pack(">H", number) + b"".join(text(name) + bytes([qos]) for name in filters))


def publish(topic: str, payload: bytes, qos: int = 0, number: int = 1) -> bytes:
    return packet(0x30 | qos << 1, text(topic) + (struct.pack(">H", number) if qos else b"") + payload)


def puback(number: int) -> bytes:
    return struct.pack(">BBH", 0x40, 2, number)


class Packet(NamedTuple):
    """What was received: its kind and, of a PUBLISH, the topic, packet identifier (0: none) and payload."""

    kind: int
    topic: str = ""
    number: int = 0
    payload: bytes = b""


class Reader:
    """Cuts what is received into packets."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Packet]:
        data = self._rest + data
        at = 0
        while at + 1 < len(data):
            begin, length, shift = at + 1, 0, 0
            while begin < len(data):
                byte = data[begin]
                begin += 1
                length |= (byte & 127) << shift
                shift += 7
                if byte < 128:
                    break
            else:
                break
            if begin + length > len(data):
                break
            kind = data[at] >> 4
            if kind == PUBLISH:
                size = data[begin] << 8 | data[begin + 1]
                behind = begin + 2 + size
                number = 0
                if data[at] & 6:
                    number = data[behind] << 8 | data[behind + 1]
                    behind += 2
                yield Packet(
                    kind,
                    data[begin + 2 : begin + 2 + size].decode(),
                    number,
                    data[behind : begin + length],
                )
            elif kind == CONNACK:
                yield Packet(kind, number=data[begin + 1])
            else:
                yield Packet(kind)
            at = begin + length
        self._rest = data[at:]


class _Device:
    """One device, over all its connections."""

    def __init__(self, hello: bytes) -> None:
        self.hello = hello
        self.socket: socket.socket | None = None
        self.reader = Reader()
        self.let_in = False


class Devices:
    """All devices of the process."""

    def __init__(self, plan: Plan) -> None:
        self._address = (plan.host, plan.port)
        self._epoll = select.epoll()
        self._devices: dict[int, _Device] = {}  # by descriptor
        self._waiting = [_Device(connect(plan.app, name, plan.secret)) for name in plan.devices]
        self._again: list[tuple[float, _Device]] = []
        self._in_the_air = 0
        self._to_come = len(plan.devices)
        self.pushes = self.cut_off = 0

    def run(self) -> Summary:
        """Until standard input is closed."""
        self._epoll.register(sys.stdin.fileno(), select.EPOLLHUP | select.EPOLLIN)
        told = False
        while True:
            now = time.monotonic()
            while self._again and self._again[0][0] <= now:
                self._waiting.append(self._again.pop(0)[1])
            while self._waiting and self._in_the_air < AT_ONCE:
                self._dial(self._waiting.pop())
            if not told and not self._to_come:
                told = True
                print("ready", flush=True)
            for descriptor, _ in self._epoll.poll(0.1 if self._again else 1.0, 1024):
                if descriptor == sys.stdin.fileno():
                    return Summary(self.pushes, self.cut_off)
                self._receive(descriptor)

    def _dial(self, device: _Device) -> None:
        device.reader = Reader()
        device.socket = socket.socket()
        try:
            device.socket.connect(self._address)  # on this host: at once, or not at all
            device.socket.setblocking(False)
            device.socket.send(device.hello)
        except OSError:
            device.socket.close()
            self._later(device)
            return
        self._in_the_air += 1
        self._devices[device.socket.fileno()] = device
        self._epoll.register(device.socket.fileno(), select.EPOLLIN)

    def _later(self, device: _Device) -> None:
        device.socket = None
        self._again.append((time.monotonic() + AGAIN_AFTER, device))

    def _receive(self, descriptor: int) -> None:
        device = self._devices[descriptor]
        assert device.socket is not None
        try:
            data = device.socket.recv(RECEIVE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lost(descriptor, device)
            return
        answers = []
        for packet in device.reader.feed(data):
            if packet.kind == PUBLISH:
                self.pushes += 1
                if packet.number:
                    answers.append(puback(packet.number))
            elif packet.kind == CONNACK and packet.number == 0:
                device.let_in = True
                self._in_the_air -= 1
                self._to_come -= 1
        if answers:
            with suppress(OSError):  # what it has no room for is given once more when it comes again
                device.socket.send(b"".join(answers))

    def _lost(self, descriptor: int, device: _Device) -> None:
        assert device.socket is not None
        if device.let_in:
            device.let_in = False
            self.cut_off += 1
            self._to_come += 1
        else:
            self._in_the_air -= 1
        del self._devices[descriptor]
        self._epoll.unregister(descriptor)
        device.socket.close()
        self._later(device)


def main() -> None:
    plan = msgspec.json.decode(sys.stdin.buffer.readline(), type=Plan)
    raise_file_limit(len(plan.devices))
    print(msgspec.json.encode(Devices(plan).run()).decode(), flush=True)


if __name__ == "__main__":
    main()
