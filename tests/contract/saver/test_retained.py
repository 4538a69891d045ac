"""Retained messages: for each topic of an app the last one, found by whatever filter matches it."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import msgspec
import pytest

from longline.model.pubsub import Publication
from longline.mqtt.topics import matches, valid_filter
from longline.saver.port.retained import FindRetained, Retain
from tests.contract.engines import RETAINED, RETAINED_BYTES
from tests.contract.store_fixture import MINUTE, START, StoreFixture, an_app

OVERHEAD = 200  # bytes that a message counts besides what is in it


@dataclass
class Retained:
    """The retained messages of a store, in the words of this suite."""

    store: StoreFixture
    count: int = 0

    def publication(
        self, topic: str, payload: bytes = b"x", *, qos: int = 1, ttl: int = 0, properties: bytes = b""
    ) -> Publication:
        self.count += 1
        return Publication(
            id=str(UUID(int=(START << 80) | (7 << 76) | (2 << 62) | self.count)),
            topic=topic,
            payload=payload,
            qos=qos,
            retain=True,
            properties=properties,
            at=self.store.now,
            expires_at=self.store.now + ttl if ttl else 0,
        )

    def retain(
        self,
        topic: str,
        payload: bytes = b"x",
        *,
        ttl: int = 0,
        app: int | None = None,
        properties: bytes = b"",
    ) -> Retain:
        publication = self.publication(topic, payload, ttl=ttl, properties=properties)
        return Retain(self.store.app if app is None else app, publication, self.store.now)

    async def keep(
        self, topic: str, payload: bytes = b"x", *, ttl: int = 0, app: int | None = None
    ) -> str | None:
        (code,) = await self.store.saver.retained.keep([self.retain(topic, payload, ttl=ttl, app=app)])
        return code

    async def keep_all(self, topics: Sequence[str]) -> None:
        batch = [self.retain(topic, topic.encode()) for topic in topics]
        assert await self.store.saver.retained.keep(batch) == [None] * len(topics)

    async def pages(
        self, filter: str, *, app: int | None = None, limit: int = 1000, limit_bytes: int = 1 << 20
    ) -> list[list[Publication]]:
        """All pages, each of which goes on where the one before ended."""
        app = self.store.app if app is None else app
        start, pages = "", []
        while True:
            find = FindRetained(app, filter, self.store.now, start, limit, limit_bytes)
            (page,) = await self.store.saver.retained.find([find])
            pages.append(list(page.publications))
            assert all(start <= publication.topic for publication in page.publications)
            if not page.next:
                return pages
            assert page.next > start
            assert all(publication.topic < page.next for publication in page.publications)
            start = page.next

    async def find(self, filter: str, *, app: int | None = None) -> list[Publication]:
        return [publication for page in await self.pages(filter, app=app) for publication in page]

    async def payloads(self, filter: str, *, app: int | None = None) -> list[bytes]:
        return [publication.payload for publication in await self.find(filter, app=app)]


@pytest.fixture
async def retained(store: StoreFixture) -> Retained:
    return Retained(store)


async def test_a_message_is_found_with_all_that_was_said_of_it(retained: Retained) -> None:
    publication = msgspec.structs.replace(
        retained.publication("a/é/b", bytes(range(256)) * 40, qos=2, ttl=MINUTE),
        properties=b"\x03\x00\x04text",
        sender="d\u00e9vice",
    )
    keep = Retain(retained.store.app, publication, retained.store.now)
    assert await retained.store.saver.retained.keep([keep]) == [None]
    assert await retained.find("a/é/b") == [publication]
    assert await retained.find("a/+/b") == [publication]
    assert await retained.find("a/#") == [publication]
    await retained.store.reopen()
    assert await retained.find("#") == [publication]


async def test_a_topic_has_its_last_message(retained: Retained) -> None:
    await retained.keep("a", b"1")
    await retained.keep("b", b"2")
    await retained.keep("a", b"3")
    assert await retained.payloads("#") == [b"3", b"2"]
    assert await retained.store.saver.retained.count(retained.store.app) == 2


async def test_an_empty_payload_ends_what_is_kept_and_is_not_kept_itself(retained: Retained) -> None:
    """[MQTT-3.3.1-6], [MQTT-3.3.1-7]"""
    await retained.keep_all(["a", "a/b"])
    assert await retained.keep("a", b"") is None
    assert await retained.keep("never", b"") is None
    assert await retained.payloads("#") == [b"a/b"]
    assert await retained.payloads("a") == []
    assert await retained.store.saver.retained.count(retained.store.app) == 1
    assert await retained.keep("a", b"again") is None
    assert await retained.payloads("#") == [b"again", b"a/b"]


async def test_the_last_of_a_batch_counts(retained: Retained) -> None:
    steps = [("a", b"1"), ("b", b"1"), ("a", b""), ("c", b"1"), ("c", b"2"), ("b", b""), ("b", b"3")]
    batch = [retained.retain(topic, payload) for topic, payload in steps]
    assert await retained.store.saver.retained.keep(batch) == [None] * len(steps)
    assert await retained.payloads("#") == [b"3", b"2"]
    assert await retained.store.saver.retained.count(retained.store.app) == 2


async def test_what_a_filter_finds_is_what_it_matches_in_order_and_page_by_page(retained: Retained) -> None:
    seed = random.randrange(1 << 30)
    chance = random.Random(seed)
    names = ["", "a", "b", "a-", "a0", "ab", "é", "\U0001f600", "$", "$a"]

    def levels(*more: str) -> str:
        return "/".join(chance.choices([*names, *more], k=chance.randint(1, 4)))

    topics = sorted({levels() for _ in range(150)} - {""})
    await retained.keep_all(topics)
    filters = ["#", "+", "+/+", "+/#", "a", "a/#", "a/+", "$/#", "a/+/b", "+/a"]
    filters += [filter for filter in (levels("+", "+", "+", "#") for _ in range(60)) if valid_filter(filter)]
    for filter in filters:
        wanted = [topic for topic in topics if matches(filter, topic)]
        for limit in (1000, 7):
            pages = await retained.pages(filter, limit=limit)
            assert [found.topic for page in pages for found in page] == wanted, f"{filter} (seed {seed})"
            assert max(map(len, pages)) <= limit


async def test_topics_of_the_server_are_hidden_from_wildcards(retained: Retained) -> None:
    """[MQTT-4.7.2-1]"""
    await retained.keep_all(["$SYS", "$SYS/a", "a", "a/$b"])
    assert await retained.payloads("#") == [b"a", b"a/$b"]
    assert await retained.payloads("+") == [b"a"]
    assert await retained.payloads("+/+") == [b"a/$b"]
    assert await retained.payloads("+/a") == []
    assert await retained.payloads("$SYS/#") == [b"$SYS", b"$SYS/a"]
    assert await retained.payloads("$SYS/+") == [b"$SYS/a"]


async def test_a_page_is_no_larger_than_asked_for_but_for_a_single_message(retained: Retained) -> None:
    sizes = [10, 2000, 10, 10, 400, 10]
    batch = [retained.retain(f"t/{n}", b"x" * size) for n, size in enumerate(sizes)]
    assert await retained.store.saver.retained.keep(batch) == [None] * len(sizes)
    for filter in ("t/#", "+/+"):
        pages = await retained.pages(filter, limit_bytes=900)
        assert [len(publication.payload) for page in pages for publication in page] == sizes
        for page in pages:
            counts = [OVERHEAD + len(found.topic) + len(found.payload) for found in page]
            assert len(page) <= 1 or sum(counts) <= 900


async def test_many_finds_are_answered_in_their_order(retained: Retained) -> None:
    await retained.keep_all(["a", "b", "b/c"])
    other = (await retained.store.saver.apps.create(an_app("rain"))).number
    await retained.keep("b", b"other", app=other)
    now = retained.store.now
    asked = [
        (retained.store.app, "b"),
        (other, "b"),
        (99, "#"),
        (retained.store.app, "+"),
        (retained.store.app, "c"),
        (other, "#"),
        (retained.store.app, "b"),
    ]
    pages = await retained.store.saver.retained.find(
        [FindRetained(app, filter, now) for app, filter in asked]
    )
    found = [[publication.payload for publication in page.publications] for page in pages]
    assert found == [[b"b"], [b"other"], [], [b"a", b"b"], [], [b"other"], [b"b"]]
    assert await retained.store.saver.retained.find([]) == []
    assert await retained.store.saver.retained.keep([]) == []


async def test_a_find_begins_where_it_is_told_to(retained: Retained) -> None:
    await retained.keep_all(["a", "b", "c"])
    now, app = retained.store.now, retained.store.app
    for filter, start, wanted in (
        ("#", "b", ["b", "c"]),
        ("b", "b", ["b"]),
        ("b", "b\0", []),
        ("+", "x", []),
    ):
        (page,) = await retained.store.saver.retained.find([FindRetained(app, filter, now, start)])
        assert [publication.topic for publication in page.publications] == wanted
        assert page.next == ""


# --- what is over ---


async def test_what_is_over_is_not_found(retained: Retained) -> None:
    await retained.keep("a", b"short", ttl=MINUTE)
    await retained.keep("b", b"long", ttl=2 * MINUTE)
    await retained.keep("c", b"for ever")
    retained.store.now += MINUTE - 1
    assert await retained.payloads("#") == [b"short", b"long", b"for ever"]
    assert await retained.payloads("a") == [b"short"]
    retained.store.now += 1
    assert await retained.payloads("#") == [b"long", b"for ever"]
    assert await retained.payloads("a") == []


async def test_a_message_that_is_over_already_only_ends_what_its_topic_had(retained: Retained) -> None:
    await retained.keep("a", b"before")
    late = msgspec.structs.replace(retained.publication("a", b"late"), expires_at=retained.store.now)
    keep = Retain(retained.store.app, late, retained.store.now)
    assert await retained.store.saver.retained.keep([keep]) == [None]
    assert await retained.find("#") == []
    assert await retained.store.saver.retained.count(retained.store.app) == 0


async def test_what_is_over_is_removed_when_it_is_due_and_in_slices(retained: Retained) -> None:
    store = retained.store
    assert await store.saver.expiry.next_due() is None
    for n in range(10):
        await retained.keep(f"t/{n}", ttl=MINUTE)
    await retained.keep("later", ttl=3 * MINUTE)
    await retained.keep("for/ever")
    due = await store.saver.expiry.next_due()
    assert due == store.now + MINUTE
    assert await store.saver.expiry.end(due - 1, 100) == 0
    store.now = due
    removed = []
    while done := await store.saver.expiry.end(store.now, 4):
        removed.append(done)
    assert sum(removed) == 10
    assert max(removed) <= 4
    assert await store.saver.retained.count(store.app) == 2
    assert await store.saver.expiry.next_due() == store.now + 2 * MINUTE


async def test_the_end_of_a_message_is_not_that_of_the_one_in_its_place(retained: Retained) -> None:
    await retained.keep("a", b"short", ttl=MINUTE)
    await retained.keep("a", b"for ever")
    await retained.keep("b", b"short", ttl=MINUTE)
    await retained.keep("b", b"longer", ttl=2 * MINUTE)
    await retained.keep("c", b"gone", ttl=MINUTE)
    await retained.keep("c", b"")
    await retained.store.pass_time(MINUTE)
    assert await retained.payloads("#") == [b"for ever", b"longer"]
    await retained.store.pass_time(MINUTE)
    assert await retained.payloads("#") == [b"for ever"]
    assert await retained.store.saver.expiry.next_due() is None


# --- bounds ---


async def test_an_app_has_as_many_as_it_may_and_no_more(retained: Retained) -> None:
    topics = [f"t/{n}" for n in range(RETAINED)]
    await retained.keep_all(topics[:-5])
    batch = [retained.retain(f"new/{n}", b"new") for n in range(9)]
    codes = await retained.store.saver.retained.keep(batch)
    assert codes.count(None) == 5
    assert codes.count("quota_exceeded") == 4
    assert await retained.store.saver.retained.count(retained.store.app) == RETAINED
    assert await retained.payloads("new/#") == [b"new"] * 5
    assert await retained.keep("one/more") == "quota_exceeded"
    assert await retained.keep("t/0", b"replaced") is None
    assert await retained.payloads("t/0") == [b"replaced"]
    assert await retained.keep("t/0", b"") is None
    assert await retained.keep("one/more") is None
    assert await retained.keep("and/another") == "quota_exceeded"
    assert await retained.payloads("+/more") == [b"x"]


async def test_an_app_has_as_many_bytes_as_it_may_and_no_more(retained: Retained) -> None:
    each = RETAINED_BYTES // 10
    for n in range(10):
        assert await retained.keep(f"t/{n}", b"x" * (each - OVERHEAD - 3)) is None
    assert await retained.keep("t/0", b"y" * (each - OVERHEAD - 2)) == "quota_exceeded"
    assert await retained.payloads("t/0") == [b"x" * (each - OVERHEAD - 3)], "what was there still is"
    assert await retained.keep("small") == "quota_exceeded"
    assert await retained.keep("t/0", b"y" * (each - OVERHEAD - 3)) is None
    assert await retained.keep("t/1", b"y") is None
    assert await retained.keep("small") is None
    assert await retained.payloads("small") == [b"x"]


async def test_properties_count_as_well(retained: Retained) -> None:
    keep = retained.retain("a", b"x", properties=b"\x26" * RETAINED_BYTES)
    assert await retained.store.saver.retained.keep([keep]) == ["quota_exceeded"]


async def test_bounds_are_those_of_one_app(retained: Retained) -> None:
    await retained.keep_all([f"t/{n}" for n in range(RETAINED)])
    other = (await retained.store.saver.apps.create(an_app("rain"))).number
    batch = [retained.retain("one/more"), retained.retain("one/more", app=other)]
    assert await retained.store.saver.retained.keep(batch) == ["quota_exceeded", None]


async def test_what_is_over_makes_room_once_it_is_removed(retained: Retained) -> None:
    await retained.keep_all([f"t/{n}" for n in range(RETAINED - 1)])
    await retained.keep("short", ttl=MINUTE)
    assert await retained.keep("one/more") == "quota_exceeded"
    await retained.store.pass_time(MINUTE)
    assert await retained.keep("one/more") is None


# --- apps ---


async def test_apps_have_nothing_to_do_with_each_other(retained: Retained) -> None:
    other = (await retained.store.saver.apps.create(an_app("rain"))).number
    await retained.keep("a", b"news")
    await retained.keep("a", b"rain", app=other)
    await retained.keep("b", b"rain", app=other)
    assert await retained.payloads("#") == [b"news"]
    assert await retained.payloads("#", app=other) == [b"rain", b"rain"]
    await retained.keep("a", b"", app=other)
    assert await retained.payloads("a") == [b"news"]


async def test_nothing_is_kept_in_an_app_that_is_not_there(retained: Retained) -> None:
    batch = [retained.retain("a", app=99), retained.retain("a")]
    assert await retained.store.saver.retained.keep(batch) == ["app_not_found", None]
    assert await retained.find("#", app=99) == []
    assert await retained.store.saver.retained.count(99) == 0


async def test_what_an_app_had_goes_with_it(retained: Retained) -> None:
    store = retained.store
    before = store.app
    await retained.keep_all(["a", "b/c"])
    await retained.keep("d", ttl=MINUTE)
    await store.saver.apps.delete(before)
    assert await retained.find("#") == []
    assert await retained.find("a") == []
    assert await retained.keep("a") == "app_not_found"
    assert await store.saver.retained.count(before) == 0
    await store.begin()
    while await store.pass_time(0):
        pass
    await store.reopen()
    assert await retained.find("#", app=before) == []
    assert await retained.find("#") == []
    assert await store.saver.expiry.next_due() is None


async def test_what_a_deleted_app_had_is_removed_in_bounded_slices(retained: Retained) -> None:
    store = retained.store
    await retained.keep_all([f"t/{n}" for n in range(50)])
    await store.saver.apps.delete(store.app)
    assert await store.saver.expiry.next_due() is not None
    while done := await store.saver.expiry.end(store.now, 20):
        assert done <= 20
    assert await store.saver.expiry.next_due() is None
