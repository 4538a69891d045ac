"""Two checkouts of Longline in one run, in turns: whether the newer one is slower, and where.

    python -m benchmarks.versions OLD NEW          # everything, five rounds, about a quarter of an hour
    python -m benchmarks.versions OLD NEW fanout memory --rounds 3 --seconds 5

OLD and NEW are folders with Longline installed in their `.venv` (`make setup`). Needs `redis-server` (Debian
package of that name). Servers are started here on free loopback ports, in temporary folders, one at a time,
and stopped again; the load comes from OLD's `longline bench` for both. In every round each case runs on both,
the one that begins changing from round to round, so that whatever else the machine does meets both.

Rates say little on a machine that is shared, CPU seconds of the server's own process more: so each case has
two ratios, of the rate and of what a CPU second of the server got done. Above 1, NEW is better.
"""

import argparse
import contextlib
import json
import math
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.cluster import Deployment, cluster_settings, process, ready, redis
from benchmarks.contenders import ADMIN_KEY, free_port

from longline.bench.servers import cpu_seconds_of

GROUPS = ("fanout", "routing", "unicast", "broadcast", "connects", "memory")

CONNECTIONS = 15_000  # a process may have 20,000 files open on many a machine
DEVICES = 8_000  # of a broadcast
TICK = 0.01


@dataclass(frozen=True)
class Version:
    """A checkout, and the cores that its servers and the load are pinned to."""

    name: str
    checkout: Path
    server_cpu: int
    load_cpu: int

    @property
    def program(self) -> str:
        """Its command."""
        return str(self.checkout / ".venv/bin/longline")

    @property
    def python(self) -> str:
        """The interpreter of its environment."""
        return str(self.checkout / ".venv/bin/python")

    def revision(self) -> str:
        """What is checked out, and whether its hot path is compiled."""
        told = subprocess.run(
            ["git", "-C", str(self.checkout), "describe", "--always", "--dirty"],
            capture_output=True,
            text=True,
            check=False,
        )
        ask = (
            "from longline.telemetry.build import hot_path_compiled as compiled;"
            "print('' if compiled() else ' (interpreted)')"
        )
        compiled = subprocess.run(
            [self.python, "-c", ask], capture_output=True, text=True, check=True, cwd="/", env={}
        )
        return (told.stdout.strip() or "unknown") + compiled.stdout.rstrip()


# --- servers --------------------------------------------------------------------------------------------

Start = Callable[[Version], contextlib.AbstractContextManager[Deployment]]


@contextlib.contextmanager
def alone(version: Version) -> Iterator[Deployment]:
    """`longline serve`: one process with every role, SQLite."""
    with tempfile.TemporaryDirectory() as folder:
        serve = ["serve", "--quiet", "--data", f"{folder}/data"]
        settings = {"LONGLINE_ADMIN_KEY": ADMIN_KEY}
        with server(version, folder, serve, settings) as deployment:
            yield deployment


@contextlib.contextmanager
def on_redis(version: Version) -> Iterator[Deployment]:
    """One process with every role on a Redis, which keeps the membership too."""
    store = free_port()
    with tempfile.TemporaryDirectory() as folder, redis(store, folder, "everysec"):
        roles = ["run", "room", "center", "coordinator"]
        with server(version, folder, roles, cluster_settings(store)) as deployment:
            yield deployment


@contextlib.contextmanager
def server(
    version: Version, folder: str, command: Sequence[str], settings: Mapping[str, str]
) -> Iterator[Deployment]:
    """One process on its core, from when it takes traffic, with an app for the load."""
    room, center = free_port(), free_port()
    mine = {
        **settings,
        "LONGLINE_ROOM__PORT": str(room),
        "LONGLINE_ROOM__WS_PORT": "0",
        "LONGLINE_CENTER__PORT": str(center),
        "PYTHONPATH": "",
    }
    pinned = ["taskset", "-c", str(version.server_cpu), version.program, *command]
    with process(pinned, folder, version.name, mine) as pid:
        ready(center, folder)
        deployment = Deployment(f"http://127.0.0.1:{center}", room, {"Longline": [pid]})
        deployment.enter()
        yield deployment


# --- cases ----------------------------------------------------------------------------------------------

Result = Mapping[str, Any]


@dataclass(frozen=True)
class Figure:
    """One number of a run: what it is called, where it is in the result of `longline bench`."""

    group: str
    title: str
    unit: str
    key: str
    work: str = ""
    """The key of what was done in all; empty: the rate counts, for as long as the CPU was measured."""
    small_is_good: bool = False


@dataclass(frozen=True)
class Case:
    """A server under a load: a mode of `longline bench` with flags, and the figures that are read of it."""

    start: Start
    mode: str
    flags: Sequence[str]
    figures: Sequence[Figure]


def cases(seconds: float, connections: int, devices: int, broadcasts: int) -> list[Case]:
    """Every case, in the order in which a round goes through them."""
    timed = ["--seconds", str(seconds)]
    found = []
    for window in (1, 4, 16):
        figure = Figure(
            "fanout", f"fan-out to 1,000, window {window}", "deliveries/s", "delivered_per_second"
        )
        flags = ["--topics", "1", "--subscribers", "1000", "--window", str(window), *timed]
        found.append(Case(alone, "fanout", flags, [figure]))
    for qos in (0, 1):
        figure = Figure(
            "routing", f"QoS {qos} one to one, 50 pairs, window 16", "messages/s", "delivered_per_second"
        )
        flags = ["--topics", "50", "--subscribers", "1", "--window", "16", "--qos", str(qos), *timed]
        found.append(Case(alone, "fanout", flags, [figure]))
    for start, where in ((alone, "SQLite"), (on_redis, "Redis")):
        figure = Figure("unicast", f"durable unicasts, {where}", "messages/s", "acknowledged_per_second")
        found.append(Case(start, "unicast", ["--devices", "1000", *timed], [figure]))
        figure = Figure(
            "broadcast", f"broadcast to {devices:,}, {where}", "deliveries/s", "delivered_per_second"
        )
        flags = ["--devices", str(devices), "--messages", str(broadcasts), "--window", "8"]
        found.append(Case(start, "broadcast", flags, [figure]))
        figures = [
            Figure("connects", f"CONNECTs with tokens, {where}", "a second", "connects_per_second", "opened"),
            Figure(
                "memory",
                f"resident, {connections:,} idle connections, {where}",
                "bytes each",
                "rss_bytes_per_connection",
                small_is_good=True,
            ),
        ]
        # No keep alive: pings of a slow run would be counted as CONNECTs' work.
        flags = ["--connections", str(connections), "--hold", "0", "--keep-alive", "0"]
        found.append(Case(start, "connections", flags, figures))
    return found


@dataclass
class Series:
    """What the rounds gave for one figure on one version."""

    rates: list[float] = field(default_factory=list)
    per_cpu: list[float] = field(default_factory=list)
    """Done by each CPU second of the server."""
    limited: bool = False
    """The load generator was the limit in some round."""


def measure(case: Case, version: Version, load: str) -> tuple[Result, float]:
    """One run on a fresh server: the figures, and the CPU seconds that the server used meanwhile."""
    with case.start(version) as deployment:
        pids = deployment.pids["Longline"]
        flags = deployment.flags
        if case.mode in ("fanout", "connections"):  # which have no business with the API
            pairs = zip(flags[::2], flags[1::2], strict=True)
            flags = [part for pair in pairs if pair[0] not in ("--url", "--key") for part in pair]
        watched = [part for pid in pids for part in ("--server-pid", str(pid))]
        before = cpu_seconds_of(pids)
        done = subprocess.run(
            [
                load,
                "bench",
                case.mode,
                *case.flags,
                *flags,
                *watched,
                "--cpus",
                str(version.load_cpu),
                "--json",
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        used = cpu_seconds_of(pids) - before
    result = json.loads(done.stdout or "{}")
    if done.returncode:
        sys.exit(f"{version.name}, {case.mode} {' '.join(case.flags)}: {done.stdout}{done.stderr}")
    return result, used


def note(figure: Figure, series: Series, result: Result, used: float) -> str:
    """Adds a run to a series; says what it was."""
    rate = float(result[figure.key])
    series.rates.append(rate)
    series.limited = series.limited or bool(result["generator_was_the_limit"])
    if figure.small_is_good:
        return f"{rate:,.0f}"
    # The kernel counts in hundredths of a second: a run so short that it saw none used one at most.
    per_cpu = result[figure.work] / max(used, TICK) if figure.work else rate / max(result["server_cpu"], TICK)
    series.per_cpu.append(per_cpu)
    return f"{rate:,.0f} ({per_cpu:,.0f} a CPU second)"


def better(figure: Figure, old: float, new: float) -> float:
    """How many times as good the new figure is."""
    good, bad = (old, new) if figure.small_is_good else (new, old)
    return good / bad if bad else math.inf


def row(figure: Figure, old: Series, new: Series) -> str:
    """A line of the table."""
    cells = [figure.title, figure.unit]
    for before, after in ((old.rates, new.rates), (old.per_cpu, new.per_cpu)):
        if not before:
            cells += ["", "", "", ""]
            continue
        ratios = sorted(better(figure, *pair) for pair in zip(before, after, strict=True))
        middles = statistics.median(before), statistics.median(after)
        cells += [f"{middle:,.0f}" for middle in middles]
        cells += [f"{better(figure, *middles):.3f}", f"{ratios[0]:.2f} to {ratios[-1]:.2f}"]
    if old.limited or new.limited:
        cells[0] += " (load was the limit)"
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Parses the arguments, runs the rounds, prints a table in Markdown."""
    parser = argparse.ArgumentParser(description="Two checkouts of Longline, in turns.")
    parser.add_argument("old", type=Path, metavar="OLD")
    parser.add_argument("new", type=Path, metavar="NEW")
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"{', '.join(GROUPS)}; default all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of each measurement by time")
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    parser.add_argument("--devices", type=int, default=DEVICES, help="that a broadcast goes to")
    parser.add_argument("--broadcasts", type=int, default=100)
    parser.add_argument("--server-cpu", type=int, default=0)
    parser.add_argument("--load-cpu", type=int, default=1)
    options = parser.parse_args()
    wanted = set(options.groups or GROUPS)
    if unknown := wanted - set(GROUPS):
        parser.error(f"no such group: {', '.join(unknown)}")
    old, new = (
        Version(name, checkout.resolve(), options.server_cpu, options.load_cpu)
        for name, checkout in (("old", options.old), ("new", options.new))
    )
    chosen = [
        case
        for case in cases(options.seconds, options.connections, options.devices, options.broadcasts)
        if any(figure.group in wanted for figure in case.figures)
    ]
    found = {
        (figure, version): Series() for case in chosen for figure in case.figures for version in (old, new)
    }
    for number in range(options.rounds):
        for case in chosen:
            for version in (new, old) if number % 2 else (old, new):
                result, used = measure(case, version, old.program)
                for figure in case.figures:
                    said = note(figure, found[figure, version], result, used)
                    print(f"{number + 1}. {figure.title}: {version.name} {said}", file=sys.stderr, flush=True)
    print(f"Old: {old.revision()}. New: {new.revision()}. Medians of {options.rounds} rounds.\n")
    print("| what | unit | old | new | ratio | of rounds | old, a CPU second | new | ratio | of rounds |")
    print("|---|---|---:|---:|---:|---|---:|---:|---:|---|")
    for case in chosen:
        for figure in case.figures:
            if figure.group in wanted:
                print(row(figure, found[figure, old], found[figure, new]))


if __name__ == "__main__":
    main()
