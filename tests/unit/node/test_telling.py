"""How a process tells how it fares: how often, what, and what of it is kept."""

import asyncio

import msgspec
import pytest

from longline.errors import Unavailable
from longline.model.figures import (
    COARSE,
    FINE,
    AboutPoints,
    Asked,
    FiguresNow,
    FiguresTold,
    LifePoints,
    Sample,
    unpacked,
)
from longline.node.telling import Teller, WhoTells
from longline.telemetry.tasks import TaskWatch
from longline.telemetry.traffic import Traffic
from tests.waiting import until


class Store:
    """Notes what it is told, and answers what a test says."""

    def __init__(self) -> None:
        self.told: list[FiguresTold] = []
        self.gone: list[str] = []
        self.watched = False
        self.known = True
        self.away = False

    async def tell(self, told: FiguresTold) -> Asked:
        if self.away:
            raise Unavailable("away")
        self.told.append(told)
        return Asked(self.watched, self.known)

    async def left(self, life: str) -> None:
        if self.away:
            raise Unavailable("away")
        self.gone.append(life)

    async def watch(self) -> FiguresNow:
        raise AssertionError

    async def latest(self) -> FiguresNow:
        raise AssertionError

    async def history(
        self, node: str, since: int, until: int, *, coarse: bool, thin: int = 1
    ) -> list[LifePoints]:
        raise AssertionError


class Told:
    """A process that tells a store, at times that a test sets."""

    def __init__(self) -> None:
        self.store = Store()
        self.now = 100.0
        self.node = "n1"
        self.figures: dict[str, float] = {"a": 1}
        self.traffic = Traffic()
        self.teller = Teller(
            self.store,
            lambda: WhoTells(self.node, "h1", ("room",), "1.0", 5000),
            lambda: self.figures.items(),
            TaskWatch(lambda: self.now),
            self.traffic,
            clock=lambda: 60_000,
            monotonic=lambda: self.now,
        )

    async def tell(self, after: float = 0.0) -> FiguresTold:
        self.now += after
        await self.teller.tell()
        return self.store.told[-1]


@pytest.fixture
async def told() -> Told:
    return Told()


async def test_a_sample_says_who_tells_and_what(told: Told) -> None:
    found = await told.tell()
    sample = msgspec.json.decode(unpacked(found.sample) or b"", type=Sample)
    assert found.life == "n1@5000"
    assert (sample.node, sample.host, sample.roles, sample.version) == ("n1", "h1", ("room",), "1.0")
    assert (sample.since, sample.at) == ("1970-01-01T00:00:05.000Z", "1970-01-01T00:01:00.000Z")
    assert sample.figures == {"a": 1}
    assert any(kind.count for kind in sample.tasks)


async def test_a_sample_says_what_apps_did_since_the_one_before(told: Told) -> None:
    await told.tell()
    told.traffic.of(7, "news").sent += 20
    for rates in ([5.0], []):
        sample = msgspec.json.decode(unpacked((await told.tell(4)).sample) or b"", type=Sample)
        assert [load.sent for load in sample.apps] == rates
        assert all(load.app == "news" for load in sample.apps)


async def test_a_point_is_kept_every_ten_seconds_and_one_every_five_minutes(told: Told) -> None:
    kept = {FINE: 0, COARSE: 0}
    for _ in range(601):
        found = await told.tell(1.0)
        kept[FINE] += bool(found.fine)
        kept[COARSE] += bool(found.coarse)
    assert kept == {FINE: 61, COARSE: 2}


async def test_what_points_are_is_told_when_it_has_changed(told: Told) -> None:
    first = await told.tell()
    assert msgspec.json.decode(first.about, type=AboutPoints) == AboutPoints("n1", "h1", ["a"])
    assert first.fine == b"[1]"
    assert (await told.tell(10)).about == b""
    told.figures["b"] = 2
    second = await told.tell(10)
    assert msgspec.json.decode(second.about, type=AboutPoints).names == ["a", "b"]
    assert second.fine == b"[1,2]"


async def test_what_points_are_is_told_again_to_a_store_that_has_forgotten(told: Told) -> None:
    await told.tell()
    told.store.known = False
    await told.tell(10)
    assert (await told.tell(10)).about


async def test_what_was_not_heard_is_told_again(told: Told) -> None:
    told.store.away = True
    with pytest.raises(Unavailable):
        await told.tell()
    told.store.away = False
    assert (await told.tell(10)).about


async def test_who_gets_another_name_is_another_life(told: Told) -> None:
    await told.tell()
    told.node = "n2"
    found = await told.tell(1)
    assert told.store.gone == ["n1@5000"]
    assert found.life == "n2@5000"
    assert msgspec.json.decode(found.about, type=AboutPoints).node == "n2"


async def test_who_has_left_tells_nothing_more(told: Told) -> None:
    await told.tell()
    await told.teller.leave()
    await told.teller.tell()
    assert told.store.gone == ["n1@5000"]
    assert len(told.store.told) == 1


async def test_a_store_that_is_away_ends_nothing(told: Told) -> None:
    told.store.away = True
    running = asyncio.create_task(told.teller.run())
    await until(lambda: told.teller.failed)
    told.store.away = False
    told.teller.wake()
    await until(lambda: told.store.told)
    running.cancel()
    told.store.away = True
    await told.teller.leave()


async def test_who_is_woken_tells_at_once(told: Told) -> None:
    running = asyncio.create_task(told.teller.run())
    await until(lambda: len(told.store.told) == 1)
    told.teller.wake()
    await until(lambda: len(told.store.told) == 2)
    running.cancel()
