"""What screens that show the console cost a node under load, and what they cost when they are closed.

    python -m benchmarks.screens                                     # ten screens, seven pairs, ten minutes
    python -m benchmarks.screens --screens 3 --pairs 1 --seconds 3 --rate 500 --devices 100

A screen does what the console's overview does: it logs in, has the figures streamed, and asks again and again
what is wrong and how the apps fare. All are in a process of their own on the load's core. Beside the pairs
stands what an idle node uses of its core: before anybody looked, with the screens, and when they are closed.
"""

import asyncio
import contextlib
import os
import statistics
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import httpx
from benchmarks import overhead
from benchmarks.cluster import Deployment, one_host
from benchmarks.contenders import ADMIN_KEY

POLL: Final = 10.0  # s, as the page does it
APPS: Final = 10  # whose statistics the page shows
CLOSED: Final = 8.0  # s after which processes no longer tell their figures every second
OPEN: Final = 12.0  # s by which all of them do
LEAST: Final = 0.8  # of an event a second that every screen has to be sent: else it watched nothing


class Screen:
    """One window. `events` counts the figures that came."""

    def __init__(self, url: str) -> None:
        self._client = httpx.AsyncClient(
            base_url=url,
            headers={"X-Longline-Console": "1", "Origin": url},
            limits=httpx.Limits(max_connections=6),  # as many as browsers open
            timeout=60,
        )
        self.events = 0
        self.first = asyncio.Event()

    async def show(self) -> None:
        """Until it is closed, which is to be cancelled. Raises what the API refuses."""
        async with self._client as client, asyncio.TaskGroup() as tasks:
            (await client.post("/v1/session", json={"key": ADMIN_KEY})).raise_for_status()
            listed = (await client.get("/v1/apps")).raise_for_status().json()["apps"]
            apps = [each["app"] for each in listed[:APPS]]
            tasks.create_task(self._figures())
            tasks.create_task(self._problems())
            tasks.create_task(self._statistics(apps))

    async def _figures(self) -> None:
        headers = {"Accept": "text/event-stream"}
        async with self._client.stream("GET", "/v1/figures", headers=headers) as response:
            response.raise_for_status()
            async for line in response.aiter_lines():
                if line.startswith("event: figures"):
                    self.events += 1
                    self.first.set()

    async def _problems(self) -> None:
        while True:
            (await self._client.get("/v1/problems")).raise_for_status()
            await asyncio.sleep(POLL)

    async def _statistics(self, apps: list[str]) -> None:
        while True:
            hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
            asked = [
                self._client.get(f"/v1/apps/{app}/statistics", params={"from": hour.isoformat()})
                for app in apps
            ]
            for answer in await asyncio.gather(*asked):
                answer.raise_for_status()
            await asyncio.sleep(POLL)


async def watch(url: str, count: int, conductor: Connection) -> None:
    """Opens the windows, says so, closes them when told to, and says what they were sent."""
    loop = asyncio.get_running_loop()
    screens = [Screen(url) for _ in range(count)]

    async def told() -> float:
        """Events a second of the screen that got fewest."""
        for screen in screens:
            await screen.first.wait()
        began = loop.time()
        conductor.send(None)
        await loop.run_in_executor(None, conductor.recv)
        return min(screen.events for screen in screens) / (loop.time() - began)

    shown = [asyncio.create_task(screen.show()) for screen in screens]
    telling = asyncio.create_task(told())
    await asyncio.wait([telling, *shown], return_when=asyncio.FIRST_COMPLETED)
    failed = [repr(task.exception()) for task in shown if task.done()]
    conductor.send(failed or await telling)
    for task in shown:
        task.cancel()
    await asyncio.gather(*shown, return_exceptions=True)


def windows(url: str, count: int, cpu: str, conductor: Connection) -> None:
    """The process of the screens."""
    if cpu:
        os.sched_setaffinity(0, {int(core) for core in cpu.split(",")})
    asyncio.run(watch(url, count, conductor))


def screens(count: int, cpu: str) -> overhead.Beside:
    """So many windows of the console."""

    @contextlib.contextmanager
    def beside(deployment: Deployment) -> Iterator[None]:
        context = get_context("spawn")
        here, there = context.Pipe()
        process = context.Process(target=windows, args=(deployment.url, count, cpu, there), daemon=True)
        process.start()
        try:
            refused(here.recv())
            time.sleep(OPEN)
            yield
            here.send(None)
            refused(here.recv())
        finally:
            process.terminate()
            process.join()
        time.sleep(CLOSED)  # what comes next finds a node that nobody looks at

    return beside


def refused(told: list[str] | float | None) -> None:
    """Ends everything when the screens were not shown what they should have been."""
    if isinstance(told, list):
        sys.exit(f"a screen could not be shown: {told}")
    if told is not None and told < LEAST:
        sys.exit(f"a screen got its figures {told:.2f} times a second: nothing was measured")


def idle(pid: int, seconds: float) -> float:
    """The share of a core that a process uses, in all its threads, from the kernel's clock of each."""
    threads = list(Path(f"/proc/{pid}/task").iterdir())

    def used() -> float:
        return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9

    before, began = used(), time.monotonic()
    time.sleep(seconds)
    return (used() - before) / (time.monotonic() - began)


def main() -> None:
    """Parses the arguments, runs the pairs, prints tables in Markdown."""
    parser = overhead.parser("What screens that show the console cost a node.")
    parser.add_argument("--screens", type=int, default=10)
    parser.set_defaults(devices=10_000, server_cpu="0", load_cpu="1")
    options = parser.parse_args()
    beside = screens(options.screens, options.load_cpu)
    with one_host(cpu=options.server_cpu) as deployment:
        (pid,) = deployment.pids["Longline"]
        resting = {"nobody has looked yet": idle(pid, options.seconds)}
        with beside(deployment):
            resting[f"{options.screens} screens"] = idle(pid, options.seconds)
        resting["they are closed"] = idle(pid, options.seconds)
        overhead.run(deployment, options, overhead.nothing)  # what comes first is slower
        found = overhead.pairs(deployment, options, beside, f"{options.screens} screens")
    print(overhead.title(options))
    print(f"| | {overhead.HEAD}\n| {options.screens} screens | {overhead.row(found, options.rate)}")
    used = 1e3 * statistics.median(before.own for before, _ in found)
    print(f"\nWithout them, 1,000 pushes took {used:.1f} ms of the node's processor.\n")
    print("| an idle node | of a core |\n|---|---:|")
    print("\n".join(f"| {what} | {share:.2%} |" for what, share in resting.items()))


if __name__ == "__main__":
    main()
