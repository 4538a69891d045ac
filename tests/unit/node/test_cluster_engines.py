"""What the engines of a process of a cluster have of the store, and in which order it serves them."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import uuid4

import pytest

from longline.model.audience import Devices
from longline.model.messages import Envelope, Message
from longline.model.times import wall_clock
from longline.node.cluster import open_engines
from longline.register.port import Bind
from longline.saver.kv.engine import RedisSaver
from longline.saver.port.inboxes import Arrive
from longline.saver.port.messages import Outcome, Submission
from longline.settings import KeeperSettings, Settings, StoreSettings
from longline.telemetry.faults import Faults
from tests.contract.store_fixture import an_app
from tests.servers.redis_server import RedisServer

BULK = 500


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as server:
        yield server


def a_push(app: int, now: int) -> Submission:
    """To the device that is there first."""
    message = Message(
        id=str(uuid4()),
        app="news",
        payload=b"x",
        content_type="text/plain",
        created_at=now,
        expires_at=now + 60_000,
    )
    return Submission(app, (Envelope(message, Devices(("first",))),), now)


async def test_heartbeats_binds_arrivals_and_single_pushes_do_not_wait_for_the_bulk_work_before_them(
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
        await engines.bus.open("n1")
        (stored,) = await engines.saver.messages.enqueue([a_push(app.number, now)])
        assert isinstance(stored, Outcome)
        await engines.bus.send("n1", stored.routes)

        # Each holds the server up for a moment, and is so long that it reads few of them at a time.
        spin = "local n = 0 for i = 1, 100000 do n = n + i end return n --" + 8192 * "x"
        bulk = [asyncio.ensure_future(store.call(b"p0", "EVAL", spin, 0)) for _ in range(BULK)]
        await bulk[0]
        await engines.keeper.write("a/key", b"2")
        (bound,) = await engines.register.bind([Bind(app.number, "phone", "n1", wall_clock())])
        (arrival,) = await engines.saver.inboxes.arrive([Arrive(app.number, "phone", wall_clock())])
        assert bound.previous is None
        assert arrival is not None
        (stored,) = await engines.saver.messages.enqueue([a_push(app.number, wall_clock())])
        assert isinstance(stored, Outcome)
        await engines.bus.send("n1", stored.routes)
        await engines.bus.open("n1")
        assert await engines.bus.nodes() == ["n1"]
        assert not bulk[-1].done()
        for call in bulk:
            call.cancel()
