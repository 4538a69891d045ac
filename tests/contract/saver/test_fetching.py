"""Fetch: oldest first, page by page, nothing that is over, and told apart from what was sent before."""

import asyncio

from longline.model.audience import Everyone
from longline.model.devices import Profile
from longline.model.ledger import State
from longline.model.messages import Envelope
from longline.saver.port.devices import Registration
from longline.saver.port.inboxes import Cursor, Fetch
from longline.saver.port.messages import Submission
from tests.contract.scene import MINUTE, Scene, an_app


async def test_unicasts_and_broadcasts_come_in_the_order_of_acceptance(scene: Scene) -> None:
    await scene.register("a", "b")
    for n in range(10):
        await scene.push(str(n), *(("a",) if n % 3 else ()))
    assert await scene.waiting("a") == [str(n) for n in range(10)]
    assert await scene.waiting("b") == ["0", "3", "6", "9"]


async def test_pages_follow_each_other_without_gap_or_repetition(scene: Scene) -> None:
    await scene.register("a", "b")
    for n in range(23):
        await scene.push(str(n), *(("a", "b")[n % 2 : n % 2 + 1] if n % 4 else ()))
    for limit in (1, 2, 5, 100):
        seen: list[str] = []
        inbox_after, log_after, complete = 0, 0, False
        while not complete:
            page = await scene.page("a", inbox_after=inbox_after, log_after=log_after, limit=limit)
            assert len(page.pushes) <= limit
            assert page.log_after >= log_after
            assert all(push.position <= page.log_after for push in page.pushes if push.broadcast)
            seen += [push.message.payload.decode() for push in page.pushes]
            inbox_after = max([inbox_after, *(p.position for p in page.pushes if not p.broadcast)])
            log_after, complete = page.log_after, page.complete
        assert seen == [str(n) for n in range(23) if n % 4 == 0 or n % 2 == 0]


async def test_a_page_that_holds_all_is_complete(scene: Scene) -> None:
    await scene.register("a")
    for text in ("one", "two"):
        await scene.push(text, "a")
    assert (await scene.page("a", limit=2)).complete
    assert not (await scene.page("a", limit=1)).complete


async def test_a_complete_page_has_read_the_log_to_its_end(scene: Scene) -> None:
    """Also past what is not for this device, so that its cursor can pass that too."""
    await scene.register("a", "b")
    await scene.push("to all")
    await scene.ack_all("a")
    page = await scene.page("a", log_after=0)
    assert page.pushes == ()
    assert page.complete
    assert page.log_after > 0


async def test_what_is_settled_does_not_come_again(scene: Scene) -> None:
    await scene.register("a")
    await scene.push("one", "a")
    await scene.push("all")
    await scene.push("two", "a")
    for push in (await scene.page("a")).pushes[:2]:
        await scene.settle("a", push, State.ACKED)
    assert await scene.waiting("a") == ["two"]


async def test_what_is_over_is_not_fetched_even_before_it_is_ended(scene: Scene) -> None:
    await scene.register("a")
    await scene.push("short", "a", ttl=MINUTE)
    await scene.push("short to all", ttl=MINUTE)
    await scene.push("long", "a", ttl=2 * MINUTE)
    scene.now += MINUTE
    assert await scene.waiting("a") == ["long"]
    assert await scene.pending("a") == 1


async def test_what_was_written_and_not_acknowledged_is_marked(scene: Scene) -> None:
    await scene.register("a")
    await scene.push("one", "a")
    await scene.push("all")
    await scene.push("two", "a")
    one, to_all, _ = (await scene.page("a")).pushes
    await scene.settle("a", one, State.PENDING, sent_at=scene.now)
    await scene.settle("a", to_all, State.PENDING, sent_at=scene.now)
    assert [push.sent_before for push in (await scene.page("a")).pushes] == [True, True, False]


async def test_a_device_is_not_in_the_audience_of_what_was_sent_before_it_came(scene: Scene) -> None:
    await scene.register("a")
    before = await scene.push("before")
    await scene.arrive("b")
    await scene.push("after")
    assert await scene.waiting("b") == ["after"]
    assert (await scene.page("b", log_after=0)).pushes[0].message.payload == b"after"
    assert (await scene.ledger(before)).targeted == 1


async def test_a_cursor_moves_forward_and_never_back(scene: Scene) -> None:
    await scene.register("a")
    await scene.push("to all")
    page = await scene.page("a")
    ordinal = await scene.ordinal("a")
    await scene.saver.inboxes.advance([Cursor(scene.app, ordinal, page.log_after)])
    assert (await scene.arrive("a")).log_after == page.log_after
    await scene.saver.inboxes.advance(
        [Cursor(scene.app, ordinal, page.log_after - 1), Cursor(scene.app, ordinal, page.log_after - 2)]
    )
    assert (await scene.arrive("a")).log_after == page.log_after
    assert not (await scene.arrive("a")).pending


async def test_one_batch_may_advance_a_cursor_twice_and_name_who_is_gone(scene: Scene) -> None:
    await scene.register("a")
    ordinal = await scene.ordinal("a")
    start = (await scene.arrive("a")).log_after
    cursors = [Cursor(scene.app, ordinal, start + 9), Cursor(scene.app, ordinal, start + 7)]
    await scene.saver.inboxes.advance([*cursors, Cursor(scene.app, 4_000_000, 5)])
    assert (await scene.arrive("a")).log_after == start + 9


async def test_many_devices_are_read_in_one_batch_each_with_its_own(scene: Scene) -> None:
    names = [f"d{n}" for n in range(40)]
    ordinals = await scene.register(*names)
    for name in names[::2]:
        await scene.push("to " + name, name)
    await scene.push("to all")
    fetches = [Fetch(scene.app, ordinal, 0, 0, 1 + n % 2, scene.now) for n, ordinal in enumerate(ordinals)]
    halves = await asyncio.gather(
        scene.saver.inboxes.fetch(fetches[:20]), scene.saver.inboxes.fetch(fetches[20:])
    )
    pages = halves[0] + halves[1]
    for n, page in enumerate(pages):
        texts = [push.message.payload.decode() for push in page.pushes]
        assert texts == ([f"to d{n}"] if n % 2 == 0 else ["to all"])
        assert page.complete is (n % 2 == 1)


async def test_a_batch_may_ask_for_devices_of_several_apps(scene: Scene) -> None:
    (mine,) = await scene.register("a")
    other = (await scene.saver.apps.create(an_app("weather"))).number
    (theirs,) = await scene.saver.devices.put(other, [Registration("a", Profile())], scene.now)
    await scene.push("news")
    await scene.submit(Submission(other, (Envelope(scene.message("rain"), Everyone()),), scene.now))
    asked = ((scene.app, mine), (other, theirs.ordinal))
    pages = await scene.saver.inboxes.fetch(
        [Fetch(app, ordinal, 0, 0, 9, scene.now) for app, ordinal in asked]
    )
    assert [[push.message.payload for push in page.pushes] for page in pages] == [[b"news"], [b"rain"]]


async def test_an_unknown_device_has_nothing(scene: Scene) -> None:
    (page,) = await scene.saver.inboxes.fetch([Fetch(scene.app, 77, 0, 0, 9, scene.now)])
    assert page.pushes == ()
    assert page.complete


async def test_large_messages_fit_into_a_page(scene: Scene) -> None:
    await scene.register("a")
    texts = [str(n % 10) * 256 * 1024 for n in range(24)]
    for text in texts:
        await scene.push(text, "a")
    assert await scene.waiting("a") == texts


async def test_a_page_has_a_bounded_number_of_bytes_but_always_one_message(scene: Scene) -> None:
    await scene.register("a")
    texts = [letter * size for letter, size in zip("abcdef", (900, 900, 900, 5000, 900, 900), strict=True)]
    for text in texts:
        await scene.push(text, "a")
    await scene.push("to all")
    ordinal = await scene.ordinal("a")
    log_after = (await scene.arrive("a")).log_after
    got: list[list[str]] = []
    inbox_after = 0
    complete = False
    while not complete:
        fetch = Fetch(scene.app, ordinal, inbox_after, log_after, 10, scene.now, 2500)
        (page,) = await scene.saver.inboxes.fetch([fetch])
        got.append([push.message.payload.decode() for push in page.pushes])
        inbox_after = max([inbox_after, *(push.position for push in page.pushes if not push.broadcast)])
        log_after, complete = page.log_after, page.complete
    assert [text for page_texts in got for text in page_texts] == [*texts, "to all"]
    assert got[:3] == [texts[:2], texts[2:3], texts[3:4]]
