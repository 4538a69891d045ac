"""What something costs a node that is pushed messages: runs of one load in interleaved pairs, without it and
with it.

Times of a machine that does something else too say little, ratios in a pair more. The node's processor time
is that of the measured seconds alone, so what connecting the devices takes is not in it.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.cluster import Deployment, longline

KEPT_UP: Final = 0.98  # of the rate that was wanted; below it, the node or the load was at its end

Beside = Callable[[Deployment], AbstractContextManager[object]]
"""What goes on while the load runs: entered before it, left after it."""


@dataclass(frozen=True)
class Run:
    """One run of the load."""

    own: float
    """Processor seconds of the node for 1,000 pushes."""
    cpu: float
    """The same with what it has started and that has ended, such as py-spy."""
    p99: float
    """ms from POST to the arrival."""
    rate: float
    """Pushes that devices acknowledged in a second."""


Pair = tuple[Run, Run]
"""A run without, and the one with it that came before or after."""


def parser(description: str) -> argparse.ArgumentParser:
    """The flags of the load, of the pairs, and of where both run."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--pairs", type=int, default=7)
    made.add_argument("--seconds", type=float, default=15.0, help="of each load")
    made.add_argument("--rate", type=float, default=10_000, help="pushes a second")
    made.add_argument("--devices", type=int, default=1000)
    made.add_argument("--server-cpu", default="", help="core of the node, and of what it starts")
    made.add_argument("--load-cpu", default="", help="core of the load, and of what is beside it")
    return made


def title(options: argparse.Namespace) -> str:
    """What was run, for the head of a table."""
    return (
        f"Medians of {options.pairs} pairs: {options.rate:,.0f} pushes a second to {options.devices:,} "
        f"devices for {options.seconds:g} s.\n"
    )


def run(deployment: Deployment, options: argparse.Namespace, beside: Beside) -> Run:
    """The load once, with something beside it."""
    (pid,) = deployment.pids["Longline"]
    flags = ["--rate", str(options.rate), "--seconds", str(options.seconds)]
    flags += ["--devices", str(options.devices), "--cpus", options.load_cpu, "--server-pid", str(pid)]
    before = _used_by_children(pid)
    with beside(deployment):
        done = subprocess.run(
            longline("bench", "unicast", *flags, *deployment.flags, "--json"),
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        sys.exit(f"the load failed: {done.stdout}{done.stderr}")
    told: dict[str, Any] = json.loads(done.stdout)
    rate = told["acknowledged_per_second"]
    if not rate:
        sys.exit("nothing was pushed in that time: messages go in batches of 500")
    own = 1000 * told["server_cpu"] / rate
    cpu = own + 1000 * (_used_by_children(pid) - before) / (rate * told["seconds"])
    if rate < KEPT_UP * options.rate or told["generator_was_the_limit"]:
        print(f"only {rate:,.0f} pushes a second: latencies are those of a queue", file=sys.stderr)
    return Run(own, cpu, told["receipt"]["p99"], rate)


def nothing(deployment: Deployment) -> AbstractContextManager[object]:
    """Beside the load."""
    return contextlib.nullcontext()


def pairs(deployment: Deployment, options: argparse.Namespace, beside: Beside, what: str) -> list[Pair]:
    """Runs without and with it, in an order that changes from pair to pair."""
    found: list[Pair] = []
    for number in range(options.pairs):
        if number % 2:
            after = run(deployment, options, beside)
            before = run(deployment, options, nothing)
        else:
            before = run(deployment, options, nothing)
            after = run(deployment, options, beside)
        found.append((before, after))
        print(f"{what}, pair {number + 1}: {before} | {after}", file=sys.stderr, flush=True)
    return found


HEAD: Final = "the node's processor time for 1,000 pushes | with what it starts | p99 |\n|---|---:|---:|---:|"


def row(found: Sequence[Pair]) -> str:
    """What it costs, below `HEAD`."""
    own = percent([after.own / before.own for before, after in found])
    cpu = percent([after.cpu / before.cpu for before, after in found])
    p99 = percent([after.p99 / before.p99 for before, after in found])
    return f"{own} | {cpu} | {p99} |"


def percent(ratios: Sequence[float]) -> str:
    """The median of ratios as a change, and between what they lie."""
    middle = statistics.median(ratios)
    return f"{middle - 1:+.1%} ({min(ratios) - 1:+.0%} to {max(ratios) - 1:+.0%})"


def _used_by_children(pid: int) -> float:
    """Processor seconds of the children of a process that have ended (proc(5), stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[13:15])) / os.sysconf("SC_CLK_TCK")
