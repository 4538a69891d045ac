"""What is remembered of apps, for how long, and what must not be."""

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from longline.errors import Unavailable
from longline.model.apps import App
from longline.saver.app_cache import AppCache
from tests.waiting import until


class Store:
    """Fulfils `AppStore` as far as reading goes, and counts what it is asked."""

    def __init__(self) -> None:
        self.apps = {name: an_app(name) for name in ("news", "sport")}
        self.asked: list[str] = []
        self.broken = False
        self.held: asyncio.Event | None = None

    async def find(self, name: str) -> App | None:
        self.asked.append(name)
        if self.broken:
            raise Unavailable("no store")
        app = self.apps.get(name)
        if self.held is not None:
            await self.held.wait()
        return app

    async def create(self, app: App) -> App:
        raise AssertionError("nobody creates here")

    async def numbered(self, numbers: Sequence[int]) -> list[App | None]:
        raise AssertionError("nobody counts here")

    async def list(self, after: str, limit: int) -> list[App]:
        raise AssertionError("nobody lists here")

    async def update(self, app: App, before: App) -> bool:
        raise AssertionError("nobody updates here")

    async def seal(self, name: str) -> bool:
        raise AssertionError("nobody seals here")

    async def delete(self, app: int) -> None:
        raise AssertionError("nobody deletes here")


class Memory:
    """A cache, its store, and a clock that a test moves."""

    def __init__(
        self,
        *,
        known_for: float = 60.0,
        unknown_for: float = 5.0,
        stands_in_for: float = 0.0,
        limit: int = 100,
    ) -> None:
        self.now = 1000.0
        self.store = Store()
        self.cache = AppCache(
            self.store,
            known_for=known_for,
            unknown_for=unknown_for,
            stands_in_for=stands_in_for,
            limit=limit,
            clock=lambda: self.now,
            patience=0.0,
        )


def an_app(name: str) -> App:
    return App(
        app=name,
        number=1,
        name=name,
        server_key_hash=b"",
        device_secret="",
        pubsub=False,
        created_at=1,
    )


async def test_an_app_is_asked_for_once_in_a_while() -> None:
    memory = Memory()
    for _ in range(3):
        assert await memory.cache.find("news") == an_app("news")
    memory.now += 59.9
    await memory.cache.find("news")
    assert memory.store.asked == ["news"]
    memory.now += 0.1
    await memory.cache.find("news")
    assert memory.store.asked == ["news"] * 2


async def test_that_there_is_no_app_is_remembered_for_a_shorter_while() -> None:
    memory = Memory()
    for _ in range(3):
        assert await memory.cache.find("ghost") is None
    assert memory.store.asked == ["ghost"]
    memory.store.apps["ghost"] = an_app("ghost")
    memory.now += 5.0
    assert await memory.cache.find("ghost") == an_app("ghost")


async def test_a_look_at_what_is_remembered_is_shared_and_what_it_finds_is_remembered_anew() -> None:
    memory = Memory()
    assert memory.cache.is_older("news", 0.25)  # nothing is known of it
    old = await memory.cache.find("news")
    assert not memory.cache.is_older("news", 0.25)
    memory.now += 0.25
    assert memory.cache.is_older("news", 0.25)
    memory.store.apps["news"] = msgspec.structs.replace(an_app("news"), device_secret="new")
    found = await asyncio.gather(*(memory.cache.look_again("news") for _ in range(3)))
    assert found == [memory.store.apps["news"]] * 3 != [old] * 3
    assert memory.store.asked == ["news"] * 2
    assert memory.cache.remembered("news") == memory.store.apps["news"]


async def test_without_an_age_nothing_is_remembered_of_what_is_not_there() -> None:
    memory = Memory(unknown_for=0.0, limit=1)
    await memory.cache.find("news")
    for _ in range(2):
        assert await memory.cache.find("ghost") is None
    assert memory.store.asked == ["news", "ghost", "ghost"]
    assert memory.cache.remembered("news") is not None, "and it pushes out nothing that is"


async def test_who_wants_to_know_better_asks_for_a_younger_answer() -> None:
    memory = Memory()
    await memory.cache.find("news")
    memory.now += 1.0
    await memory.cache.find("news", max_age=2.0)
    assert memory.store.asked == ["news"]
    await memory.cache.find("news", max_age=1.0)
    assert memory.store.asked == ["news"] * 2
    memory.now += 59.0
    await memory.cache.find("news", max_age=1000.0)
    assert memory.store.asked == ["news"] * 2, "it was asked for anew"
    memory.now += 1.0
    await memory.cache.find("news", max_age=1000.0)
    assert memory.store.asked == ["news"] * 3, "older than allowed is never good enough"


async def test_what_is_remembered_is_known_without_asking() -> None:
    memory = Memory()
    assert memory.cache.remembered("news") is None
    await memory.cache.find("news")
    await memory.cache.find("ghost")
    assert memory.cache.remembered("news") == an_app("news")
    assert memory.cache.remembered("ghost") is None
    memory.now += 60.0
    assert memory.cache.remembered("news") is None
    assert memory.store.asked == ["news", "ghost"]


@pytest.mark.parametrize("whole", [False, True])
async def test_what_has_changed_is_asked_for_again(whole: bool) -> None:
    memory = Memory()
    await memory.cache.find("news")
    await memory.cache.find("sport")
    if whole:
        memory.cache.clear()
    else:
        memory.cache.forget("news")
    assert memory.cache.remembered("news") is None
    assert (memory.cache.remembered("sport") is None) == whole


@pytest.mark.parametrize("whole", [False, True])
async def test_what_was_read_before_a_change_does_not_outlive_it(whole: bool) -> None:
    memory = Memory()
    memory.store.held = asyncio.Event()
    reading = asyncio.create_task(memory.cache.find("news"))
    await asyncio.sleep(0)
    if whole:
        memory.cache.clear()
    else:
        memory.cache.forget("news")
    memory.store.held.set()
    assert await reading == an_app("news")
    assert memory.cache.remembered("news") is None


async def test_its_age_counts_from_when_it_was_asked_for() -> None:
    """What a slow store says is as old as the question, for it may have read at once."""
    memory = Memory()
    memory.store.held = asyncio.Event()
    reading = asyncio.create_task(memory.cache.find("news"))
    await asyncio.sleep(0)
    memory.now += 60.0
    memory.store.held.set()
    await reading
    assert memory.cache.remembered("news") is None


async def test_names_that_no_app_can_have_cost_the_store_nothing() -> None:
    memory = Memory(limit=1)
    await memory.cache.find("news")
    for name in ("", "No", "a/b", "x" * 65, "news\n"):
        assert await memory.cache.find(name) is None
    assert memory.store.asked == ["news"]
    assert memory.cache.remembered("news") is not None


async def test_the_youngest_push_out_who_was_used_least_lately() -> None:
    memory = Memory(limit=2)
    await memory.cache.find("news")
    await memory.cache.find("sport")
    assert memory.cache.remembered("news") is not None
    await memory.cache.find("ghost")
    assert memory.cache.remembered("sport") is None
    assert memory.cache.remembered("news") is not None


async def test_a_store_that_cannot_say_is_told_of_and_asked_again() -> None:
    memory = Memory()
    memory.store.broken = True
    for _ in range(2):
        with pytest.raises(Unavailable):
            await memory.cache.find("news")
    memory.store.broken = False
    assert await memory.cache.find("news") is not None


async def test_an_app_stands_in_for_a_store_that_does_not_answer_but_not_for_long() -> None:
    memory = Memory(known_for=1.0, stands_in_for=5.0)
    await memory.cache.find("news")
    memory.store.held = asyncio.Event()
    memory.now += 1.0
    assert await memory.cache.find("news") == an_app("news")
    memory.store.held.set()
    await until(lambda: memory.cache.remembered("news") is not None)
    memory.store.broken = True
    memory.now += 4.9
    assert await memory.cache.find("news") == an_app("news")
    with pytest.raises(Unavailable):
        await memory.cache.find("news", max_age=0.5)
    memory.now += 0.1
    with pytest.raises(Unavailable):
        await memory.cache.find("news")


async def test_one_look_serves_all_who_come_meanwhile_but_for_who_comes_after_a_change() -> None:
    memory = Memory(stands_in_for=5.0)
    memory.store.held = asyncio.Event()
    early = [asyncio.create_task(memory.cache.find("news")) for _ in range(10)]
    await until(lambda: memory.store.asked == ["news"])
    memory.cache.forget("news")
    late = asyncio.create_task(memory.cache.find("news"))
    await until(lambda: memory.store.asked == ["news"] * 2)
    memory.store.held.set()
    assert await asyncio.gather(*early, late) == [an_app("news")] * 11
