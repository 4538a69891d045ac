"""Audiences in Redis: what a set is kept as, what is left behind, and how bitmaps become roaring ones."""

from collections.abc import AsyncIterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pyroaring import BitMap

from longline.model.apps import App
from longline.model.audience import AllOf, Expression, NoneOf, Ordered, Tagged
from longline.model.devices import Profile
from longline.model.messages import Envelope, Message
from longline.saver.kv.audiences import part_of, roaring
from longline.saver.kv.engine import RedisSaver
from longline.saver.port.devices import Registration
from longline.saver.port.messages import Submission
from longline.settings import StoreSettings
from longline.store.redis import Store
from tests.servers.shared import shared
from tests.waiting import until

NOW = 1_800_000_000_000
PARTITIONS = 2
NESTED = AllOf((NoneOf((Tagged(("blue",)),)), Ordered("n", "gte", 10), Tagged(("red", "green"))))


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    with shared("redis") as server:
        store = await Store.open(StoreSettings(url=server.url, partitions=PARTITIONS))
        yield store
        await store.close()


@pytest.fixture
async def saver(store: Store) -> RedisSaver:
    return await RedisSaver.open(store)


async def an_app(saver: RedisSaver) -> int:
    app = App(
        app="news",
        number=0,
        name="news",
        server_key_hash=b"k" * 32,
        device_secret="secret",
        pubsub=False,
        created_at=NOW,
    )
    return (await saver.apps.create(app)).number


async def keys(store: Store, pattern: bytes) -> set[bytes]:
    found: set[bytes] = set()
    for partition in range(PARTITIONS):
        tag = b"p%d" % partition
        reply = await store.call(tag, "KEYS", b"{%b}%b" % (tag, pattern))
        assert isinstance(reply, list)
        found.update(key for key in reply if isinstance(key, bytes))
    return found


async def register(saver: RedisSaver, app: int, count: int) -> None:
    batch = [
        Registration(f"d{n}", Profile(tags=("red",), attributes={"n": n}, platform="ios"))
        for n in range(count)
    ]
    await saver.devices.put(app, batch, NOW)


def message(expression: Expression, app: int) -> Submission:
    sent = Message(
        id="01890a5d-ac96-774b-bcce-b302099a8057",
        app="news",
        payload=b"x",
        content_type="text/plain",
        created_at=NOW,
        expires_at=NOW + 60_000,
    )
    return Submission(app, (Envelope(sent, expression),), NOW)


async def test_nothing_is_left_of_working_out_an_expression(store: Store, saver: RedisSaver) -> None:
    app = await an_app(saver)
    await register(saver, app, 2000)
    assert (await saver.audiences.describe(app, NESTED, 50)).devices == 1990
    await saver.messages.enqueue([message(NESTED, app)])
    assert await keys(store, b"q:*") == set()


async def test_counting_writes_nothing_that_replicas_would_have_to_hear(
    store: Store, saver: RedisSaver
) -> None:
    app = await an_app(saver)
    await register(saver, app, 2000)
    await store.call(b"p0", "CONFIG", "SET", "appendonly", "yes")
    try:
        await until(lambda: written_down(store))
        before = await told(store)
        await saver.audiences.describe(app, NESTED, 50)
        assert await told(store) == before
        await register(saver, app, 1)
        assert await told(store) > before
    finally:
        await store.call(b"p0", "CONFIG", "SET", "appendonly", "no")


async def test_few_partitions_name_some_of_many_and_all_of_them_name_all(
    store: Store, saver: RedisSaver
) -> None:
    app = await an_app(saver)
    await register(saver, app, 200)
    for limit, partitions in ((5, 1), (100, 2), (1000, 2)):
        found = await saver.audiences.describe(app, Tagged(("red",)), limit)
        assert found.devices == 200
        assert len(set(found.some)) == len(found.some) == min(limit, 200)
        assert len({store.partition_of(app, name) for name in found.some}) == partitions


async def persistence(store: Store) -> dict[bytes, bytes]:
    reply = await store.call(b"p0", "INFO", "persistence")
    assert isinstance(reply, bytes)
    return dict(line.split(b":", 1) for line in reply.splitlines() if b":" in line)


async def written_down(store: Store) -> bool:
    """Whether the file that changes are appended to has been begun."""
    found = await persistence(store)
    return found[b"aof_rewrite_in_progress"] == b"0" and found[b"aof_rewrite_scheduled"] == b"0"


async def told(store: Store) -> int:
    """The bytes in which changes were told, to a file as to replicas."""
    return int((await persistence(store))[b"aof_current_size"])


async def test_a_set_is_packed_while_it_is_small_and_a_bitmap_when_it_is_large(
    store: Store, saver: RedisSaver
) -> None:
    app = await an_app(saver)

    async def kinds() -> set[bytes]:
        found = set()
        for key in await keys(store, b"t:*:0:red"):
            tag = key[1 : key.index(b"}")]
            kind = await store.call(tag, "TYPE", key)
            encoding = await store.call(tag, "OBJECT", "ENCODING", key)
            size = await store.call(tag, "MEMORY", "USAGE", key)
            assert isinstance(size, int)
            assert size < 3000
            assert isinstance(encoding, bytes)
            found.add(encoding if kind in (b"set", "set") else b"bitmap")
        return found

    await register(saver, app, 200)
    assert await kinds() == {b"intset"}
    await register(saver, app, 1500)
    assert await kinds() == {b"bitmap"}
    batch = [Registration(f"d{n}", Profile()) for n in range(1500)]
    await saver.devices.put(app, batch, NOW)
    assert await keys(store, b"t:*") == set(), "a set that nobody is in is gone, whatever it was"


@given(st.sets(st.integers(0, 200_000), max_size=50), st.sets(st.integers(0, 40), max_size=3))
@example(set(), set())
@example({0, 7, 8, 65535, 65536}, set())
def test_a_bitmap_becomes_the_roaring_one_of_the_same_places(few: set[int], blocks: set[int]) -> None:
    places = few | {place for block in blocks for place in range(5000 * block, 5000 * block + 4990)}
    bitmap = bytearray((max(places, default=-1) + 8) // 8)
    for place in places:
        bitmap[place >> 3] |= 128 >> (place & 7)
    assert roaring(bytes(bitmap)) == BitMap(places)
    part, count = part_of([1, 300_000, len(places), bytes(bitmap), 0, []])
    assert BitMap.deserialize(part.audience) == BitMap(range(300_000)) - BitMap(places)
    assert count == 300_000 - len(places)
