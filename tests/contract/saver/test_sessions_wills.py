"""Wills: due when a client went without a word, after their delay or with their session; published once."""

import pytest

from longline.model.pubsub import StoredWill
from longline.saver.port.sessions import FOREVER, WILLS
from tests.contract.saver.kept import GRACE, LEASE, Kept, a_will


async def test_a_will_is_given_out_as_it_was_left(kept: Kept) -> None:
    will = StoredWill("home/é/state", b"\x00off\xff", 2, True, b"\x01\x01", 0, 3600)
    session = await kept.open("a", will=will)
    assert await kept.due() == []
    await kept.close(session, will=True)
    (due,) = await kept.due()
    assert (due.app, due.device, due.ordinal, due.will) == (kept.store.app, "a", session.ordinal, will)
    assert len(due.id) == 36
    assert due.id[14] == "7"


async def test_a_client_that_says_goodbye_leaves_no_will(kept: Kept) -> None:
    for expires_in in (0, 10):
        await kept.close(await kept.open("a", expires_in=expires_in, will=a_will()))
        kept.store.now += 100_000
        await kept.sweep()
        assert await kept.said() == []


async def test_a_will_waits_for_its_delay(kept: Kept) -> None:
    session = await kept.open("a", expires_in=1000, will=a_will(delay=60))
    await kept.close(session, will=True)
    kept.store.now += 59_999
    assert await kept.said() == []
    kept.store.now += 1
    assert await kept.said() == ["gone"]


async def test_a_will_waits_no_longer_than_its_session(kept: Kept) -> None:
    session = await kept.open("a", expires_in=20, will=a_will("early", delay=60))
    await kept.close(session, will=True)
    passing = await kept.open("b", clean=True, expires_in=0, will=a_will("at once", delay=60))
    await kept.close(passing, will=True)
    assert await kept.said() == ["at once"]
    changed = await kept.open("c", expires_in=FOREVER, will=a_will("changed", delay=60))
    await kept.close(changed, will=True, expires_in=20)
    kept.store.now += 19_999
    assert await kept.said() == []
    kept.store.now += 1
    assert sorted(await kept.said()) == ["changed", "early"]


async def test_a_will_is_due_also_when_its_session_was_swept_and_begun_anew(kept: Kept) -> None:
    session = await kept.open("a", expires_in=20, will=a_will("first", delay=60))
    await kept.close(session, will=True)
    kept.store.now += 20_000
    await kept.clear()
    again = await kept.open("a", expires_in=20, will=a_will("second"))
    assert await kept.said() == ["first"]
    await kept.close(again, will=True)
    assert await kept.said() == ["second"]


async def test_who_comes_back_within_the_delay_was_never_gone(kept: Kept) -> None:
    """[MQTT-3.1.3-9]"""
    await kept.close(await kept.open("a", will=a_will("first", delay=60)), will=True)
    kept.store.now += 59_999
    second = await kept.open("a", will=a_will("second", delay=60))
    kept.store.now += 1_000_000
    assert await kept.said() == []
    await kept.close(second, will=True)
    kept.store.now += 60_000
    assert await kept.said() == ["second"]


async def test_who_comes_back_after_the_delay_was_gone(kept: Kept) -> None:
    """Also where nobody has published the will meanwhile."""
    await kept.close(await kept.open("a", will=a_will(delay=60)), will=True)
    kept.store.now += 60_000
    await kept.open("a")
    assert await kept.said() == ["gone"]


async def test_a_session_that_ends_before_the_delay_gives_its_will_out(kept: Kept) -> None:
    await kept.close(await kept.open("a", will=a_will(delay=60)), will=True)
    await kept.open("a", clean=True)
    assert await kept.said() == ["gone"]


async def test_a_connection_that_is_taken_over_leaves_its_will_unless_that_has_a_delay(kept: Kept) -> None:
    first = await kept.open("a", will=a_will("no delay"))
    second = await kept.open("a", will=a_will("dropped", delay=60))
    assert not await kept.close(first, will=True)
    assert await kept.said() == ["no delay"]
    third = await kept.open("a", will=a_will("session ends", delay=60))
    await kept.close(second, will=True)
    kept.store.now += 1_000_000
    assert await kept.said() == []
    fourth = await kept.open("a", clean=True, expires_in=0, will=a_will("one connection", delay=60))
    await kept.close(third, will=True)
    assert await kept.said() == ["session ends"]
    await kept.open("a")
    await kept.close(fourth, will=True)
    assert await kept.said() == ["one connection"]


@pytest.mark.parametrize("clean", [False, True])
async def test_a_goodbye_counts_that_is_told_after_the_client_was_back_elsewhere(
    kept: Kept, clean: bool
) -> None:
    """The room that it left is slower than the client: until it tells, the will waits [MQTT-3.14.4-3]."""
    first = await kept.open("a", will=a_will())
    second = await kept.open("a", clean=clean, node="n2")
    kept.store.now += 100_000
    assert await kept.said() == []
    assert not await kept.close(first)
    assert await kept.said() == []
    await kept.abandon("n1", grace=0)
    assert await kept.said() == []
    assert await kept.close(second, will=True)


async def test_what_waits_for_the_word_of_a_room_is_due_when_that_dies(kept: Kept) -> None:
    await kept.open("a", will=a_will("a"))
    await kept.open("b", will=a_will("b"))
    await kept.open("a", node="n2")
    await kept.open("b", node="n2", clean=True, expires_in=0)
    await kept.store.reopen()
    assert await kept.said() == []
    assert await kept.abandon("n1", grace=0) == 2
    assert sorted(await kept.said()) == ["a", "b"]
    assert await kept.abandon("n1", grace=0) == 0


async def test_the_word_of_a_room_counts_also_when_the_next_connection_is_over_by_then(kept: Kept) -> None:
    for will in (True, False):
        first = await kept.open("a", clean=True, expires_in=0, will=a_will("first"))
        second = await kept.open("a", clean=True, expires_in=0, will=a_will("second"), node="n2")
        await kept.close(second)
        await kept.close(first, will=will)
        assert await kept.said() == (["first"] if will else [])
        await kept.close(first, will=will)
        assert await kept.said() == []


async def test_a_will_goes_with_its_connection_and_not_with_the_next(kept: Kept) -> None:
    await kept.close(await kept.open("a", will=a_will("first")))
    second = await kept.open("a")
    await kept.close(second, will=True)
    assert await kept.said() == []


async def test_a_connection_that_was_taken_over_gives_no_will_out(kept: Kept) -> None:
    first = await kept.open("a", will=a_will("first", delay=60))
    second = await kept.open("a", will=a_will("second"))
    assert await kept.said() == []
    assert not await kept.close(first, will=True)
    assert await kept.said() == []
    assert await kept.close(second, will=True)
    assert await kept.said() == ["second"]


async def test_wills_wait_across_a_restart_of_the_store(kept: Kept) -> None:
    await kept.close(await kept.open("a", will=a_will("closed", delay=5)), will=True)
    connected = await kept.open("b", will=a_will("connected"))
    await kept.store.reopen()
    await kept.close(connected, will=True)
    kept.store.now += 5_000
    assert sorted(await kept.said()) == ["closed", "connected"]


# --- giving them out ------------------------------------------------------------------------------------


async def test_a_will_is_given_to_one_until_its_lease_is_over(kept: Kept) -> None:
    await kept.close(await kept.open("a", will=a_will(qos=1)), will=True)
    (first,) = await kept.due()
    kept.store.now += LEASE - 1
    assert await kept.due() == []
    kept.store.now += 1
    (again,) = await kept.due()
    assert again == first
    await kept.sessions.published([again, again])
    kept.store.now += 10 * LEASE
    assert await kept.due() == []
    await kept.sessions.published([first])


async def test_a_will_with_qos_0_is_given_out_once_only(kept: Kept) -> None:
    await kept.close(await kept.open("a", will=a_will(qos=0)), will=True)
    (due,) = await kept.due()
    kept.store.now += 10 * LEASE
    assert await kept.due() == []
    await kept.sessions.published([due])


async def test_wills_are_given_out_in_slices(kept: Kept) -> None:
    for n in range(7):
        await kept.close(await kept.open(f"d{n}", will=a_will(str(n))), will=True)
    slices = [await kept.due(limit=3) for _ in range(4)]
    assert [len(part) for part in slices] == [3, 3, 1, 0]
    found = [due.will.payload.decode() for part in slices for due in part]
    assert sorted(found) == [str(n) for n in range(7)]
    assert len({due.id for part in slices for due in part}) == 7


async def test_what_one_has_published_is_gone_and_nothing_else(kept: Kept) -> None:
    for name in "abc":
        await kept.close(await kept.open(name, will=a_will(name)), will=True)
    wills = {due.device: due for due in await kept.due()}
    await kept.sessions.published([wills["b"]])
    await kept.sessions.published([])
    kept.store.now += LEASE
    assert sorted(due.device for due in await kept.due()) == ["a", "c"]


async def test_a_device_that_breaks_off_all_the_time_leaves_a_bounded_number_of_wills(kept: Kept) -> None:
    for n in range(WILLS + 5):
        kept.store.now += 1
        await kept.close(await kept.open("a", clean=True, expires_in=0, will=a_will(str(n))), will=True)
    other = await kept.open("b", will=a_will("other"))
    kept.store.now += 1
    await kept.close(other, will=True)
    assert sorted(await kept.said()) == sorted([*(str(n) for n in range(5, WILLS + 5)), "other"])


# --- nodes that die -------------------------------------------------------------------------------------


async def test_the_wills_of_a_dead_node_are_due_after_the_grace(kept: Kept) -> None:
    await kept.open("a", will=a_will("no delay"))
    await kept.open("b", clean=True, expires_in=0, will=a_will("one connection", delay=60))
    await kept.open("c", expires_in=100, will=a_will("delay", delay=60))
    await kept.open("d")
    assert await kept.abandon() == 4
    kept.store.now += GRACE - 1
    await kept.sweep()
    assert await kept.said() == []
    kept.store.now += 1
    assert sorted(await kept.said()) == ["no delay", "one connection"]
    kept.store.now += 60_000 - GRACE - 1
    assert await kept.said() == []
    kept.store.now += 1
    assert await kept.said() == ["delay"]


async def test_who_comes_back_from_a_dead_node_within_the_grace(kept: Kept) -> None:
    """As one whose connection broke off: a will without delay is published."""
    await kept.open("a", will=a_will("no delay"))
    await kept.open("b", will=a_will("delay", delay=5))
    await kept.abandon()
    kept.store.now += 4_999
    await kept.open("a", node="n2")
    await kept.open("b", node="n2")
    assert await kept.said() == ["no delay"]
    kept.store.now += 1_000_000
    assert await kept.said() == []


async def test_a_will_waits_again_when_its_session_goes_on_under_another_name(kept: Kept) -> None:
    session = await kept.open("a", will=a_will("waits"))
    taken = await kept.open("b", will=a_will("taken"))
    await kept.abandon()
    epoch = taken.epoch + 1_000_000
    assert await kept.keep(session, epoch)
    kept.store.now += GRACE
    assert [due.will.payload for due in await kept.due()] == [b"taken"]
    assert await kept.keep(taken, epoch + 1)
    kept.store.now += LEASE
    assert await kept.said() == ["taken"], "it was given out and may be published by now"
    assert await kept.abandon("n2", grace=0) == 2
    assert await kept.said() == ["waits"]


# --- devices and apps that are deleted ------------------------------------------------------------------


@pytest.mark.tampers  # whoever deletes a device ends its connection, too
async def test_a_deleted_device_leaves_no_will(kept: Kept) -> None:
    await kept.close(await kept.open("a", will=a_will("armed")), will=True)
    await kept.open("a", will=a_will("connected"))
    await kept.store.saver.devices.delete(kept.store.app, "a", kept.store.now)
    assert await kept.said() == []


async def test_a_deleted_app_leaves_no_wills(kept: Kept) -> None:
    session = await kept.open("a", will=a_will("armed"))
    await kept.close(session, will=True)
    await kept.open("b", will=a_will("connected"))
    await kept.store.saver.apps.delete(kept.store.app)
    assert await kept.said() == []
    await kept.abandon(grace=0)
    assert await kept.said() == []
    await kept.clear()
    assert await kept.said() == []
