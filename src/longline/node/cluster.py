"""One process of a cluster: some roles, on the engines that all processes share."""

from collections.abc import Sequence
from contextlib import AsyncExitStack

import structlog

from longline.bus.redis import RedisBus
from longline.keeper.port import Keeper
from longline.keeper.redis import RedisKeeper
from longline.keeper.zookeeper import ZooKeeper
from longline.node.engines import Engines
from longline.node.process import Process
from longline.node.saver_bounds import saver_bounds
from longline.node.secrets import seals_of, try_secrets
from longline.register.redis import RedisRegister
from longline.saver.kv.engine import RedisSaver
from longline.settings import Settings
from longline.store.redis import Store
from longline.telemetry.faults import Faults

PROCESS_FORGETS = "accepted messages do not survive a crash of the store itself"
HOST_FORGETS = "accepted messages of the last second do not survive a crash of the store's host"

log = structlog.get_logger("longline.node")


def member(settings: Settings, roles: Sequence[str]) -> Process:
    """The process, not started yet."""
    return Process(settings, roles, open_engines, alone=False)


async def open_engines(settings: Settings, faults: Faults, opened: AsyncExitStack) -> Engines:
    """Redis or Valkey, and ZooKeeper unless the settings have the store do its work.

    The store is opened twice. What says that a member is alive, lets a device in, keeps a queue going, or is
    a message to a few devices goes over connections of its own: a server serves its connections in turn, so
    that it waits for none of the work that has piled up on the others, nor for the bound on that.
    """
    store = await open_store(settings, opened)
    urgent = await open_store(settings, opened)
    saver = await RedisSaver.open(
        store,
        urgent=urgent,
        bounds=saver_bounds(settings),
        cache_bytes=settings.saver.cache_bytes,
        seals=seals_of(settings),
        faults=faults,
    )
    opened.push_async_callback(saver.close)
    await try_secrets(settings, saver, seal=False)
    durability = saver.durability()
    log.info("store_opened", durability=durability.level, copies=durability.copies)
    if durability.level == "memory":
        log.warning("store_forgets", reason=HOST_FORGETS if durability.appended else PROCESS_FORGETS)
    bus = RedisBus(
        store,
        urgent=urgent,
        limit=settings.bus.queue,
        limit_bytes=settings.bus.queue_bytes,
        patience=settings.bus.patience,
    )
    opened.push_async_callback(bus.close)
    register = RedisRegister(
        urgent,
        give_up=settings.store.timeout,
        kept=settings.saver.connections_retention * 1000,
        faults=faults,
    )
    opened.push_async_callback(register.close)
    figures = {
        "store": store.statistics,
        "store_urgent": urgent.statistics,
        "saver": saver.statistics,
        "register": register.statistics,
        "bus": bus.statistics,
    }
    keeper = await _open_keeper(settings, urgent, faults, opened)

    def signs() -> tuple[int, int]:
        (heard, waiting), (urgently, more) = store.signs(), urgent.signs()
        return heard + urgently, waiting + more

    async def give_up() -> None:
        await urgent.close()
        await store.close()

    counters = {"store": store.answers, "store_urgent": urgent.answers}
    return Engines(saver, register, bus, keeper, figures, counters, store.measure, signs, give_up)


async def open_keeper(settings: Settings, faults: Faults, opened: AsyncExitStack) -> Keeper:
    """The cluster's keeper alone, for who has no other business with it."""
    store = await open_store(settings, opened) if settings.keeper.engine == "redis" else None
    return await _open_keeper(settings, store, faults, opened)


async def open_store(settings: Settings, opened: AsyncExitStack) -> Store:
    """The cluster's store alone."""
    store = await Store.open(settings.store)
    opened.push_async_callback(store.close)
    return store


async def _open_keeper(
    settings: Settings, store: Store | None, faults: Faults, opened: AsyncExitStack
) -> Keeper:
    keeper: Keeper
    if settings.keeper.engine == "redis" and store is not None:
        keeper = await RedisKeeper.open(store, session_timeout=settings.keeper.session_timeout, faults=faults)
    else:
        keeper = await ZooKeeper.open(settings.keeper, faults)
    opened.push_async_callback(keeper.close)
    return keeper
