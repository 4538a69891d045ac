"""Groups: who is a member, what is said to whom and in which order, and what goes with whom."""

import asyncio
from collections.abc import Sequence

import pytest

from longline.errors import AppNotFound, GroupNotFound, GroupTooLarge, QuotaExceeded, TooManyGroups
from longline.model.audience import InGroup
from longline.model.commands import Broadcast
from longline.model.groups import ChatGroup, Saying
from longline.model.ledger import State
from longline.model.messages import Envelope, Said
from longline.saver.port.groups import MembersChanged
from longline.saver.port.inboxes import Cursor
from longline.saver.port.messages import Accepted, Outcome, Refused
from tests.contract.engines import GROUPS
from tests.contract.saver.pushes import outcome_of
from tests.contract.store_fixture import MINUTE, StoreFixture

NO_GROUP = Refused("group_not_found")


def said(
    store: StoreFixture,
    text: str,
    sender: str | None = None,
    *,
    group: str = "team",
    online_only: bool = False,
) -> Envelope:
    message = store.message(text, online_only=online_only)
    fields = {name: getattr(message, name) for name in message.__struct_fields__}
    return Envelope(type(message)(**{**fields, "said": Said(group, 0, sender)}), InGroup(group))


async def say(store: StoreFixture, *envelopes: Envelope, key: str | None = None) -> Outcome:
    (outcome,) = await store.submit(store.submission(*envelopes, key=key))
    assert isinstance(outcome, Outcome)
    return outcome


async def team(store: StoreFixture, *names: str, group: str = "team") -> list[int]:
    """Registers devices and makes them a group; their ordinals."""
    ordinals = await store.register(*names)
    await store.saver.groups.put(store.app, group, store.now)
    await store.saver.groups.change(store.app, group, ordinals, (), store.now)
    return ordinals


async def names_in(store: StoreFixture, group: str = "team") -> list[str] | None:
    members = await store.saver.groups.members(store.app, group)
    return None if members is None else [member.device for member in members]


async def heard(store: StoreFixture, name: str, *, log_after: int | None = None) -> list[tuple[int, str]]:
    """Sequences and texts that wait for a device."""
    pushes = (await store.page(name, log_after=log_after)).pushes
    return [
        (push.message.said.sequence if push.message.said else 0, push.message.payload.decode())
        for push in pushes
    ]


async def history(store: StoreFixture, after: int = 0, limit: int = 100) -> list[Saying] | None:
    return await store.saver.groups.history(store.app, "team", after, limit, store.now)


# --- who is a member ------------------------------------------------------------------------------------


async def test_a_group_is_made_once_and_found_as_it_was_left(store: StoreFixture) -> None:
    groups = store.saver.groups
    assert await groups.find(store.app, "team") is None
    assert await groups.members(store.app, "team") is None
    assert await groups.put(store.app, "team", store.now) is True
    await team(store, "ann", "bob")
    assert await groups.put(store.app, "team", store.now + 1) is False
    await store.reopen()
    groups = store.saver.groups
    assert await groups.find(store.app, "team") == ChatGroup("team", store.now, 0, 2)
    assert await names_in(store) == ["ann", "bob"]
    assert await groups.find(store.app, "Team") is None
    with pytest.raises(AppNotFound):
        await groups.put(999, "team", store.now)


async def test_members_come_and_go_as_often_as_they_are_told(store: StoreFixture) -> None:
    """Who is a member stays one; who is none stays none; a device that nobody knows is nobody."""
    ann, bob, cat = await team(store, "ann", "bob", "cat")
    change = store.saver.groups.change
    assert await change(store.app, "team", [ann, bob], (), store.now) == MembersChanged(0, 0, 3)
    assert await change(store.app, "team", (), [ann, 9_999], store.now) == MembersChanged(0, 1, 2)
    assert await change(store.app, "team", (), [ann], store.now) == MembersChanged(0, 0, 2)
    assert await change(store.app, "team", [ann, 9_998], [bob, cat], store.now) == MembersChanged(1, 2, 1)
    assert await change(store.app, "team", [ann], [ann], store.now) == MembersChanged(0, 0, 1)
    assert await change(store.app, "team", (), (), store.now) == MembersChanged(0, 0, 1)
    assert await names_in(store) == ["ann"]
    with pytest.raises(GroupNotFound):
        await change(store.app, "other", [ann], (), store.now)
    with pytest.raises(GroupNotFound):
        await change(999, "team", [ann], (), store.now)


async def test_groups_are_listed_by_the_bytes_of_their_names_page_by_page(store: StoreFixture) -> None:
    names = ["b", "a:1", "é", "Z", "a"]
    for name in names:
        await store.saver.groups.put(store.app, name, store.now)
    ordered = sorted(names, key=str.encode)
    listed: list[str] = []
    while page := await store.saver.groups.page(store.app, listed[-1] if listed else "", 2):
        listed += [group.group for group in page]
    assert listed == ordered
    assert await store.saver.groups.page(999, "", 10) == []


async def test_bounds_hold_and_who_is_refused_changes_nothing(store: StoreFixture) -> None:
    groups = store.saver.groups
    many = await store.register(*(f"d{n}" for n in range(GROUPS.members + 1)))
    for n in range(6):
        assert await groups.put(store.app, f"g{n}", store.now, 6)
    with pytest.raises(QuotaExceeded):
        await groups.put(store.app, "more", store.now, 6)
    assert await groups.put(store.app, "g0", store.now, 6) is False
    with pytest.raises(GroupTooLarge):
        await groups.change(store.app, "g0", many, (), store.now)
    assert await names_in(store, "g0") == []
    await groups.change(store.app, "g0", many[1:], (), store.now)
    with pytest.raises(GroupTooLarge):
        await groups.change(store.app, "g0", many[:1], (), store.now)
    changed = await groups.change(store.app, "g0", many[:1], many[-1:], store.now)  # one for another
    assert changed == MembersChanged(1, 1, GROUPS.members)
    for n in range(1, GROUPS.device_groups):
        await groups.change(store.app, f"g{n}", many[:1], (), store.now)
    with pytest.raises(TooManyGroups) as refused:
        await groups.change(store.app, "g5", many[:2], (), store.now)
    assert "d0" in refused.value.details[0][1]
    assert await names_in(store, "g5") == []


async def test_the_bound_of_members_holds_whoever_takes_some_in_at_the_same_moment(
    store: StoreFixture,
) -> None:
    """Those who are refused find it full; nobody is refused while there is room."""
    groups = store.saver.groups
    await groups.put(store.app, "team", store.now)
    many = await store.register(*(f"d{n:02}" for n in range(3 * GROUPS.members)))

    async def join(*ordinals: int) -> int:
        try:
            return (await groups.change(store.app, "team", ordinals, (), store.now)).added
        except GroupTooLarge:
            return 0

    added = await asyncio.gather(*(join(ordinal) for ordinal in many))
    assert sum(added) == len(await names_in(store) or []) == GROUPS.members
    there = await groups.members(store.app, "team")
    assert there is not None
    leaving = [member.ordinal for member in there][:6]
    await groups.change(store.app, "team", (), leaving, store.now)
    others = sorted(set(many) - {member.ordinal for member in there})
    added = await asyncio.gather(*(join(*others[at : at + 4]) for at in range(0, 16, 4)))
    assert sorted(added) == [0, 0, 0, 4]
    assert len(await names_in(store) or []) == GROUPS.members - 2


async def test_who_takes_the_place_of_others_does_so_within_the_bound(store: StoreFixture) -> None:
    groups = store.saver.groups
    many = await store.register(*(f"d{n:02}" for n in range(3 * GROUPS.members)))
    first, second, third = (many[at : at + GROUPS.members] for at in range(0, len(many), GROUPS.members))
    await groups.put(store.app, "team", store.now)
    await groups.change(store.app, "team", first, (), store.now)
    await asyncio.gather(
        *(groups.change(store.app, "team", new, first, store.now) for new in (second, third)),
        return_exceptions=True,
    )
    names = await names_in(store)
    assert names is not None
    assert len(names) <= GROUPS.members
    assert names in ([f"d{n:02}" for n in range(12, 24)], [f"d{n:02}" for n in range(24, 36)])


# --- what is said ---------------------------------------------------------------------------------------


async def test_what_is_said_comes_to_members_in_sequence_and_to_nobody_else(store: StoreFixture) -> None:
    await team(store, "ann", "bob")
    await store.register("eve")
    outcome = await say(store, said(store, "one"), said(store, "two", "ann"))
    assert [type(result) for result in outcome.results] == [Accepted, Accepted]
    assert [result.targeted for result in outcome.results if isinstance(result, Accepted)] == [2, 2]
    routes = [route for route in outcome.routes if isinstance(route, Broadcast)]
    assert [route.message.said for route in routes] == [Said("team", 1), Said("team", 2, "ann")]
    await store.reopen()
    for name in ("ann", "bob"):
        assert await heard(store, name) == [(1, "one"), (2, "two")]
        assert await store.pending(name) == 2
    assert await heard(store, "eve") == []
    assert (await store.arrive("eve")).pending is False or await store.pending("eve") == 0


async def test_who_is_no_member_is_told_what_is_told_where_there_is_no_group(store: StoreFixture) -> None:
    """And no sequence is spent on it."""
    await team(store, "ann")
    await store.register("eve")
    outcome = await say(
        store,
        said(store, "let me in", "eve"),
        said(store, "who?", "nobody"),
        said(store, "where?", "ann", group="other"),
        said(store, "anybody?", group="other"),
        said(store, "fine", "ann"),
    )
    assert outcome.results[:4] == (NO_GROUP,) * 4
    assert await heard(store, "ann") == [(1, "fine")]


async def test_a_group_without_members_is_no_target(store: StoreFixture) -> None:
    await store.saver.groups.put(store.app, "team", store.now)
    assert (await say(store, said(store, "hello?"))).results == (Refused("no_target"),)


async def test_what_was_said_when_the_last_member_was_gone_is_in_the_history_or_refused(
    store: StoreFixture,
) -> None:
    """A member goes with its device, which only the partition of the device may know at once."""
    await team(store, "ann")
    await say(store, said(store, "one"))
    assert await store.saver.devices.delete(store.app, "ann", store.now)
    results = (await say(store, said(store, "two"), said(store, "three"))).results
    accepted = [result for result in results if isinstance(result, Accepted)]
    assert [result.targeted for result in accepted] == [0] * len(accepted)
    assert all(result == Refused("no_target") for result in results if result not in accepted)
    assert len(await history(store) or ()) == 1 + len(accepted)
    for result in accepted:
        assert outcome_of(await store.ledger(result.message_id)) == (0, 0, 0, 0, {})
    assert await store.differences() == []
    (bob,) = await store.register("bob")
    await store.saver.groups.change(store.app, "team", [bob], (), store.now)
    await say(store, said(store, "four"))
    assert await heard(store, "bob") == [(2 + len(accepted), "four")]


async def test_a_member_gets_what_is_said_while_it_is_one(store: StoreFixture) -> None:
    """Not what was said before; and of what waits when it leaves, nothing, which its ledger tells."""
    _, bob = await team(store, "ann", "bob")
    (cat,) = await store.register("cat")
    before = await say(store, said(store, "before"))
    await store.saver.groups.change(store.app, "team", [cat], (), store.now)
    await say(store, said(store, "with cat"))
    await store.saver.groups.change(store.app, "team", (), [bob], store.now)
    await say(store, said(store, "without bob"))
    assert await heard(store, "ann") == [(1, "before"), (2, "with cat"), (3, "without bob")]
    assert await heard(store, "bob") == []
    assert await heard(store, "cat") == [(2, "with cat"), (3, "without bob")]
    await store.saver.groups.change(store.app, "team", [bob], (), store.now)
    assert await heard(store, "bob") == []
    (first,) = before.results
    assert isinstance(first, Accepted)
    assert outcome_of(await store.ledger(first.message_id)) == (1, 0, 0, 0, {"left_group": 1})


async def test_a_member_reads_on_from_where_it_was(store: StoreFixture) -> None:
    """Its place in the log says so: what it has taken is not there again, whatever was said elsewhere."""
    ann, _ = await team(store, "ann", "bob")
    await team(store, "cat", group="others")
    await say(store, said(store, "one"), said(store, "two"))
    page = await store.page("ann")
    await store.settle("ann", page.pushes[0], State.ACKED)
    assert await heard(store, "ann") == [(2, "two")]
    await store.settle("ann", page.pushes[1], State.ACKED)
    await store.saver.inboxes.advance([Cursor(store.app, ann, page.log_after)])
    await say(store, said(store, "for others", group="others"))
    assert await heard(store, "ann") == []
    assert await heard(store, "bob") == [(1, "one"), (2, "two")]
    await say(store, said(store, "three"))
    assert await heard(store, "ann") == [(3, "three")]


async def test_pages_of_several_groups_and_pushes_are_in_the_order_of_their_commits(
    store: StoreFixture,
) -> None:
    """However few a page may have: nothing is left out, and the end is told."""
    await team(store, "ann")
    await team(store, "ann", group="second")
    await team(store, "eve", group="third")
    expected = []
    for n in range(12):
        text = f"{n}"
        if n % 4 == 0:
            await say(store, said(store, text))
        elif n % 4 == 1:
            await say(store, said(store, text, group="second"))
        elif n % 4 == 2:
            await store.push(text, "ann")
        else:
            await store.push(text)
        await say(store, said(store, "not for ann", group="third"))
        expected.append(text)
    for limit in (1, 2, 3, 5, 100):
        got: list[str] = []
        inbox_after, log_after = 0, (await store.arrive("ann")).log_after
        while True:
            page = await store.page("ann", inbox_after=inbox_after, log_after=log_after, limit=limit)
            got += [push.message.payload.decode() for push in page.pushes]
            inbox_after = max([inbox_after, *(p.position for p in page.pushes if not p.broadcast)])
            log_after = page.log_after
            if page.complete:
                break
        assert got == expected, limit


async def test_messages_of_many_at_once_have_all_sequences_once_and_come_in_their_order(
    store: StoreFixture,
) -> None:
    names = [f"d{n}" for n in range(8)]
    await team(store, *names)
    outcomes = await asyncio.gather(*(say(store, said(store, f"{n}", names[n % 8])) for n in range(40)))
    assert all(isinstance(result, Accepted) for outcome in outcomes for result in outcome.results)
    for name in names:
        told = await heard(store, name)
        assert [sequence for sequence, _ in told] == list(range(1, 41))
    assert {tuple(await heard(store, name)) for name in names} == {tuple(await heard(store, "d0"))}


async def test_a_repeated_request_says_nothing_twice(store: StoreFixture) -> None:
    await team(store, "ann")
    envelope = said(store, "once", "ann")
    first = await say(store, envelope, key="k")
    again = await say(store, said(store, "once", "ann"), key="k")
    assert again.results == first.results
    assert again.replayed
    assert await heard(store, "ann") == [(1, "once")]
    assert [saying.sequence for saying in await history(store) or ()] == [1]


async def test_a_ledger_of_a_group_balances_whatever_becomes_of_it(store: StoreFixture) -> None:
    await team(store, "ann", "bob", "cat")
    (result,) = (await say(store, said(store, "hi"))).results
    assert isinstance(result, Accepted)
    await store.ack_all("ann")
    assert outcome_of(await store.ledger(result.message_id)) == (2, 1, 0, 0, {})
    assert await store.saver.devices.delete(store.app, "cat", store.now)
    assert outcome_of(await store.ledger(result.message_id)) == (1, 1, 0, 0, {"device_deleted": 1})
    await store.pass_time(MINUTE)
    assert outcome_of(await store.ledger(result.message_id)) == (0, 1, 1, 0, {"device_deleted": 1})
    assert await heard(store, "bob") == []
    (cancelled,) = (await say(store, said(store, "oh"))).results
    assert isinstance(cancelled, Accepted)
    assert await store.saver.messages.cancel(store.app, cancelled.message_id, store.now)
    assert outcome_of(await store.ledger(cancelled.message_id)) == (0, 0, 0, 0, {"cancelled": 2})


async def test_a_message_for_who_is_connected_has_its_sequence_and_waits_for_nobody(
    store: StoreFixture,
) -> None:
    await team(store, "ann")
    outcome = await say(store, said(store, "now", online_only=True), said(store, "later"))
    assert [route.message.said.sequence for route in outcome.routes if route.message.said] == [1, 2]
    assert await heard(store, "ann") == [(2, "later")]


# --- what goes with whom --------------------------------------------------------------------------------


async def test_a_group_that_is_deleted_takes_what_waits_along(store: StoreFixture) -> None:
    """And a later one of the same name has none of it: no members, no history, and it counts anew."""
    (ann,) = await team(store, "ann")
    (result,) = (await say(store, said(store, "gone"))).results
    assert isinstance(result, Accepted)
    assert await store.saver.groups.delete(store.app, "team", store.now) is True
    assert await store.saver.groups.delete(store.app, "team", store.now) is False
    assert outcome_of(await store.ledger(result.message_id)) == (0, 0, 0, 0, {"group_deleted": 1})
    assert await heard(store, "ann") == []
    assert await history(store) is None
    assert await names_in(store) is None
    assert (await say(store, said(store, "hello?"))).results == (NO_GROUP,)
    await store.saver.groups.put(store.app, "team", store.now)
    assert await names_in(store) == []
    assert await history(store) == []
    await store.saver.groups.change(store.app, "team", [ann], (), store.now)
    await say(store, said(store, "again"))
    assert await heard(store, "ann") == [(1, "again")]


async def test_a_device_that_is_deleted_is_in_no_group_nor_a_later_one_of_its_name(
    store: StoreFixture,
) -> None:
    await team(store, "ann", "bob")
    assert await store.saver.devices.delete(store.app, "ann", store.now)
    assert await names_in(store) == ["bob"]
    found = await store.saver.groups.find(store.app, "team")
    assert found is not None
    assert found.members == 1
    await store.register("ann")
    await say(store, said(store, "hi"))
    assert await heard(store, "ann") == []
    assert (await say(store, said(store, "me?", "ann"))).results == (NO_GROUP,)


async def test_an_app_that_is_deleted_takes_its_groups_along(store: StoreFixture) -> None:
    await team(store, "ann", "bob")
    await say(store, said(store, "one"), said(store, "two"))
    groups, app = store.saver.groups, store.app
    await store.saver.apps.delete(app)
    assert await groups.find(app, "team") is None
    assert await groups.members(app, "team") is None
    assert await groups.page(app, "", 10) == []
    while await store.pass_time(1):
        pass
    await store.begin()
    assert await groups.find(store.app, "team") is None
    assert await groups.page(store.app, "", 10) == []


# --- history --------------------------------------------------------------------------------------------


def told(sayings: Sequence[Saying] | None) -> list[tuple[int, str | None, bytes]]:
    return [(saying.sequence, saying.sender, saying.payload) for saying in sayings or ()]


async def test_the_history_has_what_was_said_from_a_sequence_on(store: StoreFixture) -> None:
    await team(store, "ann")
    await say(store, said(store, "one"), said(store, "two", "ann"), said(store, "three"))
    await store.reopen()
    assert told(await history(store)) == [(1, None, b"one"), (2, "ann", b"two"), (3, None, b"three")]
    assert told(await history(store, 1, 1)) == [(2, "ann", b"two")]
    assert told(await history(store, 3)) == []
    assert told(await history(store, 1 << 40)) == []
    found = await history(store)
    assert found is not None
    first = found[0]
    assert (first.at, first.content_type) == (store.now, "text/plain")


async def test_the_history_has_the_latest_and_no_more_of_them_than_its_bounds(store: StoreFixture) -> None:
    await team(store, "ann")
    for n in range(GROUPS.history_messages + 5):
        store.now += 61_000  # what was said a moment ago may be there in any case
        await say(store, said(store, f"{n}"))
    assert [saying.sequence for saying in await history(store) or ()] == list(range(6, 16))
    for _ in range(3):
        store.now += 61_000
        await say(store, said(store, "x" * 400))
    sequences = [saying.sequence for saying in await history(store) or ()]
    assert sequences == [17, 18]
    store.now += GROUPS.history_ms
    assert await history(store) == []
    await say(store, said(store, "y" * 2_000))  # more than all of it may be, and still there
    assert [saying.sequence for saying in await history(store) or ()] == [19]


# --- what is interrupted --------------------------------------------------------------------------------


async def test_who_speaks_next_mends_what_a_sender_left_half_done(store: StoreFixture) -> None:
    """A sender that is gone at any step holds up nobody, and what was said has one order for all members."""
    names = [f"d{n}" for n in range(8)]
    await team(store, *names)
    for n in range(60):
        sending = asyncio.create_task(say(store, said(store, f"gone {n}")))
        for _ in range(n):
            await asyncio.sleep(0)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        if n % 3 == 0:
            outcome = await say(store, said(store, f"there {n}", "d0"))
            assert isinstance(outcome.results[0], Accepted)
    store.now += MINUTE // 2
    while await store.saver.routing.complete(store.now, 100):
        pass
    await say(store, said(store, "the end"))  # behind whatever is still on its way to the store
    heard_by = [await heard(store, name) for name in names]
    assert all(each == heard_by[0] for each in heard_by)
    sequences = [sequence for sequence, _ in heard_by[0]]
    assert sequences == list(range(1, len(sequences) + 1))
    texts = [text for _, text in heard_by[0]]
    assert [text for text in texts if text.startswith("there")] == [f"there {n}" for n in range(0, 60, 3)]
    assert len(set(texts)) == len(texts)
