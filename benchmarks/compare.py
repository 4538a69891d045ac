"""Longline beside mosquitto in one run: the server on one core, the load on another, in turns.

    python benchmarks/compare.py                       # everything, three rounds
    python benchmarks/compare.py fanout routing --rounds 5 --seconds 10
    python benchmarks/compare.py --rounds 1 --seconds 0.2 --scale 0.01      # whether all of it runs

Needs the `longline` package, `mosquitto` (Debian package of that name), `openssl`, and `gcc` for the sink.
The servers are started here on free loopback ports, in temporary folders, and stopped again. They take turns
(A B A B …), so that whatever else the machine does meets all; the medians are compared. A figure that the
load generator limited is marked, as it says nothing about the server.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.contenders import Kind, Server, longline, mosquitto, sink

GROUPS: Final = ("fanout", "routing", "connects", "handshakes", "tls", "memory", "unicast")

CONNECTS_A_SECOND: Final = 2_000
"""Connections that `connects` makes for each of its seconds; how long they take is what is measured."""

MOST_CONNECTS: Final = 15_000  # a process may have 20,000 files open on many a machine


@dataclass(frozen=True)
class Side:
    """One of those that are compared."""

    name: str
    start: Callable[[int], AbstractContextManager[Server]]
    tls: bool = False
    """Whether the load comes over TLS."""


OURS: Final = Side("Longline", longline)
PEER: Final = Side("mosquitto", mosquitto)


@dataclass(frozen=True)
class Case:
    """One comparison: a mode of `longline bench`, its flags, and the figure that is compared.

    The first side is held against each of the others.
    """

    group: str
    title: str
    mode: str
    flags: list[str]
    figure: str
    unit: str
    sides: tuple[Side, ...] = (OURS, PEER)
    rate: bool = True
    """Whether a busy load generator holds the figure down; memory it does not."""
    again: bool = False
    """Whether the second run against a server is the one that counts."""


def cases(seconds: float, scale: float) -> list[Case]:
    """Every comparison that is made."""
    return [
        *fanouts(seconds, scale),
        *routings(seconds, scale),
        *connects(seconds, scale),
        *handshakes(seconds),
        *tls(seconds, scale),
        *memories(scale),
        unicast(seconds, scale, "unicast", (OURS,)),
    ]


def scaled(count: int, scale: float) -> int:
    """So many of them; one at least."""
    return max(1, round(count * scale))


def fanout(group: str, window: int, seconds: float, scale: float, sides: tuple[Side, ...]) -> Case:
    """From one publisher to many subscribers."""
    count = scaled(1000, scale)
    return Case(
        group,
        f"fan-out to {count:,} subscribers, 128 B, window {window}",
        "fanout",
        [
            *("--topics", "1", "--subscribers", str(count), "--size", "128"),
            *("--window", str(window), "--seconds", str(seconds)),
        ],
        "delivered_per_second",
        "deliveries/s",
        sides,
    )


def fanouts(seconds: float, scale: float) -> list[Case]:
    """At window 1, where a delivery is a system call, also beside the least that a broker can do."""
    least = (OURS, PEER, Side("sink", sink))
    return [
        fanout("fanout", window, seconds, scale, least if window == 1 else (OURS, PEER))
        for window in (1, 4, 8, 64)
    ]


def routings(seconds: float, scale: float) -> list[Case]:
    """One to one, at each quality of service; the sessions end with their connections."""
    shapes = [(0, 1, 16), (0, 1, 256), (0, 50, 16), (0, 50, 256)]
    shapes += [(qos, pairs, 16) for qos in (1, 2) for pairs in (1, 50)]
    return [
        Case(
            "routing",
            f"QoS {qos} one to one, pairs: {pairs}, 128 B, window {window}",
            "fanout",
            [
                *("--topics", str(pairs), "--subscribers", "1", "--size", "128", "--qos", str(qos)),
                *("--window", str(window), "--seconds", str(seconds)),
            ],
            "delivered_per_second",
            "messages/s",
        )
        for qos, most, window in shapes
        for pairs in (min(most, scaled(most, max(scale, 0.1))),)
    ]


def connects(seconds: float, scale: float) -> list[Case]:
    """Connections whose clients show who they are: tokens at Longline, a password file at mosquitto."""
    count = min(MOST_CONNECTS, max(16, scaled(int(CONNECTS_A_SECOND * seconds), scale)))
    flags = ["--connections", str(count), "--at-once", "16", "--hold", "0", "--keep-alive", "0"]
    sides = (OURS, Side("mosquitto, passwords", partial(mosquitto, passwords=True)))
    return [
        Case(
            "connects",
            f"{count:,} connections of {whose} devices, 16 side by side",
            "connections",
            flags,
            "connects_per_second",
            "connections/s",
            sides,
            again=again,
        )
        for whose, again in (("new", False), ("known", True))
    ]


def handshakes(seconds: float) -> list[Case]:
    """Full handshakes of TLS, with both kinds of certificates."""
    kinds: tuple[tuple[Kind, str], ...] = (("rsa", "RSA 2048"), ("ecdsa", "ECDSA P-256"))
    return [
        Case(
            "handshakes",
            f"full handshakes of TLS 1.3, {name}, 16 at once",
            "handshakes",
            ["--at-once", "16", "--seconds", str(seconds)],
            "handshakes_per_second",
            "handshakes/s",
            (
                Side("Longline", partial(longline, kind=kind), tls=True),
                Side("mosquitto", partial(mosquitto, kind=kind), tls=True),
            ),
        )
        for kind, name in kinds
    ]


def tls(seconds: float, scale: float) -> list[Case]:
    """The same node, over TLS and in clear."""
    start = partial(longline, kind="ecdsa")
    sides = (Side("Longline over TLS", start, tls=True), Side("over TCP", start))
    windows = [fanout("tls", window, seconds, scale, sides) for window in (1, 8)]
    return [*windows, unicast(seconds, scale, "tls", sides)]


def memories(scale: float) -> list[Case]:
    """What a connection that does nothing costs."""
    secured = (
        Side("Longline over TLS", partial(longline, kind="ecdsa"), tls=True),
        Side("mosquitto over TLS", partial(mosquitto, kind="ecdsa"), tls=True),
    )
    return [
        Case(
            "memory",
            f"resident memory of {count:,} idle connections over {how}",
            "connections",
            ["--connections", str(count), "--hold", "2"],
            "rss_bytes_per_connection",
            "bytes each",
            sides,
            rate=False,
        )
        for how, count, sides in (
            ("TCP", scaled(15_000, scale), (OURS, PEER)),
            ("TLS", scaled(2_000, scale), secured),
        )
    ]


def unicast(seconds: float, scale: float, group: str, sides: tuple[Side, ...]) -> Case:
    """Durable messages, through the API to the devices' receipts."""
    devices = scaled(1000, scale)
    return Case(
        group,
        f"durable unicasts, batches of 500, {devices:,} devices, to receipt",
        "unicast",
        ["--devices", str(devices), "--batch", "500", "--size", "128", "--seconds", str(seconds)],
        "acknowledged_per_second",
        "messages/s",
        sides,
    )


@dataclass(frozen=True)
class Run:
    """One measurement: the figure, how busy both sides were in cores, and whether the load was the limit."""

    figure: float
    server_cpu: float | None
    load_cpu: float
    limited: bool

    def __str__(self) -> str:
        server = "" if self.server_cpu is None else f"server {self.server_cpu:.2f} cores, "
        limited = ", the limit" if self.limited else ""
        return f"{self.figure:,.0f} ({server}load {self.load_cpu:.2f}{limited})"


def measure(case: Case, side: Side, server: Server, cpu: int) -> Run:
    """One run against a server; ends everything when its figures mean nothing."""
    way = ["--port", str(server.tls_port), "--tls"] if side.tls else ["--port", str(server.port)]
    api = server.api_flags if case.mode == "unicast" else []
    done = subprocess.run(
        [
            *(sys.executable, "-m", "longline", "bench", case.mode, *case.flags, *way, *server.flags, *api),
            *("--cpus", str(cpu), "--server-pid", str(server.pid), "--json"),
        ],
        stdout=subprocess.PIPE,
        check=False,
    )
    result = json.loads(done.stdout)
    if done.returncode:
        sys.exit(f"{side.name}, {case.title}: {json.dumps(result, indent=2)}")
    if set(result.get("versions", {})) - {"TLSv1.3"} or result.get("resumed_per_second"):
        sys.exit(f"{side.name}, {case.title}: not all of them are full handshakes of TLS 1.3: {result}")
    return Run(
        result[case.figure],
        result["server_cpu"] if case.rate else None,
        sum(result["generator_cpu"]),
        case.rate and result["generator_was_the_limit"],
    )


@dataclass
class Series:
    """The runs of one side, a round each."""

    name: str
    runs: list[Run] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Of the figures."""
        return statistics.median(run.figure for run in self.runs)

    @property
    def per_core(self) -> float | None:
        """The median of the figures a core of the server's, where that is known."""
        each = [run.figure / run.server_cpu for run in self.runs if run.server_cpu]
        return statistics.median(each) if each else None

    def __str__(self) -> str:
        limited = any(run.limited for run in self.runs)
        return f"{self.median:,.0f}" + (" (load was the limit)" if limited else "")


def compare(case: Case, rounds: int, server_cpu: int, load_cpu: int) -> list[Series]:
    """Runs a case in turns, with every round's figure on standard error."""
    series = [Series(side.name) for side in case.sides]
    for number in range(rounds):
        # Another one begins each time, so that being first is nobody's advantage.
        for at in range(len(series)):
            place = (at + number) % len(series)
            side = case.sides[place]
            # A fresh server each time: memory, and what a long run leaves behind, start equal.
            with side.start(server_cpu) as server:
                if case.again:
                    measure(case, side, server, load_cpu)
                run = measure(case, side, server, load_cpu)
            series[place].runs.append(run)
            print(f"{case.title}: {side.name} {run}", file=sys.stderr)
    return series


def ratios(ours: Series, other: Series) -> dict[str, float | None]:
    """Of the medians, of the rounds, and of what a core of the servers' got done."""
    if not other.median:
        return {"ratio": None, "lowest": None, "highest": None, "per_core": None}
    rounds = [mine.figure / its.figure for mine, its in zip(ours.runs, other.runs, strict=True) if its.figure]
    mine, its = ours.per_core, other.per_core
    return {
        "ratio": ours.median / other.median,
        "lowest": min(rounds, default=None),
        "highest": max(rounds, default=None),
        "per_core": mine / its if mine and its else None,
    }


def rows(case: Case, series: Sequence[Series]) -> list[str]:
    """Of the table in Markdown: a row for each that the first is held against."""
    ours, *others = series
    if not others:
        return [f"| {case.title} | {case.unit} | {ours.name} | {ours} | – | – | – | – | – |"]
    found = []
    for other in others:
        of = {name: "–" if value is None else f"{value:.2f}" for name, value in ratios(ours, other).items()}
        found.append(
            f"| {case.title} | {case.unit} | {ours.name} | {ours} | {other.name} | {other} "
            f"| {of['ratio']} | {of['lowest']} to {of['highest']} | {of['per_core']} |"
        )
    return found


def as_json(case: Case, series: Sequence[Series]) -> dict[str, object]:
    """A case and all its runs."""
    ours, *others = series
    return {
        "group": case.group,
        "what": case.title,
        "unit": case.unit,
        "sides": [{**asdict(each), "median": each.median, "per_core": each.per_core} for each in series],
        "ratios": {other.name: ratios(ours, other) for other in others},
    }


def main() -> None:
    """Parses the arguments, runs the cases, prints a table in Markdown, row by row."""
    parser = argparse.ArgumentParser(description="Longline beside mosquitto, in turns.")
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"{', '.join(GROUPS)}; default all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each measurement")
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of connections")
    parser.add_argument("--server-cpu", type=int, default=0)
    parser.add_argument("--load-cpu", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="every run, as JSON, a case a line")
    arguments = parser.parse_args()
    if unknown := set(arguments.groups) - set(GROUPS):
        parser.error(f"no such group: {', '.join(sorted(unknown))}")
    if not arguments.json:
        print("| what | unit | | | beside | | ratio | of rounds | a server's core |")
        print("|---|---|---|---:|---|---:|---:|---:|---:|", flush=True)
    for case in cases(arguments.seconds, arguments.scale):
        if case.group in (arguments.groups or GROUPS):
            series = compare(case, arguments.rounds, arguments.server_cpu, arguments.load_cpu)
            lines = [json.dumps(as_json(case, series))] if arguments.json else rows(case, series)
            print("\n".join(lines), flush=True)


if __name__ == "__main__":
    main()
