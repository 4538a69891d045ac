"""Measures the queues of MQTT sessions, in an app with many filters: in SQLite, or in an empty store.

    python benchmarks/queues.py [--seconds 3] [--sessions 100000] [--batch 100] [--senders 1] [--data DIR]
    python benchmarks/queues.py --store redis://127.0.0.1:6379 [--partitions 64] …

Every session has a filter of its own, and one in a hundred `every/#` too. Every figure of SQLite is of
durable work. Of a store it is also told what its server spent.
"""

import argparse
import asyncio
import re
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from longline.model.apps import App
from longline.model.devices import Binding, Profile
from longline.model.pubsub import Filter, Publication
from longline.saver.bounds import SaverBounds
from longline.saver.bundle import Saver
from longline.saver.kv.engine import RedisSaver
from longline.saver.port.devices import Registration
from longline.saver.port.queues import Published, QueueBounds, QueuePublication, Read, Settle, Step
from longline.saver.port.sessions import FOREVER, AddFilter, KeptSession, OpenSession
from longline.saver.sql.engine import SqliteSaver
from longline.settings import StoreSettings
from longline.store.redis import Store

BOUNDS = SaverBounds(queue=QueueBounds(match_limit=100_000))
PART = 1000
ID = "01890a5d-ac96-774b-bcce-b302099a8057"


def now() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def publication(topic: str) -> Publication:
    """A message of 256 bytes."""
    return Publication(ID, topic, b"x" * 256, 1, at=now())


class Bench:
    """One engine, an app, and sessions that are away."""

    def __init__(
        self, saver: Saver, app: int, ordinals: Sequence[int], batch: int, seconds: float, told: "Telling"
    ) -> None:
        self.saver = saver
        self.app = app
        self.ordinals = ordinals
        self.count = len(ordinals)
        self.told = told
        self.batch = batch
        self.seconds = seconds
        self.places: dict[int, int] = {}  # the last that was published, by ordinal

    async def open(self, epoch: int, expires_in: int) -> list[KeptSession]:
        """Every client connects."""
        started = time.perf_counter()
        opened: list[KeptSession] = []
        for first in range(0, self.count, PART):
            asked = [
                OpenSession(self.app, f"d{n}", self.ordinals[n], "node", epoch, now(), False, expires_in)
                for n in range(first, min(first + PART, self.count))
            ]
            opened += [session for session in await self.saver.sessions.open(asked) if session is not None]
        await self.told("opened", len(opened), time.perf_counter() - started)
        return opened

    async def subscribe(self, sessions: list[KeptSession]) -> None:
        """Each has its own filter, and one in a hundred another that all those have."""
        started = time.perf_counter()
        filters = 0
        for first in range(0, self.count, PART):
            asked = []
            for n in range(first, min(first + PART, self.count)):
                number = sessions[n].number
                names = [f"devices/d{n}/commands" if n % 10 else f"devices/d{n}/+"]
                names += ["every/#"] if n % 100 == 0 else []
                asked += [
                    AddFilter(self.app, f"d{n}", self.ordinals[n], number, number, Filter(name, 1))
                    for name in names
                ]
            filters += len(await self.saver.sessions.subscribe(asked))
        await self.told("subscribed", filters, time.perf_counter() - started)

    async def publish(self, senders: int) -> None:
        """Each message is for one session."""
        started = time.perf_counter()
        sent = sum(
            await asyncio.gather(*(self._send(index, started + self.seconds) for index in range(senders)))
        )
        await self.told(
            f"published in batches of {self.batch}, each to one", sent, time.perf_counter() - started
        )

    async def _send(self, index: int, until: float) -> int:
        number = index * 1_000_003
        sent = 0
        while time.perf_counter() < until:
            batch = []
            for _ in range(self.batch):
                number += 7919
                n = number % self.count
                self.places[n] = self.places.get(n, 0) + 1
                batch.append(
                    QueuePublication(self.app, publication(f"devices/d{n}/commands"), now(), "somebody")
                )
            for answer in await self.saver.queues.publish(batch):
                assert isinstance(answer, Published)
                assert len(answer.queued) == 1
            sent += self.batch
        return sent

    async def drain(self, sessions: list[KeptSession]) -> None:
        """Every message is read, and settled."""
        started = time.perf_counter()
        waiting = list(self.places)
        settles: list[Settle] = []
        for first in range(0, len(waiting), PART):
            asked = [
                Read(self.app, self.ordinals[n], sessions[n].number, 0, 1000, now())
                for n in waiting[first : first + PART]
            ]
            for read, page in zip(asked, await self.saver.queues.read(asked), strict=True):
                settles += [
                    Settle(self.app, read.ordinal, read.number, entry.place, Step.SETTLED)
                    for entry in page.entries
                ]
        await self.told("read", len(settles), time.perf_counter() - started)
        started = time.perf_counter()
        for first in range(0, len(settles), PART):
            await self.saver.queues.settle(settles[first : first + PART])
        await self.told(f"settled in batches of {PART}", len(settles), time.perf_counter() - started)

    async def fan_out(self) -> None:
        """A message to a hundredth of all sessions."""
        count = 0
        longest = 0.0
        started = time.perf_counter()
        while time.perf_counter() < started + 1 and count < 500 * self.count // 100:
            before = time.perf_counter()
            (answer,) = await self.saver.queues.publish(
                [QueuePublication(self.app, publication("every/one"), now())]
            )
            assert isinstance(answer, Published)
            count += len(answer.queued)
            longest = max(longest, time.perf_counter() - before)
        await self.told("queued for many, each place", count, time.perf_counter() - started)
        print(f"one message to {self.count // 100:,} sessions took {longest * 1000:.0f} ms at most")

    async def end(self) -> None:
        """The node dies, all sessions end, and what they leave is removed."""
        at = now()
        steps: dict[str, Callable[[], Awaitable[int]]] = {
            "given up": lambda: self.saver.sessions.abandon("node", at, 0, PART),
            "swept": lambda: self.saver.sessions.sweep(at + 1000, PART),
            "removed rows": lambda: self.saver.expiry.end(at, PART),
        }
        for what, step in steps.items():
            started = time.perf_counter()
            count = 0
            while done := await step():
                count += done
            await self.told(what, count, time.perf_counter() - started)


async def told(what: str, count: int, took: float) -> None:
    """Prints a figure."""
    print(f"{what}: {count:,}, {took / max(count, 1) * 1e6:.1f} µs each")


Telling = Callable[[str, int, float], Awaitable[None]]


class OfStore:
    """Prints figures, and what a store's server spent meanwhile."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.before: list[float] = [0, 0, 0, 0]

    async def told(self, what: str, count: int, took: float) -> None:
        """Prints a figure."""
        await told(what, count, took)
        reply = await self.store.call(b"meta", "INFO", "everything")
        assert isinstance(reply, bytes)
        now = [
            float(found.group(1)) if (found := re.search(pattern, reply)) else 0.0
            for pattern in (
                rb"used_cpu_user:([\d.]+)",
                rb"used_cpu_sys:([\d.]+)",
                rb"cmdstat_evalsha:calls=(\d+)",
                rb"used_memory:(\d+)",
            )
        ]
        user, system, calls, memory = [new - old for new, old in zip(now, self.before, strict=True)]
        self.before = now
        each = max(count, 1)
        print(
            f"    the server: {(user + system) / each * 1e6:.1f} µs of its processor each,"
            f" {calls:,.0f} scripts, {memory / each:.0f} bytes each"
        )


async def in_sqlite(options: argparse.Namespace, data: Path) -> None:
    """Measures SQLite."""

    def locate(app: int, devices: Sequence[str]) -> list[Binding | None]:
        return [None] * len(devices)

    path = data / "bench.db"
    saver = await SqliteSaver.open(path, locate=locate, bounds=BOUNDS, queue_limit=1_000_000)
    await run(saver, options, told)


async def in_store(options: argparse.Namespace) -> None:
    """Measures a store."""
    store = await Store.open(StoreSettings(url=options.store, partitions=options.partitions))
    saver = await RedisSaver.open(store, bounds=BOUNDS)
    await run(saver, options, OfStore(store).told)
    await store.close()


async def run(saver: Saver, options: argparse.Namespace, told: Telling) -> None:
    """Fills an engine and measures it."""
    app = await saver.apps.create(
        App(app="bench", number=0, name="", server_key_hash=b"", device_secret="", pubsub=True, created_at=0)
    )
    ordinals: list[int] = []
    for first in range(0, options.sessions, PART):
        names = [f"d{n}" for n in range(first, min(first + PART, options.sessions))]
        devices = await saver.devices.put(
            app.number, [Registration(name, Profile()) for name in names], now()
        )
        ordinals += [device.ordinal for device in devices]
    await told("registered", 0, 0)
    bench = Bench(saver, app.number, ordinals, options.batch, options.seconds, told)
    sessions = await bench.open(1, FOREVER)
    await bench.subscribe(sessions)
    await bench.publish(options.senders)
    await bench.drain(sessions)
    await bench.fan_out()
    await bench.open(2, 1)
    await bench.end()
    await saver.close()


def main() -> None:
    """Reads the arguments and runs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--sessions", type=int, default=100_000)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--senders", type=int, default=1)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--store", help="of a store that is empty, its URL")
    parser.add_argument("--partitions", type=int, default=64)
    options = parser.parse_args()
    if options.store is not None:
        asyncio.run(in_store(options))
        return
    if options.data is not None:
        asyncio.run(in_sqlite(options, options.data))
        return
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(in_sqlite(options, Path(directory)))


if __name__ == "__main__":
    main()
