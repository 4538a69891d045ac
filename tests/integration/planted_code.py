"""`longline` with code in its node that is stuck, slow, holds the loop up, or grows: for tests of profiles.

What of it is planted, the variable `PLANTED` says. Each line that a profile must find ends with `# found`.
"""

import asyncio
import os
import sys
import time
import zlib

from longline.cli import main
from longline.node.process import Process
from longline.profiling import cpu

grown: list[bytes] = []
queue: list[bytes] = []


def burn_processor() -> int:
    total = 0
    for _ in range(20):
        total += sum(number * number for number in range(20_000))  # found
    return total


def hold_loop_up() -> None:
    time.sleep(0.4)  # found


def grow() -> None:
    grown.append(bytes(10_000))  # found


async def stuck() -> None:
    await asyncio.Event().wait()  # found


async def slow() -> None:
    while True:
        burn_processor()
        await asyncio.sleep(0.01)


async def stalling() -> None:
    while True:
        await asyncio.sleep(0.4)
        hold_loop_up()


async def growing() -> None:
    while True:
        await asyncio.sleep(0.01)
        grow()


def compress() -> int:
    return sum(len(zlib.compress(bytes(range(256)) * 40)) for _ in range(20))


async def busy() -> None:
    """What both releases do."""
    while True:
        compress()
        await asyncio.sleep(0.005)


class Desk:
    """One lock, which somebody never lets go of, and others want."""

    def __init__(self) -> None:
        self.turn = asyncio.Lock()

    async def hold(self) -> None:
        async with self.turn:
            await asyncio.Event().wait()  # found

    async def want(self) -> None:
        async with self.turn:  # found
            pass


async def locked() -> None:
    desk = Desk()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(desk.hold(), name="planted.holder")
        for number in range(3):
            tasks.create_task(desk.want(), name=f"planted.waiter-{number}")


async def filling() -> None:
    while True:
        await asyncio.sleep(0.01)
        queue.append(b"")


PLANTS = {
    "stuck": stuck,
    "slow": slow,
    "stalling": stalling,
    "growing": growing,
    "busy": busy,
    "locked": locked,
    "filling": filling,
}
START, FIND = "start", "find_py_spy"


def plant() -> None:
    """Has each process start what is planted beside its own; `alone`: it finds no py-spy."""
    start = Process.start
    wanted = os.environ.get("PLANTED", "").split()
    tasks: list[asyncio.Task[None]] = []

    async def start_with_plants(process: Process) -> None:
        await start(process)
        process._collector.gauge("planted_waiting", "What is filled.", lambda: len(queue))
        chosen = [name for name in wanted if name in PLANTS]
        tasks.extend(asyncio.create_task(PLANTS[name](), name=f"planted.{name}") for name in chosen)

    setattr(Process, START, start_with_plants)
    if "alone" in wanted:
        setattr(cpu, FIND, lambda: None)


if __name__ == "__main__":
    plant()
    sys.exit(main())
