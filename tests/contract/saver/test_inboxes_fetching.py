"""Fetch: oldest first, page by page, nothing that is over, and told apart from what was sent before."""

import asyncio

import pytest

from longline.model.audience import Everyone
from longline.model.devices import Profile
from longline.model.ledger import State
from longline.model.messages import Envelope
from longline.saver.port.devices import Registration
from longline.saver.port.inboxes import Cursor, Fetch
from longline.saver.port.messages import Submission
from tests.contract.store_fixture import MINUTE, StoreFixture, an_app


async def test_unicasts_and_broadcasts_come_in_the_order_of_acceptance(store: StoreFixture) -> None:
    await store.register("a", "b")
    for n in range(10):
        await store.push(str(n), *(("a",) if n % 3 else ()))
    assert await store.waiting("a") == [str(n) for n in range(10)]
    assert await store.waiting("b") == ["0", "3", "6", "9"]


async def test_pages_follow_each_other_without_gap_or_repetition(store: StoreFixture) -> None:
    await store.register("a", "b")
    for n in range(23):
        await store.push(str(n), *(("a", "b")[n % 2 : n % 2 + 1] if n % 4 else ()))
    for limit in (1, 2, 5, 100):
        seen: list[str] = []
        inbox_after, log_after, complete = 0, 0, False
        while not complete:
            page = await store.page("a", inbox_after=inbox_after, log_after=log_after, limit=limit)
            assert len(page.pushes) <= limit
            assert page.log_after >= log_after
            assert all(push.position <= page.log_after for push in page.pushes if push.broadcast)
            seen += [push.message.payload.decode() for push in page.pushes]
            inbox_after = max([inbox_after, *(p.position for p in page.pushes if not p.broadcast)])
            log_after, complete = page.log_after, page.complete
        assert seen == [str(n) for n in range(23) if n % 4 == 0 or n % 2 == 0]


async def test_a_page_that_holds_all_is_complete(store: StoreFixture) -> None:
    await store.register("a")
    for text in ("one", "two"):
        await store.push(text, "a")
    assert (await store.page("a", limit=2)).complete
    assert not (await store.page("a", limit=1)).complete


async def test_a_complete_page_has_read_the_log_to_its_end(store: StoreFixture) -> None:
    """Also past what is not for this device, so that its cursor can pass that too."""
    await store.register("a", "b")
    await store.push("to all")
    await store.ack_all("a")
    page = await store.page("a", log_after=0)
    assert page.pushes == ()
    assert page.complete
    assert page.log_after > 0


async def test_what_is_settled_does_not_come_again(store: StoreFixture) -> None:
    await store.register("a")
    await store.push("one", "a")
    await store.push("all")
    await store.push("two", "a")
    for push in (await store.page("a")).pushes[:2]:
        await store.settle("a", push, State.ACKED)
    assert await store.waiting("a") == ["two"]


async def test_what_is_over_is_not_fetched_even_before_it_is_ended(store: StoreFixture) -> None:
    await store.register("a")
    await store.push("short", "a", ttl=MINUTE)
    await store.push("short to all", ttl=MINUTE)
    await store.push("long", "a", ttl=2 * MINUTE)
    store.now += MINUTE
    assert await store.waiting("a") == ["long"]
    assert await store.pending("a") == 1


async def test_what_was_written_and_not_acknowledged_is_marked(store: StoreFixture) -> None:
    await store.register("a")
    await store.push("one", "a")
    await store.push("all")
    await store.push("two", "a")
    one, to_all, _ = (await store.page("a")).pushes
    await store.settle("a", one, State.PENDING, sent_at=store.now)
    await store.settle("a", to_all, State.PENDING, sent_at=store.now)
    assert [push.sent_before for push in (await store.page("a")).pushes] == [True, True, False]


async def test_a_device_is_not_in_the_audience_of_what_was_sent_before_it_came(store: StoreFixture) -> None:
    await store.register("a")
    before = await store.push("before")
    await store.arrive("b")
    await store.push("after")
    assert await store.waiting("b") == ["after"]
    assert (await store.page("b", log_after=0)).pushes[0].message.payload == b"after"
    assert (await store.ledger(before)).targeted == 1


async def test_a_cursor_moves_forward_and_never_back(store: StoreFixture) -> None:
    await store.register("a")
    await store.push("to all")
    page = await store.page("a")
    ordinal = await store.ordinal("a")
    await store.saver.inboxes.advance([Cursor(store.app, ordinal, page.log_after)])
    assert (await store.arrive("a")).log_after == page.log_after
    await store.saver.inboxes.advance(
        [Cursor(store.app, ordinal, page.log_after - 1), Cursor(store.app, ordinal, page.log_after - 2)]
    )
    assert (await store.arrive("a")).log_after == page.log_after
    assert not (await store.arrive("a")).pending


@pytest.mark.tampers  # a cursor beyond all that was written
async def test_one_batch_may_advance_a_cursor_twice_and_name_who_is_gone(store: StoreFixture) -> None:
    await store.register("a")
    ordinal = await store.ordinal("a")
    start = (await store.arrive("a")).log_after
    cursors = [Cursor(store.app, ordinal, start + 9), Cursor(store.app, ordinal, start + 7)]
    await store.saver.inboxes.advance([*cursors, Cursor(store.app, 4_000_000, 5)])
    assert (await store.arrive("a")).log_after == start + 9


async def test_many_devices_are_read_in_one_batch_each_with_its_own(store: StoreFixture) -> None:
    names = [f"d{n}" for n in range(40)]
    ordinals = await store.register(*names)
    for name in names[::2]:
        await store.push("to " + name, name)
    await store.push("to all")
    fetches = [Fetch(store.app, ordinal, 0, 0, 1 + n % 2, store.now) for n, ordinal in enumerate(ordinals)]
    halves = await asyncio.gather(
        store.saver.inboxes.fetch(fetches[:20]), store.saver.inboxes.fetch(fetches[20:])
    )
    pages = halves[0] + halves[1]
    for n, page in enumerate(pages):
        texts = [push.message.payload.decode() for push in page.pushes]
        assert texts == ([f"to d{n}"] if n % 2 == 0 else ["to all"])
        assert page.complete is (n % 2 == 1)


async def test_a_batch_may_ask_for_devices_of_several_apps(store: StoreFixture) -> None:
    (mine,) = await store.register("a")
    other = (await store.saver.apps.create(an_app("weather"))).number
    (theirs,) = await store.saver.devices.put(other, [Registration("a", Profile())], store.now)
    await store.push("news")
    await store.submit(Submission(other, (Envelope(store.message("rain"), Everyone()),), store.now))
    asked = ((store.app, mine), (other, theirs.ordinal))
    pages = await store.saver.inboxes.fetch(
        [Fetch(app, ordinal, 0, 0, 9, store.now) for app, ordinal in asked]
    )
    assert [[push.message.payload for push in page.pushes] for page in pages] == [[b"news"], [b"rain"]]


async def test_an_unknown_device_has_nothing(store: StoreFixture) -> None:
    (page,) = await store.saver.inboxes.fetch([Fetch(store.app, 77, 0, 0, 9, store.now)])
    assert page.pushes == ()
    assert page.complete


async def test_large_messages_fit_into_a_page(store: StoreFixture) -> None:
    await store.register("a")
    texts = [str(n % 10) * 256 * 1024 for n in range(24)]
    for text in texts:
        await store.push(text, "a")
    assert await store.waiting("a") == texts


async def test_a_page_has_a_bounded_number_of_bytes_but_always_one_message(store: StoreFixture) -> None:
    await store.register("a")
    texts = [letter * size for letter, size in zip("abcdef", (900, 900, 900, 5000, 900, 900), strict=True)]
    for text in texts:
        await store.push(text, "a")
    await store.push("to all")
    ordinal = await store.ordinal("a")
    log_after = (await store.arrive("a")).log_after
    got: list[list[str]] = []
    inbox_after = 0
    complete = False
    while not complete:
        fetch = Fetch(store.app, ordinal, inbox_after, log_after, 10, store.now, 2500)
        (page,) = await store.saver.inboxes.fetch([fetch])
        got.append([push.message.payload.decode() for push in page.pushes])
        inbox_after = max([inbox_after, *(push.position for push in page.pushes if not push.broadcast)])
        log_after, complete = page.log_after, page.complete
    assert [text for page_texts in got for text in page_texts] == [*texts, "to all"]
    assert got[:3] == [texts[:2], texts[2:3], texts[3:4]]
