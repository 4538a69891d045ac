"""Rooms that get a fiftieth of the time they need for a while: slow is not dead, and nobody is cut off.

    LONGLINE_SLOWED_DEVICES=10000 LONGLINE_SLOWED_SECONDS=60 LONGLINE_SLOWED_PERIOD=0.1

on the shape that `--shape` names: the node, its workers, or the rooms of a cluster, whose other processes,
which judge them, have all the time that they want. `PERIOD`: how often each gets its share. Pushes go on
meanwhile, to some and to everybody, and devices ask for PINGRESP. What happened is printed at the end.
"""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from longline import Center
from tests.adversity.crowd import Address
from tests.adversity.crowds import Crowds, Pusher
from tests.adversity.ledger_books import now
from tests.adversity.limited import Limited, workers_of
from tests.cluster.cluster import Cluster
from tests.integration.server_process import ServerProcess
from tests.integration.test_workers import ready
from tests.waiting import until

pytestmark = [
    pytest.mark.adversity,
    pytest.mark.shape("embedded", "workers", "cluster"),
    pytest.mark.timeout(1800),
]

DEVICES = int(os.environ.get("LONGLINE_SLOWED_DEVICES", "1000"))
SECONDS = float(os.environ.get("LONGLINE_SLOWED_SECONDS", "15"))
SHARE = float(os.environ.get("LONGLINE_SLOWED_SHARE", "0.02"))
PERIOD = float(os.environ.get("LONGLINE_SLOWED_PERIOD", "0.1"))
WORKERS, ROOMS = 2, 4
KEEP_ALIVE = 120  # s: no less than a phone asks for
PING_EVERY = 60.0
PUSH_EVERY = 0.25  # s
BATCH = 50
BROADCASTS = 4  # meanwhile
BEFORE, AFTER = 3.0, 10.0  # s
LOST_AFTER = 240.0
RECOVERED_IN = 10.0  # s
BUSY = 12.0  # times as long on a machine that does much else


class Site(NamedTuple):
    """What is slowed down, how it is asked, and where its devices connect."""

    url: Callable[[], str]
    key: str
    center: Callable[[], Center]
    slowed: Sequence[int]
    addresses: list[Address]
    status: list[str]  # where each says whether it is ready
    logs: Sequence[Path]
    tail: Callable[[], str]


@asynccontextmanager
async def a_site(shape: str, directory: Path) -> AsyncIterator[Site]:
    if shape == "cluster":
        async with Cluster(directory, rooms=ROOMS, centers=1, dispatchers=1, coordinators=1) as cluster:
            yield Site(
                lambda: cluster.url,
                cluster.admin_key,
                cluster.center,
                [room.pid for room in cluster.rooms],
                cluster.room_addresses,
                [room.status for room in cluster.rooms],
                [process.log for process in cluster.processes],
                cluster.tail,
            )
        return
    workers = shape == "workers"
    arguments = ("--workers", str(WORKERS)) if workers else ()
    async with ServerProcess(directory / "data", arguments) as server:
        if workers:
            await ready(server, WORKERS)
        yield Site(
            lambda: server.url,
            server.admin_key,
            server.center,
            workers_of(server.pid, server.mqtt_port) if workers else [server.pid],
            [("127.0.0.1", server.mqtt_port)] * 2,
            [server.url],
            [server.log],
            server.tail,
        )


async def test_rooms_that_are_slowed_down_cut_nobody_off_and_lose_nothing(
    request: pytest.FixtureRequest, tmp_path: Path, chance: random.Random, tell: Callable[[str], None]
) -> None:
    async with AsyncExitStack() as stack:
        site = await stack.enter_async_context(a_site(request.config.getoption("--shape"), tmp_path))
        async with site.center() as center:
            secret = (await center.create_app("slow")).device_secret
        crowds = Crowds(
            tmp_path,
            site.addresses,
            "slow",
            secret,
            DEVICES,
            keep_alive=KEEP_ALIVE,
            ping_every=PING_EVERY,
        )
        await crowds.connect(stack)
        pusher = Pusher(site.url, site.key, "slow", crowds.names, chance, batch=BATCH, every=PUSH_EVERY)
        pushing = asyncio.create_task(pusher.push_on(), name="pusher")
        stack.callback(pushing.cancel)
        await asyncio.sleep(BEFORE)
        began = now()
        limited = Limited(site.slowed, PERIOD)
        await slow_down(limited, len(site.slowed), pusher)
        ended = now()
        asleep = time.monotonic()
        await until(lambda: are_ready(site), LOST_AFTER, tell=site.tail)
        ready_after = time.monotonic() - asleep
        await asyncio.sleep(AFTER - ready_after)
        assert not pushing.done(), "it pushes to the end"
        pushing.cancel()
        lost = await crowds.lost(pusher.promised, LOST_AFTER)
        summary = await crowds.end()
    meanwhile = [each for each in pusher.promised if began <= each.answered < ended]
    recovered = crowds.recovery(pusher.promised, ended)
    said = "\n".join(log.read_text() for log in site.logs)
    tell(
        f"{len(site.slowed)} processes slowed to {SHARE:g} for {(ended - began) / 1000:.0f} s (they had "
        f"{limited.had:.1f} s of a processor) under {DEVICES:,} devices: {len(pusher.promised):,} deliveries "
        f"promised, {len(meanwhile):,} of them meanwhile, {pusher.broadcasts} broadcasts; requests without "
        f"an answer {pusher.unanswered}"
    )
    tell(
        f"connections closed {sum(times * count for times, count in summary.cut_off.items())}, "
        f"lost {len(lost)}, twice {summary.duplicates}, out of order "
        f"{len(crowds.out_of_order(pusher.promised))}; ready {ready_after:.1f} s after the end, recovered "
        f"{recovered:.1f} s after it; slowest PINGRESP {summary.slowest_ping:.1f} s"
    )
    tell(
        "in the logs: "
        + ", ".join(
            f"{event} {said.count(chr(34) + event + chr(34))}"
            for event in ("node_cleaned_up", "renamed", "deaths_withheld", "isolated", "shedding")
        )
    )
    assert set(summary.cut_off) == {0}, site.tail()
    assert not lost, site.tail()
    assert not crowds.out_of_order(pusher.promised)
    assert recovered < BUSY * RECOVERED_IN


async def slow_down(limited: Limited, processes: int, pusher: Pusher) -> None:
    """For as long as it is to last."""
    turns = asyncio.create_task(limited.take_turns(SHARE * processes))
    try:
        async with asyncio.timeout(SECONDS + LOST_AFTER), asyncio.TaskGroup() as group:
            for number in range(BROADCASTS):
                group.create_task(to_all(pusher, SECONDS * (number + 0.5) / BROADCASTS))
            await asyncio.sleep(SECONDS)
            turns.cancel()
            limited.go_on()
    finally:
        turns.cancel()
        with suppress(asyncio.CancelledError):
            await turns
        limited.go_on()


async def to_all(pusher: Pusher, after: float) -> None:
    await asyncio.sleep(after)
    await pusher.to_all()


async def are_ready(site: Site) -> bool:
    async with httpx.AsyncClient(trust_env=False) as client:
        with suppress(httpx.TransportError):
            answers = [await client.get(f"{status}/readyz", timeout=2) for status in site.status]
            return all(answer.status_code == 200 for answer in answers)
    return False
