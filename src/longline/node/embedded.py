"""A whole cluster in one process: every role, on engines of its own. No other service is needed."""

from contextlib import AsyncExitStack
from typing import Final

import msgspec

from longline.bus.local import LocalBus
from longline.coordinator.presence import Presence
from longline.keeper.local import LocalKeeper
from longline.model.times import wall_clock
from longline.node.admin_key import make_data_dir
from longline.node.data_folder import KEEPER_FILE, Shape, held, refuse_unread
from longline.node.engines import Engines
from longline.node.process import ROLES, Process
from longline.node.saver_bounds import saver_bounds
from longline.node.secrets import seals_of, try_secrets
from longline.register.memory import SOURCE, Left, MemoryRegister
from longline.saver.sql.engine import SqliteSaver
from longline.settings import Settings
from longline.telemetry.faults import Faults

SLICE: Final = 10_000  # sessions closed in one transaction

_presence = msgspec.json.Decoder(Presence).decode


def embedded(settings: Settings) -> Process:
    """The process, not started yet."""
    return Process(settings, ROLES, open_engines, alone=True)


async def _close_sessions(saver: SqliteSaver, grace: int) -> None:
    """Whoever is connected by what is stored was so in a life before this one: its clients have the grace to
    come back before they are gone."""
    now = wall_clock()
    for node in await saver.sessions.nodes():
        while await saver.sessions.abandon(node, now, grace, SLICE):
            pass


async def open_engines(settings: Settings, faults: Faults, opened: AsyncExitStack) -> Engines:
    """SQLite, and memory: no service but this process. `opened` closes what was opened."""
    make_data_dir(settings.data_dir)
    opened.enter_context(held(settings.data_dir))
    refuse_unread(settings, Shape.SERVE)
    register = MemoryRegister()
    saver = await SqliteSaver.open(
        settings.database,
        locate=register.locate_now,
        queue_limit=settings.saver.queue,
        queue_bytes=settings.saver.queue_bytes,
        cache_bytes=settings.saver.cache_bytes,
        bounds=saver_bounds(settings),
        seals=seals_of(settings),
    )
    opened.push_async_callback(saver.close)
    await try_secrets(settings, saver, seal=True)
    register.left, register.parted = saver.visits.left, saver.visits.parted
    await _close_sessions(saver, int(settings.room.linger * 1000))
    told, there = await saver.events.left(SOURCE)
    before = [(app, device, _presence(data)) for app, device, data in there]
    left = [Left(app, device, presence.epoch, presence.room) for app, device, presence in before]
    register.resume(told, left, wall_clock())
    keeper = await LocalKeeper.open(settings.data_dir / KEEPER_FILE)
    opened.push_async_callback(keeper.close)
    bus = LocalBus(settings.bus.queue, settings.bus.queue_bytes)
    figures = {"saver": saver.statistics, "register": register.statistics, "bus": bus.statistics}
    return Engines(saver, register, bus, keeper, figures, counters={"saver": saver.answers})
