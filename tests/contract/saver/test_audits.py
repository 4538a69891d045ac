"""An audit finds nothing in a store that agrees with itself, and each check what is planted for it."""

import re
from pathlib import Path
from types import ModuleType

import pytest

from longline.saver import sql
from longline.saver.kv import audits
from longline.saver.sql.audits.belongings import BY_DEVICE, OF_DEVICE, OF_MESSAGE, OF_SESSION
from longline.saver.sql.audits.belongings import OF_APP as OF_APP_TABLES
from longline.saver.sql.audits.belongings import OF_STORE as OF_STORE_TABLES
from longline.saver.sql.audits.engine import OF_APP, OF_STORE
from tests.contract.saver.damage import OTHER_DAMAGE, REDIS, SQLITE, damage_file, damage_store
from tests.contract.saver.everything import fill
from tests.contract.store_fixture import StoreFixture

UNPLANTED = {
    "rows",
    "routes",
}  # what no command of the store's can make, and what the indexes' walk finds first


def _folder(package: ModuleType) -> Path:
    return Path(str(package.__file__)).parent


async def test_a_store_with_everything_agrees_with_itself(store: StoreFixture) -> None:
    await fill(store)
    assert await store.differences() == []
    await store.pass_time(10 * 60_000)
    assert await store.differences() == []


async def test_what_is_left_of_a_deleted_app_is_no_difference_while_it_is_taken_away(
    store: StoreFixture,
) -> None:
    await fill(store)
    await store.saver.apps.delete(store.app)
    while await store.saver.expiry.end(store.now, 7):
        assert await store.differences() == []
    assert await store.differences() == []


@pytest.mark.tampers
@pytest.mark.parametrize(
    ("saver_engine", "check"), [("sqlite", check) for check in SQLITE], indirect=["saver_engine"]
)
async def test_what_is_planted_for_a_check_is_found_by_it_in_sqlite(store: StoreFixture, check: str) -> None:
    await fill(store)
    damage_file(store.place, store.app, check)
    assert check in {each.check for each in await store.differences()}


@pytest.mark.tampers
@pytest.mark.parametrize(
    ("saver_engine", "check"), [("redis", check) for check in REDIS], indirect=["saver_engine"]
)
async def test_what_is_planted_for_a_check_is_found_by_it_in_redis(store: StoreFixture, check: str) -> None:
    await fill(store)
    await damage_store(store.place, store.app, REDIS[check])
    assert check in {each.check for each in await store.differences()}


@pytest.mark.tampers
@pytest.mark.parametrize(
    ("saver_engine", "done"), [("redis", done) for done in OTHER_DAMAGE], indirect=["saver_engine"]
)
async def test_other_damage_is_found_too(store: StoreFixture, done: str) -> None:
    await fill(store)
    check, damage = OTHER_DAMAGE[done]
    await damage_store(store.place, store.app, damage)
    assert check in {each.check for each in await store.differences()}


def test_something_is_planted_for_every_check() -> None:
    """In Redis one walk makes several comparisons, each under a name of its own."""
    assert SQLITE.keys() == OF_APP.keys() | OF_STORE.keys()
    named = [re.findall(r'check="([a-z_]+)"', each.read_text()) for each in _folder(audits).glob("*.py")]
    assert {name for names in named for name in names} - UNPLANTED == REDIS.keys()


def test_every_table_and_every_kind_of_key_is_looked_at_or_left_out_on_purpose() -> None:
    tables = set(
        re.findall(r"^CREATE TABLE (\w+)", _folder(sql).joinpath("schema.sql").read_text(), re.MULTILINE)
    )
    placed = (OF_DEVICE, OF_SESSION, BY_DEVICE, OF_APP_TABLES, OF_MESSAGE, OF_STORE_TABLES)
    assert {table for group in placed for table in group} == tables
