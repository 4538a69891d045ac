"""A device that is deleted takes with it all that there is of it, wherever the engine keeps it."""

import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from longline.model.devices import Came, Profile
from longline.model.events import RECEIPT, UPSTREAM, Event
from longline.model.pubsub import StoredWill
from longline.register.port import Unbind
from longline.saver.port.inboxes import Arrive
from longline.saver.port.retained import FindRetained, Retain
from longline.saver.port.retirement import DONE
from longline.saver.port.shadows import Shadow, ShadowChange
from longline.settings import StoreSettings
from longline.store.redis import Store, Word
from tests.contract.engines import PARTITIONS
from tests.contract.saver.kept import Kept
from tests.contract.store_fixture import MINUTE, StoreFixture

NAME = "quicksilver"  # stands nowhere else
DAY = 24 * 60 * MINUTE

# Where its name stays. Ledgers name it for as long as they are kept, and one event tells that it is gone.
LEFT_IN_TABLES = {"departed", "events"}
LEFT_IN_KEYS = {"d", "u", "mt"}  # the last: answers, for the seconds in which a call may be repeated
# Where it stands while it is there, among others.
SOME_TABLES = {"devices", "visits", "shadows", "sessions", "filters", "inbox", "events", "latest", "gaps"}
SOME_KEYS = {"n", "d", "i", "sd", "ms", "mf", "u", "uf", "ul"}


async def live(store: StoreFixture) -> None:
    """The device has some of everything."""
    profile = Profile(aliases=("hermes",), tags=("beta",), attributes={"age": 3}, platform="ios")
    await store.register("other", NAME, profile=profile)
    ordinal = await store.ordinal(NAME)
    came = Came("192.0.2.7", "MQTT 5.0", "longline", "1.0")
    await store.saver.inboxes.arrive([Arrive(store.app, NAME, store.now, came=came)])
    await store.push("for it", NAME, ttl=DAY)
    await store.push("for both", NAME, "other", ttl=DAY)
    await store.push("for all", ttl=DAY)
    await store.push("gone unseen", NAME, ttl=1000)
    await store.pass_time(2000)
    await store.saver.shadows.change(
        [ShadowChange(store.app, ordinal, 0, Shadow(b'{"on":true}', b"{}", 1, 1))]
    )
    kept = Kept(store)
    will = StoredWill("home/will", b"farewell", 1, delay=60)
    session = await kept.open(NAME, expires_in=3600, will=will)
    await kept.subscribe(session, "home/#", 2)
    await kept.publish("home/door", "open", qos=2)
    door = replace(kept.publication("home/door", "open", retain=True), sender=NAME)
    other = replace(kept.publication("home/window", "shut", retain=True), sender="other")
    assert await store.saver.retained.keep([Retain(store.app, one, store.now) for one in (door, other)]) == [
        None,
        None,
    ]
    events = [
        Event(store.app, kind, NAME, store.now, b'{"name":"shown"}', "s1", n, state, payload=NAME.encode())
        for n, (kind, state) in enumerate(
            [("presence", "online"), ("presence", "offline"), *[(UPSTREAM, ""), (RECEIPT, "")] * 4], 1
        )
    ]
    await store.saver.events.append(events)
    assert await kept.close(session, will=True)
    assert await store.sessions.unbind([Unbind(store.app, NAME, session.epoch, store.now)]) == [True]


async def tidy(store: StoreFixture) -> None:
    """All that goes in slices has gone, and who came and went was told."""
    await store.sessions.forget(await store.sessions.transitions(1000))
    while await store.saver.events.carry(100):
        pass
    while await store.saver.expiry.end(store.now, 1000):
        pass


async def delete(store: StoreFixture) -> None:
    assert await store.saver.devices.delete(store.app, NAME, store.now)


async def retire(store: StoreFixture) -> None:
    store.now += 3 * DAY
    for will in await store.saver.sessions.due_wills(store.now, 10, MINUTE):
        await store.saver.sessions.published([will])
    after = 0
    while after != DONE:
        done = await store.saver.retirement.retire(store.app, after, store.now - DAY, store.now, 100)
        after = done.after


@pytest.mark.parametrize("remove", [delete, retire])
async def test_nothing_stored_names_a_device_that_is_gone_but_its_ledgers_and_the_event_of_that(
    store: StoreFixture, remove: object
) -> None:
    await live(store)
    ordinal = await store.ordinal(NAME)
    assert await found(store, ordinal) >= SOME_TABLES or await found(store, ordinal) >= SOME_KEYS
    await (delete(store) if remove is delete else retire(store))
    await tidy(store)
    assert await found(store, ordinal) <= LEFT_IN_TABLES | LEFT_IN_KEYS
    page = await store.saver.events.read(store.app, "", 1000)
    told = [event for _, event in page.events if event.device == NAME]
    state = b'{"state":"deleted"}' if remove is delete else b'{"state":"retired"}'
    assert [event.data for event in told] == [state]


async def test_a_later_device_of_the_name_inherits_nothing(store: StoreFixture) -> None:
    """And what it tells from then on is read, though what was told before is not."""
    await live(store)
    await delete(store)
    await store.register(NAME)
    (device,) = await store.saver.devices.find(store.app, [NAME])
    assert device is not None
    assert device.profile == Profile()
    assert (await store.saver.visits.find(store.app, [device.ordinal]))[0].last == 0
    assert (await store.saver.shadows.find(store.app, [device.ordinal])) == [Shadow()]
    arrival = await store.arrive(NAME)
    assert (arrival.pending, arrival.session, arrival.shadow, arrival.gap) == (False, False, False, None)
    await store.saver.events.append(
        [Event(store.app, UPSTREAM, NAME, store.now, b"{}", "s2", 1, payload=b"mine")]
    )
    for _ in range(2):
        page = await store.saver.events.read(store.app, "", 1000)
        told = [event.payload for _, event in page.events if event.device == NAME and event.kind == UPSTREAM]
        assert told == [b"mine"]
        await tidy(store)


async def found(store: StoreFixture, ordinal: int) -> set[str]:
    """Tables, or kinds of keys, in which the device's name stands, or its number where rows are by that."""
    if "://" not in store.place:
        return _in_tables(Path(store.place), store.app << 32 | ordinal)
    return await _in_keys(store, ordinal // PARTITIONS)


def _in_tables(path: Path, key: int) -> set[str]:
    tables = set()
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        for (table,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
            rows = database.execute(f"SELECT * FROM {table}")
            columns = [column[0] for column in rows.description]
            by_number = "device" in columns and table != "deliveries"  # which are a ledger's
            for row in rows.fetchall():
                if by_number and row[columns.index("device")] == key:
                    tables.add(table)
                for value in row:
                    if NAME in (value.decode("latin-1") if isinstance(value, bytes) else str(value)):
                        tables.add(table)
    return tables


async def _in_keys(store: StoreFixture, place: int) -> set[str]:
    partition = -1
    kinds = set()
    opened = await Store.open(StoreSettings(url=store.place, partitions=PARTITIONS))
    try:
        mine = opened.partition_of(store.app, NAME)
        for partition in range(PARTITIONS):
            tag = b"p%d" % partition
            keys = await opened.call(tag, "KEYS", b"{%b}*" % tag)
            assert isinstance(keys, list)
            for key in keys:
                assert isinstance(key, bytes)
                kind, _, rest = key.partition(b"}")[2].partition(b":")
                type = await opened.call(tag, "TYPE", key)
                assert isinstance(type, bytes)
                dumped = await opened.call(tag, *[key if word is KEY else word for word in READ[type]])
                of_it = (
                    partition == mine
                    and rest.startswith(b"%d:%d" % (store.app, place))
                    and (rest.split(b":")[1] == b"%d" % place and kind in BY_PLACE)
                )
                if of_it or NAME.encode() in repr(dumped).encode():
                    kinds.add(kind.decode())
    finally:
        await opened.close()
    return kinds


BY_PLACE = {b"i", b"o", b"ih", b"ms", b"mf", b"mq", b"mr", b"mp", b"mw", b"mb", b"sd"}
KEY = b"the key"
READ: dict[bytes, tuple[Word, ...]] = {
    b"string": ("GET", KEY),
    b"hash": ("HGETALL", KEY),
    b"set": ("SMEMBERS", KEY),
    b"zset": ("ZRANGE", KEY, 0, -1),
    b"stream": ("XRANGE", KEY, "-", "+"),
    b"list": ("LRANGE", KEY, 0, -1),
    b"none": ("ECHO", b""),
}


async def retained(store: StoreFixture) -> list[str]:
    [page] = await store.saver.retained.find([FindRetained(store.app, "#", store.now)])
    return [publication.topic for publication in page.publications]


@pytest.mark.parametrize("go", [delete, retire])
async def test_what_it_has_retained_goes_with_it_and_nothing_of_others(
    store: StoreFixture, go: Callable[[StoreFixture], Awaitable[None]]
) -> None:
    await live(store)
    assert await retained(store) == ["home/door", "home/window"]
    await go(store)
    await tidy(store)
    left = [] if go is retire else ["home/window"]  # which retires both
    assert await retained(store) == left
    assert await store.saver.retained.count(store.app) == len(left)


async def test_what_another_has_published_to_the_topic_since_stays(store: StoreFixture) -> None:
    await live(store)
    kept = Kept(store)
    newer = replace(kept.publication("home/door", "shut", retain=True), sender="other")
    await store.saver.retained.keep([Retain(store.app, newer, store.now)])
    await delete(store)
    await tidy(store)
    assert await retained(store) == ["home/door", "home/window"]


async def test_what_a_later_device_of_its_name_retains_stays(store: StoreFixture) -> None:
    await live(store)
    await delete(store)
    store.now += 1
    await store.register(NAME)
    kept = Kept(store)
    newer = replace(kept.publication("home/roof", "tight", retain=True), sender=NAME)
    await store.saver.retained.keep([Retain(store.app, newer, store.now)])
    await tidy(store)
    assert await retained(store) == ["home/roof", "home/window"]


async def test_what_many_devices_have_retained_goes_however_few_are_looked_at(store: StoreFixture) -> None:
    names = [f"{NAME}{n}" for n in range(7)]
    await store.register(*names, "other")
    kept = Kept(store)
    items = [
        Retain(store.app, replace(kept.publication(f"{name}/{n}", "x", retain=True), sender=name), store.now)
        for name in [*names, "other"]
        for n in range(3)
    ]
    assert await store.saver.retained.keep(items) == [None] * 24
    for name in names:
        assert await store.saver.devices.delete(store.app, name, store.now)
    while await store.saver.expiry.end(store.now, 2):
        pass
    assert len(await retained(store)) == 3


async def test_many_retained_messages_go_in_slices(store: StoreFixture) -> None:
    await store.register(NAME)
    kept = Kept(store)
    items = [
        Retain(
            store.app,
            replace(kept.publication(f"t/{n}", "x", retain=True), sender=NAME if n % 3 else ""),
            store.now,
        )
        for n in range(300)
    ]
    await store.saver.retained.keep(items)
    await delete(store)
    while await store.saver.expiry.end(store.now, 20):
        pass
    assert len(await retained(store)) == 100
