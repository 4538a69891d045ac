"""Sessions that outlive their connections: who has one, which filters it has, whose word counts."""

import asyncio

from longline.model.pubsub import Filter
from longline.saver.port.queues import Step
from longline.saver.port.sessions import FOREVER, KeptSession, OpenSession
from tests.contract.saver.kept import Kept, Session, a_will
from tests.contract.store_fixture import an_app

# --- beginning and going on -----------------------------------------------------------------------------


async def test_a_first_session_begins_empty(kept: Kept) -> None:
    session = await kept.open("a")
    assert session.opened == KeptSession(number=session.epoch, present=False)


async def test_a_session_goes_on_under_its_number_with_all_that_it_has(kept: Kept) -> None:
    first = await kept.subscribed("a", "x/+", "b")
    await kept.subscribe(first, "#", 1, no_local=True, as_published=True, identifier=268_435_455)
    for text in ("one", "two", "three"):
        await kept.publish("b", text, qos=2)
    await kept.close(first)
    second = await kept.open("a", node="n2")
    assert second.opened == KeptSession(
        number=first.epoch,
        present=True,
        filters=(Filter("#", 1, True, True, 268_435_455), Filter("b", 2), Filter("x/+", 2)),
        queued=1,
        latest=3,
    )


async def test_the_filters_of_a_session_are_told_for_as_long_as_it_is_there(kept: Kept) -> None:
    first = await kept.subscribed("a", "x/+", "b")
    await kept.subscribe(first, "#", 1, no_local=True, as_published=True, identifier=268_435_455)
    filters = kept.store.saver.sessions.filters
    expected = [Filter("#", 1, True, True, 268_435_455), Filter("b", 2), Filter("x/+", 2)]
    assert await filters(kept.store.app, first.ordinal, kept.store.now) == expected
    await kept.close(first, expires_in=60)
    assert await filters(kept.store.app, first.ordinal, kept.store.now + 59_000) == expected
    assert await filters(kept.store.app, first.ordinal, kept.store.now + 60_000) is None
    (nobody,) = await kept.store.register("nobody")
    assert await filters(kept.store.app, nobody, kept.store.now) is None


async def test_a_session_goes_on_after_a_restart_of_the_store(kept: Kept) -> None:
    first = await kept.subscribed("a", "b")
    await kept.publish("b", "kept")
    await kept.store.reopen()
    second = await kept.open("a")
    assert (second.number, second.opened.filters) == (first.number, (Filter("b", 2),))
    assert await kept.texts(second) == ["kept"]


async def test_a_session_that_goes_on_without_having_been_closed_is_taken_over(kept: Kept) -> None:
    first = await kept.subscribed("a", "b")
    second = await kept.open("a", node="n2")
    assert (second.opened.present, second.number) == (True, first.number)
    assert second.epoch > first.epoch


async def test_a_clean_start_ends_what_there_was(kept: Kept) -> None:
    first = await kept.subscribed("a", "b")
    await kept.publish("b", qos=2)
    await kept.send(kept.publication("b", qos=2), received=kept.received(first, 7))
    await kept.close(first)
    second = await kept.open("a", clean=True)
    assert second.opened == KeptSession(number=second.epoch, present=False)
    assert await kept.reached("b") == []
    assert await kept.entries(second) == []
    assert await kept.entries(first) == []
    third = await kept.open("a")
    assert (third.opened.present, third.number) == (True, second.number)


async def test_an_earlier_sessions_filters_and_queue_are_nothing_to_a_later_one(kept: Kept) -> None:
    """Whatever an engine has not removed yet."""
    first = await kept.subscribed("a", "b", "c", qos=2)
    for n in range(5):
        await kept.publish("b", f"old {n}", qos=2)
    await kept.settle(first, 2, Step.RELEASED)
    second = await kept.open("a", clean=True)
    assert await kept.subscribe(second, "c", 1) is False
    assert await kept.filters(second) == ["c"]
    assert await kept.reached("b") == []
    await kept.publish("c", "new", qos=2)
    (entry,) = await kept.entries(second)
    assert (entry.place, entry.qos, entry.publication.payload) == (1, 1, b"new")
    await kept.settle(first, 1)  # what it was told of an earlier session is not of this one
    assert await kept.texts(second) == ["new"]
    await kept.clear()
    assert await kept.texts(second) == ["new"]
    assert await kept.filters(second) == ["c"]


async def test_a_session_of_one_connection_is_over_with_it(kept: Kept) -> None:
    first = await kept.open("a", expires_in=0)
    await kept.subscribe(first, "b")
    assert await kept.reached("b") == ["a"]
    await kept.close(first)
    assert await kept.reached("b") == []
    second = await kept.open("a")
    assert not second.opened.present


async def test_a_session_of_one_connection_is_over_also_where_that_was_not_told_yet(kept: Kept) -> None:
    first = await kept.open("a", expires_in=0)
    await kept.subscribe(first, "b")
    second = await kept.open("a", node="n2")
    assert second.opened == KeptSession(number=second.epoch, present=False)
    assert await kept.reached("b") == []


async def test_a_session_that_goes_on_lasts_as_long_as_its_last_connection_said(kept: Kept) -> None:
    await kept.close(await kept.open("a", expires_in=10))
    second = await kept.open("a", expires_in=1000)
    await kept.close(second)
    kept.store.now += 999_000
    third = await kept.open("a", expires_in=0)
    assert (third.opened.present, third.number) == (True, second.number)
    await kept.close(third)
    assert not (await kept.open("a")).opened.present


async def test_who_asks_once_more_under_the_same_epoch_is_told_the_same(kept: Kept) -> None:
    (ordinal,) = await kept.store.register("a")
    epoch = (await kept.store.bind("a", "n1")).epoch
    asked = kept.asks("a", ordinal, epoch, clean=True, will=a_will("once"))
    first = await kept.sessions.open([asked])
    assert await kept.sessions.open([asked]) == first == [KeptSession(epoch, False)]
    assert await kept.said() == []
    later = await kept.open("a")
    assert later.opened.present
    await kept.close(Session("a", ordinal, epoch, "n1", KeptSession(epoch, False)), will=True)
    assert await kept.said() == ["once"]


async def test_an_older_epoch_does_not_open_what_a_newer_one_has(kept: Kept) -> None:
    (ordinal,) = await kept.store.register("a")
    old = (await kept.store.bind("a", "n1")).epoch
    new = await kept.subscribed("a", "b")
    for clean in (False, True):
        asked = kept.asks("a", ordinal, old, clean=clean, will=a_will())
        assert await kept.sessions.open([asked]) == [None]
    assert await kept.filters(new) == ["b"]
    assert await kept.said() == []


async def test_one_batch_opens_sessions_of_several_devices_and_of_one_twice(kept: Kept) -> None:
    await kept.close(await kept.subscribed("b", "f"))
    ordinals = await kept.store.register("a", "b")
    epochs = [(await kept.store.bind(name, "n1")).epoch for name in ("a", "b", "a")]
    batch = [
        kept.asks(name, ordinal, epoch)
        for name, ordinal, epoch in zip("aba", (ordinals[0], ordinals[1], ordinals[0]), epochs, strict=True)
    ]
    first, other, second = await kept.sessions.open(batch)
    assert first == KeptSession(epochs[0], False)
    assert other is not None
    assert (other.present, other.filters) == (True, (Filter("f", 2),))
    assert second == KeptSession(epochs[0], True)


async def test_an_arrival_says_whether_a_session_is_kept(kept: Kept) -> None:
    store = kept.store
    await store.register("a", "b")
    assert not (await store.arrive("a")).session
    session = await kept.open("a", expires_in=10)
    assert (await store.arrive("a")).session
    await kept.close(session)
    assert (await store.arrive("a")).session
    assert not (await store.arrive("b")).session
    store.now += 10_000
    await kept.clear()
    assert not (await store.arrive("a")).session
    passing = await kept.open("b", clean=True, expires_in=0, will=a_will())
    assert (await store.arrive("b")).session
    await kept.close(passing)
    await kept.clear()
    assert not (await store.arrive("b")).session


# --- whose word counts ----------------------------------------------------------------------------------


async def test_a_connection_that_was_taken_over_closes_nothing(kept: Kept) -> None:
    first = await kept.subscribed("a", "b")
    second = await kept.open("a", expires_in=FOREVER)
    assert not await kept.close(first, will=True, expires_in=0)
    assert await kept.reached("b") == ["a"]
    assert await kept.close(second)
    third = await kept.open("a")
    assert third.opened.present


async def test_a_connection_that_was_taken_over_has_no_filters_to_change(kept: Kept) -> None:
    first = await kept.subscribed("a", "b")
    second = await kept.open("a", node="n2")
    assert await kept.subscribe(first, "c") is None
    assert await kept.unsubscribe(first, "b") is None
    assert await kept.filters(second) == ["b"]


async def test_nobody_subscribes_for_a_session_that_is_over(kept: Kept) -> None:
    over = await kept.open("a", expires_in=0)
    await kept.close(over)
    assert await kept.subscribe(over, "b") is None
    assert await kept.unsubscribe(over, "b") is None
    assert await kept.reached("b") == []
    new = await kept.open("a")
    assert await kept.subscribe(over, "b") is None
    assert await kept.filters(new) == []


async def test_what_is_closed_once_more_is_as_closed_as_before(kept: Kept) -> None:
    for expires_in in (0, 100):
        session = await kept.open("a", clean=True, expires_in=expires_in, will=a_will(str(expires_in)))
        assert await kept.close(session, will=True)
        assert await kept.close(session, will=True)
        kept.store.now += 50_000
        assert await kept.said() == [str(expires_in)]
        assert await kept.close(session, will=True)
        assert await kept.said() == []


async def test_who_closes_once_more_and_later_makes_a_session_no_longer(kept: Kept) -> None:
    session = await kept.open("a", expires_in=100)
    assert await kept.close(session)
    kept.store.now += 60_000
    assert await kept.close(session, expires_in=1000)
    kept.store.now += 40_000
    assert not (await kept.open("a")).opened.present


async def test_of_sessions_that_one_device_opens_at_once_the_newest_has_it(kept: Kept) -> None:
    (ordinal,) = await kept.store.register("a")
    epochs = [(await kept.store.bind("a", f"n{n}")).epoch for n in range(10)]
    asked = [kept.asks("a", ordinal, epoch, node=f"n{n}") for n, epoch in enumerate(epochs)]
    latest, *_ = await asyncio.gather(*(kept.sessions.open([item]) for item in reversed(asked)))
    assert latest != [None]
    assert await kept.sessions.open([asked[-1]]) == latest
    assert await kept.sessions.open(asked[:-1]) == [None] * 9


# --- filters --------------------------------------------------------------------------------------------


async def test_a_filter_is_there_from_the_answer_on_and_replaced_by_the_same_once_more(kept: Kept) -> None:
    session = await kept.open("a")
    assert await kept.subscribe(session, "b", 1, identifier=3) is False
    assert await kept.subscribe(session, "b", 2, no_local=True) is True
    assert (await kept.again(session)).filters == (Filter("b", 2, no_local=True),)


async def test_filters_of_one_batch_are_taken_in_its_order(kept: Kept) -> None:
    session, other = await kept.open("a"), await kept.open("b")
    batch = [
        kept.subscription(session, "x", 0),
        kept.subscription(other, "x", 1),
        kept.subscription(session, "y", 1),
        kept.subscription(session, "x", 2),
    ]
    assert await kept.sessions.subscribe(batch) == [False, False, False, True]
    assert (await kept.again(session)).filters == (Filter("x", 2), Filter("y", 1))
    assert (await kept.again(other)).filters == (Filter("x", 1),)


async def test_a_filter_is_gone_from_the_answer_on(kept: Kept) -> None:
    session = await kept.subscribed("a", "b", "c")
    assert await kept.unsubscribe(session, "b") is True
    assert await kept.reached("b") == []
    assert await kept.unsubscribe(session, "b") is False
    assert await kept.unsubscribe(session, "C") is False
    assert await kept.filters(session) == ["c"]
    assert await kept.subscribe(session, "b") is False
    assert await kept.reached("b") == ["a"]


async def test_a_session_may_have_many_filters(kept: Kept) -> None:
    session = await kept.open("a")
    filters = [f"level/{n:03}/{'é€😀'[n % 3]}" for n in range(300)]
    answers = await kept.sessions.subscribe([kept.subscription(session, filter) for filter in filters])
    assert answers == [False] * 300
    assert await kept.filters(session) == sorted(filters)
    await kept.close(session)
    again = await kept.open("a", clean=True)
    assert await kept.filters(again) == []
    await kept.clear()
    for filter in filters[::50]:
        assert await kept.reached(filter) == []


async def test_an_app_wants_messages_while_a_session_that_is_kept_has_a_filter(kept: Kept) -> None:
    other = (await kept.store.saver.apps.create(an_app("weather"))).number
    apps = [kept.store.app, other, 99]
    assert await kept.sessions.wanted(apps) == [False, False, False]
    session = await kept.subscribed("a", "b")
    assert await kept.sessions.wanted(apps) == [True, False, False]
    await kept.close(session)
    await kept.store.reopen()
    assert await kept.sessions.wanted(apps) == [True, False, False]
    assert await kept.sessions.wanted([]) == []


# --- devices and apps that are deleted ------------------------------------------------------------------


async def test_a_deleted_device_has_no_session(kept: Kept) -> None:
    session = await kept.subscribed("a", "b")
    await kept.publish("b")
    assert await kept.store.saver.devices.delete(kept.store.app, "a", kept.store.now)
    assert await kept.reached("b") == []
    assert await kept.entries(session) == []
    assert await kept.subscribe(session, "c") is None
    late = kept.asks("a", session.ordinal, session.epoch + 1)
    assert await kept.sessions.open([late]) == [None]
    again = await kept.open("a")
    assert again.ordinal != session.ordinal
    assert again.opened == KeptSession(again.epoch, False)
    await kept.clear()


async def test_a_deleted_app_has_no_sessions(kept: Kept) -> None:
    store = kept.store
    session = await kept.subscribed("a", "b")
    await kept.publish("b")
    app = store.app
    await store.saver.apps.delete(app)
    asked = kept.asks("a", session.ordinal, session.epoch + 1)
    assert await kept.sessions.open([asked]) == [None]
    assert await kept.entries(session) == []
    assert await kept.subscribe(session, "c") is None
    await kept.clear()
    await store.begin()
    assert store.app != app
    again = await kept.open("a")
    assert not again.opened.present
    assert await kept.reached("b") == []


async def test_a_device_and_an_app_that_never_were_have_no_session(kept: Kept) -> None:
    mine = await kept.open("a")
    batch = [
        kept.asks("nobody", 5000, mine.epoch + 1),
        OpenSession(99, "a", 0, "n1", mine.epoch + 1, kept.store.now, False, FOREVER),
        kept.asks("a", mine.ordinal, mine.epoch),
    ]
    assert await kept.sessions.open(batch) == [None, None, KeptSession(mine.number, False)]
