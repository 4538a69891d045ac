"""Webhooks: changed in one step with what becomes of dead events, which are bounded and go with their app."""

import asyncio
from collections.abc import Sequence

import msgspec

from longline.model.access import FormerSecret
from longline.model.events import UPSTREAM, Event
from longline.model.webhooks import REFUSED, DeadEvent, DeadTotals, Progress, Webhook
from longline.saver.port.webhooks import WebhookChange, WebhookMark
from tests.contract.engines import DEAD_BYTES, DEAD_EVENTS, EVENTS
from tests.contract.store_fixture import StoreFixture, an_app

FIRST = 1_800_000_000_000_000  # of the versions


class Hook:
    """The webhook of an app, in the words of this suite."""

    def __init__(self, store: StoreFixture, app: int | None = None) -> None:
        self.store = store
        self.app = store.app if app is None else app
        self.version = 0

    def webhook(self, version: int, **progress: object) -> Webhook:
        return Webhook(
            app=self.app,
            name="news",
            url="https://example.org/é",
            secret="whsec_secret",
            former_secret=FormerSecret("whsec_former", 1),
            events=("upstream", "presence"),
            created_at=FIRST // 1000,
            version=version,
            progress=msgspec.convert(progress, Progress),
        )

    def event(self, number: int, device: str = "d1", size: int = 10) -> DeadEvent:
        event = Event(self.app, UPSTREAM, device, number, b"{}", "", 0, payload=b"\xff" * size)
        return DeadEvent(cursor=str(number), event=event, reason=REFUSED, error="it answered 422", at=7)

    async def change(
        self,
        *dead: DeadEvent,
        taken: Sequence[int] = (),
        refused: Sequence[int] = (),
        before: int | None = None,
        **progress: object,
    ) -> bool:
        """From the version that it has, unless another is given."""
        before = self.version if before is None else before
        changed = self.webhook(before + 1 if before else FIRST, **progress)
        done = await self.store.saver.webhooks.change(
            WebhookChange(changed, before, dead, tuple(map(str, taken)), tuple(map(str, refused)))
        )
        if done:
            self.version = changed.version
        return done

    async def numbers(self, *, again: bool = False) -> list[int]:
        page = await self.store.saver.webhooks.dead(self.app, "", 1000, again=again)
        assert not page.more
        return [int(dead.cursor) for dead in page.events]

    async def totals(self) -> DeadTotals:
        found = await self.store.saver.webhooks.find(self.app)
        assert found is not None
        return found[1]

    async def counts(self) -> tuple[int, int, int]:
        """How many are kept, are to be sent once more, and were dropped."""
        totals = await self.totals()
        assert (totals.bytes > 0) == (totals.events > 0)
        return totals.events, totals.again, totals.dropped


async def test_a_webhook_is_found_as_it_was_left(store: StoreFixture) -> None:
    """Also after the store was opened anew; nobody else has one by that."""
    hook = Hook(store)
    assert await store.saver.webhooks.find(store.app) is None
    assert await hook.change(after="12", failures=3, error="it answered 500")
    await store.reopen()
    found = await store.saver.webhooks.find(store.app)
    assert found == (hook.webhook(FIRST, after="12", failures=3, error="it answered 500"), DeadTotals())
    assert await store.saver.webhooks.find(9_999) is None


async def test_of_those_who_change_one_version_one_is_done(store: StoreFixture) -> None:
    hook = Hook(store)
    assert not await hook.change(before=FIRST)
    assert await hook.change()
    done = await asyncio.gather(*(hook.change(before=FIRST, taken_at=each) for each in range(5)))
    assert sorted(done) == [False] * 4 + [True]
    assert not await hook.change(before=0)


async def test_an_app_that_is_not_there_has_no_webhook(store: StoreFixture) -> None:
    hook = Hook(store, app=9_999)
    assert not await hook.change()
    assert not await store.saver.webhooks.remove(9_999)
    assert await store.saver.webhooks.replay(9_999, None) == 0
    assert await hook.numbers() == []
    assert await store.saver.webhooks.marks(0, 10) == []


async def test_those_of_all_apps_are_told_by_their_numbers(store: StoreFixture) -> None:
    apps = [await store.saver.apps.create(an_app(name)) for name in ("a", "b", "c", "d", "e")]
    hooks = [Hook(store), *(Hook(store, app.number) for app in apps)]
    for hook in hooks[1:]:
        assert await hook.change()
    assert await hooks[3].change(hooks[3].event(5))
    assert await store.saver.webhooks.replay(hooks[3].app, None) == 1
    found = await store.saver.webhooks.marks(0, 3)
    found = [*found, *await store.saver.webhooks.marks(found[-1].app, 3)]
    assert found == [
        WebhookMark(hook.app, hook.version, int(hook is hooks[3]))
        for hook in sorted(hooks[1:], key=lambda hook: hook.app)
    ]


async def test_what_is_given_up_is_dead_in_the_same_step(store: StoreFixture) -> None:
    """With all that there is to know of it; when the change is refused, nothing is."""
    hook = Hook(store)
    assert await hook.change()
    assert await hook.change(hook.event(30), hook.event(10), after="30")
    assert not await hook.change(hook.event(40), before=FIRST)
    await store.reopen()
    page = await store.saver.webhooks.dead(store.app, "", 10)
    assert page.events == (hook.event(10), hook.event(30))
    assert await hook.counts() == (2, 0, 0)
    assert await hook.change(hook.event(10, "d2"))  # once more
    page = await store.saver.webhooks.dead(store.app, "", 10)
    assert page.events == (hook.event(10, "d2"), hook.event(30))


async def test_dead_events_are_read_page_by_page(store: StoreFixture) -> None:
    hook = Hook(store)
    assert await hook.change()
    assert await hook.change(*map(hook.event, range(1, 8)))
    first = await store.saver.webhooks.dead(store.app, "", 4)
    second = await store.saver.webhooks.dead(store.app, first.events[-1].cursor, 4)
    assert ([int(dead.cursor) for dead in first.events], first.more) == ([1, 2, 3, 4], True)
    assert ([int(dead.cursor) for dead in second.events], second.more) == ([5, 6, 7], False)
    assert (await store.saver.webhooks.dead(store.app, "no cursor", 10)).events == (
        first.events + second.events
    )


async def test_what_is_to_be_sent_once_more_is_until_it_is_taken_or_refused(store: StoreFixture) -> None:
    hook = Hook(store)
    assert await hook.change()
    assert await hook.change(*map(hook.event, range(1, 6)))
    assert await store.saver.webhooks.replay(store.app, ["2", "4", "99", "no cursor"]) == 2
    assert await store.saver.webhooks.replay(store.app, ["4"]) == 1
    assert await hook.numbers(again=True) == [2, 4]
    assert await hook.counts() == (5, 2, 0)
    page = await store.saver.webhooks.dead(store.app, "", 3)
    assert [dead.again for dead in page.events] == [False, True, False]
    assert await hook.change(taken=[2, 99], refused=[4, 5])
    assert await hook.numbers() == [1, 3, 4, 5]
    assert await hook.numbers(again=True) == []
    assert await store.saver.webhooks.replay(store.app, None) == 4
    assert await hook.counts() == (4, 4, 0)
    assert await hook.change(taken=[1, 3, 4, 5])
    assert await hook.counts() == (0, 0, 0)


async def test_of_more_than_are_kept_the_oldest_are_dropped_and_counted(store: StoreFixture) -> None:
    hook = Hook(store)
    assert await hook.change()
    for first in range(1, 61, 15):
        assert await hook.change(*map(hook.event, range(first, first + 15)))
    assert await hook.numbers() == list(range(61 - DEAD_EVENTS, 61))
    assert await hook.counts() == (DEAD_EVENTS, 0, 60 - DEAD_EVENTS)
    assert await store.saver.webhooks.replay(store.app, None) == DEAD_EVENTS
    assert await hook.change(hook.event(100, size=DEAD_BYTES - 500))
    kept, again, dropped = await hook.counts()
    assert (again, kept + dropped) == (kept - 1, 61)
    assert (await hook.totals()).bytes <= DEAD_BYTES
    assert await hook.change(hook.event(101, size=2 * DEAD_BYTES))
    assert await hook.counts() == (0, 0, 62)


async def test_a_webhook_takes_its_dead_events_with_it(store: StoreFixture) -> None:
    hook = Hook(store)
    assert await hook.change()
    assert await hook.change(hook.event(1))
    await store.saver.webhooks.replay(store.app, None)
    assert await store.saver.webhooks.remove(store.app)
    assert not await store.saver.webhooks.remove(store.app)
    assert await store.saver.webhooks.find(store.app) is None
    assert await store.saver.webhooks.marks(0, 10) == []
    hook.version = 0
    assert await hook.change()
    assert await hook.numbers() == []
    assert await hook.counts() == (0, 0, 0)


async def test_an_app_takes_its_webhook_with_it(store: StoreFixture) -> None:
    """At once; and what there was of it is gone when what is over was ended."""
    hook = Hook(store)
    assert await hook.change()
    assert await hook.change(*map(hook.event, range(1, 10)))
    await store.saver.apps.delete(store.app)
    assert await store.saver.webhooks.find(store.app) is None
    assert await store.saver.webhooks.marks(0, 10) == []
    assert await hook.numbers() == []
    assert not await hook.change()
    while await store.saver.expiry.end(store.now, 1000):
        pass
    assert await store.saver.webhooks.marks(0, 10) == []
    again = Hook(store, (await store.saver.apps.create(an_app("news"))).number)
    assert await store.saver.webhooks.find(again.app) is None
    assert await again.change()
    assert await again.counts() == (0, 0, 0)


async def test_a_device_takes_its_dead_events_with_it(store: StoreFixture) -> None:
    hook = Hook(store)
    await store.register("d1", "d2")
    assert await hook.change()
    assert await hook.change(hook.event(1), hook.event(2, "d2"), hook.event(3))
    await store.saver.webhooks.replay(store.app, None)
    assert await store.saver.devices.delete(store.app, "d1", store.now)
    assert await hook.numbers() == [2]
    assert await hook.counts() == (1, 1, 0)
    assert await store.saver.devices.delete(store.app, "d2", store.now)
    assert await hook.counts() == (0, 0, 0)


async def test_the_end_of_the_queue_is_behind_what_is_there_and_before_what_comes(
    store: StoreFixture,
) -> None:
    """Also when nothing ever was; what is removed from there on is a gap, and nothing else is."""
    events = store.saver.events

    async def append(*numbers: int) -> None:
        await events.append(
            [Event(store.app, UPSTREAM, f"d{each}", each, b"{}", "s", each) for each in numbers]
        )

    async def read(after: str) -> tuple[list[int], bool]:
        page = await events.read(store.app, after, 1000)
        return [event.at for _, event in page.events], page.gap

    first = await events.end(store.app)
    assert await read(first) == ([], False)
    await append(1)
    assert await read(first) == ([1], False)
    second = await events.end(store.app)
    assert await read(second) == ([], False)
    await append(2)
    assert await read(second) == ([2], False)
    await append(*range(3, 3 + EVENTS))
    assert (await read(first))[1]
    assert (await read(second))[1]


async def test_the_ends_of_many_queues_are_told_at_once(store: StoreFixture) -> None:
    """In the order in which they were asked for; nothing, where nothing ever was."""
    apps = [await store.saver.apps.create(an_app(name)) for name in ("a", "b", "c", "d", "e", "f")]
    numbers = [app.number for app in apps]
    events = store.saver.events
    assert await events.ends([]) == []
    assert await events.ends([*numbers, 9_999]) == [""] * 7
    for number in numbers[::2]:
        await events.append([Event(number, UPSTREAM, "d", at, b"{}", f"s{number}", at) for at in (1, 2)])
    told = await events.ends([*reversed(numbers), numbers[0]])
    assert told[-1] == told[5]
    for number, end in zip(reversed(numbers), told, strict=False):
        page = await events.read(number, "", 9)
        assert bool(page.events) == bool(end)
        assert not page.events or int(end) >= int(page.events[-1][0])
        assert not end or (await events.read(number, end, 9)).events == []
