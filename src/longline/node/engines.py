"""The engines below the roles: those of a process that is alone, and those that a cluster shares."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import NamedTuple

import structlog

from longline.bus.local import LocalBus
from longline.bus.port import Bus
from longline.bus.redis import RedisBus
from longline.keeper.local import LocalKeeper
from longline.keeper.port import Keeper
from longline.keeper.redis import RedisKeeper
from longline.keeper.zookeeper import ZooKeeper
from longline.node.admin_key import make_data_dir
from longline.register.memory import MemoryRegister
from longline.register.port import Register
from longline.register.redis import RedisRegister
from longline.saver.port import Saver
from longline.saver.redis import RedisSaver
from longline.saver.sqlite import SqliteSaver
from longline.settings import Settings
from longline.store.redis import Store

log = structlog.get_logger("longline.node")


class Engines(NamedTuple):
    """One engine for each port."""

    saver: Saver
    register: Register
    bus: Bus
    keeper: Keeper


OpenEngines = Callable[[Settings, AsyncExitStack], Awaitable[Engines]]


async def embedded(settings: Settings, opened: AsyncExitStack) -> Engines:
    """SQLite, and memory: no service but this process. `opened` closes what was opened."""
    make_data_dir(settings.data_dir)
    register = MemoryRegister()
    saver = await SqliteSaver.open(
        settings.database,
        locate=register.locate_now,
        queue_limit=settings.saver.queue,
        queue_bytes=settings.saver.queue_bytes,
        cache_bytes=settings.saver.cache_bytes,
        ledger_retention_ms=settings.saver.ledger_retention * 1000,
        event_limit=settings.saver.event_limit,
    )
    opened.push_async_callback(saver.close)
    keeper = await LocalKeeper.open(settings.data_dir / "keeper.json")
    opened.push_async_callback(keeper.close)
    return Engines(saver, register, LocalBus(settings.bus.queue, settings.bus.queue_bytes), keeper)


async def cluster(settings: Settings, opened: AsyncExitStack) -> Engines:
    """Redis or Valkey, and ZooKeeper unless the settings have the store do its work."""
    store = await _open_store(settings, opened)
    saver = await RedisSaver.open(
        store,
        ledger_retention_ms=settings.saver.ledger_retention * 1000,
        event_limit=settings.saver.event_limit,
        cache_bytes=settings.saver.cache_bytes,
    )
    opened.push_async_callback(saver.close)
    durability = saver.durability()
    log.info("store_opened", durability=durability.level, copies=durability.copies)
    if durability.level == "memory":
        log.warning("store_forgets", reason="accepted messages do not survive a crash of the store itself")
    bus = RedisBus(
        store,
        limit=settings.bus.queue,
        limit_bytes=settings.bus.queue_bytes,
        patience=settings.bus.patience,
    )
    opened.push_async_callback(bus.close)
    register = RedisRegister(store, give_up=settings.store.timeout)
    opened.push_async_callback(register.close)
    return Engines(saver, register, bus, await _open_keeper(settings, store, opened))


async def open_keeper(settings: Settings, opened: AsyncExitStack) -> Keeper:
    """The cluster's keeper alone, for who has no other business with it."""
    store = await _open_store(settings, opened) if settings.keeper.engine == "redis" else None
    return await _open_keeper(settings, store, opened)


async def _open_store(settings: Settings, opened: AsyncExitStack) -> Store:
    store = await Store.open(settings.store)
    opened.push_async_callback(store.close)
    return store


async def _open_keeper(settings: Settings, store: Store | None, opened: AsyncExitStack) -> Keeper:
    keeper: Keeper
    if settings.keeper.engine == "redis" and store is not None:
        keeper = await RedisKeeper.open(store, session_timeout=settings.keeper.session_timeout)
    else:
        keeper = await ZooKeeper.open(settings.keeper)
    opened.push_async_callback(keeper.close)
    return keeper
