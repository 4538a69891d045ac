"""What processes tell of themselves: the latest, points of two kinds, and whether somebody watches."""

from dataclasses import dataclass

import pytest

from longline.model.figures import Asked, FiguresTold, LifePoints
from tests.contract.engines import FIGURES
from tests.contract.store_fixture import StoreFixture
from tests.waiting import eventually, until

EVER = 1 << 42  # ms: later than any store's clock


@dataclass
class Told:
    """The figures of a store, in the words of this suite."""

    store: StoreFixture

    async def tell(self, life: str, sample: str = "{}", **parts: bytes) -> Asked:
        return await self.store.saver.figures.tell(FiguresTold(life=life, sample=sample.encode(), **parts))

    async def latest(self) -> dict[str, bytes]:
        return {heard.life: heard.sample for heard in (await self.store.saver.figures.latest()).heard}

    async def history(
        self, node: str = "", *, since: int = 0, until: int = EVER, coarse: bool = False
    ) -> list[LifePoints]:
        return list(await self.store.saver.figures.history(node, since, until, coarse=coarse))

    async def bodies(self, node: str = "", *, coarse: bool = False) -> dict[str, list[bytes]]:
        found = await self.history(node, coarse=coarse)
        return {each.life: [body for _, body in each.points] for each in found}


@pytest.fixture
def told(store: StoreFixture) -> Told:
    return Told(store)


async def test_nobody_has_told_anything_in_the_beginning(told: Told) -> None:
    assert await told.latest() == {}
    assert await told.history() == []
    await told.store.saver.figures.left("n1@1")


async def test_the_latest_of_each_process_is_there(told: Told) -> None:
    for life, sample in (("n2@1", "[2]"), ("n1@1", "[1]"), ("n2@1", '["ü"]')):
        await told.tell(life, sample)
    now = await told.store.saver.figures.latest()
    assert [(heard.life, heard.sample.decode()) for heard in now.heard] == [
        ("n1@1", "[1]"),
        ("n2@1", '["ü"]'),
    ]
    assert all(now.at - FIGURES.silence < heard.at <= now.at for heard in now.heard)


async def test_who_has_ended_is_not_there_any_more(told: Told) -> None:
    await told.tell("n1@1", about=b"{}", fine=b"[1]")
    await told.tell("n2@1")
    await told.store.saver.figures.left("n1@1")
    assert [*await told.latest()] == ["n2@1"]
    assert await told.bodies() == {"n1@1": [b"[1]"]}


async def test_who_is_silent_for_too_long_is_not_there_any_more(told: Told) -> None:
    await told.tell("n1@1")

    async def others_tell() -> list[str]:
        await told.tell("n2@1")
        return [*await told.latest()]

    assert await others_tell() == ["n1@1", "n2@1"]
    await eventually(others_tell, ["n2@1"])


async def test_who_tells_learns_that_somebody_watches_for_a_time(told: Told) -> None:
    assert not (await told.tell("n1@1")).watched
    await told.latest()
    assert not (await told.tell("n1@1")).watched
    seen = await told.store.saver.figures.watch()
    assert [heard.life for heard in seen.heard] == ["n1@1"]
    assert (await told.tell("n1@1")).watched
    assert (await told.tell("n2@1")).watched

    async def unwatched() -> bool:
        return not (await told.tell("n1@1")).watched

    await until(unwatched)


async def test_points_are_read_by_kind_and_time(told: Told) -> None:
    await told.tell("n1@1", about=b'["a"]', fine=b"[1]", coarse=b"[10]")
    (first,) = await told.history()
    await told.tell("n1@1", fine=b"[2]")
    await told.tell("n1@1", "no point")
    (found,) = await told.history()
    assert (found.life, found.about) == ("n1@1", b'["a"]')
    assert [body for _, body in found.points] == [b"[1]", b"[2]"]
    (one, two) = [at for at, _ in found.points]
    assert one == first.points[0][0] <= two
    assert await told.bodies(coarse=True) == {"n1@1": [b"[10]"]}
    assert await told.history(since=two + 1) == []
    assert await told.history(until=one) == []
    assert (await told.history(since=one, until=two + 1)) == [found]


async def test_of_many_points_some_may_be_enough(told: Told) -> None:
    await told.tell("n1@1", about=b"[]")
    await told.tell("n2@1", about=b"[]", coarse=b"[9]")
    for n in range(7):
        await told.tell("n1@1", coarse=b"[%d]" % n)
    for thin, wanted in ((1, "0123456"), (2, "0246"), (4, "046"), (5, "056"), (100, "06")):
        found = await told.store.saver.figures.history("", 0, EVER, coarse=True, thin=thin)
        assert [(each.life, "".join(body.decode()[1] for _, body in each.points)) for each in found] == [
            ("n1@1", wanted),
            ("n2@1", "9"),
        ]


async def test_equal_points_of_different_times_are_two(told: Told) -> None:
    await told.tell("n1@1", about=b"[]", fine=b"[1]")
    first = (await told.store.saver.figures.latest()).at

    async def later() -> bool:
        return (await told.store.saver.figures.latest()).at > first

    await until(later)
    await told.tell("n1@1", fine=b"[1]")
    assert await told.bodies() == {"n1@1": [b"[1]", b"[1]"]}


async def test_lives_of_a_node_are_told_apart_and_found_by_its_name(told: Told) -> None:
    for life in ("n1@2", "n@1", "n1@1"):
        await told.tell(life, about=life.encode(), fine=b"[1]")
    assert [(each.life, each.about) for each in await told.history("n1")] == [
        ("n1@1", b"n1@1"),
        ("n1@2", b"n1@2"),
    ]
    assert [each.life for each in await told.history()] == ["n1@1", "n1@2", "n@1"]
    assert await told.history("n2") == []


async def test_who_tells_learns_whether_it_is_known_what_its_points_are(told: Told) -> None:
    assert not (await told.tell("n1@1", fine=b"[1]")).known
    assert await told.history() == []
    assert (await told.tell("n1@1", about=b"1", fine=b"[2]")).known
    assert (await told.tell("n1@1")).known
    assert (await told.tell("n1@1", about=b"2", fine=b"[3]")).known
    (found,) = await told.history()
    assert found.about == b"2"
    assert [body for _, body in found.points] == [b"[2]", b"[3]"]


async def test_of_a_life_only_so_many_points_are_kept(told: Told) -> None:
    await told.tell("n0@1", about=b"[]", coarse=b"[0]")
    await told.tell("n1@1", about=b"[]")
    for n in range(2 * FIGURES.coarse_points):
        await told.tell("n1@1", fine=b"[%d]" % n, coarse=b"[%d]" % n)
    last = range(2 * FIGURES.coarse_points)
    found = await told.bodies(coarse=True)
    assert found["n1@1"] == [b"[%d]" % n for n in last[-FIGURES.coarse_points :]]
    assert found["n0@1"] == [b"[0]"]
    fine = (await told.bodies())["n1@1"]
    assert fine == [b"[%d]" % n for n in last[-len(fine) :]]
    assert len(fine) <= FIGURES.fine_points


async def test_points_that_are_too_old_go(told: Told) -> None:
    await told.tell("n1@1", about=b"[]", fine=b"[1]", coarse=b"[2]")
    assert await told.bodies() == {"n1@1": [b"[1]"]}

    async def gone() -> bool:
        await told.tell("n1@1", fine=b"[3]")
        return b"[1]" not in (await told.bodies())["n1@1"]

    await until(gone)
    assert await told.bodies(coarse=True) == {"n1@1": [b"[2]"]}


async def test_of_too_many_lives_those_told_longest_ago_go(told: Told) -> None:
    lives = [f"n1@{n}" for n in range(1, FIGURES.lives + 1)]
    for life in lives:
        await told.tell(life, about=b"[]", coarse=b"[1]")
    await told.tell(lives[0], coarse=b"[2]")
    await told.tell("n2@1", about=b"[]", coarse=b"[1]")
    assert sorted(await told.bodies(coarse=True)) == sorted({*lives, "n2@1"} - {lives[1]})
    assert not (await told.tell(lives[1], coarse=b"[3]")).known


async def test_points_outlive_the_process_that_keeps_them(told: Told) -> None:
    await told.tell("n1@1", about=b"[]", coarse=b"[1]")
    await told.store.reopen()
    assert await told.bodies(coarse=True) == {"n1@1": [b"[1]"]}
