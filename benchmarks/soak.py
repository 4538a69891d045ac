"""Churn for as long as is wanted, and what holds how much meanwhile: memory by kind, the database by table.

    python -m benchmarks.soak --seconds 3600             # marks at 10, 30 and 60 minutes
    python -m benchmarks.soak --seconds 180              # at a sixth, a half and the end of it
    python -m benchmarks.soak --seconds 600 --ttl 20 -- --saver.ledger_retention 60

A node of its own (SQLite, in a temporary folder) with devices that come and go, pushes to them in batches,
some with an Idempotency-Key, a broadcast each second, and plain publications among the devices. The node is
weighed at each mark (`benchmarks.weighing`). What follows `--` are settings of the node: with short times,
what the database holds is seen to end within the run.
"""

import argparse
import asyncio
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, cast

import apsw
import msgspec
import uvloop

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.contenders import free_port
from benchmarks.weighing import LONGEST, Weights

from longline.bench.hot.courier import content_length
from longline.bench.hot.wire import CONNACK, PUBLISH, packet_end
from longline.bench.targets import LoadTarget
from longline.mqtt.codec import encode
from longline.mqtt.packets import Disconnect, Publish

KEY: Final = "soak-admin-key"
APP: Final = "soak"
START_SECONDS: Final = 60.0
HOST: Final = "127.0.0.1"
POSTERS: Final = 8  # connections to the API
TOGETHER: Final = 20  # connects between two looks at the clock
PAUSE: Final = 0.005  # s
UNSENT: Final = 65_536  # bytes of publications that wait to be written
KINDS: Final = 24  # rows of the table; the rest is one row
MIB: Final = 1 << 20


class Plan(argparse.Namespace):
    """What is to be done, a second where it is a rate."""

    seconds: int
    devices: int
    connects: float
    pushes: float
    batch: int
    publications: float
    ttl: int
    node: list[str]

    def marks(self) -> list[float]:
        """Seconds after the start at which the node is weighed; the first when everybody has come."""
        return [0.0, self.seconds / 6, self.seconds / 2, float(self.seconds)]


class Device(asyncio.Protocol):
    """Connects, subscribes, acknowledges what comes, and publishes when it is told to."""

    def __init__(self, crowd: "Crowd", number: int) -> None:
        self.crowd = crowd
        self.number = number
        self.live = False
        self.rest = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are no subclasses
        self.transport.write(self.crowd.hellos[self.number])

    def data_received(self, data: bytes) -> None:
        data = self.rest + data
        at = 0
        acks = []
        while at < len(data) and 0 < (end := packet_end(data, at)) <= len(data):
            kind = data[at] & 0xF0
            if kind == PUBLISH:
                self.crowd.counts["received"] += 1
                if data[at] & 6:
                    body = at + 1
                    while data[body] > 127:
                        body += 1
                    topic = body + 3 + (data[body + 1] << 8) + data[body + 2]
                    acks.append(b"\x40\x02" + data[topic : topic + 2])
            elif kind == CONNACK and not data[at + 3]:
                self.live = True
                acks.append(self.crowd.filters[self.number])
            at = end
        self.rest = data[at:]
        if acks and self.transport is not None:
            self.transport.write(b"".join(acks))

    def connection_lost(self, error: Exception | None) -> None:
        self.end("lost")

    def leave(self, *, says_so: bool) -> None:
        """Goes away, with a DISCONNECT or without."""
        if self.transport is not None and self.live:
            if says_so:
                self.transport.write(self.crowd.goodbye)
            self.transport.close()
            self.end("left")

    def publish(self, packet: bytes) -> None:
        """Sends it, unless what was sent before is still on its way."""
        if self.transport is not None and self.live and self.transport.get_write_buffer_size() < UNSENT:
            self.transport.write(packet)
            self.crowd.counts["published"] += 1

    def end(self, how: str) -> None:
        """It is to come again."""
        if self.crowd.devices[self.number] is self:
            self.crowd.devices[self.number] = None
            self.crowd.absent.append(self.number)
            self.crowd.counts[how if self.live else "not let in"] += 1
        self.live = False


class Poster(asyncio.Protocol):
    """One connection to the API, with a request on it or none."""

    def __init__(self, crowd: "Crowd") -> None:
        self.crowd = crowd
        self.answer = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are no subclasses
        self.crowd.idle.append(self)

    def post(self, request: bytes) -> None:
        assert self.transport is not None
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.answer += data
        start = self.answer.find(b"\r\n\r\n") + 4
        if start >= 4 and len(self.answer) >= start + content_length(self.answer[:start]):
            self.crowd.counts[f"answers {self.answer[9:12].decode()}"] += 1
            self.answer = b""
            self.crowd.idle.append(self)


class Crowd:
    """All clients of the node, driven by the clock."""

    def __init__(self, plan: Plan, secret: str, mqtt: int, http: int) -> None:
        self.plan = plan
        self.mqtt = mqtt
        self.http = http
        self.counts: Counter[str] = Counter()
        target = LoadTarget(port=mqtt, app=APP, secret=secret)
        self.hellos = [target.connect(f"d{number}", 60) for number in range(plan.devices)]
        self.filters = [target.subscribe(f"t/{number}", 1) for number in range(plan.devices)]
        self.published = [
            encode(Publish(f"t/{number}", b"x" * 128, qos, packet_id=qos), 4)
            for number in range(plan.devices)
            for qos in (0, 1)
        ]
        self.goodbye = encode(Disconnect(), 4)
        self.devices: list[Device | None] = [None] * plan.devices
        self.absent = deque(range(plan.devices))
        self.idle: deque[Poster] = deque()
        self.random = random.Random(1)
        self.number = 0

    async def come(self) -> None:
        """Lets everybody connect."""
        loop = asyncio.get_running_loop()
        for _ in range(POSTERS):
            await loop.create_connection(lambda: Poster(self), HOST, self.http)
        deadline = time.monotonic() + START_SECONDS
        while sum(device is not None and device.live for device in self.devices) < self.plan.devices:
            await self._connect(TOGETHER)
            await asyncio.sleep(PAUSE)
            if time.monotonic() > deadline:
                raise SystemExit(f"the devices did not come in time: {dict(self.counts)}")

    async def churn(self, seconds: float) -> None:
        """Does what the plan says for so long; what it cannot keep up with is left."""
        plan = self.plan
        parts: tuple[tuple[float, Callable[[], None]], ...] = (
            (plan.connects, self._part),
            (plan.pushes / plan.batch, self._push),
            (plan.publications, self._publish),
            (1.0, self._broadcast),
        )
        done = [0.0] * len(parts)
        began = time.monotonic()
        while (passed := time.monotonic() - began) < seconds:
            for number, (rate, act) in enumerate(parts):
                most = max(1.0, rate / 10)  # a tenth of a second's worth at once
                done[number] = max(done[number], passed * rate - most)
                while done[number] + 1 <= passed * rate:
                    done[number] += 1
                    act()
            await self._connect(TOGETHER)
            await asyncio.sleep(PAUSE)

    async def _connect(self, most: int) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(min(most, len(self.absent))):
            number = self.absent.popleft()
            device = self.devices[number] = Device(self, number)
            await loop.create_connection(lambda device=device: device, HOST, self.mqtt)  # type: ignore[misc]

    def _anybody(self) -> Device | None:
        return self.devices[self.random.randrange(len(self.devices))]

    def _part(self) -> None:
        """One leaves: every other one says so."""
        if (device := self._anybody()) is not None:
            device.leave(says_so=self.random.random() < 0.5)

    def _publish(self) -> None:
        if (device := self._anybody()) is not None:
            device.publish(self.random.choice(self.published))

    def _push(self) -> None:
        self.number += 1
        messages = [
            {
                "audience": {"devices": [f"d{self.random.randrange(self.plan.devices)}"]},
                "payload": "x" * 100,
                "options": {"ttl": self.plan.ttl} | ({"collapse_key": "c"} if n == 0 else {}),
            }
            for n in range(self.plan.batch)
        ]
        self._post({"messages": messages}, ":batch", f"k{self.number}" if self.number % 4 == 0 else None)

    def _broadcast(self) -> None:
        self._post({"audience": "all", "payload": "news", "options": {"ttl": self.plan.ttl}})

    def _post(self, body: object, what: str = "", key: str | None = None) -> None:
        if not self.idle:
            self.counts["not sent: the API is busy"] += 1
            return
        data = msgspec.json.encode(body)
        head = (
            f"POST /v1/apps/{APP}/messages{what} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n"
        )
        if key is not None:
            head += f"Idempotency-Key: {key}\r\n"
        self.idle.popleft().post(head.encode() + b"\r\n" + data)


class Mark(msgspec.Struct, frozen=True):
    """The node at one moment; `tables`: bytes of the database by table and index."""

    seconds: float
    resident: int
    weights: Weights
    tables: dict[str, int]


def weighed(pid: int, folder: Path, seconds: float) -> Mark:
    """Has the node weighed; its clients wait meanwhile."""
    report = folder / "weights.json"
    report.unlink(missing_ok=True)
    resident = next(
        int(line.split()[1]) * 1024
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        if line.startswith("Rss:")
    )
    os.kill(pid, signal.SIGUSR2)
    deadline = time.monotonic() + LONGEST
    while not report.exists():
        if time.monotonic() > deadline:
            raise SystemExit("the node was not weighed in time")
        time.sleep(0.05)
    connection = apsw.Connection(str(folder / "longline.db"), flags=apsw.SQLITE_OPEN_READONLY)
    tables = dict(connection.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name"))
    connection.close()
    return Mark(seconds, resident, msgspec.json.decode(report.read_bytes(), type=Weights), tables)


@contextmanager
def a_node(folder: Path, mqtt: int, http: int, more: Sequence[str]) -> Iterator["subprocess.Popen[bytes]"]:
    """A node that can be weighed, its log in `folder`."""
    own = {
        "data_dir": folder,
        "room.port": mqtt,
        "room.ws_port": 0,
        "center.port": http,
        "admin_key": KEY,
        "node.log_level": "warning",
    }
    command = [sys.executable, "-m", "benchmarks.weighing", str(folder / "weights.json")]
    command += [f"--{name}={value}" for name, value in own.items()]
    with (folder / "log").open("wb") as log:
        node = subprocess.Popen([*command, *more], cwd=Path(__file__).parents[1], stderr=log)
    try:
        yield node
    finally:
        node.terminate()
        node.wait()


async def soak(plan: Plan, node: "subprocess.Popen[bytes]", folder: Path, mqtt: int, http: int) -> list[Mark]:
    """Has the clients do what the plan says; the marks, the first from when everybody had come."""
    crowd = Crowd(plan, created(http, node, folder / "log"), mqtt, http)
    await crowd.come()
    marks: list[Mark] = []
    for mark in plan.marks():
        await crowd.churn(mark - marks[-1].seconds if marks else 0.0)
        marks.append(weighed(node.pid, folder, mark))
        print(f"{mark:6.0f} s  {marks[-1].resident / MIB:.1f} MiB  {dict(crowd.counts)}", flush=True)
    return marks


def created(http: int, node: "subprocess.Popen[bytes]", log: Path) -> str:
    """The device secret of the app, made as soon as the node answers."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{http}/v1/apps",
        msgspec.json.encode({"app": APP, "pubsub": True}),
        {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"},
    )
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(request) as answer:
                return str(msgspec.json.decode(answer.read())["device_secret"])
        except OSError as error:
            if node.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the node did not start: {error}\n{log.read_text()}") from None
            time.sleep(0.05)


def table(title: str, marks: list[Mark], rows: dict[str, list[int]]) -> str:
    """Rows of bytes at each mark, in MiB, and how they grew a minute between the last two."""
    minutes = max(1e-9, (marks[-1].seconds - marks[-2].seconds) / 60)
    lines = [f"| {title} | " + " | ".join(f"{mark.seconds / 60:.1f} min" for mark in marks) + " | a minute |"]
    lines.append("|---|" + "---:|" * (len(marks) + 1))
    for name, sizes in rows.items():
        grown = (sizes[-1] - sizes[-2]) / minutes / MIB
        lines.append(f"| {name} | " + " | ".join(f"{s / MIB:.2f}" for s in sizes) + f" | {grown:+.2f} |")
    return "\n".join(lines)


def largest(parts: list[dict[str, int]]) -> dict[str, list[int]]:
    """The kinds that were largest at any mark, those first, and the rest together."""
    names = sorted({name for part in parts for name in part}, key=lambda n: -max(p.get(n, 0) for p in parts))
    rows = {name: [part.get(name, 0) for part in parts] for name in names[:KINDS]}
    rows["all others"] = [sum(part.get(name, 0) for name in names[KINDS:]) for part in parts]
    return rows


def report(marks: list[Mark]) -> str:
    """The tables, in Markdown."""
    weights = [mark.weights for mark in marks]
    memory = {
        "resident": [mark.resident for mark in marks],
        "SQLite": [w.sqlite for w in weights],
        "Python objects": [sum(w.kinds.values()) for w in weights],
        "Python's allocator: in use": [w.python_used for w in weights],
        "Python's allocator: free": [w.python_free for w in weights],
        "malloc: in use": [w.malloc_used for w in weights],
        "malloc: free": [w.malloc_free for w in weights],
    }
    return "\n\n".join(
        (
            table("memory, MiB", marks, memory),
            table("Python objects by holder, MiB", marks, largest([w.kinds for w in weights])),
            table("database, MiB", marks, largest([mark.tables for mark in marks])),
        )
    )


def main() -> None:
    """Soaks, and prints the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=3600, help="how long")
    parser.add_argument("--devices", type=int, default=700)
    parser.add_argument(
        "--connects", type=float, default=200.0, help="devices that leave and return a second"
    )
    parser.add_argument("--pushes", type=float, default=2900.0, help="messages to one device a second")
    parser.add_argument("--batch", type=int, default=20, help="messages in a request")
    parser.add_argument("--publications", type=float, default=5700.0, help="plain ones a second")
    parser.add_argument("--ttl", type=int, default=86_400, help="of the messages, in seconds")
    parser.add_argument("node", nargs="*", help="settings of the node, after --")
    plan = parser.parse_args(namespace=Plan())
    mqtt, http = free_port(), free_port()
    with (
        tempfile.TemporaryDirectory(prefix="longline-soak-") as name,
        a_node(Path(name), mqtt, http, plan.node) as node,
    ):
        print(report(uvloop.run(soak(plan, node, Path(name), mqtt, http))))


if __name__ == "__main__":
    main()
