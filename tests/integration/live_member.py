"""A process of a cluster on the test's own event loop, with every role, on a Redis of the test's."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from longline import Center
from longline.node.cluster import member
from longline.node.process import ROLES, Process
from longline.settings import load
from tests.servers.ports import free_ports


class LiveMember(NamedTuple):
    """`status`: host and port of its probes and figures."""

    process: Process
    url: str
    admin_key: str
    mqtt_port: int
    status: str

    def center(self) -> Center:
        """The API, with the admin key."""
        return Center(self.url, self.admin_key)


@asynccontextmanager
async def live_member(directory: Path, store: str, **settings: object) -> AsyncIterator[LiveMember]:
    """A member that is started; `settings` by names with `__` for the dot. The store is its keeper too."""
    http_port, mqtt_port, status_port = free_ports(3)
    key = secrets.token_urlsafe(16)
    flags: dict[str, object] = {
        "data_dir": directory,
        "admin_key": key,
        "center.port": http_port,
        "room.port": mqtt_port,
        "room.ws_port": 0,
        "node.status_port": status_port,
        "store.url": store,
        "store.partitions": 4,
        "keeper.engine": "redis",
        "node.gc_freeze": False,
        "node.shutdown_grace": 1,
        "node.drain_grace": 0,
        **{name.replace("__", "."): value for name, value in settings.items()},
    }
    process = member(load(flags=flags).settings, ROLES)
    await process.start()
    try:
        yield LiveMember(process, f"http://127.0.0.1:{http_port}", key, mqtt_port, f"127.0.0.1:{status_port}")
    finally:
        await process.stop()
