"""What the engine on Redis does for sessions and queues beyond its contract: what it survives, in which
slices it works, and what it leaves behind."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec
import pytest

from longline.errors import Unavailable
from longline.saver.kv import directories, entering, matching
from longline.saver.kv.engine import RedisSaver
from longline.saver.port.queues import Declined, Published, QueuePublication
from tests.contract.engines import MATCH_LIMIT, PARTITIONS, SAVERS, _redis
from tests.contract.saver.kept import Kept, Session, a_will
from tests.contract.saver.test_queues_events import sent, told
from tests.contract.saver.test_queues_matching import branching
from tests.contract.store_fixture import MINUTE, StoreFixture, an_app
from tests.unit.saver.test_kv_engine import DyingStore

ENGINE = replace(SAVERS["redis"], open=partial(_redis, DyingStore))
ENDLESS = 1_000_000


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    with ENGINE.place(tmp_path) as place:
        store = StoreFixture(ENGINE, place)
        await store.open()
        await store.begin()
        yield Kept(store)
        await store.close()


def dying(kept: Kept) -> DyingStore:
    saver = kept.store.saver
    assert isinstance(saver, RedisSaver)
    assert isinstance(saver._store, DyingStore)
    return saver._store


async def keys(kept: Kept) -> set[str]:
    """The kinds of keys that there are of sessions and queues, but for what expires by itself."""
    found = msgspec.convert(await dying(kept).call(b"meta", b"KEYS", b"{p*}m*"), list[bytes])
    kinds = {key.partition(b"}")[2].partition(b":")[0].decode() for key in found}
    return kinds - {"mt", "mz", "moves"}


# --- QoS 2 messages that were interrupted ---


@pytest.mark.parametrize("by", ["client", "coordinator", "both"])
async def test_a_received_message_that_was_interrupted_anywhere_is_queued_everywhere_and_once(
    kept: Kept, by: str
) -> None:
    readers = [await kept.subscribed(f"reader-{n}", "x") for n in range(2 * PARTITIONS)]
    sender = await kept.open("sender")
    seen = set()
    for left in range(100):
        dying(kept).left = left
        first = kept.publication("x", str(left), qos=2)
        try:
            await kept.send(first, received=kept.received(sender, 7))
        except Unavailable:
            finished = False
        else:
            finished = True
        dying(kept).left = ENDLESS
        taken = (await kept.again(sender)).received == (7,)
        if by != "client":
            complete = kept.store.saver.routing.complete(kept.store.now + 1, 10)
            asked = [complete] if by == "coordinator" else [complete, again_and_again(kept)]
            await asyncio.gather(*asked)
        answer = await kept.send(kept.publication("x", str(left), qos=2), received=kept.received(sender, 7))
        assert isinstance(answer, Published)
        if taken:
            assert (answer.id, answer.again) == (first.id, True)
        for reader in readers:
            entries = await kept.entries(reader)
            assert [entry.publication.payload for entry in entries] == [str(left).encode()]
            await kept.settle(reader, entries[0].place)
        await kept.complete(sender, 7)
        assert not await keys(kept) & {"mj", "mk"}
        seen.add((taken, finished))
        if finished:
            break
    assert seen == {(False, False), (True, False), (True, True)}


async def again_and_again(kept: Kept) -> None:
    """Others look for what is unfinished at the same time."""
    await asyncio.gather(*(kept.store.saver.routing.complete(kept.store.now + 1, 10) for _ in range(3)))


@pytest.mark.parametrize("by", ["client", "coordinator", "both"])
async def test_what_a_session_sends_to_its_app_server_is_one_event_wherever_it_is_interrupted(
    kept: Kept, by: str
) -> None:
    sender = await kept.open("sender")
    seen = set()
    for left in range(100):
        dying(kept).left = left
        item = sent(kept, sender, 7, str(left))
        try:
            await kept.queues.publish([item])
        except Unavailable:
            finished = False
        else:
            finished = True
        dying(kept).left = ENDLESS
        taken = (await kept.again(sender)).received == (7,)
        if by != "client":
            complete = kept.store.saver.routing.complete(kept.store.now + 1, 10)
            asked = [complete] if by == "coordinator" else [complete, again_and_again(kept)]
            await asyncio.gather(*asked)
        await kept.queues.publish([sent(kept, sender, 7, str(left))])
        assert await told(kept) == [str(n) for n in range(left + 1)]
        await kept.complete(sender, 7)
        assert not await keys(kept) & {"mj", "mk"}
        seen.add((taken, finished))
        if finished:
            break
    assert seen == {(False, False), (True, False), (True, True)}


async def test_who_takes_up_what_was_interrupted_is_told_whom_to_tell(kept: Kept) -> None:
    readers = [await kept.subscribed(f"reader-{n}", "x") for n in range(8)]
    sender = await kept.open("sender")
    first = kept.publication("x", qos=2)
    parts = len({reader.ordinal % PARTITIONS for reader in readers})
    dying(kept).left = 2 + parts  # the directory, a count in each, and what is received
    with pytest.raises(Unavailable):
        await kept.send(first, received=kept.received(sender, 7))
    dying(kept).left = ENDLESS
    answer = await kept.send(kept.publication("x", qos=2), received=kept.received(sender, 7))
    assert isinstance(answer, Published)
    assert (answer.id, answer.again) == (first.id, True)
    assert answer.queued
    for reader in readers:
        assert len(await kept.entries(reader)) == 1


async def test_a_plan_that_was_known_for_long_is_left_to_whoever_looks_again(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By then, partitions may have forgotten that somebody else has carried it out."""
    reader, sender = await kept.subscribed("reader", "x"), await kept.open("sender")
    monkeypatch.setattr("longline.saver.kv.received.CARRIED_WITHIN", -1.0)
    with pytest.raises(Unavailable):
        await kept.send(kept.publication("x", qos=2), received=kept.received(sender, 7))
    assert await kept.texts(reader) == []
    monkeypatch.undo()
    await kept.store.saver.routing.complete(kept.store.now + 1, 10)
    assert await kept.texts(reader) == ["x"]


# --- slices ---


@pytest.mark.parametrize("qos", [1, 2])
async def test_a_message_for_many_enters_their_queues_in_slices_and_each_once(
    kept: Kept, qos: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entering, "QUEUES", 3)
    readers = [await kept.subscribed(f"reader-{n}", "x", "#") for n in range(40)]
    sender = await kept.open("sender")
    batch = [
        QueuePublication(
            kept.store.app,
            kept.publication("x", str(n), qos=qos),
            kept.store.now,
            "sender",
            kept.received(sender, n + 1) if qos == 2 else None,
        )
        for n in range(5)
    ]
    answers = await kept.queues.publish(batch)
    for answer in answers:
        assert isinstance(answer, Published)
        assert len(answer.queued) == len({queued.device for queued in answer.queued}) == 40
    for reader in readers:
        assert await kept.texts(reader) == [str(n) for n in range(5)]


async def test_a_batch_of_many_topics_is_matched_in_several_scripts(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching, "TOPICS", 7)
    monkeypatch.setattr(matching, "COST", 20)
    monkeypatch.setattr(entering, "MESSAGES", 4)
    session = await kept.subscribed("a", "x/+")
    for filter in branching(8):
        await kept.sessions.subscribe([kept.subscription(session, filter + "/end")])
    costly = "/".join("a" * 8) + "/end"
    topics = [costly if n % 5 == 4 else f"x/{n}" for n in range(20)]
    other = (await kept.store.saver.apps.create(an_app("weather"))).number
    batch = [
        QueuePublication(app, kept.publication(topic, str(n)), kept.store.now)
        for n, topic in enumerate(topics)
        for app in (kept.store.app, other)
    ]
    answers = await kept.queues.publish(batch)
    declined = [isinstance(answer, Declined) for answer in answers[::2]]
    assert declined == [topic == costly for topic in topics]
    assert all(isinstance(answer, Published) and not answer.queued for answer in answers[1::2])
    assert await kept.texts(session) == [str(n) for n, topic in enumerate(topics) if topic != costly]


async def test_a_topic_that_is_too_much_in_one_partition_is_queued_in_none(kept: Kept) -> None:
    few = await kept.subscribed("few", "many/+")
    crowd = few.ordinal % PARTITIONS
    names = [f"d{n}" for n in range(MATCH_LIMIT * PARTITIONS * 2)]
    ordinals = await kept.store.register(*names)
    chosen = [
        (name, ordinal)
        for name, ordinal in zip(names, ordinals, strict=True)
        if ordinal % PARTITIONS == (crowd + 1) % PARTITIONS
    ][: MATCH_LIMIT + 1]
    for name, ordinal in chosen:
        (opened,) = await kept.sessions.open([kept.asks(name, ordinal, 5)])
        assert opened is not None
        session = Session(name, ordinal, 5, "n1", opened)
        await kept.subscribe(session, "many/x")
    for received in (None, kept.received(few, 1)):
        answer = await kept.send(kept.publication("many/x"), received=received)
        assert answer == Declined("topic_too_costly")
    assert await kept.entries(few) == []
    assert await kept.reached("many/y") == ["few"]
    assert (await kept.again(few)).received == ()


# --- the directory ---


async def test_an_entry_of_the_directory_goes_when_nobody_has_had_the_filter_for_a_while(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = [await kept.subscribed(name, "x", "y") for name in "abcdefgh"]
    await kept.sweep()
    for session in sessions[:-1]:
        await kept.unsubscribe(session, "x")
    await kept.unsubscribe(sessions[-1], "y")
    monkeypatch.setattr(directories, "TIDIED_EVERY", 0.0)
    await kept.sweep()
    assert await entries(kept) == {b"x": PARTITIONS, b"y": PARTITIONS}, "they may have been lost a moment ago"
    monkeypatch.setattr(directories, "UNUSED_FOR", -1)
    await kept.sweep()
    assert (await entries(kept))[b"x"] == 1
    assert await kept.reached("x") == [sessions[-1].device]
    assert len(await kept.reached("y")) == 7
    await kept.subscribe(sessions[0], "x")
    assert await kept.reached("x") == sorted([sessions[0].device, sessions[-1].device])


async def test_an_entry_that_was_noted_a_moment_ago_stays(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has noted it is about to enter the filter."""
    session = await kept.subscribed("a", "x")
    await kept.unsubscribe(session, "x")
    saver = kept.store.saver
    assert isinstance(saver, RedisSaver)
    partition = session.ordinal % PARTITIONS
    seconds, _ = msgspec.convert(await dying(kept).call(b"meta", b"TIME"), tuple[bytes, bytes])
    now = int(seconds) * 1000
    told = [now, b"%d" % kept.store.app, b"x"]
    tidying = kept.sessions._directories  # type: ignore[attr-defined]
    await tidying._forget(partition, told)
    assert await entries(kept) == {b"x": 1}
    assert "mv" in await keys(kept), "it is looked at again"
    monkeypatch.setattr(directories, "UNUSED_FOR", -1)
    await tidying._forget(partition, [now - 2 * directories.LATE, *told[1:]])
    assert await entries(kept) == {b"x": 1}, "what was found long ago may not be so any more"
    await tidying._forget(partition, told)
    assert await entries(kept) == {}


async def test_an_entry_that_a_failover_has_forgotten_is_added_again(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directories, "WALKED", 2)
    monkeypatch.setattr(directories, "MENDED_EVERY", 0.0)
    monkeypatch.setattr(directories, "APPS", 1)
    await kept.store.saver.apps.create(an_app("another"))
    for name in "abcdefgh":
        await kept.subscribed(name, "x", f"own/{name}", "y/+", "z", "#")
    known = await entries(kept)
    home = kept.store.app % PARTITIONS
    key = b"{p%d}mh:%d" % (home, kept.store.app)
    await dying(kept).call(b"p%d" % home, b"DEL", key)
    assert await kept.reached("x") == []
    for _ in range(20):
        await kept.sweep()
    assert await entries(kept) == known
    assert len(await kept.reached("x")) == 8
    await dying(kept).call(b"p%d" % home, b"DEL", key)
    await dying(kept).call(b"p%d" % home, b"SET", key, "not what it should be")
    for _ in range(20):
        await kept.sweep()
    await dying(kept).call(b"p%d" % home, b"DEL", key)
    for _ in range(20):
        await kept.sweep()
    assert await entries(kept) == known, "what could not be read held up nothing for good"


async def entries(kept: Kept) -> dict[bytes, int]:
    """In how many partitions each filter is, as the app's directory has it."""
    home = kept.store.app % PARTITIONS
    key = b"{p%d}mh:%d" % (home, kept.store.app)
    reply = await dying(kept).call(b"p%d" % home, b"ZRANGE", key, 0, -1)
    counts: dict[bytes, int] = {}
    for entry in msgspec.convert(reply, list[bytes]):
        filter = entry.partition(b"\0")[0]
        counts[filter] = counts.get(filter, 0) + 1
    return counts


# --- what is left behind ---


async def use_everything(kept: Kept) -> None:
    for n, name in enumerate("abcdef"):
        session = await kept.open(name, will=a_will(), expires_in=100)
        for filter in ("x/#", "x/+", f"own/{n}"):
            await kept.subscribe(session, filter)
    sender = await kept.open("sender", expires_in=10)
    for n in range(1, 6):
        publication = kept.publication("x/y", "x" * 100 * n, qos=2, ttl=MINUTE if n % 2 else 0)
        await kept.send(publication, received=kept.received(sender, n))
    for name in "abc":
        await kept.close(await kept.open(name, will=a_will(), expires_in=100), will=True)
    assert await kept.abandon() == 7  # three wills wait for its word, too


async def test_nothing_stays_of_what_is_over(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    await use_everything(kept)
    assert {"ms", "mf", "mx", "mq", "mm", "mp", "mu", "me", "mw", "mb", "md", "mh"} <= await keys(kept)
    kept.store.now += 10 * MINUTE
    await kept.clear()
    await kept.sessions.published(await kept.due())
    monkeypatch.setattr(directories, "TIDIED_EVERY", 0.0)
    monkeypatch.setattr(directories, "UNUSED_FOR", -1)
    await kept.sweep()
    left = {"mi", "mg", "ma"}
    assert await keys(kept) == left, "a counter, what goes with the next note, and a bit for each device"
    assert await kept.sessions.count(kept.store.app) == 0


async def test_nothing_stays_of_what_a_deleted_device_or_app_had(kept: Kept) -> None:
    await use_everything(kept)
    for name in "ad":
        assert await kept.store.saver.devices.delete(kept.store.app, name, kept.store.now)
    await kept.store.saver.apps.delete(kept.store.app)
    await kept.clear()
    assert await kept.sessions.wanted([kept.store.app]) == [False]
    assert await keys(kept) == {"mi", "mg", "mv"}


async def test_a_body_that_many_queues_have_is_stored_once_and_goes_with_the_last(kept: Kept) -> None:
    sessions = [await kept.subscribed(f"d{n}", "x") for n in range(12)]
    await kept.publish("x", "p" * 1000, qos=2)
    found = msgspec.convert(await dying(kept).call(b"meta", b"KEYS", b"{p*}mm:*"), list[bytes])
    assert 1 <= len(found) <= PARTITIONS
    for session in sessions:
        assert await kept.texts(session) == ["p" * 1000]
        await kept.settle(session, 1)
    assert not await keys(kept) & {"mm", "mq"}
