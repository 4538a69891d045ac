"""What the engines of a process of a cluster have of the store, and in which order it serves them."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from longline.model.times import wall_clock
from longline.node.cluster import open_engines
from longline.register.port import Bind
from longline.saver.kv.engine import RedisSaver
from longline.saver.port.inboxes import Arrive
from longline.settings import KeeperSettings, Settings, StoreSettings
from longline.telemetry.faults import Faults
from tests.contract.store_fixture import an_app
from tests.servers.redis_server import RedisServer

BULK = 500


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as server:
        yield server


async def test_heartbeats_binds_and_arrivals_do_not_wait_for_the_bulk_work_that_is_before_them(
    server: RedisServer,
) -> None:
    settings = Settings(
        store=StoreSettings(url=server.url, partitions=4, timeout=60.0), keeper=KeeperSettings(engine="redis")
    )
    async with AsyncExitStack() as opened:
        engines = await open_engines(settings, Faults(), opened)
        assert isinstance(engines.saver, RedisSaver)
        store = engines.saver._store
        app = await engines.saver.apps.create(an_app("news"))
        now = wall_clock()
        await engines.register.bind([Bind(app.number, "first", "n1", now)])  # scripts are loaded
        await engines.saver.inboxes.arrive([Arrive(app.number, "first", now)])
        await engines.keeper.write("a/key", b"1")

        # Each holds the server up for a moment, and is so long that it reads few of them at a time.
        spin = "local n = 0 for i = 1, 100000 do n = n + i end return n --" + 8192 * "x"
        bulk = [asyncio.ensure_future(store.call(b"p0", "EVAL", spin, 0)) for _ in range(BULK)]
        await bulk[0]
        await engines.keeper.write("a/key", b"2")
        (bound,) = await engines.register.bind([Bind(app.number, "phone", "n1", wall_clock())])
        (arrival,) = await engines.saver.inboxes.arrive([Arrive(app.number, "phone", wall_clock())])
        assert bound.previous is None
        assert arrival is not None
        await engines.bus.open("n1")
        assert await engines.bus.nodes() == ["n1"]
        assert not bulk[-1].done()
        for call in bulk:
            call.cancel()
