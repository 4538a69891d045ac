"""Measures audiences: registering devices with labels, accepting messages to tags and expressions, and the
return of devices to what waits for them.

    python benchmarks/audiences.py [--devices 100000] [--online 5000] [--rounds 20] [--returning 20000]
                                   [--redis URL] [--data DIR]

In SQLite, or in a Redis that is empty. Every figure is of durable work, seen from the port; `CPU` is what
this process used of its core, and the store where it is another process, which other work on the machine
disturbs less. Exit status 1 when a device that returned did not get what was for it, each once.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from longline.model.apps import App
from longline.model.audience import (
    AllOf,
    AnyOf,
    Equal,
    Everyone,
    Expression,
    Having,
    NoneOf,
    OnPlatform,
    Ordered,
    Tagged,
)
from longline.model.devices import Came, Profile
from longline.model.ledger import State
from longline.model.messages import Envelope, Message
from longline.model.times import wall_clock
from longline.register.memory import MemoryRegister
from longline.register.port import Bind
from longline.register.redis import RedisRegister
from longline.saver.bundle import Saver
from longline.saver.kv.engine import RedisSaver
from longline.saver.port.devices import Registration
from longline.saver.port.inboxes import Arrive, Cursor, Fetch, Receipt
from longline.saver.port.messages import Accepted, Outcome, Submission
from longline.saver.sql.database import Database
from longline.saver.sql.engine import SqliteSaver
from longline.settings import StoreSettings
from longline.store.redis import Store

PART = 1000
WINDOW = 16  # pushes that a device fetches at once
AT_ONCE = 20  # devices that return side by side, each by itself
CAME = Came("192.0.2.1", "MQTT 5.0", "bench", "1")
PAGE = 4096  # bytes
TTL = 86_400_000  # ms

AUDIENCES: dict[str, Expression] = {
    "everyone": Everyone(),
    "a tag of half of them": Tagged(("even",)),
    "a tag of one in a thousand": Tagged(("rare",)),
    "a comparison": Ordered("age", "gte", 18),
    "a nested expression": AllOf(
        (
            AnyOf((Tagged(("even",)), Tagged(("third",)))),
            Ordered("age", "gte", 18),
            Ordered("seen", "lt", 1_700_500_000),
            Equal("plan", ("pro", "team")),
            NoneOf((OnPlatform(("web",)), Having("muted"))),
        )
    ),
}


def profile(n: int) -> Profile:
    """Four labels, a platform, and four attributes, two of which are numbers."""
    tags = ["all", f"city{n % 97}"]
    tags += ["even"] if n % 2 == 0 else []
    tags += ["third"] if n % 3 == 0 else []
    tags += ["rare"] if n % 1000 == 0 else []
    attributes: dict[str, object] = {
        "age": n * 7919 % 90,
        "seen": 1_700_000_000 + n * 104_729 % 1_000_000,
        "plan": ("free", "pro", "team")[n % 3],
    }
    if n % 10 == 0:
        attributes["muted"] = True
    return Profile(
        aliases=(f"user{n // 2}",),
        tags=tuple(tags),
        platform=("ios", "android", "web")[n % 3],
        attributes=attributes,
    )


class Used(NamedTuple):
    """Bytes that a store takes, and seconds of CPU that it has used by itself."""

    size: int
    cpu: float


class Bench:
    """One engine and an app. What happens, happens at one moment: a store that goes by its own clock forgets
    nothing of it meanwhile."""

    def __init__(self, saver: Saver, app: int, used: Callable[[], Awaitable[Used]]) -> None:
        self.saver = saver
        self.app = app
        self.used = used
        self.now = wall_clock()
        self.sent = 0
        self.to_everyone: set[str] = set()  # ids of messages

    async def register(self, count: int) -> None:
        """In batches, as app servers do it."""
        before, started, cpu = await self.used(), time.perf_counter(), time.process_time()
        for first in range(0, count, PART):
            batch = [Registration(f"d{n}", profile(n)) for n in range(first, min(first + PART, count))]
            await self.saver.devices.put(self.app, batch, self.now)
        took = time.perf_counter() - started
        cpu = time.process_time() - cpu
        after = await self.used()
        print(
            f"registered {count:,}: {took / count * 1e6:.0f} µs (CPU {cpu / count * 1e6:.0f} + "
            f"{(after.cpu - before.cpu) / count * 1e6:.0f} µs) "
            f"and {(after.size - before.size) / count:.0f} bytes each"
        )

    async def change(self, rounds: int, count: int) -> None:
        """One device at a time."""
        started = time.perf_counter()
        for n in range(rounds):
            name = f"d{n * 7919 % count}"
            await self.saver.devices.put(self.app, [Registration(name, profile(n + 1))], self.now)
        print(f"changed one by one: {(time.perf_counter() - started) / rounds * 1e3:.2f} ms each")

    async def send(self, expression: Expression, what: str, rounds: int) -> None:
        """Messages to an expression, one after the other."""
        times = []
        targeted = 0
        before, cpu = await self.used(), time.process_time()
        for _ in range(rounds):
            self.sent += 1
            message = Message(
                id=str(UUID(int=(self.now << 80) | (7 << 76) | (2 << 62) | self.sent)),
                app="bench",
                payload=b"x" * 128,
                content_type="text/plain",
                created_at=self.now,
                expires_at=self.now + TTL,
            )
            if isinstance(expression, Everyone):
                self.to_everyone.add(message.id)
            submission = Submission(self.app, (Envelope(message, expression),), self.now)
            started = time.perf_counter()
            (outcome,) = await self.saver.messages.enqueue([submission])
            times.append(time.perf_counter() - started)
            assert isinstance(outcome, Outcome)
            (result,) = outcome.results
            assert isinstance(result, Accepted)
            targeted = result.targeted
        cpu = (time.process_time() - cpu) / rounds
        after = await self.used()
        of_store = (after.cpu - before.cpu) / rounds
        grown = (after.size - before.size) / rounds
        times.sort()
        print(
            f"{what}: {targeted:,} devices, accepted in {times[len(times) // 2] * 1e3:.1f} ms "
            f"(at most {times[-1] * 1e3:.1f} ms; CPU {cpu * 1e3:.1f} + {of_store * 1e3:.1f} ms), "
            f"{grown / 1024:.0f} KiB each"
        )

    async def count(self, expression: Expression, what: str) -> None:
        """An estimate."""
        started = time.perf_counter()
        found = await self.saver.audiences.describe(self.app, expression, 10_000)
        took = (time.perf_counter() - started) * 1e3
        print(f"{what}: counted {found.devices:,} and named {len(found.some):,} in {took:.1f} ms")

    async def come_back(self, count: int, of: int) -> bool:
        """Devices that were away return, each by itself; whether each found what was for everyone, and
        nothing twice."""
        times: list[float] = []
        pushes = wrong = 0
        waiting = iter([n * of // count for n in range(count)])

        async def some() -> None:
            nonlocal pushes, wrong
            for n in waiting:
                started = time.perf_counter()
                found = await self._come_back(f"d{n}")
                times.append(time.perf_counter() - started)
                pushes += len(found)
                wrong += len(set(found)) != len(found) or not self.to_everyone <= set(found)
                wrong += bool(await self._come_back(f"d{n}"))  # nothing waits for it any more

        before, started, cpu = await self.used(), time.perf_counter(), time.process_time()
        await asyncio.gather(*(some() for _ in range(AT_ONCE)))
        took, cpu = time.perf_counter() - started, time.process_time() - cpu
        of_store = (await self.used()).cpu - before.cpu
        times.sort()
        print(
            f"{count:,} devices returned, twice: {2 * count / took:,.0f} a second "
            f"(CPU {cpu / 2 / count * 1e6:.0f} + {of_store / 2 / count * 1e6:.0f} µs each), "
            f"{pushes:,} pushes, half within {times[len(times) // 2] * 1e3:.1f} ms "
            f"(at most {times[-1] * 1e3:.1f} ms), {wrong:,} got something else"
        )
        return not wrong

    async def _come_back(self, device: str) -> list[str]:
        """What a room asks for a device that connects, and says of what it took; ids of the messages."""
        inboxes, now = self.saver.inboxes, self.now
        (arrival,) = await inboxes.arrive([Arrive(self.app, device, now, came=CAME)])
        assert arrival is not None
        taken: list[str] = []
        cursor, complete = arrival.log_after, not arrival.pending
        while not complete:
            fetch = Fetch(self.app, arrival.ordinal, 0, cursor, WINDOW, now)
            (page,) = await inboxes.fetch([fetch])
            await inboxes.settle(
                [
                    Receipt(self.app, arrival.ordinal, push.position, push.broadcast, State.ACKED, now, now)
                    for push in page.pushes
                ]
            )
            taken += [push.message.id for push in page.pushes]
            cursor, complete = page.log_after, page.complete
        await inboxes.advance([Cursor(self.app, arrival.ordinal, cursor)])
        return taken

    async def aliases(self, rounds: int) -> None:
        """Who a thousand aliases are."""
        started = time.perf_counter()
        for n in range(rounds):
            asked = [f"user{n * 1000 + i}" for i in range(1000)]
            await self.saver.audiences.holders(self.app, asked, 101)
        print(f"a thousand aliases: {(time.perf_counter() - started) / rounds * 1e3:.1f} ms")


async def measure(saver: Saver, used: Callable[[], Awaitable[Used]], options: argparse.Namespace) -> bool:
    """Fills an engine and measures it; whether devices that returned had what was for them."""
    app = await saver.apps.create(
        App(app="bench", number=0, name="", server_key_hash=b"", device_secret="", pubsub=False, created_at=0)
    )
    bench = Bench(saver, app.number, used)
    await bench.register(options.devices)
    await bench.change(options.rounds, options.devices)
    for what, expression in AUDIENCES.items():
        await bench.send(expression, what, options.rounds)
    for what, expression in AUDIENCES.items():
        await bench.count(expression, what)
    await bench.aliases(min(options.rounds, options.devices // 2000))
    return await bench.come_back(min(options.returning, options.devices), options.devices)


async def in_sqlite(options: argparse.Namespace, data: Path) -> bool:
    """The embedded engine; its size is that of its pages."""
    register = MemoryRegister()
    for first in range(0, min(options.online, options.devices), PART):
        last = min(first + PART, options.online, options.devices)
        await register.bind([Bind(1, f"d{n}", "node", 0) for n in range(first, last)])

    saver = await SqliteSaver.open(data / "bench.db", locate=register.locate_now)

    looking = Database(data / "bench.db", 1 << 20)

    async def used() -> Used:
        return Used(PAGE * (looking.number("PRAGMA page_count") or 0), 0.0)

    right = await measure(saver, used, options)
    looking.close()
    await saver.close()
    return right


async def in_redis(options: argparse.Namespace) -> bool:
    """The engine of a cluster; its size is the memory that the store uses."""
    store = await Store.open(StoreSettings(url=options.redis))
    saver = await RedisSaver.open(store)

    async def used() -> Used:
        reply = await store.call(b"p0", "MEMORY", "STATS")
        assert isinstance(reply, list)
        figures = dict(zip(reply[::2], reply[1::2], strict=True))
        total, clients = figures[b"total.allocated"], figures[b"clients.normal"]
        assert isinstance(total, int)
        assert isinstance(clients, int)
        info = await store.call(b"p0", "INFO", "cpu")
        assert isinstance(info, bytes)
        told = dict(line.split(b":") for line in info.splitlines() if b":" in line)
        return Used(total - clients, float(told[b"used_cpu_user"]) + float(told[b"used_cpu_sys"]))

    register = RedisRegister(store)
    for first in range(0, min(options.online, options.devices), PART):
        last = min(first + PART, options.online, options.devices)
        await register.bind([Bind(1, f"d{n}", "node", 0) for n in range(first, last)])
    right = await measure(saver, used, options)
    await store.close()
    return right


def main() -> None:
    """Reads the arguments and runs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--devices", type=int, default=100_000)
    parser.add_argument("--online", type=int, default=5000, help="of the devices, that are bound to a room")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--returning", type=int, default=20_000, help="devices that return at the end")
    parser.add_argument("--redis")
    parser.add_argument("--data", type=Path)
    options = parser.parse_args()
    if options.redis is not None:
        right = asyncio.run(in_redis(options))
    elif options.data is not None:
        right = asyncio.run(in_sqlite(options, options.data))
    else:
        with tempfile.TemporaryDirectory() as directory:
            right = asyncio.run(in_sqlite(options, Path(directory)))
    sys.exit(not right)


if __name__ == "__main__":
    main()
