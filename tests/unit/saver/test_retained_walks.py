"""What a find of retained messages costs at most, and what becomes of one that the store refuses."""

from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType

import pytest

from longline.errors import StoreError
from longline.model.pubsub import Publication
from longline.saver.kv import retained as kv
from longline.saver.kv.engine import RedisSaver
from longline.saver.port.retained import FindRetained, Retain
from longline.saver.sql import retained as sql
from longline.settings import StoreSettings
from longline.store.redis import Store
from longline.telemetry.faults import Faults
from tests.contract.engines import SAVERS
from tests.contract.saver.test_retained import Retained
from tests.contract.store_fixture import START, StoreFixture, an_app
from tests.servers.shared import shared

LOOKS = 40
ENGINES: dict[str, ModuleType] = {"sqlite": sql, "redis": kv}


@pytest.fixture(params=sorted(ENGINES))
async def retained(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Retained]:
    """An engine that looks at few topics in one call."""
    module = ENGINES[request.param]
    monkeypatch.setattr(module, "LOOKS", LOOKS)
    monkeypatch.setattr(module, "FEWEST", LOOKS // 4)
    engine = SAVERS[request.param]
    with engine.place(tmp_path) as place:
        store = StoreFixture(engine, place)
        await store.open()
        await store.begin()
        yield Retained(store)
        await store.close()


async def test_one_call_looks_at_a_bounded_number_of_topics(retained: Retained) -> None:
    """The pages of a filter that matches little of much may be empty, and each goes further."""
    topics = [f"{n:03}/{m}" for n in range(100) for m in ("a", "z")]
    await retained.keep_all(topics)
    pages = await retained.pages("+/y")
    assert sum(map(len, pages)) == 0
    assert len(pages) > 1
    pages = await retained.pages("+/z")
    assert [found.topic for page in pages for found in page] == topics[1::2]
    assert len(pages) > 1


async def test_many_filters_share_what_one_call_looks_at(retained: Retained) -> None:
    await retained.keep_all([f"{n:03}/a" for n in range(200)])
    finds = [FindRetained(retained.store.app, "#", retained.store.now) for _ in range(100)]
    pages = await retained.store.saver.retained.find(finds)
    for page in pages:
        assert page.next
        assert len(page.publications) <= 4 * LOOKS
    assert pages[0].publications


async def test_a_topic_of_which_the_store_has_nonsense_costs_the_others_nothing() -> None:
    """An app whose topics the store refuses in one partition finds those of the others."""
    with shared("redis") as server:
        store = await Store.open(StoreSettings(url=server.url, partitions=2))
        faults = Faults()
        saver = await RedisSaver.open(store, faults=faults)
        app = (await saver.apps.create(an_app("news"))).number
        topics = [f"t/{n}" for n in range(20)]
        bad = [topic for topic in topics if saver.retained._partition_of(app, topic) == 0]
        good = [topic for topic in topics if topic not in bad]

        def retain(topic: str) -> Retain:
            id = "01890a5d-ac96-774b-bcce-b302099a8057"
            return Retain(app, Publication(id, topic, topic.encode(), 1, True), START)

        assert await saver.retained.keep([retain(topic) for topic in topics]) == [None] * 20
        for key in ("rt", "rb"):
            await store.call(b"p0", "DEL", f"{{p0}}{key}:{app}")
            await store.call(b"p0", "SADD", f"{{p0}}{key}:{app}", "x")
        codes = await saver.retained.keep([retain(topic) for topic in topics])
        assert codes == [StoreError.code if topic in bad else None for topic in topics]
        wild, one, other = await saver.retained.find(
            [FindRetained(app, filter, START) for filter in ("t/+", good[0], bad[0])]
        )
        assert [found.topic for found in wild.publications] == sorted(good)
        assert [found.topic for found in one.publications] == good[:1]
        assert other.publications == ()
        assert faults.counts.keys() == {"saver.retained"}
        await store.close()
