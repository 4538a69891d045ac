"""Longline beside mosquitto in one run: the server on one core, the load on another, in turns.

    python benchmarks/compare.py                       # everything, three rounds
    python benchmarks/compare.py fanout routing --rounds 5 --seconds 10

Needs the `longline` package, and for the peer `mosquitto` (Debian package of that name). Both servers are
started here on free loopback ports, in temporary folders, and stopped again. They take turns (A B A B …), so
that whatever else the machine does meets both; the medians are compared. A figure that the load generator
limited is marked, as it says nothing about the server.
"""

import argparse
import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ADMIN_KEY = "benchmark-admin-key"
APP = "bench"
START_SECONDS = 20.0
GROUPS = ("fanout", "routing", "memory", "unicast")

MOSQUITTO_CONF = """\
listener {port} 127.0.0.1
allow_anonymous true
persistence false
log_type none
# In mosquitto's favour: no delay for small packets, and no limit that would make it drop.
set_tcp_nodelay true
max_queued_messages 0
max_inflight_messages 0
"""


@dataclass
class Server:
    """A running server, and how the load generator reaches it."""

    name: str
    pid: int
    flags: list[str]
    """For any mode."""
    unicast_flags: list[str] = field(default_factory=list)


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def process(command: list[str], cpu: int, port: int, log: Path, **environment: str) -> Iterator[int]:
    """Runs a server pinned to a core, from when `port` answers; gives its process id."""
    with log.open("wb") as output:
        # taskset becomes the server: the process id stays.
        child = subprocess.Popen(
            ["taskset", "-c", str(cpu), *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **environment},
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
                break
            if child.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"{command} did not start:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)
        yield child.pid
    finally:
        child.terminate()
        child.wait(timeout=30)


@contextlib.contextmanager
def mosquitto(cpu: int) -> Iterator[Server]:
    """The peer, with nothing in its way."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        # Started by root, it changes to a user of its own, who must be able to read this.
        Path(folder).chmod(0o755)
        conf = Path(folder, "mosquitto.conf")
        conf.write_text(MOSQUITTO_CONF.format(port=port))
        program = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")
        if program is None:
            sys.exit("mosquitto is not installed")
        with process([program, "-c", str(conf)], cpu, port, Path(folder, "log")) as pid:
            yield Server("mosquitto", pid, ["--port", str(port)])


@contextlib.contextmanager
def longline(cpu: int) -> Iterator[Server]:
    """One node with every role, durable storage in a temporary folder, and an app with `pubsub` on."""
    room, center = free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "longline.toml")
        config.write_text(
            f'data_dir = "{folder}/data"\n'
            f"[room]\nport = {room}\nws_port = 0\nwss_port = 0\ntls_port = 0\n"
            f"[center]\nport = {center}\n"
        )
        command = [sys.executable, "-m", "longline", "serve", "--config", str(config)]
        with process(command, cpu, center, Path(folder, "log"), LONGLINE_ADMIN_KEY=ADMIN_KEY) as pid:
            url = f"http://127.0.0.1:{center}"
            app = create_app(url)
            account = ["--port", str(room), "--app", APP, "--secret", app["device_secret"]]
            yield Server("longline", pid, account, [*account, "--url", url, "--key", app["server_key"]])


def create_app(url: str) -> dict[str, str]:
    """The keys of a new app."""
    request = urllib.request.Request(
        f"{url}/v1/apps",
        data=json.dumps({"app": APP, "pubsub": True}).encode(),
        headers={"Authorization": f"Bearer {ADMIN_KEY}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        answer: dict[str, str] = json.load(response)
        return answer


@dataclass
class Case:
    """One comparison: a mode of `longline bench`, its flags, and the figure that is compared."""

    group: str
    title: str
    mode: str
    flags: list[str]
    figure: str
    unit: str
    peer: bool = True


def cases(seconds: float) -> list[Case]:
    """Every comparison that is made."""
    timed = ["--seconds", str(seconds)]
    fanout = [
        Case(
            "fanout",
            f"fan-out to 1,000 subscribers, 128 B, window {window}",
            "fanout",
            ["--topics", "1", "--subscribers", "1000", "--size", "128", "--window", str(window), *timed],
            "delivered_per_second",
            "deliveries/s",
        )
        for window in (1, 8, 64)
    ]
    routing = [
        Case(
            "routing",
            f"QoS 0 one to one, {pairs} pairs, 128 B, window {window}",
            "fanout",
            ["--topics", str(pairs), "--subscribers", "1", "--size", "128", "--window", str(window), *timed],
            "delivered_per_second",
            "messages/s",
        )
        for pairs, window in ((1, 16), (1, 256), (50, 16), (50, 256))
    ]
    memory = Case(
        "memory",
        "resident memory of 15,000 idle connections",
        "connections",
        ["--connections", "15000", "--hold", "2"],
        "rss_bytes_per_connection",
        "bytes each",
    )
    unicast = Case(
        "unicast",
        "durable unicasts, batches of 500, 1,000 devices, to receipt",
        "unicast",
        ["--devices", "1000", "--batch", "500", "--size", "128", *timed],
        "acknowledged_per_second",
        "messages/s",
        peer=False,
    )
    return [*fanout, *routing, memory, unicast]


@dataclass
class Run:
    """One measurement: the figure, how busy both sides were in cores, and whether the load was the limit."""

    figure: float
    server_cpu: float | None
    load_cpu: float
    limited: bool

    def __str__(self) -> str:
        server = "" if self.server_cpu is None else f"server {self.server_cpu:.2f} cores, "
        return f"{self.figure:,.0f} ({server}load {self.load_cpu:.2f})"


def measure(case: Case, server: Server, cpu: int) -> Run:
    """One run against a server."""
    flags = server.unicast_flags if case.mode == "unicast" else server.flags
    done = subprocess.run(
        [
            *(sys.executable, "-m", "longline", "bench", case.mode, *case.flags, *flags),
            *("--cpus", str(cpu), "--server-pid", str(server.pid), "--json"),
        ],
        stdout=subprocess.PIPE,
        check=False,
    )
    result = json.loads(done.stdout)
    if done.returncode:
        sys.exit(f"{server.name}, {case.title}: {json.dumps(result, indent=2)}")
    return Run(
        result[case.figure],
        result.get("server_cpu"),
        sum(result["generator_cpu"]),
        result["generator_was_the_limit"],
    )


def compare(case: Case, rounds: int, server_cpu: int, load_cpu: int) -> str:
    """Runs a case in turns; a row of the table, with every round's figure on standard error."""
    figures: dict[str, list[float]] = {"longline": [], "mosquitto": []}
    limited: set[str] = set()
    for _ in range(rounds):
        # A fresh server each time: memory, and what a long run leaves behind, start equal.
        for start in (longline, mosquitto) if case.peer else (longline,):
            with start(server_cpu) as server:
                run = measure(case, server, load_cpu)
            figures[server.name].append(run.figure)
            if run.limited:
                limited.add(server.name)
            print(f"{case.title}: {server.name} {run}", file=sys.stderr)
    cells = []
    for name, values in figures.items():
        mark = " (load was the limit)" if name in limited else ""
        cells.append(f"{statistics.median(values):,.0f}{mark}" if values else "–")
    ours, theirs = figures["longline"], figures["mosquitto"]
    ratio = f"{statistics.median(ours) / statistics.median(theirs):.2f}" if theirs else "–"
    return f"| {case.title} | {case.unit} | {cells[0]} | {cells[1]} | {ratio} |"


def main() -> None:
    """Parses the arguments, runs the cases, prints a table in Markdown."""
    parser = argparse.ArgumentParser(description="Longline beside mosquitto, in turns.")
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"{', '.join(GROUPS)}; default all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each measurement")
    parser.add_argument("--server-cpu", type=int, default=0)
    parser.add_argument("--load-cpu", type=int, default=1)
    arguments = parser.parse_args()
    if unknown := set(arguments.groups) - set(GROUPS):
        parser.error(f"no such group: {', '.join(unknown)}")
    rows = [
        compare(case, arguments.rounds, arguments.server_cpu, arguments.load_cpu)
        for case in cases(arguments.seconds)
        if case.group in (arguments.groups or GROUPS)
    ]
    print("| what | unit | Longline | mosquitto | ratio |\n|---|---|---:|---:|---:|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
