"""What a profile costs the node that it is of, while it carries a load.

    python -m benchmarks.profiling                       # every kind, seven pairs, a quarter of an hour
    python -m benchmarks.profiling cpu heap --pairs 3 --seconds 5 --rate 2000

A node (`longline serve`, of the interpreter that runs this) is pushed `--rate` messages a second by
`longline bench unicast`, again and again: without a profile and with one that is taken all that time, in
pairs whose order changes. The processor's time is that of the node with that of what it starts, such as
py-spy, for 1,000 acknowledged pushes. Times of a machine that does something else too say little, ratios in a
pair more.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
from benchmarks.cluster import Deployment, longline, process, ready
from benchmarks.contenders import ADMIN_KEY, free_port

KINDS: Final = ("cpu", "heap", "tasks", "loop")
STARTING: Final = 2.0  # s of the load before which nothing is profiled: devices connect


@dataclass(frozen=True)
class Run:
    """One run of the load."""

    own: float
    """Processor seconds of the node for 1,000 pushes."""
    cpu: float
    """The same with what it has started, such as py-spy."""
    p99: float
    """ms from POST to the arrival."""


def used(pid: int) -> tuple[float, float]:
    """Processor time of a process, and with its children that have ended, in seconds (proc(5), stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    tick = os.sysconf("SC_CLK_TCK")
    return sum(map(int, fields[11:13])) / tick, sum(map(int, fields[11:15])) / tick


def profiled(deployment: Deployment, kind: str, seconds: float, ended: threading.Event) -> None:
    """Takes profiles of the only node, one after the other, until `ended`."""
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    with httpx.Client(base_url=deployment.url, headers=headers, timeout=seconds + 60) as client:
        (node,) = client.get("/v1/nodes").raise_for_status().json()["nodes"]
        while not ended.is_set():
            asked: dict[str, str | int] = {"kind": kind, "seconds": max(1, round(seconds))}
            taken = client.get(f"/v1/nodes/{node['node']}/profile", params=asked)
            content = taken.raise_for_status().json()["content"]
            if content.get("limitation"):
                print(f"{kind}: {content['limitation']['message']}", file=sys.stderr)
            if kind == "tasks":
                ended.wait(1.0)  # a moment of it costs nothing that could be measured otherwise


def load(deployment: Deployment, flags: Sequence[str], kind: str | None, seconds: float) -> Run:
    """The load, with profiles of that kind or none."""
    (pid,) = deployment.pids["Longline"]
    ended = threading.Event()
    taking: threading.Thread | None = None

    def begin() -> None:
        if kind is not None and not ended.wait(STARTING):
            profiled(deployment, kind, seconds - STARTING, ended)

    taking = threading.Thread(target=begin)
    before = used(pid)
    taking.start()
    try:
        done = subprocess.run(
            longline("bench", "unicast", *flags, *deployment.flags, "--json"),
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        ended.set()
        taking.join()
    if done.returncode:
        sys.exit(f"the load failed: {done.stdout}{done.stderr}")
    told: dict[str, Any] = json.loads(done.stdout)
    own, cpu = (
        1000 * (now - then) / told["acknowledged"] for now, then in zip(used(pid), before, strict=True)
    )
    return Run(own, cpu, told["receipt"]["p99"])


def percent(ratios: Sequence[float]) -> str:
    """The median of ratios as a change, and between what they lie."""
    middle = statistics.median(ratios)
    return f"{middle - 1:+.1%} ({min(ratios) - 1:+.0%} to {max(ratios) - 1:+.0%})"


def main() -> None:
    """Parses the arguments, runs the pairs, prints a table in Markdown."""
    parser = argparse.ArgumentParser(description="What a profile costs the node that it is of.")
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"{', '.join(KINDS)}; default all")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=15.0, help="of the load")
    parser.add_argument("--rate", type=float, default=10_000, help="pushes a second")
    parser.add_argument("--devices", type=int, default=1000)
    options = parser.parse_args()
    kinds = options.kinds or list(KINDS)
    if unknown := set(kinds) - set(KINDS):
        parser.error(f"no such kind: {', '.join(sorted(unknown))}")
    flags = [
        "--rate",
        str(options.rate),
        "--seconds",
        str(options.seconds),
        "--devices",
        str(options.devices),
    ]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        room, center = free_port(), free_port()
        settings = {
            "LONGLINE_ADMIN_KEY": ADMIN_KEY,
            "LONGLINE_ROOM__PORT": str(room),
            "LONGLINE_ROOM__WS_PORT": "0",
            "LONGLINE_CENTER__PORT": str(center),
        }
        serve = longline("serve", "--quiet", "--data", f"{folder}/data")
        with process(serve, folder, "node", settings) as pid:
            ready(center, folder)
            deployment = Deployment(f"http://127.0.0.1:{center}", room, {"Longline": [pid]})
            deployment.enter()
            load(deployment, flags, None, options.seconds)  # what comes first is slower
            for kind in kinds:
                pairs: list[tuple[Run, Run]] = []
                for number in range(options.pairs):
                    found: dict[str | None, Run] = {}
                    for each in (kind, None) if number % 2 else (None, kind):
                        found[each] = load(deployment, flags, each, options.seconds)
                    pairs.append((found[None], found[kind]))
                    print(f"{kind}, pair {number + 1}: {found}", file=sys.stderr, flush=True)
                cpu = percent([after.cpu / before.cpu for before, after in pairs])
                p99 = percent([after.p99 / before.p99 for before, after in pairs])
                own = percent([after.own / before.own for before, after in pairs])
                rows.append(f"| {kind} | {own} | {cpu} | {p99} |")
    print(
        f"Medians of {options.pairs} pairs, {options.rate:,.0f} pushes a second for {options.seconds:g} s.\n"
    )
    print("| kind | the node's processor time for 1,000 pushes | with what it starts | p99 |")
    print("|---|---:|---:|---:|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
