"""Timers: what is to be sent later is found at its time, changed by one at a time, and bounded."""

from dataclasses import dataclass
from uuid import UUID

import msgspec
import pytest

from longline.saver.port.messages import IdempotencyConflict, Refused
from longline.saver.port.schedules import OVERHEAD, Added, AddTimers, Timer, TimerKind, TimerPage
from tests.contract.engines import TIMER_BYTES, TIMERS_OF_A_KIND
from tests.contract.store_fixture import MINUTE, START, StoreFixture, an_app

MANY = 50


@dataclass
class Timers:
    """The timers of a store, in the words of this suite."""

    store: StoreFixture
    count: int = 0

    def timer(
        self,
        *,
        due: int = MINUTE,
        kind: TimerKind = TimerKind.MESSAGE,
        body: bytes = b"what to do",
        is_open: bool = True,
        app: int | None = None,
    ) -> Timer:
        """One that is due so long after the start of time; 0: never."""
        self.count += 1
        return Timer(
            id=str(UUID(int=(START << 80) | (7 << 76) | (2 << 62) | self.count)),
            app=self.store.app if app is None else app,
            kind=kind,
            due=START + due if due else 0,
            body=body,
            open=is_open,
        )

    async def add(self, *timers: Timer) -> None:
        """Adds timers of one app, which has room for them."""
        (answer,) = await self.store.saver.schedules.add([self.adding(*timers)])
        assert answer == Added(tuple(timer.id for timer in timers))

    def adding(self, *timers: Timer, key: str | None = None, digest: bytes = b"") -> AddTimers:
        return AddTimers(timers[0].app, timers, self.store.now, key, digest, MINUTE)

    async def ask(self, *timers: Timer, key: str | None = None, digest: bytes = b"") -> object:
        (answer,) = await self.store.saver.schedules.add([self.adding(*timers, key=key, digest=digest)])
        return answer

    async def due(self, after: int, limit: int = 1000) -> list[Timer]:
        """What is due so long after the start of time."""
        return list((await self.store.saver.schedules.due(START + after, limit)).timers)

    async def waiting(self) -> int:
        return (await self.store.saver.schedules.due(START, 1)).waiting

    async def find(self, timer: Timer) -> Timer | None:
        return await self.store.saver.schedules.find(timer.app, timer.id)

    async def ids(self, kind: TimerKind = TimerKind.MESSAGE, after: str = "", limit: int = 1000) -> list[str]:
        page = await self.store.saver.schedules.page(self.store.app, kind, after, limit)
        return [timer.id for timer in page.timers]

    async def change(self, timer: Timer) -> bool:
        return await self.store.saver.schedules.change(timer)


@pytest.fixture
def timers(store: StoreFixture) -> Timers:
    return Timers(store)


def changed(timer: Timer, **what: object) -> Timer:
    """The timer as its next version."""
    return msgspec.structs.replace(timer, version=timer.version + 1, **what)


# --- being there ---------------------------------------------------------------------------------


async def test_a_timer_is_found_as_it_was_stored(timers: Timers) -> None:
    """Whatever bytes its body has, and also after a restart."""
    timer = timers.timer(body=bytes(range(256)))
    schedule = timers.timer(kind=TimerKind.SCHEDULE, due=0, is_open=False)
    await timers.add(timer, schedule)
    await timers.store.reopen()
    assert await timers.find(timer) == timer
    assert await timers.find(schedule) == schedule


async def test_nothing_is_found_that_is_not_there(timers: Timers) -> None:
    """Neither another id, nor what is none, nor another app's."""
    other = await timers.store.saver.apps.create(an_app("other"))
    timer = timers.timer()
    await timers.add(timer)
    assert await timers.find(timers.timer()) is None
    assert await timers.store.saver.schedules.find(timers.store.app, "no id") is None
    assert await timers.store.saver.schedules.find(other.number, timer.id) is None


async def test_timers_are_listed_by_kind_and_page_by_page(timers: Timers) -> None:
    """In the order of their ids, each once, those of the other kind left out."""
    messages = [timers.timer(body=b"%d" % number) for number in range(5)]
    schedule = timers.timer(kind=TimerKind.SCHEDULE)
    await timers.add(*messages, schedule)
    names = [timer.id for timer in messages]
    assert await timers.ids() == names
    assert await timers.ids(TimerKind.SCHEDULE) == [schedule.id]
    assert await timers.ids(limit=2) == names[:2]
    assert await timers.ids(after=names[1], limit=2) == names[2:4]
    assert await timers.ids(after=names[4]) == []
    for limit, more in ((4, True), (5, False), (6, False)):
        page = await timers.store.saver.schedules.page(timers.store.app, TimerKind.MESSAGE, "", limit)
        assert page.more is more


async def test_many_are_stored_at_once(timers: Timers) -> None:
    """All of a request, whatever their bodies look like."""
    many = [timers.timer(body=b"'%d\x00" % number, due=number + 1) for number in range(MANY)]
    await timers.add(*many)
    page = await timers.store.saver.schedules.page(timers.store.app, TimerKind.MESSAGE, "", MANY)
    assert page == TimerPage(tuple(many), False)


# --- being due -----------------------------------------------------------------------------------


async def test_a_timer_is_due_at_its_time_and_not_before(timers: Timers) -> None:
    """And stays due until it is changed."""
    timer = timers.timer(due=MINUTE)
    await timers.add(timer)
    assert await timers.due(MINUTE - 1) == []
    assert await timers.due(MINUTE) == [timer]
    assert await timers.due(100 * MINUTE) == [timer]


async def test_a_timer_without_a_time_is_never_due(timers: Timers) -> None:
    await timers.add(timers.timer(due=0))
    assert await timers.due(100 * MINUTE) == []
    assert await timers.waiting() == 0


async def test_those_due_longest_come_first_and_no_more_than_asked_for(timers: Timers) -> None:
    """So what comes meanwhile keeps none from its turn."""
    later, sooner = timers.timer(due=2 * MINUTE), timers.timer(due=MINUTE)
    await timers.add(later, sooner)
    assert await timers.due(3 * MINUTE) == [sooner, later]
    many = [timers.timer(due=3 * MINUTE) for _ in range(MANY)]
    await timers.add(*many)
    few = await timers.due(3 * MINUTE, limit=16)
    assert len(few) <= 16
    assert few[0] == sooner


async def test_what_one_app_has_waiting_keeps_no_other_waiting(timers: Timers) -> None:
    """However much it is, and however long it has been due."""
    other = await timers.store.saver.apps.create(an_app("other"))
    await timers.add(*[timers.timer(due=1) for _ in range(MANY)])
    theirs = timers.timer(due=MINUTE, app=other.number)
    await timers.add(theirs)
    assert theirs in await timers.due(MINUTE, limit=16)


async def test_it_is_told_how_many_will_be_due_some_time(timers: Timers) -> None:
    """Those that are never due, changed or removed are not among them."""
    first, second, third = [timers.timer() for _ in range(3)]
    await timers.add(first, second, third, timers.timer(due=0))
    assert await timers.waiting() == 3
    assert await timers.change(changed(first, due=0))
    assert await timers.waiting() == 2
    assert await timers.change(changed(second, due=START + 5 * MINUTE))
    assert await timers.waiting() == 2
    assert await timers.store.saver.schedules.remove(third.app, third.id)
    assert await timers.waiting() == 1


# --- being changed -------------------------------------------------------------------------------


async def test_a_change_moves_a_timer_to_its_next_time(timers: Timers) -> None:
    timer = timers.timer(due=MINUTE)
    await timers.add(timer)
    moved = changed(timer, due=START + 2 * MINUTE, body=b"done once")
    assert await timers.change(moved)
    assert await timers.due(2 * MINUTE - 1) == []
    assert await timers.due(2 * MINUTE) == [moved]
    assert await timers.find(timer) == moved


async def test_of_two_changes_of_one_state_one_is_done(timers: Timers) -> None:
    """The other is told, and changes nothing."""
    timer = timers.timer()
    await timers.add(timer)
    first, second = changed(timer, body=b"first"), changed(timer, body=b"second")
    assert await timers.change(first)
    assert not await timers.change(second)
    assert await timers.find(timer) == first
    assert not await timers.change(changed(changed(first)))


async def test_what_is_not_there_is_not_changed(timers: Timers) -> None:
    timer = timers.timer()
    assert not await timers.change(changed(timer))
    assert await timers.find(timer) is None


async def test_what_was_removed_is_gone(timers: Timers) -> None:
    """It is neither due, nor listed, nor can it be changed; and it is removed once."""
    timer = timers.timer()
    await timers.add(timer)
    assert await timers.store.saver.schedules.remove(timer.app, timer.id)
    assert not await timers.store.saver.schedules.remove(timer.app, timer.id)
    assert await timers.find(timer) is None
    assert await timers.ids() == []
    assert await timers.due(100 * MINUTE) == []
    assert not await timers.change(changed(timer))


async def test_a_version_that_somebody_else_has_changed_is_not_removed(timers: Timers) -> None:
    timer = timers.timer()
    await timers.add(timer)
    assert await timers.change(changed(timer))
    assert not await timers.store.saver.schedules.remove(timer.app, timer.id, timer.version)
    assert await timers.find(timer) == changed(timer)
    assert await timers.store.saver.schedules.remove(timer.app, timer.id, timer.version + 1)


# --- bounds --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TimerKind)
async def test_an_app_has_so_many_of_a_kind_and_no_more(timers: Timers, kind: TimerKind) -> None:
    """A request goes in whole or not at all; what is not open, and the other kind, counts nothing."""
    most = TIMERS_OF_A_KIND
    full = [timers.timer(kind=kind) for _ in range(most - 1)]
    await timers.add(*full)
    assert await timers.ask(timers.timer(kind=kind), timers.timer(kind=kind)) == Refused("quota_exceeded")
    assert len(await timers.ids(kind)) == most - 1
    last = timers.timer(kind=kind)
    await timers.add(last)
    assert await timers.ask(timers.timer(kind=kind)) == Refused("quota_exceeded")
    await timers.add(timers.timer(kind=TimerKind(1 - kind)))
    assert await timers.change(changed(last, open=False))
    await timers.add(timers.timer(kind=kind))
    assert await timers.ask(timers.timer(kind=kind)) == Refused("quota_exceeded")
    assert await timers.store.saver.schedules.remove(full[0].app, full[0].id)
    await timers.add(timers.timer(kind=kind))


async def test_an_app_has_so_many_bytes_and_no_more(timers: Timers) -> None:
    """Of bodies, and some for each timer; they are given back when a timer becomes smaller, or goes."""
    half = timers.timer(body=bytes(TIMER_BYTES // 2 - OVERHEAD))
    other = timers.timer(body=bytes(TIMER_BYTES // 2 - OVERHEAD))
    await timers.add(half, other)
    small = timers.timer(body=b"")
    assert await timers.ask(small) == Refused("quota_exceeded")
    assert await timers.change(changed(half, body=b""))
    await timers.add(small)
    assert await timers.ask(timers.timer(body=bytes(TIMER_BYTES // 2))) == Refused("quota_exceeded")
    assert await timers.store.saver.schedules.remove(other.app, other.id)
    await timers.add(timers.timer(body=bytes(TIMER_BYTES // 2)))


# --- keys ----------------------------------------------------------------------------------------


async def test_a_repeated_request_stores_nothing_and_repeats_its_ids(timers: Timers) -> None:
    """Also after a restart; another request of the same key is refused, another key is another request."""
    first, second = timers.timer(), timers.timer()
    ids = (first.id, second.id)
    assert await timers.ask(first, second, key="k", digest=b"d") == Added(ids)
    await timers.store.reopen()
    again = [timers.timer(), timers.timer()]
    assert await timers.ask(*again, key="k", digest=b"d") == Added(ids, replayed=True)
    assert await timers.ask(*again, key="k", digest=b"other") == IdempotencyConflict()
    assert await timers.ids() == [*ids]
    third = timers.timer()
    assert await timers.ask(third, key="other", digest=b"d") == Added((third.id,))


async def test_a_key_is_forgotten_after_its_time(timers: Timers) -> None:
    await timers.ask(timers.timer(), key="k", digest=b"d")
    timers.store.now += MINUTE
    await timers.store.saver.expiry.end(timers.store.now, 1000)
    timer = timers.timer()
    assert await timers.ask(timer, key="k", digest=b"other") == Added((timer.id,))


async def test_a_refused_request_leaves_its_key_free(timers: Timers) -> None:
    """There may be room when it comes again."""
    full = [timers.timer() for _ in range(TIMERS_OF_A_KIND)]
    await timers.add(*full)
    timer = timers.timer()
    assert await timers.ask(timer, key="k", digest=b"d") == Refused("quota_exceeded")
    assert await timers.store.saver.schedules.remove(full[0].app, full[0].id)
    assert await timers.ask(timer, key="k", digest=b"d") == Added((timer.id,))


# --- apps ----------------------------------------------------------------------------------------


async def test_an_app_that_is_not_there_gets_none(timers: Timers) -> None:
    assert await timers.ask(timers.timer(app=999)) == Refused("app_not_found")


async def test_a_deleted_app_takes_its_timers_with_it(timers: Timers) -> None:
    """At once for whoever asks; and what they took up is freed."""
    saver = timers.store.saver
    timer, schedule = timers.timer(), timers.timer(kind=TimerKind.SCHEDULE)
    assert await timers.ask(timer, schedule, key="k", digest=b"d") == Added((timer.id, schedule.id))
    await saver.apps.delete(timers.store.app)
    assert await timers.find(timer) is None
    assert await timers.ids() == []
    assert await timers.due(100 * MINUTE) == []
    assert not await timers.change(changed(timer))
    assert not await saver.schedules.remove(timer.app, timer.id)
    assert await timers.ask(timers.timer()) == Refused("app_not_found")
    while await saver.expiry.end(timers.store.now, 1000):
        pass
    assert await saver.expiry.next_due() is None
    assert await timers.waiting() == 0
