"""How sessions end: their time runs out, their node dies; and how they go on under another name of it."""

from longline.saver.port.sessions import FOREVER, CloseSession
from tests.contract.saver.kept import GRACE, Kept, a_will

DAY = 86_400_000  # ms


async def test_a_session_is_kept_for_its_time_and_not_longer(kept: Kept) -> None:
    session = await kept.open("a", expires_in=60)
    await kept.subscribe(session, "b")
    await kept.close(session)
    kept.store.now += 59_999
    assert await kept.sweep() == 0
    assert await kept.reached("b") == ["a"]
    kept.store.now += 1
    assert await kept.reached("b") == []
    assert await kept.entries(session) == []
    assert not (await kept.open("a")).opened.present


async def test_a_session_that_goes_on_in_the_last_moment_does_not_end(kept: Kept) -> None:
    first = await kept.open("a", expires_in=60)
    await kept.subscribe(first, "b")
    await kept.close(first)
    kept.store.now += 59_999
    second = await kept.open("a", expires_in=60)
    assert second.opened.present
    kept.store.now += DAY
    assert await kept.sweep() == 0
    assert await kept.reached("b") == ["a"]


async def test_sweeping_ends_what_is_over_in_slices_and_nothing_else(kept: Kept) -> None:
    for n in range(7):
        session = await kept.open(f"over-{n}", expires_in=10 + n)
        await kept.subscribe(session, "b")
        await kept.close(session)
    connected = await kept.open("connected", expires_in=10)
    await kept.subscribe(connected, "b")
    forever = await kept.subscribed("forever", "b")
    await kept.close(forever)
    later = await kept.open("later", expires_in=1000)
    await kept.subscribe(later, "b")
    await kept.close(later)
    kept.store.now += 16_000
    assert [await kept.sweep(3) for _ in range(4)] == [3, 3, 1, 0]
    assert await kept.reached("b") == ["connected", "forever", "later"]
    for n in range(7):
        assert not (await kept.store.arrive(f"over-{n}")).session
    kept.store.now += 100 * 365 * DAY
    assert await kept.sweep() == 1
    assert await kept.reached("b") == ["connected", "forever"]


async def test_what_is_over_is_removed_in_slices(kept: Kept) -> None:
    """However much it has, no call has to remove all of it; and what other sessions have is left alone."""
    over, stays = await kept.subscribed("over", "#"), await kept.subscribed("stays", "#")
    for n in range(12):
        await kept.subscribe(over, f"filter/{n}")
    for n in range(9):
        await kept.publish("x/y", str(n), qos=2)
    await kept.close(over, expires_in=0)
    await kept.store.saver.devices.delete(kept.store.app, "nobody", kept.store.now)
    assert await kept.store.saver.expiry.next_due() is not None
    await kept.clear()
    assert await kept.store.saver.expiry.next_due() is None
    assert await kept.texts(stays) == [str(n) for n in range(9)]
    assert await kept.reached("x/z") == ["stays"]


async def test_the_end_of_a_connection_says_anew_how_long_the_session_lasts(kept: Kept) -> None:
    session = await kept.open("a", expires_in=FOREVER)
    await kept.subscribe(session, "b")
    await kept.close(session, expires_in=5)
    kept.store.now += 4_999
    assert await kept.reached("b") == ["a"]
    kept.store.now += 1
    assert await kept.sweep() == 1
    session = await kept.open("a", expires_in=5)
    await kept.subscribe(session, "b")
    await kept.close(session, expires_in=0)
    assert await kept.reached("b") == []
    session = await kept.open("a", expires_in=5)
    assert not session.opened.present
    await kept.close(session, expires_in=FOREVER)
    kept.store.now += 100 * 365 * DAY
    assert await kept.sweep() == 0
    assert (await kept.open("a")).opened.present


async def test_of_one_batch_each_session_is_closed_by_itself(kept: Kept) -> None:
    old = await kept.open("a")
    sessions = [await kept.open("a"), await kept.open("b", expires_in=0), await kept.open("c")]
    batch = [
        CloseSession(kept.store.app, session.ordinal, session.epoch, kept.store.now, False)
        for session in (old, *sessions)
    ]
    assert await kept.sessions.close(batch) == [False, True, True, True]
    assert [(await kept.open(name)).opened.present for name in "abc"] == [True, False, True]


# --- nodes that die -------------------------------------------------------------------------------------


async def test_the_sessions_of_a_dead_node_are_closed_in_slices(kept: Kept) -> None:
    for n in range(5):
        await kept.subscribe(await kept.open(f"dead-{n}", node="dead", expires_in=60), "b")
    await kept.subscribe(await kept.open("there", node="n1", expires_in=60), "b")
    moved = await kept.open("moved", node="dead", expires_in=60)
    await kept.subscribe(moved, "b")
    await kept.open("moved", node="n1", expires_in=60)
    gone = await kept.open("gone", node="dead")
    await kept.close(gone)
    assert [await kept.abandon("dead", limit=2) for _ in range(4)] == [2, 2, 1, 0]
    assert len(await kept.reached("b")) == 7
    kept.store.now += 60_000
    assert await kept.sweep() == 5
    assert await kept.reached("b") == ["moved", "there"]


async def test_a_dead_nodes_session_is_not_over_within_the_grace(kept: Kept) -> None:
    """The node may not be dead at all."""
    for expires_in in (0, 5):
        session = await kept.open("a", clean=True, expires_in=expires_in)
        await kept.subscribe(session, "b")
        assert await kept.abandon() == 1
        kept.store.now += GRACE - 1
        assert await kept.sweep() == 0
        assert await kept.reached("b") == ["a"]
        kept.store.now += 1
        assert await kept.reached("b") == []
        assert await kept.sweep() == 1


async def test_a_dead_nodes_session_of_one_connection_is_not_there_for_another(kept: Kept) -> None:
    """[MQTT-3.2.2-4]: a client that has nothing any more would have to leave if it were told of a session."""
    await kept.open("a", expires_in=0)
    await kept.abandon()
    assert not (await kept.open("a", node="n2")).opened.present


async def test_a_session_goes_on_under_another_name_of_its_node(kept: Kept) -> None:
    session = await kept.open("a", expires_in=60)
    await kept.subscribe(session, "b")
    epoch = session.epoch + 1_000_000
    assert await kept.keep(session, epoch, "n2")
    assert await kept.keep(session, epoch, "n2"), "asked once more"
    assert await kept.abandon("n1") == 0
    assert await kept.subscribe(session, "c") is None
    assert not await kept.close(session)
    kept.store.now += DAY
    assert await kept.sweep() == 0
    assert await kept.abandon("n2") == 1


async def test_a_session_goes_on_that_was_given_up(kept: Kept) -> None:
    for n, expires_in in enumerate((0, 5, FOREVER)):
        session = await kept.open(f"d{n}", expires_in=expires_in)
        await kept.subscribe(session, f"f{n}")
        await kept.abandon()
        kept.store.now += GRACE // 2
        assert await kept.keep(session, session.epoch + 1_000_000)
        kept.store.now += DAY
        assert await kept.sweep() == 0
        assert await kept.reached(f"f{n}") == [f"d{n}"]


async def test_a_session_that_is_over_does_not_go_on(kept: Kept) -> None:
    session = await kept.open("a", expires_in=5)
    await kept.abandon()
    kept.store.now += GRACE
    await kept.sweep()
    assert not await kept.keep(session, session.epoch + 1_000_000)


async def test_what_has_come_elsewhere_meanwhile_does_not_go_on_here(kept: Kept) -> None:
    first = await kept.open("a")
    await kept.abandon()
    second = await kept.open("a", node="n3")
    assert second.opened.present
    assert not await kept.keep(first, first.epoch)
    assert not await kept.keep(first, second.epoch + 1_000_000)
    assert await kept.abandon("n2") == 0
    assert await kept.abandon("n3") == 1
    third = await kept.open("a", clean=True)
    assert not await kept.keep(second, third.epoch + 1_000_000)


async def test_a_session_that_was_given_up_is_closed_by_who_has_it_still(kept: Kept) -> None:
    session = await kept.open("a", expires_in=1000, will=a_will())
    await kept.abandon()
    assert await kept.close(session, expires_in=5)
    kept.store.now += DAY
    assert await kept.sweep() == 1
    assert await kept.said() == [], "its client had said that it goes"
