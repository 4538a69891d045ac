"""Statistics in a cluster's store: what is over leaves nothing behind, not even its name."""

import time

import pytest

from longline.model.statistics import DAY, HOUR, KeepCounts
from longline.saver.bounds import SaverBounds
from longline.saver.kv.counts import KEEP
from longline.saver.kv.engine import RedisSaver
from longline.settings import StoreSettings
from longline.store.redis import Store, Word
from tests.contract.store_fixture import an_app
from tests.servers.shared import shared

KEPT = KeepCounts(hours=3, days=40)


@pytest.mark.parametrize("age", [0, 2])
async def test_names_of_what_is_over_go_with_it(age: int) -> None:
    """`age` in days: of the latest that is counted."""
    with shared("redis") as server:
        store = await Store.open(StoreSettings(url=server.url, partitions=1))
        saver = await RedisSaver.open(store, bounds=SaverBounds(counts=KEPT))
        app = (await saver.apps.create(an_app("news"))).number
        now = int(time.time() * 1000) - age * DAY
        for number, day in enumerate(range(200, -1, -1), 1):
            hour = (now - day * DAY) // HOUR
            args: list[Word] = [app, 0, number, KEPT.hours, KEPT.days, b"%dm" % hour, 1]
            await store.run(b"p0", KEEP, [b"{p0}"], args)
        names = await store.call(b"p0", "ZRANGE", b"{p0}sk:%d" % app, 0, -1)
        assert isinstance(names, list)
        assert sum(name.startswith(b"{p0}st:") for name in names if isinstance(name, bytes)) <= 4
        assert len(names) <= 7
        there = [await store.call(b"p0", "EXISTS", name) for name in names if isinstance(name, bytes)]
        assert there == [1] * len(names)
        left = await store.call(b"p0", "TTL", b"{p0}sk:%d" % app)
        assert isinstance(left, int)
        assert left > 0
        await store.close()
