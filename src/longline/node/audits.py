"""Auditing what a node, or a cluster, keeps: from outside, while it runs (docs/adr/0037)."""

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import msgspec

from longline.agent.valkey import SOCKET
from longline.errors import AppNotFound, AuditRefused
from longline.node.cluster import open_store
from longline.node.data_folder import Shape, kept
from longline.node.host import PARTITIONS
from longline.saver.auditing import AuditReport, Progress, StoreAudit
from longline.saver.kv.audits.engine import KvAudits
from longline.saver.port.audits import AuditStore
from longline.saver.sql.audits.engine import SqlAudits
from longline.settings import Settings

PATIENCE: Final = 30.0  # s that a step may wait for a store that is busy


async def audit(
    settings: Settings, app: str | None, *, cluster: bool, progress: Progress
) -> tuple[AuditReport, dict[int, str]]:
    """Looks at one app, or at all of them and at what belongs to none; what was found, and the apps' names.

    `cluster`: the settings name a store, which is looked at where the data folder has no data. Raises
    `AppNotFound`, `AuditRefused` where it is not clear what to look at, and `Unavailable`.
    """
    async with AsyncExitStack() as opened:
        store = await open_audits(settings, opened, cluster=cluster)
        names = dict(await store.apps())
        if app is None:
            return await StoreAudit(store, progress=progress).run(list(names), whole=True), names
        numbers = [number for number, name in names.items() if name == app]
        if not numbers:
            raise AppNotFound(f"there is no app {app!r}")
        return await StoreAudit(store, progress=progress).run(numbers, whole=False), names


async def open_audits(settings: Settings, opened: AsyncExitStack, *, cluster: bool) -> AuditStore:
    """What the settings lead to: data of `serve` or of its workers, else a cluster's store."""
    if kept(settings) == [Shape.SERVE]:
        audits = await SqlAudits.open(settings.database)
        opened.push_async_callback(audits.close)
        return audits
    return KvAudits(await open_store(shared_store(settings, cluster=cluster), opened))


def shared_store(settings: Settings, *, cluster: bool) -> Settings:
    """The settings with which the store of several processes is opened, that of workers or a cluster's.

    Raises `AuditRefused` where it is not clear which.
    """
    shapes = kept(settings)
    if len(shapes) > 1:
        raise AuditRefused(f"{settings.data_dir} has data of two shapes: move away those that are not used")
    changed = msgspec.structs.replace(settings.store, timeout=max(settings.store.timeout, PATIENCE))
    if shapes == [Shape.WORKERS]:
        socket = _socket(settings)
        changed = msgspec.structs.replace(changed, url=f"unix://{socket}", partitions=PARTITIONS)
    elif not cluster:  # whoever opens a store that is new leaves in it how it is divided
        raise AuditRefused(
            f"{settings.data_dir} has no data, and no store is named: give --data or --store.url"
        )
    return msgspec.structs.replace(settings, store=changed)


def _socket(settings: Settings) -> Path:
    """Where the store of the workers of this folder listens."""
    socket = settings.data_dir.absolute() / SOCKET
    if not socket.is_socket():
        raise AuditRefused(
            f"{socket} is not there: what workers keep is read through their store: their node has to run, "
            "and its data folder has to have a path that is not too long for a socket"
        )
    return socket
