"""Every engine of every port: the suites here run on each of them, unchanged.

An engine is added by one entry below. The suites know nothing of engines; they ask the fixtures of
`conftest.py` for a fresh one.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import uuid4
from zlib import crc32

from longline.bus.local import LocalBus
from longline.bus.port import Bus
from longline.bus.redis import RedisBus
from longline.keeper.local import LocalKeeper
from longline.keeper.port import Keeper
from longline.keeper.redis import RedisKeeper
from longline.keeper.zookeeper import ZooKeeper
from longline.model.devices import ConnectionBounds
from longline.model.events import EventBounds
from longline.model.figures import FigureBounds
from longline.model.groups import GroupBounds
from longline.model.profiles import ProfileBounds
from longline.model.trail import TrailBounds
from longline.model.webhooks import DeadBounds
from longline.register.memory import MemoryRegister
from longline.register.port import Register
from longline.register.redis import RedisRegister
from longline.saver.bounds import SaverBounds
from longline.saver.bundle import Saver
from longline.saver.kv.audits.engine import KvAudits
from longline.saver.kv.engine import RedisSaver
from longline.saver.port.audits import AuditStore
from longline.saver.port.inboxes import InboxBounds
from longline.saver.port.queues import QueueBounds
from longline.saver.port.schedules import TimerBounds
from longline.saver.sql.audits.engine import SqlAudits
from longline.saver.sql.engine import SqliteSaver
from longline.settings import KeeperSettings, StoreSettings
from longline.store.redis import Store
from longline.telemetry.faults import Faults
from tests.contract.twice import TwiceStore
from tests.servers.shared import KINDS, shared
from tests.servers.zookeeper import shared_zookeeper

RETENTION = 3_600_000  # ms: how long ledgers are kept after a message's end
EVENTS = 100  # events kept for each app
EVENT_BYTES = 100_000
OF_DEVICE = 3  # of each device that are the last to go
RETAINED = 300  # retained messages of each app
RETAINED_BYTES = 100_000
TIMERS_OF_A_KIND = 60  # open ones of each app
TIMER_BYTES = 100_000
PARTITIONS = 4  # few, so that the devices of a test share some
PATIENCE = 60.0  # s for a call of the store: a busy machine is no failure
BUS_LIMIT = 4  # commands in a node's queue
QUEUE_MESSAGES = 20  # in the queue of a session
QUEUE_BYTES = 20_000
DEAD_EVENTS = 20  # kept of each app that no webhook's target took
DEAD_BYTES = 10_000
INBOX_MESSAGES = 120  # that wait for a device
INBOX_BYTES = 8 * 1024 * 1024
AUDIT_ENTRIES = 60  # of which a tenth may be about one app
AUDIT_AGE = 600_000  # ms
PROFILES = 8
PROFILE_BYTES = 30_000
GROUPS = GroupBounds(
    members=12, device_groups=3, history_messages=10, history_bytes=1000, history_ms=3_600_000
)
CONNECTIONS = ConnectionBounds(kept=3, age=3_600_000)
FIGURES = FigureBounds(
    fine_age=1_500, fine_points=6, coarse_age=86_400_000, coarse_points=8, lives=4, silence=1_000, watched=300
)
MATCH_LIMIT = 100  # filters' beginnings, and filters, that a publication may look at (in each part)
BOUNDS = SaverBounds(
    ledger_retention_ms=RETENTION,
    events=EventBounds(EVENTS, EVENT_BYTES, OF_DEVICE),
    queue=QueueBounds(QUEUE_MESSAGES, QUEUE_BYTES, MATCH_LIMIT),
    retained_messages=RETAINED,
    retained_bytes=RETAINED_BYTES,
    timers=TimerBounds(TIMERS_OF_A_KIND, TIMERS_OF_A_KIND, TIMER_BYTES),
    inbox=InboxBounds(INBOX_MESSAGES, INBOX_BYTES),
    dead=DeadBounds(DEAD_EVENTS, DEAD_BYTES),
    trail=TrailBounds(AUDIT_ENTRIES, AUDIT_AGE),
    groups=GROUPS,
    figures=FIGURES,
    profiles=ProfileBounds(PROFILES, PROFILE_BYTES),
    connections=CONNECTIONS,
)


@dataclass(frozen=True)
class Opened:
    """A saver, the register whose bindings it sees, and how both are closed."""

    saver: Saver
    register: Register
    close: Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class SaverEngine:
    """`place` makes an empty store for the time of a test, given a directory, and says where it is.

    `open` opens the store at such a place, also after a crash, and in another process. `shared`: it serves
    centers and rooms of many processes, so what some of them leave undone must be found by others. `audits`
    looks at the store from outside. `lane` tells in which of how many lanes of its app's events a device's
    are: what is kept of each lane is its part, and it has an order of its own.
    """

    place: Callable[[Path], AbstractContextManager[str]]
    open: Callable[[str], Awaitable[Opened]]
    audits: Callable[[str], AbstractAsyncContextManager[AuditStore]]
    shared: bool = False
    lane: Callable[[int, str], int] = lambda app, device: 0
    lanes: int = 1


def _lane(app: int, device: str) -> int:
    return crc32(f"{app}/{device}".encode()) % PARTITIONS  # of which each has a lane of each app


@contextmanager
def _sqlite_place(directory: Path) -> Iterator[str]:
    yield str(directory / "data" / "longline.db")


async def _sqlite(place: str) -> Opened:
    register = MemoryRegister()
    saver = await SqliteSaver.open(
        place,
        locate=register.locate_now,
        queue_limit=100_000,
        cache_bytes=1 << 24,
        bounds=BOUNDS,
    )
    register.left, register.parted = saver.visits.left, saver.visits.parted
    return Opened(saver, register, saver.close)


@contextmanager
def _store_place(kind: str, directory: Path) -> Iterator[str]:
    with shared(kind) as server:
        yield server.url


async def _redis(store_class: type[Store], place: str) -> Opened:
    settings = StoreSettings(url=place, partitions=PARTITIONS, event_lanes=PARTITIONS, timeout=PATIENCE)
    store = await Store.open(settings)
    saver_store = await store_class.open(settings)
    for partition in range(PARTITIONS):  # so that nobody gets away with a position of another partition
        await store.call(b"p%d" % partition, "SET", b"{p%d}pos" % partition, 1000 * partition, "NX")
    register = RedisRegister(store, kept=CONNECTIONS.age)
    saver = await RedisSaver.open(
        saver_store,
        cache_bytes=1 << 24,
        bounds=BOUNDS,
    )

    async def close() -> None:
        await saver.close()
        await saver_store.close()
        await register.close()
        await store.close()

    return Opened(saver, register, close)


@asynccontextmanager
async def _sqlite_audits(place: str) -> AsyncIterator[AuditStore]:
    audits = await SqlAudits.open(Path(place))
    yield audits
    await audits.close()


@asynccontextmanager
async def _redis_audits(place: str) -> AsyncIterator[AuditStore]:
    store = await Store.open(StoreSettings(url=place, partitions=PARTITIONS, timeout=PATIENCE))
    yield KvAudits(store)
    await store.close()


@dataclass(frozen=True)
class BusEngine:
    """`open` makes a bus for the time of a test, without any queue, given its patience in seconds.

    `gives_up`: its senders wait no longer than that for a node that is stuck; otherwise they wait for ever.
    `lose` takes all of its data away, as a store does that is started again without them. None: it has no
    life apart from the process that it serves.
    """

    open: Callable[[float], AbstractAsyncContextManager[Bus]]
    gives_up: bool = False
    lose: Callable[[], None] | None = None


@asynccontextmanager
async def _store(kind: str, store_class: type[Store] = Store) -> AsyncIterator[Store]:
    with shared(kind) as server:
        store = await store_class.open(StoreSettings(url=server.url, timeout=PATIENCE))
        try:
            yield store
        finally:
            await store.close()


def _lose_store(kind: str) -> None:
    with shared(kind):  # which makes it empty
        pass


@asynccontextmanager
async def _memory_register() -> AsyncIterator[Register]:
    yield MemoryRegister()


@asynccontextmanager
async def _redis_register(kind: str) -> AsyncIterator[Register]:
    async with _store(kind) as store:
        register = RedisRegister(store)
        yield register
        await register.close()


@asynccontextmanager
async def _local_bus(patience: float) -> AsyncIterator[Bus]:
    yield LocalBus(BUS_LIMIT)


@asynccontextmanager
async def _redis_bus(kind: str, store_class: type[Store], patience: float) -> AsyncIterator[Bus]:
    async with _store(kind, store_class) as store:
        bus = RedisBus(store, limit=BUS_LIMIT, limit_bytes=1 << 20, patience=patience)
        yield bus
        await bus.close()


@dataclass(frozen=True)
class KeeperEngine:
    """`place` makes an empty one for the time of a test, given a directory, and says where it is.

    `open` opens it at such a place with a session timeout in seconds, and closes it in the end. `shared`: it
    can be opened several times at once, also by several processes.
    """

    place: Callable[[Path], AbstractContextManager[str]]
    open: Callable[[str, float], AbstractAsyncContextManager[Keeper]]
    shared: bool = True


@contextmanager
def _local_keeper_place(directory: Path) -> Iterator[str]:
    yield str(directory / "keeper.json")


@asynccontextmanager
async def _local_keeper(place: str, session_timeout: float) -> AsyncIterator[Keeper]:
    keeper = await LocalKeeper.open(Path(place))
    yield keeper
    await keeper.close()


@asynccontextmanager
async def _redis_keeper(place: str, session_timeout: float) -> AsyncIterator[Keeper]:
    store = await Store.open(StoreSettings(url=place, timeout=PATIENCE))
    keeper = await RedisKeeper.open(store, session_timeout=session_timeout, faults=Faults())
    yield keeper
    await keeper.close()
    await store.close()


@contextmanager
def _zookeeper_place(directory: Path) -> Iterator[str]:
    yield f"{shared_zookeeper().host}/test-{uuid4().hex}"


@asynccontextmanager
async def _zookeeper(place: str, session_timeout: float) -> AsyncIterator[Keeper]:
    host, _, root = place.partition("/")
    keeper = await ZooKeeper.open(
        KeeperSettings(hosts=host, root=f"/{root}", session_timeout=session_timeout), Faults()
    )
    yield keeper
    await keeper.close()


SAVERS: dict[str, SaverEngine] = {
    "sqlite": SaverEngine(_sqlite_place, _sqlite, _sqlite_audits),
    **{
        kind: SaverEngine(
            partial(_store_place, kind), partial(_redis, Store), _redis_audits, True, _lane, PARTITIONS
        )
        for kind in KINDS
    },
    # A store whose connections break all the time: whatever it is asked, it carries out twice.
    "twice": SaverEngine(
        partial(_store_place, "redis"), partial(_redis, TwiceStore), _redis_audits, True, _lane, PARTITIONS
    ),
}
REGISTERS: dict[str, Callable[[], AbstractAsyncContextManager[Register]]] = {
    "memory": _memory_register,
    **{kind: partial(_redis_register, kind) for kind in KINDS},
}
BUSES: dict[str, BusEngine] = {
    "local": BusEngine(_local_bus),
    "twice": BusEngine(partial(_redis_bus, "redis", TwiceStore), True, partial(_lose_store, "redis")),
    **{kind: BusEngine(partial(_redis_bus, kind, Store), True, partial(_lose_store, kind)) for kind in KINDS},
}
KEEPERS = {
    "local": KeeperEngine(_local_keeper_place, _local_keeper, shared=False),
    "redis": KeeperEngine(partial(_store_place, "redis"), _redis_keeper),
    "valkey": KeeperEngine(partial(_store_place, "valkey"), _redis_keeper),
    "zookeeper": KeeperEngine(_zookeeper_place, _zookeeper),
}
