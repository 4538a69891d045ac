"""Profiles of processes: replaced by their id, listed from the latest on, and bounded in number and bytes."""

from dataclasses import dataclass
from uuid import UUID

import msgspec
import pytest

from longline.model.profiles import ProcessProfile, ProfileChoice, ProfileHead, ProfileKind
from tests.contract.engines import PROFILE_BYTES, PROFILES
from tests.contract.store_fixture import MINUTE, START, StoreFixture

NOBODY = str(UUID(int=7))


@dataclass
class Kept:
    """The profiles of a store, in the words of this suite."""

    store: StoreFixture
    count: int = 0

    def profile(
        self, node: str = "room-1", kind: ProfileKind = "cpu", *, after: int = 0, size: int = 10
    ) -> ProcessProfile:
        """One that was taken so long after the start of time."""
        self.count += 1
        at = START + after
        head = ProfileHead(
            id=str(UUID(int=(at << 80) | (7 << 76) | (2 << 62) | self.count)),
            node=node,
            host="grüße €",
            version="0.1.0",
            kind=kind,
            at=at,
            seconds=1.5,
            size=size,
        )
        return ProcessProfile(head, bytes(n % 256 for n in range(size)))

    async def put(self, *profiles: ProcessProfile) -> None:
        for profile in profiles:
            await self.store.saver.profiles.put(profile)

    async def latest(self, limit: int = 1000, **choice: str) -> list[ProfileHead]:
        chosen = msgspec.convert(choice, ProfileChoice)
        return list(await self.store.saver.profiles.latest(chosen, limit))

    async def find(self, id: str) -> ProcessProfile | None:
        return await self.store.saver.profiles.find(id)


@pytest.fixture
def kept(store: StoreFixture) -> Kept:
    return Kept(store)


async def test_there_is_nothing_in_the_beginning(kept: Kept) -> None:
    assert await kept.latest() == []
    assert await kept.find(NOBODY) is None
    assert await kept.find("no id") is None
    assert not await kept.store.saver.profiles.delete(NOBODY)


async def test_a_profile_is_found_as_it_was_put(kept: Kept) -> None:
    """Also one whose content has every byte."""
    profile = kept.profile(size=1000)
    await kept.put(profile)
    assert await kept.find(profile.head.id) == profile
    await kept.store.reopen()
    assert await kept.find(profile.head.id) == profile


async def test_profiles_are_listed_the_latest_first_without_what_is_in_them(kept: Kept) -> None:
    first, second, third = kept.profile(), kept.profile("room-2"), kept.profile(kind="heap")
    await kept.put(second, first, third)
    assert await kept.latest() == [third.head, second.head, first.head]
    assert await kept.latest(node="room-1") == [third.head, first.head]
    assert await kept.latest(kind="cpu") == [second.head, first.head]
    assert await kept.latest(node="room-1", kind="cpu") == [first.head]
    assert await kept.latest(node="nobody") == []


async def test_a_page_goes_on_before_the_last_one_and_ends_at_the_least(kept: Kept) -> None:
    heads = [kept.profile(after=n * MINUTE) for n in range(5)]
    await kept.put(*heads)
    ids = [each.head.id for each in heads]
    assert [each.id for each in await kept.latest(2)] == [ids[4], ids[3]]
    assert [each.id for each in await kept.latest(2, before=ids[3])] == [ids[2], ids[1]]
    assert [each.id for each in await kept.latest(before=ids[3], least=ids[1])] == [ids[2], ids[1]]


async def test_a_profile_takes_the_place_of_the_one_with_its_id(kept: Kept) -> None:
    profile, other = kept.profile(), kept.profile()
    await kept.put(profile, other)
    again = ProcessProfile(msgspec.structs.replace(profile.head, size=3), b"abc")
    await kept.put(again)
    assert await kept.latest() == [other.head, again.head]
    assert await kept.find(profile.head.id) == again


async def test_a_profile_that_is_deleted_is_gone_once(kept: Kept) -> None:
    profile, other = kept.profile(), kept.profile()
    await kept.put(profile, other)
    assert await kept.store.saver.profiles.delete(profile.head.id)
    assert not await kept.store.saver.profiles.delete(profile.head.id)
    assert await kept.latest() == [other.head]
    assert await kept.find(profile.head.id) is None


async def test_of_too_many_the_oldest_go(kept: Kept) -> None:
    profiles = [kept.profile() for _ in range(PROFILES + 3)]
    await kept.put(*profiles)
    assert await kept.latest() == [each.head for each in profiles[:2:-1]]
    assert await kept.find(profiles[2].head.id) is None
    assert await kept.find(profiles[3].head.id) == profiles[3]


async def test_of_too_many_bytes_the_oldest_go_and_the_last_stays(kept: Kept) -> None:
    third = PROFILE_BYTES // 3
    profiles = [kept.profile(size=third) for _ in range(4)]
    await kept.put(*profiles)
    assert await kept.latest() == [each.head for each in profiles[:0:-1]]
    huge = kept.profile(size=2 * PROFILE_BYTES)
    await kept.put(huge)
    assert await kept.latest() == [huge.head]
    assert await kept.find(huge.head.id) == huge
    small = kept.profile()
    await kept.put(small)
    assert await kept.latest() == [small.head]


async def test_one_that_comes_late_stays_though_others_are_younger(kept: Kept) -> None:
    late = kept.profile()
    younger = [kept.profile(after=MINUTE) for _ in range(PROFILES)]
    await kept.put(*younger, late)
    assert await kept.latest() == [*(each.head for each in younger[:0:-1]), late.head]
