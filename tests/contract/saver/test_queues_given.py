"""Messages that are given to sessions by name, as groups of shared subscriptions give them."""

from longline.saver.port.queues import Declined, Given, Published, QueuePublication
from tests.contract.engines import QUEUE_MESSAGES
from tests.contract.saver.kept import Kept, Session


def given(session: Session, qos: int = 2, *, as_published: bool = False, identifier: int = 0) -> Given:
    return Given(session.ordinal, session.number, qos, as_published, identifier)


async def give(
    kept: Kept,
    *to: Given,
    topic: str = "x",
    text: str = "x",
    qos: int = 2,
    retain: bool = False,
    matching: bool = False,
) -> Published:
    publication = kept.publication(topic, text, qos, retain=retain)
    item = QueuePublication(kept.store.app, publication, kept.store.now, given=to, matching=matching)
    (answer,) = await kept.queues.publish([item])
    assert isinstance(answer, Published)
    return answer


async def test_whom_it_is_given_has_it_whatever_its_filters_and_nobody_else(kept: Kept) -> None:
    a, b = await kept.open("a"), await kept.subscribed("b", "#")
    answer = await give(kept, given(a))
    assert [queued.device for queued in answer.queued] == ["a"]
    assert await kept.texts(a) == ["x"]
    assert await kept.texts(b) == []


async def test_it_is_given_as_the_subscription_asks(kept: Kept) -> None:
    a, b = await kept.open("a"), await kept.open("b")
    await give(kept, given(a, 1, identifier=7), given(b, as_published=True), retain=True)
    (entry,) = await kept.entries(a)
    assert (entry.qos, entry.retain, entry.identifiers) == (1, False, (7,))
    (entry,) = await kept.entries(b)
    assert (entry.qos, entry.retain, entry.identifiers) == (2, True, ())


async def test_others_whose_filters_match_have_it_too_where_it_is_for_them(kept: Kept) -> None:
    sessions = {name: await kept.subscribed(name, "x") for name in "abcdef"}
    away = [await kept.open(name) for name in "ghijkl"]
    answer = await give(kept, *map(given, away), matching=True)
    assert sorted(queued.device for queued in answer.queued) == list("abcdefghijkl")
    for session in (*sessions.values(), *away):
        assert await kept.texts(session) == ["x"]


async def test_who_is_given_it_and_subscribes_to_it_has_it_twice(kept: Kept) -> None:
    a = await kept.open("a")
    await kept.subscribe(a, "x", identifier=3)
    text = "y" * 5000  # so that it is stored once
    await give(kept, given(a, 1, identifier=7), text=text, matching=True)
    assert [(e.place, e.qos, e.identifiers) for e in await kept.entries(a)] == [(1, 1, (7,)), (2, 2, (3,))]
    assert await kept.texts(a) == [text, text]
    await kept.settle(a, 1)
    assert await kept.texts(a) == [text]
    await kept.settle(a, 2)
    assert await kept.texts(a) == []
    await give(kept, given(a), text="next")
    assert [(entry.place, entry.publication.payload) for entry in await kept.entries(a)] == [(3, b"next")]


async def test_a_session_that_is_full_or_over_or_another_is_not_told_of(kept: Kept) -> None:
    a, b, c = [await kept.open(name) for name in "abc"]
    for _ in range(QUEUE_MESSAGES):
        await give(kept, given(a))
    await kept.close(b, expires_in=0)
    other = Given(c.ordinal, c.number + 1, 2)
    answer = await give(kept, given(a), given(b), other)
    assert answer.queued == ()
    assert answer.full == 1
    assert len(await kept.entries(a)) == QUEUE_MESSAGES
    assert await kept.texts(c) == []


async def test_the_last_place_of_a_queue_is_taken_once(kept: Kept) -> None:
    a = await kept.subscribed("a", "x")
    for _ in range(QUEUE_MESSAGES - 1):
        await give(kept, given(a))
    answer = await give(kept, given(a), matching=True)
    assert ([queued.device for queued in answer.queued], answer.full) == (["a"], 1)
    assert len(await kept.entries(a)) == QUEUE_MESSAGES


async def test_what_came_exactly_once_is_given_once(kept: Kept) -> None:
    """A repetition of it gives it to nobody, whoever it would be given to now."""
    sender = await kept.open("sender")
    a, b = await kept.open("a"), await kept.open("b")
    received = kept.received(sender, 9)
    for to in (a, b):
        item = QueuePublication(
            kept.store.app, kept.publication("x", qos=2), kept.store.now, "sender", received, (given(to),)
        )
        (answer,) = await kept.queues.publish([item])
        assert isinstance(answer, Published)
        assert answer.again == (to is b)
    assert await kept.texts(a) == ["x"]
    assert await kept.texts(b) == []


async def test_it_survives_a_start(kept: Kept) -> None:
    a = await kept.open("a")
    await give(kept, given(a))
    await kept.store.reopen()
    assert await kept.texts(a) == ["x"]


async def test_in_an_app_that_is_gone_nothing_is_given(kept: Kept) -> None:
    a = await kept.open("a")
    item = QueuePublication(99, kept.publication("x"), kept.store.now, given=(given(a),), matching=False)
    (answer,) = await kept.queues.publish([item])
    assert answer == Declined("app_not_found")
