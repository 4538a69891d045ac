"""Named keys: found by id, bounded for each app, and gone with it."""

import asyncio
from dataclasses import dataclass
from uuid import UUID

import msgspec
import pytest

from longline.errors import AppNotFound, QuotaExceeded
from longline.model.keys import ApiKey
from tests.contract.store_fixture import MINUTE, START, StoreFixture, an_app

LIMIT = 3
EVERY_APP = 0


@dataclass
class NamedKeys:
    """The named keys of a store, in the words of this suite."""

    store: StoreFixture
    count: int = 0

    def key(self, name: str = "billing", *, number: int | None = None, ends: int = 0) -> ApiKey:
        """One of the store's app unless a number is given, which ends so long after the start of time."""
        self.count += 1
        number = self.store.app if number is None else number
        return ApiKey(
            id=str(UUID(int=(START << 80) | (7 << 76) | (2 << 62) | self.count)),
            number=number,
            app="news" if number else "",
            name=name,
            hash=bytes([self.count]) * 32,
            scopes=("send", "read"),
            created_at=START,
            created_by="admin",
            expires_at=START + ends if ends else 0,
        )

    async def add(self, *keys: ApiKey, now: int = START) -> None:
        for key in keys:
            await self.store.saver.keys.create(key, LIMIT, now)

    async def use(self, key: ApiKey, at: int) -> None:
        await self.store.saver.keys.use(key.id, at)

    async def find(self, key: ApiKey) -> ApiKey | None:
        return await self.store.saver.keys.find(key.id)

    async def names(self, number: int | None = None, after: str = "", limit: int = 100) -> list[str]:
        number = self.store.app if number is None else number
        return [key.name for key in await self.store.saver.keys.list(number, after, limit)]


@pytest.fixture
def keys(store: StoreFixture) -> NamedKeys:
    return NamedKeys(store)


async def test_a_key_is_found_as_it_was_stored(keys: NamedKeys) -> None:
    of_app, of_all = keys.key(ends=MINUTE), keys.key("grüße €", number=EVERY_APP)
    await keys.add(of_app, of_all)
    assert await keys.find(of_app) == of_app
    assert await keys.find(of_all) == of_all


@pytest.mark.parametrize("id", ["", "no uuid", "019c2b3e-8f00-7c11-9d3e-5a1f0c6b7e22"])
async def test_an_id_that_nobody_has_is_not_found(keys: NamedKeys, id: str) -> None:
    await keys.add(keys.key())
    assert await keys.store.saver.keys.find(id) is None
    assert not await keys.store.saver.keys.delete(keys.store.app, id)


async def test_a_key_survives_the_engine(keys: NamedKeys) -> None:
    key = keys.key()
    await keys.add(key)
    await keys.store.reopen()
    assert await keys.find(key) == key


async def test_keys_are_listed_for_each_app_in_the_order_in_which_they_were_made(keys: NamedKeys) -> None:
    other = await keys.store.saver.apps.create(an_app("maps"))
    made = [keys.key(name) for name in ("a", "b", "c")]
    await keys.add(*made, keys.key("other", number=other.number), keys.key("all", number=EVERY_APP))
    assert await keys.names() == ["a", "b", "c"]
    assert await keys.names(limit=2) == ["a", "b"]
    assert await keys.names(after=made[1].id) == ["c"]
    assert await keys.names(other.number) == ["other"]
    assert await keys.names(EVERY_APP) == ["all"]


async def test_a_key_is_deleted_only_where_it_belongs(keys: NamedKeys) -> None:
    key, of_all = keys.key("a"), keys.key("all", number=EVERY_APP)
    await keys.add(key, of_all)
    store = keys.store.saver.keys
    assert not await store.delete(EVERY_APP, key.id)
    assert not await store.delete(keys.store.app, of_all.id)
    assert await store.delete(keys.store.app, key.id)
    assert not await store.delete(keys.store.app, key.id)
    assert await keys.find(key) is None
    assert await keys.names() == []
    assert await keys.find(of_all) == of_all


async def test_an_app_has_only_so_many_and_takes_no_room_from_others(keys: NamedKeys) -> None:
    made = [keys.key(str(n)) for n in range(LIMIT)]
    await keys.add(*made)
    with pytest.raises(QuotaExceeded):
        await keys.add(keys.key("one more"))
    await keys.add(*(keys.key(number=EVERY_APP) for _ in range(LIMIT)))
    with pytest.raises(QuotaExceeded):
        await keys.add(keys.key(number=EVERY_APP))
    assert await keys.store.saver.keys.delete(keys.store.app, made[0].id)
    await keys.add(keys.key("new"))
    assert await keys.names() == ["1", "2", "new"]


async def test_keys_that_are_over_make_room_when_it_is_wanted(keys: NamedKeys) -> None:
    over, later = keys.key("over", ends=MINUTE), keys.key("later", ends=3 * MINUTE)
    await keys.add(over, later, keys.key("always"))
    with pytest.raises(QuotaExceeded):
        await keys.add(keys.key("new"), now=START + MINUTE - 1)
    assert await keys.find(over) == over
    await keys.add(keys.key("new"), now=START + MINUTE)
    assert await keys.find(over) is None
    assert await keys.names() == ["later", "always", "new"]


async def test_of_many_that_come_at_once_as_many_are_stored_as_may_be(keys: NamedKeys) -> None:
    made = [keys.key(str(n)) for n in range(10)]
    adding = (keys.store.saver.keys.create(key, LIMIT, START) for key in made)
    answers = await asyncio.gather(*adding, return_exceptions=True)
    assert sum(answer is None for answer in answers) == LIMIT
    assert len(await keys.names()) == LIMIT


async def test_a_deleted_app_takes_its_keys_along_and_a_later_one_of_its_name_has_none(
    keys: NamedKeys,
) -> None:
    key, of_all = keys.key(), keys.key(number=EVERY_APP)
    await keys.add(key, of_all)
    gone = keys.store.app
    await keys.store.saver.apps.delete(gone)
    assert await keys.find(key) is None
    assert await keys.names(gone) == []
    with pytest.raises(AppNotFound):
        await keys.add(keys.key(number=gone))
    again = await keys.store.saver.apps.create(an_app("news"))
    assert await keys.names(again.number) == []
    while await keys.store.saver.expiry.end(START, 1000):
        pass
    assert await keys.find(key) is None
    assert await keys.find(of_all) == of_all
    assert await keys.names(EVERY_APP) == [of_all.name]


async def test_the_last_use_of_a_key_is_kept_and_never_goes_back(store: StoreFixture) -> None:
    """Whoever tells it, in whatever order; of a key that is gone nothing is."""
    keys = NamedKeys(store)
    key, other = keys.key(), keys.key("other")
    await keys.add(key, other)
    await asyncio.gather(*(keys.use(key, START + at) for at in (5, 3, 9, 7)))
    assert await keys.find(key) == msgspec.structs.replace(key, used_at=START + 9)
    await store.reopen()
    await keys.use(key, START + 8)
    assert await keys.find(key) == msgspec.structs.replace(key, used_at=START + 9)
    assert await keys.find(other) == other
    await store.saver.keys.delete(store.app, other.id)
    await keys.use(other, START + 10)
    assert await keys.find(other) is None
    assert await keys.names() == ["billing"]
