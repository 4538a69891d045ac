"""The stores of a cluster killed, moved and away: what is lost is what the answers of the API allow."""

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import jwt
import pytest

from longline import Device
from tests.adversity.ledger import Ledger
from tests.adversity.ledger_books import Summary, now
from tests.cluster.cluster import Cluster
from tests.waiting import WITHIN

pytestmark = [pytest.mark.adversity, pytest.mark.shape("cluster"), pytest.mark.timeout(3600)]

MOVED = 8  # partitions whose slots are moved
CHECKED = 1500  # messages whose ledgers are looked at after each test
BEHIND = 2.0  # s of writes that the replica never sees
EACH_KEY = 0.002  # s
NEW_DEVICES = 8  # that connect while ZooKeeper is away


@pytest.fixture
def outage() -> float:
    """For how long (s) ZooKeeper is away: LONGLINE_OUTAGE, 20 unless set."""
    return float(os.environ.get("LONGLINE_OUTAGE", "20"))


class Figures:
    """What each round has shown."""

    def __init__(self) -> None:
        self._recoveries: list[float] = []
        self._shares: list[float] = []
        self._gaps: list[float] = []

    def take(self, ledger: Ledger, since: int, until: int) -> None:
        """A fault at `since` (ms), all well at `until`."""
        books = ledger.books
        books.read()
        share, gap = books.availability(since, until)
        self._recoveries.append(books.recovery(since, until))
        self._shares.append(share)
        self._gaps.append(gap)

    def __str__(self) -> str:
        mean = sum(self._shares) / len(self._shares)
        recoveries = " ".join(f"{seconds:.1f}" for seconds in self._recoveries)
        return (
            f"recovered after {recoveries} s, answered at the first try {mean:.1%}, "
            f"longest time without an answer {max(self._gaps):.1f} s"
        )


def told(ledger: Ledger, summary: Summary, figures: Figures) -> str:
    """What was lost, held against what was promised."""
    promises = dict(Counter(push.durability for push in ledger.books.promised.entries))
    return (
        f"{summary.promised} promised as {promises}, lost {len(summary.lost)}, "
        f"out of order {len(summary.out_of_order)}, doubled {len(summary.doubled)}, "
        f"duplicates {summary.duplicates}, "
        f"refused {summary.refusals}; {figures}"
    )


@pytest.mark.parametrize("copies", [1, 0])
async def test_a_redis_master_is_killed_and_its_replica_takes_over(
    copies: int, tmp_path: Path, rounds: int, chance: random.Random, tell: Callable[[str], None]
) -> None:
    """Nothing that was promised to be on a replica is lost. What was promised on the master alone may be."""
    settings = {"LONGLINE_STORE__WAIT_REPLICAS": str(copies)}
    figures = Figures()
    async with (
        Cluster(tmp_path, settings=settings) as cluster,
        # They stay where they are: who comes back elsewhere is read for anew, which would hide much.
        Ledger(cluster, "master", tmp_path / "ledger", wander=0) as ledger,
    ):
        redis = cluster.redis
        for number in range(rounds):
            await ledger.quiet()
            tag = b"p%d" % number
            master = redis.master_of(tag)
            since = now()
            master.kill()
            redis.failed_over(tag, master)
            master.start()
            await ledger.quiet(now())
            figures.take(ledger, since, now())
            redis.wait()
            await ledger.expect_one_owner_each()
        summary = await ledger.finish()
        tell(told(ledger, summary, figures))
        if copies:
            durabilities = {push.durability for push in ledger.books.promised.entries}
            assert durabilities == {f"replicated;copies={copies}"}
            ledger.expect_kept(summary)
            await ledger.expect_balanced(chance, CHECKED)


@pytest.mark.parametrize("copies", [1, 0])
async def test_a_replica_that_was_behind_takes_over(
    copies: int, tmp_path: Path, rounds: int, chance: random.Random, tell: Callable[[str], None]
) -> None:
    """It knows nothing of the last seconds. What was promised on the master alone is lost, and nothing else:
    what comes after finds every device, also those that had come to another room meanwhile."""
    settings = {"LONGLINE_STORE__WAIT_REPLICAS": str(copies)}
    figures = Figures()
    async with (
        Cluster(tmp_path, settings=settings) as cluster,
        Ledger(cluster, "behind", tmp_path / "ledger") as ledger,
    ):
        redis = cluster.redis
        for number in range(rounds):
            ledger.wander()
            await ledger.quiet()
            tag = b"p%d" % number
            master = redis.master_of(tag)
            replica = redis.replica_of(master)
            since = now()
            replica.pause()
            await asyncio.sleep(BEHIND)
            ledger.stay()
            master.kill()
            replica.resume()
            redis.failed_over(tag, master)
            master.start()
            await ledger.quiet(now())
            figures.take(ledger, since, now())
            redis.wait()
            await ledger.expect_one_owner_each()
        summary = await ledger.finish()
        tell(told(ledger, summary, figures))
        if copies:
            # A push that was refused, though the master had it, may have been delivered before it was asked
            # for again: then it comes twice.
            assert not summary.lost, f"promised and never arrived: {summary.lost[:20]}"
            assert not summary.out_of_order, summary.out_of_order[:20]


async def test_slots_are_moved_live(
    tmp_path: Path, chance: random.Random, tell: Callable[[str], None]
) -> None:
    figures = Figures()
    async with Cluster(tmp_path) as cluster, Ledger(cluster, "slots", tmp_path / "ledger") as ledger:
        redis = cluster.redis
        await ledger.quiet()
        since = now()
        for number in range(MOVED):
            tag = b"p%d" % number
            source = redis.master_of(tag)
            target = next(node for node in redis.nodes[: redis.masters] if node is not source)
            await asyncio.to_thread(redis.move, tag, target, lambda: time.sleep(EACH_KEY))
        await ledger.quiet(now())
        figures.take(ledger, since, now())
        await ledger.expect_one_owner_each()
        summary = await ledger.finish()
        tell(f"{MOVED} slots moved: {told(ledger, summary, figures)}")
        ledger.expect_kept(summary)
        await ledger.expect_balanced(chance, CHECKED)


@pytest.mark.parametrize("fsync", ["always", "everysec"])
async def test_all_of_redis_is_killed_and_started_again(
    fsync: str, tmp_path: Path, rounds: int, chance: random.Random, tell: Callable[[str], None]
) -> None:
    """A kill leaves what the kernel has: what `always` promises beyond that, only a power cut shows."""
    config = {"appendonly": "yes", "appendfsync": fsync}
    figures = Figures()
    async with (
        Cluster(tmp_path, redis_config=config) as cluster,
        Ledger(cluster, "restart", tmp_path / "ledger") as ledger,
    ):
        for _ in range(rounds):
            await ledger.quiet()
            since = now()
            cluster.redis.kill()
            cluster.redis.start()
            await ledger.quiet(now())
            figures.take(ledger, since, now())
            await ledger.expect_one_owner_each()
        summary = await ledger.finish()
        tell(told(ledger, summary, figures))
        if fsync == "always":
            assert {push.durability for push in ledger.books.promised.entries} == {"fsync"}
            ledger.expect_kept(summary)
            await ledger.expect_balanced(chance, CHECKED)


async def test_zookeeper_is_away(
    tmp_path: Path, outage: float, chance: random.Random, tell: Callable[[str], None]
) -> None:
    """Pushes go on, dispatchers answer, and devices that were never here before are let in."""
    figures = Figures()
    settings = {"LONGLINE_KEEPER__SESSION_TIMEOUT": "4"}
    async with (
        Cluster(tmp_path, settings=settings) as cluster,
        Ledger(cluster, "alone", tmp_path / "ledger") as ledger,
    ):
        await ledger.quiet()
        since = now()
        cluster.zookeeper.kill()
        async with asyncio.timeout(outage + NEW_DEVICES * WITHIN):
            await expect_newcomers_served(cluster, ledger, outage)
        away = now()
        figures.take(ledger, since, away)
        cluster.zookeeper.start()
        await ledger.quiet(now())
        figures.take(ledger, away, now())
        for process in cluster.processes:
            await process.ready()
        await ledger.expect_one_owner_each()
        summary = await ledger.finish()
        renamed = len({event.room for event in ledger.books.heard.entries}) - len(cluster.rooms)
        lookups = [look.answered - look.asked for look in ledger.books.looked.entries]
        tell(
            f"away for {(away - since) / 1000:.0f} s: {told(ledger, summary, figures)}; "
            f"{len(lookups)} look-ups, slowest {max(lookups)} ms; presence was behind until "
            f"{ledger.books.presence_recovery(since, now()):.0f} s after the beginning; "
            f"rooms that took another name {renamed}"
        )
        ledger.expect_kept(summary)
        await ledger.expect_balanced(chance, CHECKED)


async def expect_newcomers_served(cluster: Cluster, ledger: Ledger, outage: float) -> None:
    """For `outage` seconds, one device after the other asks where to go, connects there, and gets a push."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(httpx.AsyncClient(trust_env=False))
        center = await stack.enter_async_context(cluster.center())
        for number in range(NEW_DEVICES):
            name = f"new-{number}"
            dispatcher = cluster.dispatchers[number % len(cluster.dispatchers)]
            answer = await client.get(
                f"{dispatcher.status}/v1/dispatch", params={"app": ledger.app, "device": name}
            )
            place = answer.raise_for_status().json()["endpoints"][0]
            token = jwt.encode({"sub": name}, ledger.secret, algorithm="HS256")
            async with Device(
                place["host"], place["port"], app=ledger.app, device=name, token=token
            ) as device:
                await device.wait_connected()
                await center.send(ledger.app, "welcome", devices=[name])
                assert (await device.receive()).text == "welcome"
            await asyncio.sleep(outage / NEW_DEVICES)
