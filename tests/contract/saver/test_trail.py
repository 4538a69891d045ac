"""The audit log: entries are replaced by their end, listed from the latest on, and bounded three ways."""

from dataclasses import dataclass
from uuid import UUID

import msgspec
import pytest

from longline.model.trail import TrailBounds, TrailEntry
from tests.contract.engines import AUDIT_AGE, AUDIT_ENTRIES
from tests.contract.store_fixture import MINUTE, START, StoreFixture

BOUNDS = TrailBounds(AUDIT_ENTRIES, AUDIT_AGE)
FIRST = str(UUID(int=0))


@dataclass
class Trail:
    """The audit log of a store, in the words of this suite."""

    store: StoreFixture
    count: int = 0

    def entry(self, app: str = "news", *, after: int = 0, status: int = 200) -> TrailEntry:
        """One of so long after the start of time."""
        self.count += 1
        at = START + after
        return TrailEntry(
            id=str(UUID(int=(at << 80) | (7 << 76) | (2 << 62) | self.count)),
            at=at,
            key_id="admin",
            key_name="",
            address="192.0.2.7",
            request_id=f"r{self.count}",
            route="PUT /v1/apps/{app}/acl",
            app=app,
            subject="grüße €",
            status=status,
        )

    async def put(self, *entries: TrailEntry) -> None:
        for entry in entries:
            await self.store.saver.trail.put(entry)

    async def latest(
        self, app: str | None = None, *, least: str = FIRST, before: str = "", limit: int = 1000
    ) -> list[TrailEntry]:
        return list(await self.store.saver.trail.latest(app, least, before, limit))


@pytest.fixture
def trail(store: StoreFixture) -> Trail:
    return Trail(store)


async def test_there_is_nothing_in_the_beginning(trail: Trail) -> None:
    assert await trail.latest() == []
    assert await trail.latest("news") == []


async def test_entries_are_listed_the_latest_first(trail: Trail) -> None:
    first, second, third = trail.entry(), trail.entry("maps"), trail.entry("")
    await trail.put(second, first, third)
    assert await trail.latest() == [third, second, first]
    assert await trail.latest("news") == [first]
    assert await trail.latest("") == [third]
    assert await trail.latest("nobody") == []


async def test_a_page_goes_on_before_the_last_one_and_ends_at_the_least(trail: Trail) -> None:
    entries = [trail.entry(after=n * MINUTE) for n in range(5)]
    await trail.put(*entries)
    assert await trail.latest(limit=2) == [entries[4], entries[3]]
    assert await trail.latest(before=entries[3].id, limit=2) == [entries[2], entries[1]]
    assert await trail.latest("news", before=entries[3].id, least=entries[1].id) == [entries[2], entries[1]]


async def test_what_became_of_a_change_takes_the_place_of_its_beginning(trail: Trail) -> None:
    """Which app it is about may be known only then."""
    begun, other = trail.entry("", status=0), trail.entry("maps")
    await trail.put(begun, other)
    assert await trail.latest() == [other, begun]
    ended = msgspec.structs.replace(begun, app="news", status=409, code="app_exists", detail="x")
    await trail.put(ended)
    await trail.put(ended)
    assert await trail.latest() == [other, ended]
    assert await trail.latest("") == []
    assert await trail.latest("news") == [ended]


async def test_entries_survive_the_engine(trail: Trail) -> None:
    entry = trail.entry()
    await trail.put(entry)
    await trail.store.reopen()
    assert await trail.latest() == [entry]


async def test_who_changes_much_in_one_app_pushes_out_nothing_of_another(trail: Trail) -> None:
    other, none = trail.entry("maps"), trail.entry("")
    await trail.put(other, none)
    many = [trail.entry() for _ in range(BOUNDS.of_an_app + 5)]
    await trail.put(*many)
    assert await trail.latest("news") == many[:4:-1]
    assert await trail.latest() == [*many[:4:-1], none, other]
    assert trail.store.saver.statistics()["audit_forgotten"] == 5


async def test_of_all_together_the_oldest_go(trail: Trail) -> None:
    entries = [trail.entry(f"app{n % 12}") for n in range(BOUNDS.entries + 7)]
    await trail.put(*entries)
    assert await trail.latest() == entries[:6:-1]
    assert [entry.id for entry in await trail.latest("app3")] == [
        entry.id for entry in entries[:6:-1] if entry.app == "app3"
    ]


async def test_what_is_too_old_goes_when_what_is_over_is_ended(trail: Trail) -> None:
    old, young = trail.entry(), trail.entry(after=MINUTE)
    await trail.put(old, young)
    expiry = trail.store.saver.expiry
    assert await expiry.next_due() == START + AUDIT_AGE
    await expiry.end(START + AUDIT_AGE - 1, 100)
    assert await trail.latest() == [young, old]
    assert await expiry.end(START + AUDIT_AGE, 100) == 1
    assert await trail.latest() == [young]
    assert await trail.latest("news") == [young]
    assert await expiry.next_due() == START + AUDIT_AGE + MINUTE


async def test_entries_outlive_the_app_that_they_are_about(trail: Trail) -> None:
    entry = trail.entry()
    await trail.put(entry)
    await trail.store.saver.apps.delete(trail.store.app)
    while await trail.store.saver.expiry.end(START, 1000):
        pass
    assert await trail.latest("news") == [entry]
