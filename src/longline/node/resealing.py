"""Sealing what is kept anew, from outside: of a node that stands still, of workers and a cluster that run."""

from collections.abc import Callable
from contextlib import AsyncExitStack

from longline.node.audits import shared_store
from longline.node.cluster import open_store
from longline.node.data_folder import Shape, held, kept
from longline.node.secrets import seal_all, seals_of
from longline.register.memory import MemoryRegister
from longline.saver.kv.engine import RedisSaver
from longline.saver.sql.engine import SqliteSaver
from longline.settings import Settings


async def reseal(settings: Settings, *, cluster: bool, progress: Callable[[int], None]) -> int:
    """Seals all that a node, or a cluster, keeps by the newest of the settings' keys; how many it were.

    Of `serve` when it stands still: `DataDirInUse` otherwise, since it does so by itself as it starts. Of
    workers and a cluster while they run, all with these keys.
    """
    async with AsyncExitStack() as opened:
        saver: SqliteSaver | RedisSaver
        if kept(settings) == [Shape.SERVE]:
            opened.enter_context(held(settings.data_dir))
            saver = await SqliteSaver.open(
                settings.database, locate=MemoryRegister().locate_now, seals=seals_of(settings)
            )
        else:
            store = await open_store(shared_store(settings, cluster=cluster), opened)
            saver = await RedisSaver.open(store, seals=seals_of(settings))
        opened.push_async_callback(saver.close)
        return await seal_all(saver, progress)
