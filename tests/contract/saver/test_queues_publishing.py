"""What enters the queues of sessions: in which order and place, how much, and once where promised."""

import asyncio

from longline.model.devices import Binding
from longline.model.pubsub import Publication
from longline.saver.port.queues import Declined, Published, Queued, QueuePublication, Received
from tests.contract.engines import QUEUE_BYTES, QUEUE_MESSAGES
from tests.contract.saver.kept import Kept
from tests.contract.store_fixture import MINUTE


async def test_a_message_waits_as_it_was_published(kept: Kept) -> None:
    session = await kept.subscribed("a", "#")
    publication = Publication(
        id="01890a5d-ac96-774b-bcce-b302099a8057",
        topic="é/€/😀",
        payload=bytes(range(256)),
        qos=2,
        retain=True,
        properties=b"\x01\x01\x03\x00\x01x",
        at=kept.store.now,
        expires_at=kept.store.now + MINUTE,
    )
    await kept.send(publication)
    empty = kept.publication("x", "")
    await kept.send(empty)
    await kept.store.reopen()
    assert [entry.publication for entry in await kept.entries(session)] == [publication, empty]


async def test_an_answer_says_who_has_it_and_where_each_is_bound(kept: Kept) -> None:
    a = await kept.subscribed("a", "#")
    b = await kept.open("b", node="n2")
    await kept.subscribe(b, "x")
    away = await kept.subscribed("away", "x")
    (binding,) = await kept.store.sessions.locate(kept.store.app, ["away"])
    assert isinstance(binding, Binding)
    await kept.close(away)
    await kept.store.unbind("away", binding)
    published = await kept.publish("x")
    bindings = await kept.store.sessions.locate(kept.store.app, ["a", "b"])
    assert sorted(published.queued, key=lambda queued: queued.device) == [
        Queued("a", a.ordinal, bindings[0], 1),
        Queued("away", away.ordinal, None, 1),
        Queued("b", b.ordinal, bindings[1], 1),
    ]
    assert (published.full, published.again) == (0, False)


async def test_places_rise_by_one_in_the_order_of_the_batches(kept: Kept) -> None:
    a, b = await kept.subscribed("a", "#"), await kept.subscribed("b", "odd")
    for start in (0, 5):
        batch = [
            QueuePublication(
                kept.store.app, kept.publication("odd" if n % 2 else "even", str(n)), kept.store.now
            )
            for n in range(start, start + 5)
        ]
        answers = await kept.queues.publish(batch)
        assert [answer.id for answer in answers if isinstance(answer, Published)] == [
            item.publication.id for item in batch
        ]
    assert [(entry.place, entry.publication.payload) for entry in await kept.entries(a)] == [
        (n + 1, str(n).encode()) for n in range(10)
    ]
    assert [(entry.place, entry.publication.payload) for entry in await kept.entries(b)] == [
        (1, b"1"),
        (2, b"3"),
        (3, b"5"),
        (4, b"7"),
        (5, b"9"),
    ]


async def test_places_are_not_given_twice_whatever_has_left_the_queue(kept: Kept) -> None:
    session = await kept.subscribed("a", "x")
    for place in range(1, 4):
        await kept.publish("x")
        assert [entry.place for entry in await kept.entries(session)] == [place]
        await kept.settle(session, place)
        await kept.store.reopen()
    again = await kept.open("a")
    assert (again.opened.queued, again.opened.latest) == (0, 3)


async def test_messages_that_are_published_at_once_all_have_their_own_place(kept: Kept) -> None:
    session = await kept.subscribed("a", "x")
    await asyncio.gather(*(kept.publish("x", str(n)) for n in range(QUEUE_MESSAGES)))
    entries = await kept.entries(session)
    assert [entry.place for entry in entries] == list(range(1, QUEUE_MESSAGES + 1))
    assert sorted(int(entry.publication.payload) for entry in entries) == list(range(QUEUE_MESSAGES))


async def test_a_message_enters_the_queues_of_sessions_that_are_away_and_of_those_that_are_there(
    kept: Kept,
) -> None:
    away, there = await kept.subscribed("away", "x"), await kept.subscribed("there", "x")
    await kept.close(away)
    assert await kept.reached("x") == ["away", "there"]
    assert len(await kept.entries(away)) == len(await kept.entries(there)) == 1


async def test_nothing_is_published_in_an_app_that_is_not_there(kept: Kept) -> None:
    session = await kept.subscribed("a", "#")
    there = kept.store.app
    gone = [QueuePublication(99, kept.publication("x"), kept.store.now)]
    mine = QueuePublication(there, kept.publication("x"), kept.store.now)
    declined, published = await kept.queues.publish([*gone, mine])
    assert declined == Declined("app_not_found")
    assert isinstance(published, Published)
    await kept.store.saver.apps.delete(there)
    assert await kept.queues.publish([mine]) == [Declined("app_not_found")]
    assert await kept.entries(session) == []


# --- queues that are full -------------------------------------------------------------------------------


async def test_a_queue_that_has_as_many_messages_as_it_may_takes_no_more(kept: Kept) -> None:
    full, other = await kept.subscribed("full", "x"), await kept.subscribed("other", "#")
    for n in range(QUEUE_MESSAGES):
        assert len((await kept.publish("x", str(n))).queued) == 2
        await kept.settle(other, n + 1)
    published = await kept.publish("x", "more")
    assert ([queued.device for queued in published.queued], published.full) == (["other"], 1)
    assert await kept.texts(full) == [str(n) for n in range(QUEUE_MESSAGES)]
    await kept.settle(full, 3)
    await kept.publish("x", "fits")
    *_, last = await kept.entries(full)
    assert (last.place, last.publication.payload) == (QUEUE_MESSAGES + 1, b"fits")
    assert (await kept.publish("x")).full == 1


async def test_a_batch_fills_a_queue_and_not_more(kept: Kept) -> None:
    session = await kept.subscribed("a", "x")
    batch = [
        QueuePublication(kept.store.app, kept.publication("x", str(n)), kept.store.now)
        for n in range(QUEUE_MESSAGES + 5)
    ]
    answers = [answer for answer in await kept.queues.publish(batch) if isinstance(answer, Published)]
    assert [answer.full for answer in answers] == [0] * QUEUE_MESSAGES + [1] * 5
    assert await kept.texts(session) == [str(n) for n in range(QUEUE_MESSAGES)]


async def test_a_queue_that_has_as_many_bytes_as_it_may_takes_only_what_fits(kept: Kept) -> None:
    session = await kept.subscribed("a", "x")
    for n in range(4):
        assert (await kept.publish("x", "p" * (QUEUE_BYTES // 4 - 100))).full == 0, n
    assert (await kept.publish("x", "p" * (QUEUE_BYTES // 4))).full == 1
    assert (await kept.publish("x", "small")).full == 0
    await kept.settle(session, 2)
    assert (await kept.publish("x", "p" * (QUEUE_BYTES // 4 - 200))).full == 0
    assert [entry.place for entry in await kept.entries(session)] == [1, 3, 4, 5, 6]


async def test_topics_and_properties_take_room_too(kept: Kept) -> None:
    await kept.subscribed("a", "#")
    long = "x" * (QUEUE_BYTES // 2 + 1)
    assert (await kept.publish(long)).full == 0
    assert (await kept.publish(long)).full == 1
    with_properties = kept.publication("y", properties=long.encode())
    answer = await kept.send(with_properties)
    assert isinstance(answer, Published)
    assert answer.full == 1


async def test_a_message_that_is_larger_than_a_queue_may_be_is_taken_alone(kept: Kept) -> None:
    session = await kept.subscribed("a", "x")
    assert (await kept.publish("x", "p" * QUEUE_BYTES)).full == 0
    assert (await kept.publish("x", "p")).full == 1
    await kept.settle(session, 1)
    assert (await kept.publish("x", "p")).full == 0
    assert (await kept.publish("x", "p" * QUEUE_BYTES)).full == 1


async def test_what_is_over_takes_no_room(kept: Kept) -> None:
    session = await kept.subscribed("a", "x")
    for n in range(QUEUE_MESSAGES):
        await kept.publish("x", str(n), ttl=MINUTE if n % 2 else 0)
    kept.store.now += MINUTE
    await kept.clear()
    for n in range(QUEUE_MESSAGES // 2):
        assert (await kept.publish("x", f"new {n}")).full == 0
    assert (await kept.publish("x")).full == 1
    assert len(await kept.entries(session)) == QUEUE_MESSAGES


# --- QoS 2, from the client -----------------------------------------------------------------------------


async def test_a_packet_identifier_that_comes_again_is_the_same_message(kept: Kept) -> None:
    reader, sender = await kept.subscribed("reader", "x"), await kept.open("sender")
    first = kept.publication("x", "once", qos=2)
    answer = await kept.send(first, received=kept.received(sender, 7))
    assert isinstance(answer, Published)
    assert (answer.id, answer.again, len(answer.queued)) == (first.id, False, 1)
    again = await kept.send(kept.publication("x", "once", qos=2), received=kept.received(sender, 7))
    assert again == Published(first.id, again=True)
    assert await kept.texts(reader) == ["once"]
    other = await kept.send(kept.publication("x", "other", qos=2), received=kept.received(sender, 8))
    assert isinstance(other, Published)
    assert not other.again
    assert await kept.texts(reader) == ["once", "other"]


async def test_a_packet_identifier_that_comes_twice_in_one_batch_is_one_message(kept: Kept) -> None:
    reader, sender = await kept.subscribed("reader", "x"), await kept.open("sender")
    batch = [
        QueuePublication(
            kept.store.app,
            kept.publication("x", str(n), qos=2),
            kept.store.now,
            "sender",
            kept.received(sender, n // 2 + 1),
        )
        for n in range(4)
    ]
    answers = [answer for answer in await kept.queues.publish(batch) if isinstance(answer, Published)]
    assert [answer.again for answer in answers] == [False, True, False, True]
    assert answers[0].id == answers[1].id == batch[0].publication.id
    assert await kept.texts(reader) == ["0", "2"]


async def test_a_packet_identifier_is_known_on_the_next_connection_too(kept: Kept) -> None:
    reader, sender = await kept.subscribed("reader", "x"), await kept.open("sender")
    first = kept.publication("x", qos=2)
    for packet_id in (65_535, 1):
        await kept.send(first, received=kept.received(sender, packet_id))
    await kept.close(sender)
    await kept.store.reopen()
    sender = await kept.open("sender", node="n2")
    assert sender.opened.received == (1, 65_535)
    again = await kept.send(kept.publication("x", qos=2), received=kept.received(sender, 65_535))
    assert again == Published(first.id, again=True)
    assert len(await kept.entries(reader)) == 2


async def test_a_packet_identifier_that_was_completed_stands_for_another_message(kept: Kept) -> None:
    reader, sender = await kept.subscribed("reader", "x"), await kept.open("sender")
    await kept.send(kept.publication("x", "one", qos=2), received=kept.received(sender, 7))
    await kept.complete(sender, 7)
    await kept.complete(sender, 7)
    await kept.complete(sender, 8)
    assert (await kept.again(sender)).received == ()
    await kept.send(kept.publication("x", "two", qos=2), received=kept.received(sender, 7))
    assert await kept.texts(reader) == ["one", "two"]


async def test_a_packet_identifier_is_kept_also_where_nobody_wants_or_can_take_the_message(
    kept: Kept,
) -> None:
    sender = await kept.open("sender")
    first = kept.publication("x", qos=2)
    assert await kept.send(first, received=kept.received(sender, 7)) == Published(first.id)
    reader = await kept.subscribed("reader", "x")
    assert await kept.send(kept.publication("x", qos=2), received=kept.received(sender, 7)) == Published(
        first.id, again=True
    )
    assert await kept.entries(reader) == []
    for _ in range(QUEUE_MESSAGES):
        await kept.publish("x")
    full = kept.publication("x", qos=2)
    assert await kept.send(full, received=kept.received(sender, 8)) == Published(full.id, full=1)
    await kept.settle(reader, 1)
    assert await kept.send(full, received=kept.received(sender, 8)) == Published(full.id, again=True)
    assert (await kept.again(sender)).received == (7, 8)


async def test_who_does_not_have_the_session_any_more_publishes_nothing_under_its_identifiers(
    kept: Kept,
) -> None:
    reader, old = await kept.subscribed("reader", "x"), await kept.open("sender")
    new = await kept.open("sender", node="n2")
    fenced = Declined("fenced")
    assert await kept.send(kept.publication("x"), received=kept.received(old, 1)) == fenced
    wrong = Received(new.ordinal, new.number - 1, new.epoch, 1)
    assert await kept.send(kept.publication("x"), received=wrong) == fenced
    stranger = Received(5000, 1, 1, 1)
    assert await kept.send(kept.publication("x"), received=stranger) == fenced
    assert (await kept.again(new)).received == ()
    clean = await kept.open("sender", clean=True)
    assert await kept.send(kept.publication("x"), received=kept.received(new, 1)) == fenced
    await kept.complete(new, 1)
    assert await kept.entries(reader) == []
    await kept.send(kept.publication("x"), received=kept.received(clean, 1))
    await kept.complete(new, 1)
    assert (await kept.again(clean)).received == (1,)


async def test_a_message_that_was_declined_leaves_its_identifier_free(kept: Kept) -> None:
    old = await kept.open("sender")
    await kept.open("sender")
    assert await kept.send(kept.publication("x"), received=kept.received(old, 1)) == Declined("fenced")
    newest = await kept.open("sender")
    assert newest.opened.received == ()
