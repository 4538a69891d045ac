"""What only the SQLite engine promises of sessions and queues: what is stored once, nothing that stays, and
transactions that end."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from hypothesis.stateful import invariant

from longline.saver.port.queues import Published, QueuePublication
from longline.saver.sql import matching, queues
from longline.saver.sql.database import Database
from longline.saver.sql.engine import SqliteSaver
from longline.saver.sql.matching import Matching
from tests.contract.engines import SAVERS
from tests.contract.saver.kept import Kept, a_will
from tests.contract.saver.test_queues_any import Queues, check_any_sequence
from tests.contract.store_fixture import MINUTE, StoreFixture

LEFT = ("sessions", "filters", "publications", "waiting", "received", "wills", "remains")


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    store = StoreFixture(SAVERS["sqlite"], str(tmp_path / "data" / "longline.db"))
    await store.open()
    await store.begin()
    yield Kept(store)
    await store.close()


def reading(store: StoreFixture) -> Database:
    assert isinstance(store.saver, SqliteSaver)
    return store.saver._reading


def rows(store: StoreFixture, *tables: str) -> list[int]:
    return [reading(store).number(f"SELECT count(*) FROM {table}") or 0 for table in tables]


async def test_a_message_is_stored_once_and_goes_with_the_last_queue(kept: Kept) -> None:
    sessions = [await kept.subscribed(name, "x") for name in "abc"]
    await kept.publish("x", qos=2)
    await kept.publish("nobody", qos=2)
    assert rows(kept.store, "publications", "waiting") == [1, 3]
    for left, session in zip((2, 1, 0), sessions, strict=True):
        await kept.settle(session, 1)
        assert rows(kept.store, "publications", "waiting") == [min(left, 1), left]


async def test_nothing_stays_of_what_is_over(kept: Kept) -> None:
    for n, name in enumerate("abcdef"):
        session = await kept.open(name, will=a_will())
        for filter in ("x/#", "x/+", f"own/{n}"):
            await kept.subscribe(session, filter)
    sender = await kept.open("sender", expires_in=10)
    for n in range(5):
        await kept.send(
            kept.publication("x/y", qos=2, ttl=MINUTE if n % 2 else 0), received=kept.received(sender, n)
        )
    await kept.close(sender)
    await kept.close(await kept.open("a", clean=True, expires_in=0))
    await kept.close(await kept.open("b", expires_in=10), expires_in=5)
    (wills,) = rows(kept.store, "wills")
    await kept.store.saver.devices.delete(kept.store.app, "c", kept.store.now)
    assert rows(kept.store, "wills") == [wills - 1]
    kept.store.now += MINUTE
    await kept.clear()
    assert rows(kept.store, "waiting", "received", "remains") == [3 * 3, 0, 0]
    app = kept.store.app
    await kept.store.saver.apps.delete(app)
    await kept.clear()
    assert rows(kept.store, *LEFT) == [0] * len(LEFT)
    assert rows(kept.store, "apps") == [0]


async def test_a_client_that_keeps_nothing_leaves_nothing_to_remove(kept: Kept) -> None:
    await kept.close(await kept.open("a", clean=True, expires_in=0, will=a_will()))
    assert rows(kept.store, *LEFT) == [0] * len(LEFT)


class Exact(Queues):
    """The same, and what sessions say of their queues is so."""

    @invariant()
    def what_is_counted_is_what_is_there(self) -> None:
        differ = reading(self.store).text(
            """
SELECT json_group_array(json_array(s.device, s.length, s.bytes, w.length, w.bytes, w.latest))
  FROM sessions AS s
  LEFT JOIN (SELECT device, number, count(*) AS length, sum(bytes) AS bytes, max(place) AS latest
               FROM waiting GROUP BY device, number) AS w ON w.device = s.device AND w.number = s.number
 WHERE s.length <> coalesce(w.length, 0) OR s.bytes <> coalesce(w.bytes, 0) OR w.latest > s.latest"""
        )
        assert msgspec.json.decode(differ) == []

    @invariant()
    def every_message_is_in_a_queue(self) -> None:
        orphans = reading(self.store).number(
            "SELECT count(*) FROM publications WHERE n NOT IN"
            " (SELECT publication FROM waiting WHERE publication IS NOT NULL)"
        )
        assert orphans == 0


@pytest.mark.parametrize("places", [1, queues.ROWS])
def test_any_sequence_is_counted_exactly_also_with_small_transactions(
    monkeypatch: pytest.MonkeyPatch, places: int
) -> None:
    monkeypatch.setattr(queues, "ROWS", places)
    check_any_sequence(SAVERS["sqlite"], examples=15, machine=Exact)


async def test_a_batch_that_enters_many_queues_is_several_transactions_and_keeps_its_order(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queues, "ROWS", 4)
    sender = await kept.open("sender")
    sessions = [await kept.subscribed(name, "x/#") for name in "abc"]
    batch = [
        QueuePublication(
            kept.store.app,
            kept.publication(f"x/{n}", str(n), qos=2),
            kept.store.now,
            received=kept.received(sender, 1 + n % 8),
        )
        for n in range(10)
    ]
    before = kept.store.saver.statistics()["commits"]
    answers = [answer for answer in await kept.queues.publish(batch) if isinstance(answer, Published)]
    commits = kept.store.saver.statistics()["commits"] - before
    assert commits == 4 + 1, "two messages of three places each, then those that are known"
    assert [answer.again for answer in answers] == [False] * 8 + [True] * 2
    for session in sessions:
        assert await kept.texts(session) == [str(n) for n in range(8)]


def test_few_topics_are_matched_at_once_when_they_cost_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching, "COST", 60)
    database = Database(tmp_path / "longline.db", 1 << 20)
    schema = Path(matching.__file__).with_name("schema.sql").read_text("utf-8")
    database.run(f"BEGIN; {schema} COMMIT")
    for n in range(20):
        database.run("INSERT INTO filters VALUES (1, 'dear/#', ?1, 1, 1, 0)", n)
    index = Matching(database, 1000)
    cheap, dear = [(1, f"cheap/{n}") for n in range(64)], [(1, f"dear/{n}") for n in range(64)]
    sizes = [index.at_once]
    for topics in (dear, dear, cheap, cheap, cheap):
        found = index.match(topics[: index.at_once])
        assert [len(sessions or ()) for sessions in found] == [20 if topics is dear else 0] * len(found)
        sizes.append(index.at_once)
    database.close()
    assert sizes == [64, 2, 2, 4, 8, 16]
