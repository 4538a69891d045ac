"""What leaves the queues of sessions: read in order, and taken on step by step."""

from longline.saver.port.queues import QueuePage, Read, Settle, Step
from tests.contract.engines import QUEUE_MESSAGES
from tests.contract.saver.kept import Kept, Session
from tests.contract.store_fixture import MINUTE


async def filled(kept: Kept, count: int, *, qos: int = 2, size: int = 1) -> Session:
    """A session with so many messages in its queue."""
    session = await kept.subscribed("a", "x")
    for n in range(count):
        await kept.publish("x", str(n).ljust(size, "."), qos=qos)
    return session


async def test_a_queue_is_read_page_by_page(kept: Kept) -> None:
    session = await filled(kept, 7)
    places, after = [], 0
    while True:
        page = await kept.page(session, after, limit=3)
        places.append([entry.place for entry in page.entries])
        if page.complete:
            break
        after = page.entries[-1].place
    assert places == [[1, 2, 3], [4, 5, 6], [7]]
    assert await kept.page(session, 7) == QueuePage((), True)
    assert await kept.page(session, 100) == QueuePage((), True)
    whole = await kept.page(session, limit=7)
    assert (len(whole.entries), whole.complete) == (7, True)


async def test_a_page_has_no_more_bytes_than_were_asked_for_but_one_message_always(kept: Kept) -> None:
    session = await filled(kept, 6, size=1000)
    page = await kept.page(session, limit_bytes=2500)
    assert (len(page.entries), page.complete) == (2, False)
    page = await kept.page(session, after=2, limit_bytes=10)
    assert ([entry.place for entry in page.entries], page.complete) == ([3], False)
    page = await kept.page(session, after=5, limit_bytes=10)
    assert ([entry.place for entry in page.entries], page.complete) == ([6], True)


async def test_queues_of_one_batch_are_read_each_by_itself(kept: Kept) -> None:
    sessions = [await kept.subscribed(name, "x", f"y/{name}") for name in "abc"]
    for n in range(3):
        await kept.publish("x", str(n))
        await kept.publish("y/b", "b")
    batch = [
        Read(kept.store.app, session.ordinal, session.number, after, limit, kept.store.now)
        for session, after, limit in (
            (sessions[0], 0, 2),
            (sessions[1], 3, 9),
            (sessions[2], 9, 9),
            (sessions[0], 2, 9),
        )
    ]
    pages = await kept.queues.read(batch)
    assert [[entry.place for entry in page.entries] for page in pages] == [[1, 2], [4, 5, 6], [], [3]]
    assert [page.complete for page in pages] == [False, True, True, True]
    assert await kept.queues.read([]) == []


async def test_what_is_over_is_not_read(kept: Kept) -> None:
    session = await kept.subscribed("a", "x")
    for text, ttl in (("soon", MINUTE), ("never", 0), ("late", 3 * MINUTE), ("soon too", MINUTE)):
        await kept.publish("x", text, ttl=ttl)
    kept.store.now += MINUTE - 1
    assert await kept.texts(session) == ["soon", "never", "late", "soon too"]
    kept.store.now += 1
    for _ in range(2):
        assert await kept.texts(session) == ["never", "late"]
        page = await kept.page(session, limit=1)
        assert ([entry.place for entry in page.entries], page.complete) == ([2], False)
        page = await kept.page(session, after=3)
        assert page == QueuePage((), True)
        await kept.clear()
    kept.store.now += 2 * MINUTE
    assert await kept.texts(session) == ["never"]
    assert [entry.place for entry in await kept.entries(session)] == [2]


async def test_a_queue_in_which_all_is_over_has_nothing_to_read(kept: Kept) -> None:
    session = await kept.subscribed("a", "x")
    for _ in range(5):
        await kept.publish("x", ttl=MINUTE)
    kept.store.now += MINUTE
    for _ in range(2):
        assert await kept.page(session, limit=2) == QueuePage((), True)
        await kept.clear()
    again = await kept.open("a")
    assert (again.opened.queued, again.opened.latest) == (0, 5)


# --- steps ----------------------------------------------------------------------------------------------


async def test_what_is_settled_leaves_the_queue_in_any_order(kept: Kept) -> None:
    session = await filled(kept, 5)
    for place, left in ((3, [1, 2, 4, 5]), (1, [2, 4, 5]), (5, [2, 4]), (5, [2, 4])):
        await kept.settle(session, place)
        assert [entry.place for entry in await kept.entries(session)] == left
    assert (await kept.again(session)).queued == 2
    await kept.store.reopen()
    assert [entry.place for entry in await kept.entries(session)] == [2, 4]


async def test_what_was_sent_is_read_again_and_said_to_have_been_sent(kept: Kept) -> None:
    session = await filled(kept, 5)
    for place, sent in ((2, 2), (4, 4), (3, 4), (4, 4)):
        await kept.settle(session, place, Step.SENT)
        assert (await kept.again(session)).sent == sent
    assert len(await kept.entries(session)) == 5
    await kept.close(session)
    again = await kept.open("a", node="n2")
    assert (again.opened.sent, again.opened.queued, again.opened.latest) == (4, 1, 5)


async def test_what_a_connection_was_sent_whose_end_nobody_has_told_of_is_not_known(kept: Kept) -> None:
    """Then all that there is may have been; and what comes later was not."""
    session = await filled(kept, 5)
    await kept.settle(session, 2, Step.SENT)
    again = await kept.open("a", node="n2")
    assert (again.opened.sent, again.opened.latest) == (5, 5)
    assert await kept.sessions.abandon("n2", kept.store.now, 1000, 10) == 1
    await kept.publish("x", "later")
    third = await kept.open("a", node="n3")
    assert (third.opened.sent, third.opened.latest) == (6, 6)
    await kept.publish("x", "later still")
    await kept.close(third)
    assert (await kept.open("a", node="n3")).opened.sent == 6


async def test_what_was_released_keeps_its_place_without_its_message(kept: Kept) -> None:
    session = await filled(kept, 4)
    for place in (3, 1):
        await kept.settle(session, place, Step.RELEASED)
        await kept.settle(session, place, Step.RELEASED)
    assert [entry.place for entry in await kept.entries(session)] == [2, 4]
    await kept.close(session)
    await kept.store.reopen()
    again = await kept.open("a")
    assert (again.opened.released, again.opened.queued) == ((1, 3), 2)
    await kept.settle(again, 3)
    assert (await kept.again(again)).released == (1,)
    await kept.settle(again, 1)
    assert (await kept.again(again)).released == ()
    assert [entry.place for entry in await kept.entries(again)] == [2, 4]


async def test_a_step_that_comes_late_changes_nothing(kept: Kept) -> None:
    session = await filled(kept, 2)
    await kept.settle(session, 1)
    for step in Step:
        await kept.settle(session, 1, step)
    again = await kept.again(session)
    assert (again.released, again.queued, again.sent) == ((), 2, 1)
    await kept.settle(session, 2, Step.RELEASED)
    await kept.settle(session, 2, Step.SENT)
    again = await kept.again(session)
    assert (again.released, again.queued, again.sent) == ((2,), 0, 2)


async def test_steps_of_one_batch_are_taken_in_its_order_and_of_many_sessions(kept: Kept) -> None:
    first, second = await kept.subscribed("a", "x"), await kept.subscribed("b", "x")
    for n in range(4):
        await kept.publish("x", str(n), qos=2)

    def step(session: Session, place: int, step: Step) -> Settle:
        return Settle(kept.store.app, session.ordinal, session.number, place, step)

    await kept.queues.settle(
        [
            step(first, 1, Step.SENT),
            step(first, 1, Step.RELEASED),
            step(second, 4, Step.SENT),
            step(first, 1, Step.SETTLED),
            step(first, 2, Step.RELEASED),
            step(first, 2, Step.SENT),
            step(second, 4, Step.SETTLED),
        ]
    )
    await kept.queues.settle([])
    assert [entry.place for entry in await kept.entries(first)] == [3, 4]
    assert [entry.place for entry in await kept.entries(second)] == [1, 2, 3]
    told = [await kept.again(session) for session in (first, second)]
    assert [(opened.sent, opened.released) for opened in told] == [(2, (2,)), (4, ())]


async def test_what_a_client_acknowledged_stays_true_when_its_connection_was_taken_over(kept: Kept) -> None:
    first = await filled(kept, 2)
    second = await kept.open("a", node="n2")
    await kept.settle(first, 1)
    assert [entry.place for entry in await kept.entries(second)] == [2]


async def test_what_is_released_takes_a_place_and_no_bytes(kept: Kept) -> None:
    session = await filled(kept, QUEUE_MESSAGES, size=900)
    for place in range(1, QUEUE_MESSAGES + 1):
        await kept.settle(session, place, Step.RELEASED)
    assert (await kept.publish("x", qos=2)).full == 1
    await kept.settle(session, 5)
    await kept.settle(session, 6)
    assert (await kept.publish("x", "p" * 9_000, qos=2)).full == 0
    assert (await kept.publish("x", "p" * 9_000, qos=2)).full == 0
    assert (await kept.publish("x", qos=2)).full == 1


async def test_a_message_is_read_by_every_session_until_each_has_settled_it(kept: Kept) -> None:
    sessions = [await kept.subscribed(name, "x") for name in "abc"]
    await kept.publish("x", "one", qos=2)
    await kept.settle(sessions[0], 1)
    await kept.settle(sessions[1], 1, Step.RELEASED)
    assert [await kept.texts(session) for session in sessions] == [[], [], ["one"]]
    await kept.close(sessions[1], expires_in=0)
    await kept.clear()
    assert await kept.texts(sessions[2]) == ["one"]


async def test_what_is_over_of_a_released_message_is_its_place_alone(kept: Kept) -> None:
    """Its client has it: what is left is to complete it, however late."""
    session = await kept.subscribed("a", "x")
    await kept.publish("x", qos=2, ttl=MINUTE)
    await kept.settle(session, 1, Step.RELEASED)
    kept.store.now += 10 * MINUTE
    await kept.clear()
    assert (await kept.again(session)).released == (1,)
    await kept.settle(session, 1)
    assert (await kept.again(session)).released == ()
