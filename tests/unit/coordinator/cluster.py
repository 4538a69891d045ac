"""What a coordinator works with: a session table, a store, queues and a keeper, all of one process."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from longline.bus.local import LocalBus
from longline.keeper.local import LocalKeeper
from longline.keeper.port import Node
from longline.model.apps import App
from longline.model.devices import Binding
from longline.model.times import wall_clock
from longline.register.memory import MemoryRegister
from longline.register.port import Bind, Transition, Unbind
from longline.saver.sql.engine import SqliteSaver
from longline.telemetry.faults import Faults


class Died(BaseException):
    """The process ended at this line."""


class Record:
    """What was done, in order."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, *words: object) -> None:
        self.lines.append(" ".join(map(str, words)))


class NotedRegister(MemoryRegister):
    """One whose cleaning up is noted, and which may die before it forgets."""

    def __init__(self, record: Record) -> None:
        super().__init__()
        self.dies = False
        self._record = record

    async def declare_dead(self, node: str) -> None:
        self._record.note("declare_dead", node)
        await super().declare_dead(node)

    async def release(self, node: str, now: int, linger: int, limit: int) -> int:
        found = await super().release(node, now, linger, limit)
        self._record.note("release", node, found)
        return found

    async def forget(self, transitions: Sequence[Transition]) -> None:
        if self.dies:
            raise Died
        await super().forget(transitions)


class NotedBus(LocalBus):
    """One whose shut queues are noted."""

    def __init__(self, record: Record) -> None:
        super().__init__(1000)
        self._record = record

    async def shut(self, node: str) -> None:
        self._record.note("shut", node)
        await super().shut(node)


class FickleKeeper(LocalKeeper):
    """One that can be out of touch, and whose members can be old news."""

    def __init__(self) -> None:
        super().__init__()
        self.gone = False

    def in_touch(self) -> bool:
        return not self.gone


class Cluster:
    """Time in seconds for what measures it; devices are those of one app."""

    def __init__(self, saver: SqliteSaver, register: NotedRegister, record: Record, app: App) -> None:
        self.now = 1000.0
        self.saver = saver
        self.register = register
        self.record = record
        self.app = app
        self.bus = NotedBus(record)
        self.keeper = FickleKeeper()
        self.faults = Faults()

    async def a_node(self, name: str) -> None:
        """A room that has joined and has a queue."""
        await self.keeper.join(a_member(name))
        await self.bus.open(name)

    async def dies(self, name: str) -> None:
        """Its membership goes; everything else stays."""
        await self.keeper.leave(name)

    async def bind(self, device: str, node: str) -> Binding:
        (bound,) = await self.register.bind([Bind(self.app.number, device, node, wall_clock())])
        return bound.binding

    async def unbind(self, device: str, binding: Binding, linger: int = 0) -> None:
        await self.register.unbind([Unbind(self.app.number, device, binding.epoch, wall_clock(), linger)])

    async def presence(self) -> list[tuple[str, str]]:
        """Who came and went, as the app server is told."""
        found = []
        for _, event in (await self.saver.events.read(self.app.number, "", 1000)).events:
            found.append((event.device, str(msgspec.json.decode(event.data)["state"])))
        return found


@asynccontextmanager
async def a_cluster(directory: Path) -> AsyncIterator[Cluster]:
    record = Record()
    register = NotedRegister(record)
    saver = await SqliteSaver.open(directory / "longline.db", locate=register.locate_now)
    try:
        yield Cluster(saver, register, record, await saver.apps.create(an_app("news")))
    finally:
        await saver.close()


def a_member(name: str, *, roles: tuple[str, ...] = ("room",)) -> Node:
    return Node(node=name, roles=roles, addresses={}, since=1, version="1")


def an_app(name: str) -> App:
    return App(
        app=name,
        number=0,
        name=name,
        server_key_hash=b"h" * 32,
        device_secret="secret",
        pubsub=False,
        created_at=1,
    )
