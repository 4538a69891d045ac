"""How many an app may have is kept to, and counted no more often than it has to be."""

from collections.abc import Collection, Sequence

from longline.delivery.headcounts import LOOK_AGAIN, Headcounts


class World:
    """A store of names, with a clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0
        self.there: set[str] = set()
        self.counted = 0
        self.looked = 0
        self.headcounts = Headcounts(self.count, self.present, lambda: self.now)

    async def count(self, app: int) -> int:
        self.counted += 1
        return len(self.there)

    async def present(self, app: int, names: Sequence[str]) -> Collection[str]:
        self.looked += 1
        return self.there & set(names)

    async def add(self, most: int, *names: str) -> Collection[str]:
        """Adds those that may be added; the others."""
        with await self.headcounts.adding(1, most, names) as refused:
            self.there |= set(names) - set(refused)
        return refused


def names(count: int, word: str = "d") -> list[str]:
    return [f"{word}{n}" for n in range(count)]


async def test_an_app_gets_as_many_as_it_may() -> None:
    world = World()
    assert await world.add(3, "a", "b") == frozenset()
    assert await world.add(3, "c", "d") == {"d"}
    assert await world.add(3, "e") == {"e"}
    assert world.there == {"a", "b", "c"}
    assert world.headcounts.refused == 2


async def test_who_is_there_is_none_more() -> None:
    world = World()
    await world.add(3, "a", "b", "c")
    for _ in range(10):
        assert await world.add(3, "a", "b", "c") == frozenset()
        assert await world.add(3, "a", "x", "c") == {"x"}


async def test_a_name_that_comes_twice_is_one() -> None:
    world = World()
    await world.add(3, "a", "b")
    assert await world.add(3, "c", "c", "c", "a") == frozenset()


async def test_far_from_its_limit_an_app_is_counted_once() -> None:
    world = World()
    for n in range(500):
        await world.add(1_000_000, *names(100, f"{n}-"))
        world.now += 0.01
    assert (world.counted, world.looked) == (1, 0)


async def test_those_who_come_back_do_not_fill_an_app() -> None:
    world = World()
    world.there = set(names(50))
    for _ in range(100):
        assert await world.add(100, *names(50)) == frozenset()
    assert await world.add(100, "new") == frozenset()


async def test_what_others_add_is_seen_in_time() -> None:
    world = World()
    await world.add(100, "a")
    world.there |= set(names(99))
    world.now += LOOK_AGAIN
    assert await world.add(100, "b") == {"b"}


async def test_what_has_gone_makes_room() -> None:
    world = World()
    await world.add(2, "a", "b")
    assert await world.add(2, "c") == {"c"}
    world.there.remove("a")
    world.headcounts.forget(1)
    assert await world.add(2, "c") == frozenset()
    world.there.remove("b")
    world.now += LOOK_AGAIN
    assert await world.add(2, "d") == frozenset()


async def test_two_that_add_at_the_same_moment_know_of_each_other() -> None:
    world = World()
    with (
        await world.headcounts.adding(1, 3, ["a", "b"]) as first,
        await world.headcounts.adding(1, 3, ["c", "d"]) as second,
    ):
        assert (first, second) == (frozenset(), {"d"})
        world.there |= {"a", "b", "c"}
    assert await world.add(3, "e") == {"e"}


async def test_without_a_limit_nobody_counts() -> None:
    world = World()
    assert await world.add(0, *names(1000)) == frozenset()
    assert world.counted == 0
