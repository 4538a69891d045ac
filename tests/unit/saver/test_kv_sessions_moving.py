"""Sessions and their queues while the slot of their partition moves to another server, key by key."""

import asyncio
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import msgspec

from longline.register.redis import RedisRegister
from longline.saver.kv.engine import RedisSaver
from longline.saver.port.queues import Published, QueuePublication, Step
from longline.settings import StoreSettings
from longline.store.redis import Store
from tests.contract.engines import SAVERS, Opened
from tests.contract.saver.kept import Kept, Session
from tests.contract.store_fixture import StoreFixture
from tests.servers.redis_server import RedisCluster
from tests.waiting import until

PATIENT = 60.0  # s
PARTITIONS = 2
IDENTIFIERS = 8


async def opened(url: str) -> Opened:
    store = await Store.open(StoreSettings(url=url, partitions=PARTITIONS, timeout=PATIENT))
    register = RedisRegister(store, give_up=PATIENT)

    async def close() -> None:
        await register.close()
        await store.close()

    return Opened(await RedisSaver.open(store), register, close)


class Work:
    """Publishes, reads and settles all the time, and remembers what was published and what was read."""

    def __init__(self, kept: Kept, readers: list[Session], senders: list[Session]) -> None:
        self.kept = kept
        self.readers = readers
        self.senders = senders
        self.published: list[str] = []
        self.read: dict[str, Counter[str]] = {reader.device: Counter() for reader in readers}
        self.rounds = 0
        self.ending = False

    async def run(self) -> None:
        while not self.ending:
            await asyncio.gather(*map(self._send, self.senders), *map(self._take, self.readers))
            self.rounds += 1

    async def some(self, working: "asyncio.Task[None]") -> None:
        """Returns when some more was done."""
        enough = self.rounds + 2
        await until(lambda: self.rounds >= enough or working.done())

    async def _send(self, sender: Session) -> None:
        kept, packet_id = self.kept, self.rounds % IDENTIFIERS + 1
        for qos in (1, 2):
            text = f"{qos} {sender.device} {self.rounds} " + "." * (200 * (self.rounds % 2))
            received = kept.received(sender, packet_id) if qos == 2 else None
            publication = kept.publication("x", text, qos)
            asked = QueuePublication(kept.store.app, publication, kept.store.now, None, received)
            (answer,) = await kept.queues.publish([asked])
            assert isinstance(answer, Published)
            assert (answer.full, answer.again) == (0, False)
            self.published.append(text)
        await kept.complete(sender, packet_id)

    async def _take(self, reader: Session) -> None:
        """Takes one message after the other, in two steps where its QoS is 2; and has a filter anew."""
        for entry in (await self.kept.page(reader)).entries:
            self.read[reader.device][entry.publication.payload.decode()] += 1
            if entry.qos == 2:
                await self.kept.settle(reader, entry.place, Step.RELEASED)
            await self.kept.settle(reader, entry.place)
        filter = f"own/{reader.device}"
        assert await self.kept.subscribe(reader, filter) is False
        assert await self.kept.unsubscribe(reader, filter) is True


async def test_nothing_is_lost_or_doubled_while_a_partition_moves(tmp_path: Path) -> None:
    async with RedisCluster(tmp_path, replicas=0) as cluster:
        engine = replace(SAVERS["cluster"], open=opened)
        store = StoreFixture(engine, cluster.url)
        await store.open()
        await store.begin()
        kept = Kept(store)
        readers = [await kept.subscribed(f"reader-{n}", "x") for n in range(4)]
        senders = [await kept.open(f"sender-{n}") for n in range(3)]
        work = Work(kept, readers, senders)
        working = asyncio.create_task(work.run())
        source = cluster.master_of(b"p0")
        target = next(node for node in cluster.nodes if node is not source)
        for node in (target, source):
            await asyncio.to_thread(cluster.move, b"p0", node, lambda: time.sleep(0.01))
            await work.some(working)
        work.ending = True
        await working
        for reader in readers:
            await work._take(reader)
            texts = work.read[reader.device]
            assert set(texts) == set(work.published)
            assert [text for text, count in texts.items() if count > 1 and text.startswith("2")] == []
            assert await figures(kept, reader) == [b"0", b"0"], "its queue is empty, and known to be"
        await store.close()


async def figures(kept: Kept, session: Session) -> list[bytes]:
    """How many messages, and bytes, a session is said to have."""
    saver = kept.store.saver
    assert isinstance(saver, RedisSaver)
    partition, place = session.ordinal % PARTITIONS, session.ordinal // PARTITIONS
    key = b"{p%d}ms:%d:%d" % (partition, kept.store.app, place)
    return msgspec.convert(await saver._store.call(b"p%d" % partition, "HMGET", key, "c", "b"), list[bytes])
