"""Churn for as long as is wanted, and what holds how much meanwhile: memory by kind, the database by table.

    python -m benchmarks.soak --seconds 3600             # marks at 10, 30 and 60 minutes
    python -m benchmarks.soak --seconds 180              # at a sixth, a half and the end of it
    python -m benchmarks.soak --seconds 600 --ttl 20 -- --saver.ledger_retention 60

A node of its own (SQLite, in a temporary folder) with devices that come and go, pushes to them in batches,
some with an Idempotency-Key, a broadcast each second, and plain publications among the devices. Each mark
weighs the node (`benchmarks.weighing`). What follows `--` are settings of the node: with short times, what the
database holds is seen to end within the run.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter, deque
from pathlib import Path
from typing import Final

import apsw
import msgspec

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.compare import free_port
from benchmarks.weighing import LONGEST, Weights
from longline.bench.hot.courier import content_length
from longline.bench.hot.wire import LIVE, PUBLISH, Channel, Handshakes, LoadClient, Poller, packet_end
from longline.bench.targets import LoadTarget
from longline.mqtt.codec import encode
from longline.mqtt.packets import Disconnect, Publish

KEY: Final = "soak-admin-key"
APP: Final = "soak"
START_SECONDS: Final = 60.0
POSTERS: Final = 8
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


class Device(LoadClient):
    """Acknowledges what comes, and publishes when it is told to."""

    def __init__(self, crowd: "Crowd", number: int) -> None:
        super().__init__(crowd.poller, crowd.handshakes, crowd.hellos[number], crowd.filters[number])
        self.crowd = crowd
        self.number = number

    def deliver(self, data: bytes) -> int:
        at = 0
        acks = []
        while at < len(data) and 0 < (end := packet_end(data, at)) <= len(data):
            if data[at] & 0xF0 == PUBLISH:
                self.crowd.counts["received"] += 1
                if data[at] & 6:
                    body = at + 1
                    while data[body] > 127:
                        body += 1
                    topic = body + 3 + (data[body + 1] << 8) + data[body + 2]
                    acks.append(b"\x40\x02" + data[topic : topic + 2])
            at = end
        if acks:
            self.write(b"".join(acks))
        return at

    def lost(self, reason: str) -> None:
        super().lost(reason)
        self.crowd.counts[f"lost: {reason}"] += 1
        self.crowd.absent.append(self.number)


class Poster(Channel):
    """One connection to the API, with a request on it or none."""

    def __init__(self, crowd: "Crowd") -> None:
        super().__init__(crowd.poller)
        self.crowd = crowd

    def connected(self) -> None:
        self.crowd.idle.append(self)

    def consume(self, data: bytes) -> int:
        start = data.find(b"\r\n\r\n") + 4
        if start < 4 or len(data) < start + content_length(data[:start]):
            return 0
        self.crowd.counts[f"answers {data[9:12].decode()}"] += 1
        self.crowd.idle.append(self)
        return len(data)

    def lost(self, reason: str) -> None:
        self.crowd.counts[f"posters lost: {reason}"] += 1


class Crowd:
    """All clients of the node, driven by the clock."""

    def __init__(self, plan: Plan, secret: str, mqtt: int, http: int) -> None:
        self.plan = plan
        self.poller = Poller()
        self.handshakes = Handshakes()
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
        self.address = ("127.0.0.1", mqtt)
        self.devices: list[Device | None] = [None] * plan.devices
        self.absent: deque[int] = deque(range(plan.devices))
        self.idle: deque[Poster] = deque()
        self.http = http
        self.random = random.Random(1)
        self.number = 0

    def come(self) -> None:
        """Lets everybody connect."""
        for _ in range(POSTERS):
            Poster(self).dial(("127.0.0.1", self.http), "")
        deadline = time.monotonic() + START_SECONDS
        while self.handshakes.live < self.plan.devices or len(self.idle) < POSTERS:
            self._connect(20)
            self.poller.turn(0.02)
            if time.monotonic() > deadline:
                raise SystemExit(f"{self.handshakes.live} devices came: {dict(self.counts)}")

    def churn(self, until: float) -> None:
        """Does what the plan says until then, by the monotonic clock; what it cannot keep up with is left."""
        plan = self.plan
        rates = (plan.connects, plan.pushes / plan.batch, plan.publications, 1.0)
        done = [0.0] * len(rates)
        began = time.monotonic()
        while (now := time.monotonic()) < until:
            due = []
            for number, rate in enumerate(rates):
                most = max(1.0, rate / 10)  # a tenth of a second's worth at once
                wanted = (now - began) * rate - done[number]
                done[number] += max(0.0, wanted - most)
                due.append(int(min(wanted, most)))
                done[number] += due[-1]
            self._part(due[0])
            self._connect(due[0] + 20)
            for _ in range(due[1]):
                self._push()
            self._publish(due[2])
            if due[3]:
                self._post({"audience": "all", "payload": "news", "options": {"ttl": self.plan.ttl}})
            self.poller.turn(0.005)

    def _connect(self, most: int) -> None:
        for _ in range(min(most, len(self.absent))):
            number = self.absent.popleft()
            device = self.devices[number] = Device(self, number)
            device.open(self.address, "")

    def _part(self, count: int) -> None:
        """Some leave: every other one says so, the rest are gone."""
        for _ in range(count):
            device = self.devices[self.random.randrange(len(self.devices))]
            if device is not None and device.phase == LIVE:
                if self.random.random() < 0.5:
                    device.write(self.goodbye)
                device.close()
                device.lost("left")

    def _push(self) -> None:
        self.number += 1
        options = {"ttl": self.plan.ttl}
        messages = [
            {
                "audience": {"devices": [f"d{self.random.randrange(self.plan.devices)}"]},
                "payload": "x" * 100,
                "options": options | ({"collapse_key": "c"} if n == 0 else {}),
            }
            for n in range(self.plan.batch)
        ]
        key = f"k{self.number}" if self.number % 4 == 0 else None
        self._post({"messages": messages}, ":batch", key)

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
        self.idle.popleft().write(head.encode() + b"\r\n" + data)

    def _publish(self, count: int) -> None:
        for _ in range(count):
            device = self.devices[self.random.randrange(len(self.devices))]
            if device is not None and device.phase == LIVE and len(device.outbox) < 65_536:
                device.write(self.random.choice(self.published))
                self.counts["published"] += 1


class Mark(msgspec.Struct, frozen=True):
    """The node at one moment; `tables`: bytes of the database by table and index."""

    seconds: float
    resident: int
    weights: Weights
    tables: dict[str, int]


def weighed(pid: int, report: Path, database: Path, seconds: float) -> Mark:
    """Has the node weighed; its clients wait meanwhile."""
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
    connection = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY)
    tables = dict(connection.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name"))
    connection.close()
    return Mark(seconds, resident, msgspec.json.decode(report.read_bytes(), type=Weights), tables)


def soak(plan: Plan) -> list[Mark]:
    """Runs a node and its clients; the marks, the first from when everybody had come."""
    with tempfile.TemporaryDirectory(prefix="longline-soak-") as folder:
        mqtt, http = free_port(), free_port()
        report = Path(folder, "weights.json")
        settings = {
            "data_dir": folder,
            "room.port": mqtt,
            "center.port": http,
            "admin_key": KEY,
            "node.log_level": "warning",
        }
        command = [sys.executable, "-m", "benchmarks.weighing", str(report)]
        command += [f"--{name}={value}" for name, value in settings.items()]
        with Path(folder, "log").open("wb") as log:
            node = subprocess.Popen([*command, *plan.node], cwd=Path(__file__).parents[1], stderr=log)
        try:
            crowd = Crowd(plan, created(http, node, Path(folder, "log")), mqtt, http)
            crowd.come()
            marks = []
            passed = 0.0
            for mark in plan.marks():
                crowd.churn(time.monotonic() + mark - passed)
                passed = mark
                marks.append(weighed(node.pid, report, Path(folder, "longline.db"), mark))
                print(f"{mark:6.0f} s  {marks[-1].resident / MIB:.1f} MiB  {dict(crowd.counts)}", flush=True)
        finally:
            node.terminate()
            node.wait()
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=3600, help="how long")
    parser.add_argument("--devices", type=int, default=700)
    parser.add_argument("--connects", type=float, default=200.0, help="devices that leave and return a second")
    parser.add_argument("--pushes", type=float, default=2900.0, help="messages to one device a second")
    parser.add_argument("--batch", type=int, default=20, help="messages in a request")
    parser.add_argument("--publications", type=float, default=5700.0, help="plain ones a second")
    parser.add_argument("--ttl", type=int, default=86_400, help="of the messages, in seconds")
    parser.add_argument("node", nargs="*", help="settings of the node, after --")
    print(report(soak(parser.parse_args(namespace=Plan()))))


if __name__ == "__main__":
    main()
