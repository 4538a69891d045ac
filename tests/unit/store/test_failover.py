"""Calls without pause while servers die, hang, come back and change roles.

Every call is answered, or is `Unavailable` by its deadline; what was answered is there (where a failover
could lose what the replica had not got yet, calls wait for it); and each tag's calls arrive in the order
given, however often some of them are repeated, unless one came back, refused for the moment, while others of
its tag were on their way behind it.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from longline.errors import Unavailable
from longline.store.calls import Call, Remedy
from longline.store.lanes import Lane
from longline.store.redis import Script, Store
from longline.store.server import Server
from tests.servers.redis_server import RedisCluster, RedisServer
from tests.unit.store.conftest import Open
from tests.unit.store.test_store import arrivals, keys
from tests.waiting import WITHIN, until

APPEND = Script("tests.unit.store.lua", "append.lua")
TAGS = [b"p%d" % number for number in range(12)]
TIMEOUT = 4.0  # s
PATIENT = 30.0  # s: enough for servers to start and to agree, where no call is to be unavailable
WAIT = 1.0  # s
TOLERANCE = 1.0  # s: a deadline is looked at a few times a second
TURN = 0.05  # s: a turn of the loop that takes longer was held up by others


@dataclass
class Load:
    """Calls that are under way all the time, and how they ended, by tag."""

    store: Store
    durable: bool = False
    answered: dict[bytes, list[int]] = field(default_factory=lambda: {tag: [] for tag in TAGS})
    unavailable: int = 0
    slowest: float = 0.0  # by `awake`
    given: int = 0
    awake: float = 0.0  # s, without those in which this process was held up: then deadlines are late, too
    back: int = 0  # calls that came back, to be carried out later
    # By call: how many had come back when it was given, and when it ended.
    back_before: dict[int, int] = field(default_factory=dict)
    back_after: dict[int, int] = field(default_factory=dict)

    async def clock(self) -> None:
        """Counts the seconds in which this process was awake, until cancelled."""
        last = time.monotonic()
        while True:
            await asyncio.sleep(0.002)
            now = time.monotonic()
            self.awake += min(now - last, TURN)
            last = now

    async def calls(self) -> None:
        """Gives calls until cancelled, then waits for all of them."""
        under_way = set[asyncio.Task[None]]()
        try:
            while True:
                for tag in TAGS:
                    self.given += 1
                    task = asyncio.create_task(self._call(tag, self.given))
                    under_way.add(task)
                    task.add_done_callback(under_way.discard)
                await asyncio.sleep(0.002)
        finally:
            await asyncio.gather(*under_way)

    async def _call(self, tag: bytes, number: int) -> None:
        given = self.awake
        self.back_before[number] = self.back
        try:
            done = await self.store.run(tag, APPEND, keys(tag), [number], durable=self.durable)
            assert done == number
            self.answered[tag].append(number)
        except Unavailable:
            self.unavailable += 1
        self.back_after[number] = self.back
        self.slowest = max(self.slowest, self.awake - given)

    def overtaken_without_cause(self, tag: bytes, arrived: list[int]) -> list[tuple[int, int]]:
        """Calls and those that arrived before them though given later, and though none came back.

        Of those that were answered: what had no answer in time may lie with a server that hangs, and be
        carried out when it goes on.
        """
        found = []
        answered = set(self.answered[tag])
        last = 0  # the highest that has arrived
        for number in dict.fromkeys(arrived):
            if number in answered and number < last and self.back_after[number] <= self.back_before[last]:
                found.append((number, last))
            last = max(last, number)
        return found

    async def some(self) -> None:
        """Waits until every tag has got an answer to a call given from now on."""
        given = self.given
        await until(lambda: all(numbers and numbers[-1] > given for numbers in self.answered.values()))


@asynccontextmanager
async def load(store: Store, within: float = TIMEOUT, *, durable: bool = False) -> AsyncIterator[Load]:
    """Calls all the time inside; judged at the end. `within` is what the store gives each."""
    load = Load(store, durable)
    hold = Server._hold

    def count(server: Server, call: Call, remedy: Remedy = Remedy.AGAIN) -> Lane:
        load.back += 1
        return hold(server, call, remedy)

    Server._hold = count  # type: ignore[method-assign,assignment]
    task = asyncio.create_task(load.calls())
    clock = asyncio.create_task(load.clock())
    try:
        await load.some()
        yield load
        await load.some()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        clock.cancel()
        Server._hold = hold  # type: ignore[method-assign]

    assert load.slowest < within + durable * WAIT + TOLERANCE
    for tag in TAGS:
        arrived = await arrivals(store, tag)
        assert load.overtaken_without_cause(tag, arrived) == []
        assert set(load.answered[tag]) <= set(arrived)
    assert store.statistics()["waiting"] == store.statistics()["waiting_bytes"] == 0


async def test_a_server_that_is_killed_and_comes_back(directory: Path, open_store: Open) -> None:
    async with RedisServer(directory, config={"appendonly": "yes", "appendfsync": "always"}) as server:
        store = await open_store(server.url, timeout=PATIENT)
        doubts = 0
        async with load(store, PATIENT) as calls:
            for _ in range(3):
                server.kill()
                await asyncio.to_thread(server.start)
                await calls.some()
                async with asyncio.timeout(WITHIN):
                    doubts = await store.doubted(doubts)

        assert calls.unavailable == 0
        assert store.statistics()["reconnects"] >= 3


async def test_a_server_that_hangs_for_longer_than_calls_may_take(directory: Path, open_store: Open) -> None:
    async with RedisServer(directory) as server:
        store = await open_store(server.url, timeout=1.0)
        async with load(store, 1.0) as calls:
            server.pause()
            try:
                await until(lambda: calls.unavailable > 0)
            finally:
                server.resume()


async def test_a_slot_that_is_moved_live(directory: Path, open_store: Open) -> None:
    async with RedisCluster(directory, replicas=0) as cluster:
        store = await open_store(cluster.url, timeout=PATIENT)
        async with load(store, PATIENT) as calls:
            source = cluster.master_of(TAGS[0])
            target = next(node for node in cluster.nodes if node is not source)
            await store.call(TAGS[0], "MSET", *(f"{{p0}}{n}" for n in range(40)))
            for node in (target, source):
                # Slowly, so that some of a script's keys are here and some there while calls go on.
                await asyncio.to_thread(cluster.move, TAGS[0], node, lambda: time.sleep(0.01))
                await calls.some()

        assert calls.unavailable == 0
        assert store.statistics()["moved"] >= 1


async def test_a_master_that_hands_over_to_its_replica(directory: Path, open_store: Open) -> None:
    async with RedisCluster(directory) as cluster:
        store = await open_store(cluster.url, timeout=PATIENT)
        async with load(store, PATIENT) as calls:
            master = cluster.master_of(TAGS[0])
            cluster.replica_of(master).command("CLUSTER", "FAILOVER")
            await asyncio.to_thread(cluster.failed_over, TAGS[0], master)

        assert calls.unavailable == 0
        await until(lambda: store.statistics()["servers"] == 3)  # the old master has nothing to do any more


async def test_a_master_that_is_killed_and_replaced(directory: Path, open_store: Open) -> None:
    async with RedisCluster(directory) as cluster:
        store = await open_store(cluster.url, timeout=TIMEOUT, wait_replicas=1, wait_timeout=WAIT)
        quiet = await open_store(cluster.url, timeout=TIMEOUT)
        async with load(store, durable=True):
            master = cluster.master_of(TAGS[0])
            master.kill()
            await asyncio.to_thread(cluster.failed_over, TAGS[0], master)
            await asyncio.to_thread(master.start)
            async with asyncio.timeout(WITHIN):
                await store.doubted(0)

        # A store that was idle meanwhile finds its way too.
        assert await quiet.call(TAGS[0], "EXISTS", keys(TAGS[0])[0]) == 1


async def test_a_master_that_hangs_is_replaced_and_comes_back(directory: Path, open_store: Open) -> None:
    async with RedisCluster(directory) as cluster:
        store = await open_store(cluster.url, timeout=TIMEOUT, wait_replicas=1, wait_timeout=WAIT)
        async with load(store, durable=True):
            master = cluster.master_of(TAGS[0])
            master.pause()
            try:
                await asyncio.to_thread(cluster.failed_over, TAGS[0], master)
            finally:
                master.resume()


async def test_a_whole_cluster_that_is_restarted(directory: Path, open_store: Open) -> None:
    async with RedisCluster(directory, replicas=0, config={"appendonly": "yes"}) as cluster:
        store = await open_store(cluster.url, timeout=PATIENT)
        await store.call(b"p1", "SET", "{p1}x", 1)
        await asyncio.to_thread(cluster.kill)
        call = asyncio.ensure_future(store.call(b"p1", "GET", "{p1}x"))
        await asyncio.to_thread(cluster.start)

        assert await call == b"1"
