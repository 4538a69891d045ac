"""Random and mutated bytes against the listener of a running node, for as long as asked.

    python -m tests.fuzz.listener_fuzz --seconds 300 [--seed N]

Strangers and devices with good tokens send nonsense, in pieces, in floods, with and without reading the
answers, and leave in every way there is. Meanwhile a device in good order must get each push it is sent,
whatever the node says must be good MQTT, its log must show no error, and its memory must not grow: after a
warm-up of a third of the time, resident memory may rise by `MAX_GROWTH`. At two thousand connections a
second, a leak of fifty bytes a connection is more than that within five minutes.
"""

import argparse
import asyncio
import json
import os
import random
import socket
import struct
import sys
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import jwt

from longline import Center, Device
from longline.mqtt.codec import Decoder, encode
from longline.mqtt.packets import Connect, Packet, Pingreq, Publish, Subscribe, Subscription
from tests.fuzz.codec_fuzz import corpus, mutate, pieces
from tests.integration.server_process import ServerProcess

ATTACKERS = 8  # connections that are made at once
LINGERING = 40  # connections that stay open and read nothing
NAMES = 50  # devices that the attackers share, so that they also take over from each other
WITHIN = 30.0  # s for any answer of the node
MAX_GROWTH = 12 << 20  # bytes of resident memory after the warm-up
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset instead of a good-bye


@dataclass
class Report:
    """What a run did, and what went wrong in it."""

    connections: int = 0
    sent: int = 0
    answers: int = 0
    pushes: int = 0
    memory_before: int = 0
    memory_after: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def grown(self) -> bool:
        """Whether the node's memory is larger than after its warm-up."""
        return self.memory_after - self.memory_before > MAX_GROWTH


class Attack:
    """One run against one node."""

    def __init__(self, port: int, secret: str, report: Report) -> None:
        self._port = port
        self._secret = secret
        self._report = report
        self._pool = corpus()
        self._lingering: deque[socket.socket] = deque()
        self._over = False

    async def keep_on(self, dice: random.Random) -> None:
        """Connects again and again until `end`."""
        while not self._over:
            try:
                async with asyncio.timeout(WITHIN):
                    await self._visit(dice)
            except TimeoutError:
                self._report.failures.append("a connection was neither answered nor closed")
            except OSError:
                pass  # the node has closed while we were speaking

    async def _visit(self, dice: random.Random) -> None:
        version = dice.choice((4, 5))
        known = dice.random() < 0.7
        conversation = self._device(dice, version) if known else self._stranger(dice)
        self._report.connections += 1
        loop = asyncio.get_running_loop()
        peer = socket.socket()
        try:
            peer.setblocking(False)
            await loop.sock_connect(peer, ("127.0.0.1", self._port))
            cut = len(conversation) < 2000 and dice.random() < 0.3
            for piece in pieces(dice, conversation) if cut else [conversation]:
                await loop.sock_sendall(peer, piece)
                self._report.sent += len(piece)
            if dice.random() < 0.2:
                peer = self._linger(peer)
            elif dice.random() < 0.2:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            else:
                peer.shutdown(socket.SHUT_WR)
                decoder = Decoder(1 << 20, version, False)
                while data := await loop.sock_recv(peer, 1 << 16):
                    if known:
                        self._report.answers += len(decoder.feed(data))
                if decoder.fault is not None:
                    self._report.failures.append(f"bad MQTT from the node: {decoder.fault}")
        finally:
            peer.close()

    def _linger(self, peer: socket.socket) -> socket.socket:
        """Keeps a connection open without reading from it; returns the one whose time is over."""
        self._lingering.append(peer)
        return self._lingering.popleft() if len(self._lingering) > LINGERING else socket.socket()

    def _stranger(self, dice: random.Random) -> bytes:
        """Somebody without credentials, or whose CONNECT has come to harm."""
        if dice.random() < 0.3:
            return dice.randbytes(dice.randrange(4096))
        if dice.random() < 0.5:
            return mutate(dice, [self._connect(dice, 4), self._connect(dice, 5)])
        return mutate(dice, self._pool)

    def _device(self, dice: random.Random, version: int) -> bytes:
        """Somebody with good credentials, and then anything."""
        said = [self._connect(dice, version)]
        if dice.random() < 0.3:
            said.append(encode(Subscribe(1, [Subscription("#", 1), Subscription("a/+", 0)]), version))
        if dice.random() < 0.1:
            flood: list[Packet] = [Publish("a/b", dice.randbytes(500), 1, packet_id=7), Pingreq()]
            said += [encode(packet, version) for packet in flood] * dice.randrange(100)
        for _ in range(dice.randrange(4)):
            said.append(mutate(dice, self._pool) if dice.random() < 0.7 else dice.choice(self._pool))
        return b"".join(said)

    def _connect(self, dice: random.Random, version: int) -> bytes:
        device = f"device{dice.randrange(NAMES)}"
        token = jwt.encode({"sub": device}, self._secret, algorithm="HS256")
        return encode(
            Connect(
                version, device, keep_alive=dice.choice((0, 1, 60)), username="fuzz", password=token.encode()
            ),
            version,
        )

    def end(self) -> None:
        """Makes no more connections, and drops those that linger."""
        self._over = True
        while self._lingering:
            self._lingering.pop().close()


class Witness:
    """A device in good order, and the app server that pushes to it."""

    def __init__(self, center: Center, device: Device, report: Report) -> None:
        self._center = center
        self._device = device
        self._report = report

    async def is_served(self) -> None:
        """One push, from the API to the acknowledgement."""
        text = f"push {self._report.pushes}"
        try:
            async with asyncio.timeout(WITHIN):
                await self._center.send("fuzz", text, devices=["witness"], ttl=60)
                message = await anext(aiter(self._device))
                await message.ack()
        except TimeoutError:
            self._report.failures.append(f"{text} did not reach the device in good order")
            return
        if message.text != text:
            self._report.failures.append(f"{text} was expected, {message.text} came")
        if self._device.statistics.connects != 1:
            self._report.failures.append("the device in good order lost its connection")
        self._report.pushes += 1


def resident(pid: int) -> int:
    """Bytes of memory that a process has in use."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def complaints(log: str) -> list[str]:
    """Lines that a node must not log, whatever it is sent."""
    found = []
    for line in log.splitlines():
        try:
            level = json.loads(line)["level"]
        except (ValueError, KeyError, TypeError):
            level = "not a line of the log"
        if level not in ("debug", "info", "warning") or "Traceback" in line:
            found.append(line)
    return found


@asynccontextmanager
async def a_witness(server: ServerProcess, secret: str, report: Report) -> AsyncIterator[Witness]:
    token = jwt.encode({"sub": "witness"}, secret, algorithm="HS256")
    device = Device("127.0.0.1", server.mqtt_port, app="fuzz", device="witness", token=token, keep_alive=600)
    async with server.center() as center, device:
        await device.wait_connected()
        yield Witness(center, device, report)


async def attack(seconds: float, seed: int, data: Path) -> Report:
    """A run of so many seconds against a node of its own."""
    report = Report()
    server = ServerProcess(data)
    async with server:
        async with server.center() as center:
            secret = (await center.create_app("fuzz", pubsub=True)).device_secret
        async with a_witness(server, secret, report) as witness:
            visits = Attack(server.mqtt_port, secret, report)
            attackers = [
                asyncio.create_task(visits.keep_on(random.Random(f"{seed} {number}")))
                for number in range(ATTACKERS)
            ]
            begun = time.monotonic()
            while (passed := time.monotonic() - begun) < seconds and not report.failures:
                await witness.is_served()
                await asyncio.wait(attackers, timeout=min(1.0, seconds / 10))
                if not report.memory_before and passed >= seconds / 3:
                    report.memory_before = resident(server.pid)
            visits.end()
            for result in await asyncio.gather(*attackers, return_exceptions=True):
                if isinstance(result, BaseException):
                    report.failures.append(f"the attack itself failed: {result!r}")
            visits.end()
            await witness.is_served()
            report.memory_after = resident(server.pid)
        status = await server.terminate()
        if status != 0:
            report.failures.append(f"the node ended with status {status}")
    report.failures += complaints(server.log.read_text())
    return report


def run(seconds: float, seed: int) -> Report:
    """Fuzzes a node in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(attack(seconds, seed, Path(folder) / "data"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    asked = parser.parse_args()
    report = run(asked.seconds, asked.seed)
    print(
        f"seed {asked.seed}: {report.connections} connections, {report.sent} bytes, {report.answers} answers"
    )
    print(f"{report.pushes} pushes to the device in good order")
    print(f"KiB {report.memory_before >> 10} -> {report.memory_after >> 10}")
    for failure in report.failures:
        print(failure)
    return 1 if report.failures or report.grown else 0


if __name__ == "__main__":
    sys.exit(main())
