"""The conductor and its workers, in a process of their own: one with threads may not fork."""

import subprocess
import sys

import pytest

from tests.unit.bench.test_command import ENVIRONMENT

SCRIPT = """
import os
from longline.bench.fleet import Crew, Fleet
from longline.bench.targets import BenchFailed

def work(station):
    station.report(str(station.index).encode())
    while not station.ordered():
        station.poller.turn(0.05)
    order = station.take()
    if order == b"fail" and station.index == 1:
        raise BenchFailed("number 1 is not well")
    if order == b"die" and station.index == 1:
        os._exit(3)
    station.counters[0] = station.index
    station.report(order * (station.index + 1) + b" on " + str(os.sched_getaffinity(0)).encode())

cpu = min(os.sched_getaffinity(0))
try:
    with Fleet(Crew(processes=3, cpus=str(cpu)), work) as fleet:
        print(fleet.gather(lambda counters: ""))
        fleet.tell(ORDER)
        print(fleet.gather(lambda counters: ""))
        print(sum(fleet.counters(index)[0] for index in range(3)))
except BenchFailed as failure:
    print(failure)
for member in fleet.members:
    assert not member.process.is_alive()
print(str({cpu}).encode())
"""


def conducted(order: bytes) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.replace("ORDER", repr(order))],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_workers_report_in_their_order_on_the_core_they_are_given() -> None:
    ready, results, counted, cpu = conducted(b"go")
    core = cpu[2:-1]
    assert ready == "[b'0', b'1', b'2']"
    assert results == f"[b'go on {core}', b'gogo on {core}', b'gogogo on {core}']"
    assert counted == "3"


@pytest.mark.parametrize(
    ("order", "reason"), [(b"fail", "number 1 is not well"), (b"die", "load process bench-1 died")]
)
def test_a_worker_that_fails_or_dies_ends_the_run_and_the_others(order: bytes, reason: str) -> None:
    assert conducted(order)[1] == reason
