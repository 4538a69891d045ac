"""What something costs a node that is pushed messages: runs of one load in interleaved pairs, without it and
with it.

Times of a machine that does something else too say little, ratios in a pair more. The node's processor time
and its pushes are those of the measured seconds alone: they begin with the first push that a device has
acknowledged, so what connecting the devices takes is not in them, and the load goes on until they are over.
"""

import argparse
import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
from benchmarks.cluster import START_SECONDS, Deployment, longline

AFTER: Final = 2.0  # s that the load lasts longer than is measured, for what ends a little late
LOOK_EVERY: Final = 0.1  # s, at whether devices acknowledge
ACKED: Final = re.compile(r"^longline_room_pushes_acked_total (\S+)$", re.M)
KEPT_UP: Final = 0.98  # of the rate that was wanted; below it, the node or the load was at its end

Beside = Callable[[Deployment], AbstractContextManager[object]]
"""What goes on while the load runs: entered before it, left after it."""


@dataclass(frozen=True)
class Run:
    """One run of the load."""

    own: float
    """Processor seconds of the node for 1,000 pushes."""
    started: float
    """Cores that were used by what it has started and that has ended, such as py-spy."""
    p99: float
    """ms from POST to the arrival, of all of the load."""
    rate: float
    """Pushes that devices acknowledged in a second."""

    def cores(self, rate: float) -> float:
        """Cores for so many pushes a second. What the node has started takes the same with any number of
        them: held against those of a machine that could not keep up, it would seem to be more.
        """
        return self.own * rate / 1000 + self.started


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
    flags = ["--rate", str(options.rate), "--seconds", str(options.seconds + AFTER)]
    flags += ["--devices", str(options.devices), "--cpus", options.load_cpu]
    children = used(pid).by_children
    with beside(deployment):
        load = subprocess.Popen(
            longline("bench", "unicast", *flags, *deployment.flags, "--json"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        under_load(deployment)
        before, acked, began = used(pid), acknowledged(deployment), time.monotonic()
        time.sleep(options.seconds)
        after, count, took = used(pid), acknowledged(deployment) - acked, time.monotonic() - began
        output, errors = load.communicate()
    if load.returncode:
        sys.exit(f"the load failed: {output}{errors}")
    if not count:
        sys.exit("nothing was pushed in that time: messages go in batches of 500")
    told: dict[str, Any] = json.loads(output)
    own = 1000 * (after.by_itself - before.by_itself) / count
    started = (used(pid).by_children - children) / took
    rate = count / took
    if rate < KEPT_UP * options.rate or told["generator_was_the_limit"]:
        print(f"only {rate:,.0f} pushes a second: latencies are those of a queue", file=sys.stderr)
    return Run(own, started, told["receipt"]["p99"], rate)


def acknowledged(deployment: Deployment) -> int:
    """Pushes that devices have acknowledged since the node has started."""
    found = ACKED.search(httpx.get(f"{deployment.url}/metrics", timeout=60).raise_for_status().text)
    if found is None:
        sys.exit("the node does not say how many pushes were acknowledged")
    return int(float(found[1]))


def under_load(deployment: Deployment) -> None:
    """Waits until a device acknowledges a push that it has not acknowledged yet."""
    before, deadline = acknowledged(deployment), time.monotonic() + START_SECONDS
    while acknowledged(deployment) == before:
        if time.monotonic() > deadline:
            sys.exit("no device acknowledges a push")
        time.sleep(LOOK_EVERY)


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


HEAD: Final = (
    "the node's processor time for 1,000 pushes | what it starts, of a core | both | p99 | pushes a second |"
    "\n|---|---:|---:|---:|---:|---:|"
)


def row(found: Sequence[Pair], rate: float) -> str:
    """What it costs at so many pushes a second, below `HEAD`."""
    own = percent([after.own / before.own for before, after in found])
    started = statistics.median(after.started for _, after in found)
    both = percent([after.cores(rate) / before.cores(rate) for before, after in found])
    p99 = percent([after.p99 / before.p99 for before, after in found])
    reached = [statistics.median(run.rate for run in runs) for runs in zip(*found, strict=True)]
    rates = " and ".join(f"{each:,.0f}" for each in reached)
    return f"{own} | {started:.1%} | {both} | {p99} | {rates} |"


def percent(ratios: Sequence[float]) -> str:
    """The median of ratios as a change, and between what they lie."""
    middle = statistics.median(ratios)
    return f"{middle - 1:+.1%} ({min(ratios) - 1:+.0%} to {max(ratios) - 1:+.0%})"


@dataclass(frozen=True)
class Used:
    """Processor seconds of a process, and of its children that have ended."""

    by_itself: float
    by_children: float


def used(pid: int) -> Used:
    """Since it has started (proc(5), stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    user, system, childrens_user, childrens_system = map(int, fields[11:15])
    tick = os.sysconf("SC_CLK_TCK")
    return Used((user + system) / tick, (childrens_user + childrens_system) / tick)
