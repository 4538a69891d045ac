"""Membership, leadership and values, as one process sees them."""

import asyncio
from contextlib import suppress

import msgspec
import pytest

from longline.errors import Conflict, Unavailable, ValidationFailed
from longline.keeper.port import Keeper, Kept
from tests.contract.engines import KeeperEngine
from tests.contract.keeper.conftest import SESSION
from tests.contract.keeper.nodes import a_detailed_node, a_node, leaders, until_members
from tests.waiting import WITHIN

# --- members ----------------------------------------------------------------------------------------


async def test_members_are_listed_by_name_with_what_they_said_of_themselves(keeper: Keeper) -> None:
    nodes = [a_detailed_node("b"), a_node("a")]
    for node in nodes:
        await keeper.join(node)
    assert await keeper.members() == [nodes[1], nodes[0]]


async def test_joining_again_replaces_what_is_known(keeper: Keeper) -> None:
    await keeper.join(a_node("a"))
    await keeper.join(a_node("a", mqtt="127.0.0.1:1884"))
    assert await keeper.members() == [a_node("a", mqtt="127.0.0.1:1884")]


async def test_who_leaves_is_no_member(keeper: Keeper) -> None:
    await keeper.join(a_node("a"))
    await keeper.leave("a")
    await keeper.leave("a")
    assert await keeper.members() == []


async def test_a_keeper_that_was_opened_is_in_touch_until_it_is_closed(keeper: Keeper) -> None:
    assert keeper.in_touch()
    await keeper.close()
    assert not keeper.in_touch()


@pytest.mark.parametrize("name", ["", "a/b", "..", "a b", "n" * 300])
async def test_a_name_that_not_every_engine_can_keep_is_refused(keeper: Keeper, name: str) -> None:
    with pytest.raises(ValidationFailed):
        await keeper.join(a_node(name))


# --- leaders ----------------------------------------------------------------------------------------


async def test_exactly_one_member_leads_a_duty(keeper: Keeper) -> None:
    for name in "abc":
        await keeper.join(a_node(name))
    leading = await leaders(keeper, "expiry", *"abc")
    assert len(leading) == 1
    assert await leaders(keeper, "expiry", *"abc") == leading, "it stays the same one"


async def test_another_leads_when_the_leader_leaves_and_the_term_rises(keeper: Keeper) -> None:
    for name in "abc":
        await keeper.join(a_node(name))
    terms = [await keeper.term("expiry")]
    assert terms == [0], "nobody ever led"
    remaining = ["a", "b", "c"]
    while remaining:
        (leader,) = await leaders(keeper, "expiry", *"abc")
        assert leader in remaining, "who has left leads no more"
        terms.append(await keeper.term("expiry"))
        await keeper.leave(leader)
        remaining.remove(leader)
    assert await leaders(keeper, "expiry", *"abc") == []
    assert terms == sorted(set(terms)), "terms rise"
    assert await keeper.term("expiry") == terms[-1], "it does not fall back when nobody leads"


async def test_duties_are_led_apart_from_each_other(keeper: Keeper) -> None:
    for name in "ab":
        await keeper.join(a_node(name))
    assert await keeper.leads("expiry", "a")
    assert await keeper.leads("sweep", "b")
    assert not await keeper.leads("expiry", "b")
    assert not await keeper.leads("sweep", "a")


async def test_who_is_no_member_does_not_lead(keeper: Keeper) -> None:
    assert not await keeper.leads("expiry", "a")
    await keeper.join(a_node("b"))
    assert not await keeper.leads("expiry", "a")
    assert await keeper.leads("expiry", "b")


async def test_who_is_not_in_touch_leads_nothing(keeper: Keeper) -> None:
    await keeper.join(a_node("a"))
    assert await keeper.leads("expiry", "a")
    await keeper.close()
    assert not keeper.in_touch()
    assert not await keeper.leads("expiry", "a")


# --- values -----------------------------------------------------------------------------------------


async def test_a_value_is_read_as_it_was_written_and_its_version_rises_by_one(keeper: Keeper) -> None:
    assert await keeper.read("settings") is None
    anything = bytes(range(256))
    assert await keeper.write("settings", anything) == 1
    assert await keeper.read("settings") == Kept(anything, 1)
    assert await keeper.write("settings", b"") == 2
    assert await keeper.read("settings") == Kept(b"", 2)


async def test_a_removed_value_is_gone(keeper: Keeper) -> None:
    await keeper.write("a", b"x")
    assert await keeper.write("a", None) == 0
    assert await keeper.read("a") is None
    assert await keeper.read_all("") == {}
    assert await keeper.write("a", None) == 0, "to remove what is not there is no fault"


async def test_a_version_never_comes_again_not_even_after_a_removal(keeper: Keeper) -> None:
    seen = []
    for _ in range(3):
        seen += [await keeper.write("a", b"x"), await keeper.write("a", b"x")]
        await keeper.write("a", None)
    assert seen == sorted(set(seen))
    with pytest.raises(Conflict):
        await keeper.write("a", b"x", version=seen[-1])


async def test_a_write_with_a_version_is_only_done_when_that_is_in_force(keeper: Keeper) -> None:
    with pytest.raises(Conflict):
        await keeper.write("a", b"x", version=1)
    assert await keeper.write("a", b"one", version=0) == 1
    with pytest.raises(Conflict):
        await keeper.write("a", b"x", version=0)
    assert await keeper.write("a", b"two", version=1) == 2
    with pytest.raises(Conflict):
        await keeper.write("a", None, version=1)
    assert await keeper.read("a") == Kept(b"two", 2)
    assert await keeper.write("a", None, version=2) == 0
    with pytest.raises(Conflict):
        await keeper.write("a", None, version=2)


async def test_values_are_listed_by_the_beginning_of_their_keys(keeper: Keeper) -> None:
    for key in ("drains/a", "drains/b.1", "drains", "drain-x", "settings/drains/a"):
        await keeper.write(key, key.encode())
    assert await keeper.read_all("drains/") == {
        "drains/a": Kept(b"drains/a", 1),
        "drains/b.1": Kept(b"drains/b.1", 1),
    }
    assert len(await keeper.read_all("")) == 5


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", "a b", "..", "a/.", "ä", "a:b", "k" * 300])
async def test_a_key_that_not_every_engine_can_keep_is_refused(keeper: Keeper, key: str) -> None:
    with pytest.raises(ValidationFailed):
        await keeper.write(key, b"x")


async def test_a_value_that_is_too_large_is_refused_and_a_large_one_is_not(keeper: Keeper) -> None:
    large = b"x" * 512 * 1024
    await keeper.write("large", large)
    assert await keeper.read("large") == Kept(large, 1)
    with pytest.raises(ValidationFailed):
        await keeper.write("large", large + b"x")
    assert keeper.in_touch()


async def test_of_writes_at_the_same_time_each_has_its_own_version(keeper: Keeper) -> None:
    versions = await asyncio.gather(*(keeper.write("a", b"%d" % number) for number in range(10)))
    assert sorted(versions) == list(range(1, 11))
    kept = await keeper.read("a")
    assert kept == Kept(b"%d" % versions.index(10), 10)


async def test_values_outlive_the_process_and_terms_go_on(engine: KeeperEngine, place: str) -> None:
    async with engine.open(place, SESSION) as keeper:
        await keeper.join(a_node("a"))
        assert await keeper.leads("expiry", "a")
        term = await keeper.term("expiry")
        await keeper.write("gone", b"x")
        await keeper.write("gone", None)
        await keeper.write("drains/a", b"x", version=0)
        kept = await keeper.read_all("")
    async with engine.open(place, SESSION) as keeper:
        assert await keeper.members() == [], "it has left"
        assert await keeper.read_all("") == kept
        assert await keeper.write("drains/a", b"y", version=kept["drains/a"].version) > 1
        assert await keeper.write("gone", b"x") > 1
        await keeper.join(a_node("b"))
        assert await keeper.leads("expiry", "b")
        assert await keeper.term("expiry") > term


# --- news -------------------------------------------------------------------------------------------


async def test_who_has_seen_nothing_need_not_wait(keeper: Keeper) -> None:
    async with asyncio.timeout(WITHIN):
        assert await keeper.changed(0) > 0


async def test_every_kind_of_change_wakes_those_who_wait(keeper: Keeper) -> None:
    seen = await keeper.changed(0)

    async def leave() -> None:
        await keeper.leave("a")

    async def lead() -> None:
        assert await keeper.leads("expiry", "a")

    async def tell() -> None:
        await keeper.join(msgspec.structs.replace(a_node("a"), draining=True))

    async def write() -> None:
        await keeper.write("a", b"x")

    async def remove() -> None:
        await keeper.write("a", None)

    for change in (tell, lead, write, remove, leave):
        with suppress(TimeoutError):  # as a rule all that came before has been told then
            while True:
                async with asyncio.timeout(0.05):
                    seen = await keeper.changed(seen)
        waiting = [asyncio.create_task(keeper.changed(seen)) for _ in range(3)]
        await asyncio.sleep(0)
        await change()
        async with asyncio.timeout(WITHIN):
            assert all(now > seen for now in await asyncio.gather(*waiting)), change.__name__


async def test_no_change_is_missed_between_two_looks(keeper: Keeper) -> None:
    """Whoever looks after each `changed` has seen the last value in the end."""
    last = b"%d" % 50

    async def follow() -> None:
        seen = 0
        while True:
            seen = await keeper.changed(seen)
            kept = await keeper.read("a")
            if kept is not None and kept.value == last:
                return

    async with asyncio.timeout(WITHIN), asyncio.TaskGroup() as tasks:
        for _ in range(3):
            tasks.create_task(follow())
        for number in range(51):
            await keeper.write("a", b"%d" % number)


async def test_a_closed_keeper_keeps_nobody_waiting_and_takes_nothing(keeper: Keeper) -> None:
    await keeper.join(a_node("a"))
    await until_members(keeper, "a")

    async def wait() -> None:
        seen = 0
        while True:
            seen = await keeper.changed(seen)

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    await keeper.close()
    async with asyncio.timeout(WITHIN):
        with pytest.raises(Unavailable):
            await waiting
    with pytest.raises(Unavailable):
        await keeper.write("a", b"x")
    with pytest.raises(Unavailable):
        await keeper.join(a_node("b"))
