"""Two rooms over one store, on a loop in a thread of their own, for clients that wait in the test's."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final, TypeVar

import jwt
import uvloop

from longline.bus.local import LocalBus
from longline.bus.port import Bus
from longline.bus.redis import RedisBus
from longline.coordinator.sessions import WillDuty
from longline.model.apps import App
from longline.model.times import wall_clock
from longline.register.memory import MemoryRegister
from longline.register.port import Register
from longline.register.redis import RedisRegister
from longline.room.room import Room
from longline.saver.bundle import Saver
from longline.saver.kv.engine import RedisSaver
from longline.saver.sql.engine import SqliteSaver
from longline.settings import RoomSettings, StoreSettings
from longline.store.redis import Store
from longline.telemetry.faults import Faults
from tests.servers.ports import free_ports
from tests.servers.shared import shared
from tests.waiting import WITHIN, until

SECRET: Final = "the device secret of an app for tests"
T = TypeVar("T")


class Stand:
    """The rooms, and what a test asks of them. Its methods are called from another thread."""

    def __init__(self, saver: Saver, bus: Bus, faults: Faults) -> None:
        self.loop = asyncio.get_running_loop()
        self.rooms: dict[str, Room] = {}
        self.ports: dict[str, int] = {}
        self._saver = saver
        self._wills = WillDuty(saver.apps, saver.sessions, saver.queues, saver.retained, bus, faults)
        self._faults = faults
        self._names = count(1)

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(2 * WITHIN)

    def new_app(self) -> str:
        name = f"app{next(self._names)}"
        app = App(
            app=name,
            number=0,
            name=name,
            server_key_hash=name.encode().ljust(32, b"."),
            device_secret=SECRET,
            pubsub=True,
            created_at=wall_clock(),
        )
        self.do(self._saver.apps.create(app))
        return name

    @staticmethod
    def token(client: str) -> bytes:
        return jwt.encode({"sub": client}, SECRET, algorithm="HS256").encode()

    @property
    def wills(self) -> int:
        """How many were published since the start."""
        return self._wills.published

    def told(self, connections: dict[str, int], wills: int) -> None:
        """Returns when rooms have so many connections, and the store knows of all that ended before.

        Then the wills that are due are published: that many since the start, and not one more.
        """

        async def so() -> bool:
            rooms = self.rooms.items()
            return all(room.connections == connections.get(name, 0) for name, room in rooms) and not any(
                room.closings.waiting() + room.steps.waiting() for _, room in rooms
            )

        async def published() -> None:
            await until(so, tell=lambda: [room.connections for room in self.rooms.values()])
            await until(self._round(wills))
            await self._wills.round()

        self.do(published())
        assert self.wills == wills, f"{self.wills} wills, not {wills}"

    def _round(self, wills: int) -> Callable[[], Coroutine[Any, Any, bool]]:
        async def round() -> bool:
            await self._wills.round()
            return self._wills.published >= wills

        return round

    def idle(self) -> None:
        """Returns when the store knows of every acknowledgement, and of all that is retained."""

        def so() -> bool:
            return not any(room.steps.waiting() + room.retainer.waiting() for room in self.rooms.values())

        async def waited() -> None:
            await until(so)

        self.do(waited())


@asynccontextmanager
async def _sqlite(directory: Path) -> AsyncIterator[tuple[Saver, Register, Bus]]:
    register = MemoryRegister()
    saver = await SqliteSaver.open(directory / "test.db", locate=register.locate_now)
    yield saver, register, LocalBus(10_000)
    await saver.close()


@asynccontextmanager
async def _redis(directory: Path) -> AsyncIterator[tuple[Saver, Register, Bus]]:
    with shared("redis") as server:
        store = await Store.open(StoreSettings(url=server.url, partitions=4))
        register = RedisRegister(store)
        saver = await RedisSaver.open(store)
        bus = RedisBus(store, limit=10_000, limit_bytes=1 << 26, patience=60.0)
        yield saver, register, bus
        await bus.close()
        await saver.close()
        await register.close()
        await store.close()


STORES: Final = {"sqlite": _sqlite, "redis": _redis}


@asynccontextmanager
async def _rooms(kind: str, directory: Path) -> AsyncIterator[Stand]:
    faults = Faults()
    async with STORES[kind](directory) as (saver, register, bus):
        stand = Stand(saver, bus, faults)
        for name, port in zip(("a", "b"), free_ports(2), strict=True):
            room = Room(
                RoomSettings(port=port, linger=30.0, inflight_window=1000),
                name,
                saver=saver,
                register=register,
                bus=bus,
                report=lambda code, peer, message: None,
                faults=faults,
                fenced=lambda name: None,
            )
            await room.start()
            stand.rooms[name], stand.ports[name] = room, port
        try:
            yield stand
        finally:
            for room in stand.rooms.values():
                await room.stop(5.0)
    assert not dict(faults.counts), dict(faults.counts)


@contextmanager
def standing(kind: str, directory: Path) -> Iterator[Stand]:
    """A stand whose rooms share a store of this kind. By its end they must have met no fault of ours."""
    ready: Future[tuple[Stand, asyncio.Event]] = Future()

    async def live() -> None:
        async with _rooms(kind, directory) as stand:
            enough = asyncio.Event()
            ready.set_result((stand, enough))
            await enough.wait()

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(live())
        except BaseException as error:
            if not ready.done():
                ready.set_exception(error)
            raise

    with ThreadPoolExecutor(1) as thread:
        ended = thread.submit(run)
        stand, enough = ready.result()
        try:
            yield stand
        finally:
            stand.loop.call_soon_threadsafe(enough.set)
            ended.result()
