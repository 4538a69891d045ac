"""What is to be sent later is sent at its time, once, whoever dies meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from longline.bus.local import LocalBus
from longline.coordinator.schedules import LATER, Schedules
from longline.delivery.calendar import milliseconds
from longline.delivery.checking import AudienceBounds
from longline.delivery.counters import DeliveryCounters
from longline.delivery.draft import Draft
from longline.delivery.limits import LimitsOfApps
from longline.delivery.pipeline import Pipeline
from longline.delivery.plans import DEVICE, FIRINGS, KEPT, Schedule
from longline.delivery.rates import MessageRates
from longline.delivery.timetable import Promised, Taken, Timetable, coming
from longline.delivery.zones import Zones, in_zones
from longline.errors import (
    IdempotencyMismatch,
    InvalidCron,
    InvalidSendAt,
    InvalidTimezone,
    LonglineError,
    NoTarget,
    PayloadEmpty,
    QuotaExceeded,
    ScheduleNotFound,
    Unavailable,
)
from longline.model.apps import App
from longline.model.audience import Aliases, Devices, Everyone, NoneOf, Tagged, Wanted
from longline.model.devices import Profile
from longline.model.limits import Limits
from longline.register.memory import MemoryRegister
from longline.saver.bounds import SaverBounds
from longline.saver.port.devices import Registration
from longline.saver.port.inboxes import Fetch
from longline.saver.port.messages import Accepted
from longline.saver.port.schedules import Timer, TimerBounds
from longline.saver.sql.engine import SqliteSaver
from longline.saver.sql.rates import LocalRates
from longline.telemetry.faults import Faults

MINUTE, HOUR = 60_000, 3_600_000  # ms
MOST = 5  # timers of a kind


class Died(BaseException):
    """The process ended at this line."""


def at(text: str) -> int:
    """A moment in UTC, in ms."""
    return milliseconds(datetime.fromisoformat(text).replace(tzinfo=UTC))


async def for_ever(seconds: float) -> None:
    """The store is not told again: that would go by another clock than the one that is moved."""
    await asyncio.Event().wait()


class World:
    """A store, those who fill it and who empties it, and a clock that stands still until it is moved."""

    def __init__(self, saver: SqliteSaver, bus: LocalBus, app: App) -> None:
        self.saver = saver
        self.bus = bus
        self.app = app
        self.now = at("2026-06-01T12:00:00")  # a Monday
        self.faults = Faults()
        self.limits = LimitsOfApps()
        self.lead()

    def lead(self) -> None:
        """Another process does the duty from now on."""
        pipeline = Pipeline(
            messages=self.saver.messages,
            audiences=self.saver.audiences,
            devices=self.saver.devices,
            routing=self.saver.routing,
            inboxes=self.saver.inboxes,
            bus=self.bus,
            counters=DeliveryCounters(),
            default_ttl=60,
            online_grace=30.0,
            idempotency_ttl=86_400,
            bounds=in_zones(AudienceBounds()),
            rates=MessageRates(
                LocalRates(lambda: self.now / 1000),
                self.limits,
                monotonic=lambda: self.now / 1000,
                sleep=for_ever,
            ),
        )
        self.timetable = Timetable(
            pipeline, self.saver.messages, self.saver.schedules, idempotency_ttl=86_400
        )
        self.duty = Schedules(
            pipeline,
            self.saver.apps,
            Zones(self.saver.devices, self.saver.audiences, AudienceBounds()),
            self.saver.messages,
            self.saver.schedules,
            self.faults,
            clock=lambda: self.now,
        )

    async def devices(self, **zones: str | None) -> None:
        batch = [
            Registration(name, Profile(aliases=("people",), timezone=zone)) for name, zone in zones.items()
        ]
        await self.saver.devices.put(self.app.number, batch, self.now)

    async def send(
        self, *drafts: Draft | LonglineError, key: str | None = None, digest: bytes = b"d"
    ) -> Taken:
        return await self.timetable.send(self.app, drafts, self.now, key=key, digest=digest)

    async def promise(self, send_at: str, audience: Wanted = Everyone()) -> str:  # noqa: B008
        """Stores a message for later; its id."""
        ((result,), _) = await self.send(a_draft(send_at, audience))
        assert isinstance(result, Promised)
        return result.message_id

    async def schedule(
        self,
        cron: str,
        timezone: str = "Europe/Berlin",
        audience: Wanted = Everyone(),  # noqa: B008
    ) -> str:
        made = await self.timetable.schedule(
            self.app, a_draft(None, audience), b"{}", cron, timezone, self.now
        )
        return made.id

    async def work(self, until: str | int | None = None) -> None:
        """Has the duty done now, or at each moment until another at which there is something to do."""
        end = self.now if until is None else at(until) if isinstance(until, str) else until
        while True:
            while await self.duty.round():
                pass
            found = await self.saver.schedules.due(end, 1)
            if not found.timers:
                break
            self.now = max(self.now, found.timers[0].due)
        self.now = end

    async def got(self, device: str) -> list[str]:
        """What waits for a device: when it was sent, oldest first."""
        (found,) = await self.saver.devices.find(self.app.number, [device])
        assert found is not None
        fetch = Fetch(self.app.number, found.ordinal, 0, 0, 1000, self.now)
        (page,) = await self.saver.inboxes.fetch([fetch])
        return [
            datetime.fromtimestamp(push.message.created_at / 1000, UTC).strftime("%d %H:%M")
            for push in page.pushes
        ]


def a_draft(send_at: str | None, audience: Wanted = Everyone(), ttl: int = 2_419_200) -> Draft:  # noqa: B008
    return Draft(audience=audience, payload=b"x", content_type="text/plain", ttl=ttl, send_at=send_at)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    register, bus = MemoryRegister(), LocalBus(1000)
    saver = await SqliteSaver.open(
        tmp_path / "longline.db",
        locate=register.locate_now,
        bounds=SaverBounds(timers=TimerBounds(MOST, MOST)),
    )
    app = await saver.apps.create(
        App(
            app="news",
            number=0,
            name="news",
            server_key_hash=bytes(32),
            device_secret="s",
            pubsub=False,
            created_at=0,
        )
    )
    yield World(saver, bus, app)
    await saver.close()


def dying(method: Callable[..., object]) -> Callable[..., object]:
    """The process dies where it would call this."""

    async def dies(*arguments: object) -> object:
        raise Died

    return dies


# --- messages ------------------------------------------------------------------------------------


async def test_a_message_is_sent_at_its_time_and_not_before(world: World) -> None:
    """Under the id that was promised for it; its time to live begins then."""
    await world.devices(d1=None)
    id = await world.promise("2026-06-01T15:00:00+02:00")
    world.now = at("2026-06-01T12:59:59")
    await world.work()
    assert await world.got("d1") == []
    world.now = at("2026-06-01T13:00:00")
    await world.work()
    status = await world.saver.ledgers.status(world.app.number, id)
    assert status is not None
    assert status.message.created_at == world.now
    assert status.message.expires_at == world.now + 2_419_200_000
    assert status.ledger.pending == 1
    assert await world.timetable.find(world.app, id) is None
    assert (world.duty.fired, world.duty.late) == (1, 0)


async def test_who_is_in_the_audience_is_seen_at_its_time(world: World) -> None:
    """Who came after it was accepted gets it, and who went does not."""
    await world.devices(gone=None)
    id = await world.promise("2026-06-01T13:00:00Z")
    await world.saver.devices.delete(world.app.number, "gone", world.now)
    await world.devices(new=None)
    await world.work("2026-06-01T13:00:00")
    assert await world.got("new") == ["01 13:00"]
    status = await world.saver.ledgers.status(world.app.number, id)
    assert status is not None
    assert status.ledger.targeted == 1


async def test_a_time_that_is_over_is_now(world: World) -> None:
    await world.devices(d1=None)
    await world.promise("2026-05-01T00:00:00Z")
    await world.work()
    assert await world.got("d1") == ["01 12:00"]
    assert (world.duty.fired, world.duty.late) == (1, 0), "nobody was late"


async def test_what_nobody_could_send_in_time_is_sent_later(world: World) -> None:
    """However much later, and it is told by how much."""
    await world.devices(d1=None)
    await world.promise("2026-06-01T13:00:00Z")
    world.now = at("2026-06-03T00:00:00")
    await world.work()
    assert await world.got("d1") == ["03 00:00"]
    assert world.duty.late == 35 * HOUR


async def test_when_nobody_is_there_at_its_time_it_says_so(world: World) -> None:
    """For a while; then it is forgotten."""
    id = await world.promise("2026-06-01T13:00:00Z")
    await world.work("2026-06-01T13:00:00")
    plan = await world.timetable.find(world.app, id)
    assert plan is not None
    assert (plan.draft, plan.error) == (None, NoTarget.code)
    await world.work(world.now + KEPT)
    assert await world.timetable.find(world.app, id) is None
    assert (await world.saver.schedules.due(world.now, 1)).waiting == 0


async def test_what_meets_the_limit_of_its_app_waits_in_line(world: World) -> None:
    """As long as it takes, and each is put off once, however many there are."""
    await world.devices(d1=None)
    world.limits.defaults = Limits(messages_per_second=1)
    for _ in range(MOST):
        await world.promise("2026-06-01T13:00:00Z")
    await world.work("2026-06-01T13:00:00")
    assert await world.got("d1") == ["01 13:00"]
    assert world.duty.delayed == MOST - 1
    await world.work(world.now + (MOST - 1) * 1000)
    assert len(await world.got("d1")) == MOST
    assert world.duty.delayed == MOST - 1
    assert (await world.saver.schedules.due(world.now, 1)).waiting == 0


async def test_a_schedule_that_waits_for_its_limit_skips_nothing(world: World) -> None:
    await world.devices(d1=None)
    world.limits.defaults = Limits(messages_per_second=1)
    for _ in range(3):
        await world.schedule("0 15 * * *")
    await world.work("2026-06-03T14:00:00")
    assert sorted(await world.got("d1")) == ["01 13:00"] * 3 + ["02 13:00"] * 3 + ["03 13:00"] * 3


@pytest.mark.parametrize("method", ["remove", "due"])
async def test_whoever_dies_in_between_a_message_is_sent_once(
    world: World, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before it is stored, and after it is stored and before that is noted."""
    await world.devices(d1=None)
    await world.promise("2026-06-01T13:00:00Z")
    world.now = at("2026-06-01T13:00:00")
    with monkeypatch.context() as patched:
        patched.setattr(world.saver.schedules, method, dying(world.saver.schedules.remove))
        with pytest.raises(Died):
            await world.work()
    world.lead()
    world.now += 10 * MINUTE
    await world.work()
    assert len(await world.got("d1")) == 1
    assert (await world.saver.schedules.due(world.now, 1)).waiting == 0


async def test_a_message_that_is_cancelled_before_its_time_is_not_sent(world: World) -> None:
    await world.devices(d1=None)
    id = await world.promise("2026-06-01T13:00:00Z")
    assert await world.timetable.cancel(world.app, id, world.now)
    assert await world.timetable.cancel(world.app, id, world.now)  # it is so already
    await world.work("2026-06-01T14:00:00")
    assert await world.got("d1") == []
    plan = await world.timetable.find(world.app, id)
    assert plan is not None
    assert (plan.draft, plan.error) == (None, "cancelled")


async def test_what_is_cancelled_while_it_is_sent_is_taken_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever cancelled it was told that it is."""
    await world.devices(d1=None)
    id = await world.promise("2026-06-01T13:00:00Z")
    remove = world.saver.schedules.remove

    async def late(app: int, id: str, version: int = 0) -> bool:
        assert await world.timetable.cancel(world.app, id, world.now)
        return await remove(app, id, version)

    monkeypatch.setattr(world.saver.schedules, "remove", late)
    await world.work("2026-06-01T13:00:00")
    assert await world.got("d1") == []
    status = await world.saver.ledgers.status(world.app.number, id)
    assert status is not None
    assert status.ledger.dropped == {"cancelled": 1}


async def test_no_such_message_is_cancelled(world: World) -> None:
    """Neither one that was never promised, nor a schedule by its id."""
    assert not await world.timetable.cancel(world.app, "019c2b3e-8f00-7c11-9d3e-5a1f0c6b7e21", world.now)
    assert not await world.timetable.cancel(world.app, await world.schedule("0 9 * * *"), world.now)


async def test_messages_for_now_and_for_later_go_together(world: World) -> None:
    """One result for each, in order; what is wrong is left out, and what is over the quota."""
    await world.devices(d1=None)
    later = "2026-06-01T13:00:00Z"
    wrong = [a_draft("tomorrow"), msgspec.structs.replace(a_draft(later), payload=b"")]
    taken = await world.send(*wrong, a_draft(None), a_draft(later), NoTarget())
    kinds = [type(result) for result in taken.results]
    assert kinds == [InvalidSendAt, PayloadEmpty, Accepted, Promised, NoTarget]
    taken = await world.send(a_draft(None), *[a_draft(later)] * MOST)
    assert [type(result) for result in taken.results] == [Accepted, *[QuotaExceeded] * MOST]
    with pytest.raises(QuotaExceeded):
        await world.send(*[a_draft(later)] * MOST)


async def test_a_request_that_is_repeated_is_stored_once(world: World) -> None:
    """Those of its messages that are for now, and those that are for later."""
    await world.devices(d1=None)
    drafts = [a_draft(None), a_draft("2026-06-01T13:00:00Z")]
    first = await world.send(*drafts, key="k")
    assert not first.replayed
    again = await world.send(*drafts, key="k")
    assert again == Taken(first.results, True)
    with pytest.raises(IdempotencyMismatch):
        await world.send(a_draft("2026-06-01T13:00:00Z"), key="k", digest=b"another")
    await world.work("2026-06-01T13:00:00")
    assert await world.got("d1") == ["01 12:00", "01 13:00"]


# --- in each time zone ---------------------------------------------------------------------------

EVERYBODY = Devices(("tokyo", "berlin", "none", "odd", "york"))


async def the_world(world: World) -> None:
    await world.devices(
        tokyo="Asia/Tokyo", berlin="Europe/Berlin", none=None, odd="Mars/Olympus", york="America/New_York"
    )


@pytest.mark.parametrize(
    "audience", [EVERYBODY, Everyone(), NoneOf((Tagged(("muted",)),)), Aliases(("people",))]
)
async def test_a_local_time_is_each_devices_own(world: World, audience: Wanted) -> None:
    """That of UTC where it has none, or none that anybody knows; and it is one message to whoever asks."""
    await the_world(world)
    id = await world.promise("2026-06-02T09:00:00", audience)
    await world.work("2026-06-02T08:00:00")
    plan = await world.timetable.find(world.app, id)
    assert plan is not None
    assert plan.draft is not None
    assert len(plan.firings) == 2
    await world.work("2026-06-03T12:00:00")
    assert await world.got("tokyo") == ["02 00:00"]
    assert await world.got("berlin") == ["02 07:00"]
    assert await world.got("none") == await world.got("odd") == ["02 09:00"]
    assert await world.got("york") == ["02 13:00"]
    plan = await world.timetable.find(world.app, id)
    assert plan is not None
    assert (plan.draft, plan.error, len(plan.firings)) == (None, None, 4)
    assert [firing.at for firing in plan.firings] == sorted(firing.at for firing in plan.firings)


async def test_where_the_local_time_is_over_it_is_now(world: World) -> None:
    """12:00 UTC: 15:00 is over in Tokyo and is still to come in Berlin."""
    await the_world(world)
    await world.promise("2026-06-01T15:00:00", EVERYBODY)
    await world.work()
    assert await world.got("tokyo") == ["01 12:00"]
    assert await world.got("berlin") == []
    await world.work("2026-06-02T12:00:00")
    assert await world.got("tokyo") == ["01 12:00"]
    assert await world.got("berlin") == ["01 13:00"]


async def test_what_is_left_of_a_local_message_is_cancelled(world: World) -> None:
    """And what was sent of it is taken back where it waits."""
    await the_world(world)
    id = await world.promise("2026-06-02T09:00:00", EVERYBODY)
    await world.work("2026-06-02T08:00:00")
    assert await world.timetable.cancel(world.app, id, world.now)
    await world.work("2026-06-03T12:00:00")
    for name in EVERYBODY.devices:
        assert await world.got(name) == []


@pytest.mark.parametrize("every", [2, 3, 5])
@pytest.mark.parametrize("step", [HOUR, 5 * HOUR])
async def test_whoever_dies_in_between_each_zone_gets_it_once(
    world: World, every: int, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process ends again and again as it notes what it has sent, or that it is late."""
    await the_world(world)
    await world.promise("2026-06-02T09:00:00", EVERYBODY)
    change = world.saver.schedules.change
    notes = deaths = 0

    async def may_die(timer: Timer) -> bool:
        nonlocal notes
        notes += 1
        if notes % every == 0:
            raise Died
        return await change(timer)

    monkeypatch.setattr(world.saver.schedules, "change", may_die)
    while world.now < at("2026-06-03T00:00:00"):
        try:
            await world.work()
        except Died:
            deaths += 1
            world.lead()
        else:
            world.now += step
    assert deaths
    for name in EVERYBODY.devices:
        assert len(await world.got(name)) == 1, name


# --- schedules -----------------------------------------------------------------------------------


async def test_a_schedule_sends_at_its_times(world: World) -> None:
    """On working days at nine in Berlin, and it remembers the latest."""
    await world.devices(d1=None)
    id = await world.schedule("0 9 * * 1-5")
    await world.work("2026-06-09T12:00:00")
    assert await world.got("d1") == [f"0{day} 07:00" for day in (2, 3, 4, 5, 8, 9)]
    schedule = await world.timetable.schedule_of(world.app, id)
    assert len(schedule.firings) == 6
    await world.work("2026-07-09T12:00:00")
    assert len((await world.timetable.schedule_of(world.app, id)).firings) == FIRINGS


@pytest.mark.parametrize(
    ("begin", "sent"),
    [
        ("2026-03-28T12:00:00", ["29 01:00", "30 00:30", "31 00:30"]),
        ("2026-10-24T12:00:00", ["25 00:30", "26 01:30", "27 01:30"]),
    ],
)
async def test_at_a_change_of_clocks_it_sends_once(world: World, begin: str, sent: Sequence[str]) -> None:
    """At half past two, which there is not on the one day, and twice on the other."""
    world.now = at(begin)
    await world.devices(d1=None)
    await world.schedule("30 2 * * *")
    await world.work(world.now + 3 * 24 * HOUR)
    assert await world.got("d1") == sent


async def test_after_an_hour_with_nobody_to_lead_it_sends_once(world: World) -> None:
    """Not sixty times; and then at its times again."""
    await world.devices(d1=None)
    await world.schedule("* * * * *")
    await world.work("2026-06-01T12:02:00")
    world.now = at("2026-06-01T13:02:30")
    await world.work("2026-06-01T13:04:00")
    assert await world.got("d1") == ["01 12:01", "01 12:02", "01 13:02", "01 13:03", "01 13:04"]


@pytest.mark.parametrize("late", [0, 10 * MINUTE])
async def test_whoever_dies_in_between_a_schedule_sends_once(
    world: World, late: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After it has sent, and before it could note that; however late it was, and whoever leads is."""
    await world.devices(d1=None)
    await world.schedule("*/5 * * * *")
    world.now = at("2026-06-01T12:05:00") + late
    change = world.saver.schedules.change
    moved = 0

    async def dies(*arguments: object) -> bool:
        nonlocal moved
        if late and not moved:
            moved += 1
            return await change(*arguments)  # type: ignore[arg-type]
        raise Died

    with monkeypatch.context() as patched:
        patched.setattr(world.saver.schedules, "change", dies)
        with pytest.raises(Died):
            await world.work()
    assert len(await world.got("d1")) == 1
    world.lead()
    world.now += 30_000
    await world.work()
    assert len(await world.got("d1")) == 1
    await world.work(world.now + 5 * MINUTE)
    assert len(await world.got("d1")) == 2


async def test_a_schedule_in_the_devices_own_zones(world: World) -> None:
    """Each at nine of its own clock, every day once, also across a day with nobody to lead."""
    await the_world(world)
    id = await world.schedule("0 9 * * *", DEVICE, EVERYBODY)
    await world.work("2026-06-03T12:00:00")
    assert await world.got("tokyo") == ["02 00:00", "03 00:00"]
    assert await world.got("berlin") == ["02 07:00", "03 07:00"]
    assert await world.got("york") == ["01 13:00", "02 13:00"]
    world.now = at("2026-06-05T08:00:00")
    await world.work()
    for name, before in (("tokyo", 2), ("berlin", 2), ("york", 2), ("none", 2)):
        assert (await world.got(name))[before:] == ["05 08:00"], name
    await world.work("2026-06-06T12:00:00")
    assert (await world.got("tokyo"))[3:] == ["06 00:00"]
    assert (await world.got("york"))[3:] == ["05 13:00"]
    assert (await world.got("none"))[3:] == ["05 09:00", "06 09:00"]
    assert (await world.timetable.schedule_of(world.app, id)).firings


async def test_a_paused_schedule_sends_nothing_and_makes_up_for_nothing(world: World) -> None:
    await world.devices(d1=None)
    id = await world.schedule("0 * * * *")
    paused = await world.timetable.pause(world.app, id, world.now, paused=True)
    assert coming(paused, world.now, 3) == []
    await world.work("2026-06-01T15:30:00")
    assert await world.got("d1") == []
    resumed = await world.timetable.pause(world.app, id, world.now, paused=False)
    assert coming(resumed, world.now, 1) == [at("2026-06-01T16:00:00")]
    assert await world.timetable.pause(world.app, id, world.now, paused=False) == resumed
    await world.work("2026-06-01T17:00:00")
    assert await world.got("d1") == ["01 16:00", "01 17:00"]


async def test_a_deleted_schedule_sends_nothing_more(world: World) -> None:
    await world.devices(d1=None)
    id = await world.schedule("0 * * * *")
    await world.work("2026-06-01T13:00:00")
    await world.timetable.unschedule(world.app, id)
    await world.work("2026-06-01T15:00:00")
    assert await world.got("d1") == ["01 13:00"]
    for missing in (
        world.timetable.schedule_of(world.app, id),
        world.timetable.unschedule(world.app, id),
        world.timetable.pause(world.app, id, world.now, paused=True),
    ):
        with pytest.raises(ScheduleNotFound):
            await missing


async def test_a_schedule_that_meets_nobody_says_so_and_goes_on(world: World) -> None:
    id = await world.schedule("0 * * * *")
    await world.work("2026-06-01T13:00:00")
    await world.devices(d1=None)
    await world.work("2026-06-01T14:00:00")
    assert await world.got("d1") == ["01 14:00"]
    schedule = await world.timetable.schedule_of(world.app, id)
    assert [firing.error for firing in schedule.firings] == [NoTarget.code, None]


async def test_wrong_schedules_are_refused(world: World) -> None:
    """With a code for what is wrong, and when there are as many as there may be."""
    with pytest.raises(InvalidCron):
        await world.schedule("every day")
    with pytest.raises(InvalidTimezone):
        await world.schedule("0 9 * * *", "Europe/Atlantis")
    for _ in range(MOST):
        await world.schedule("0 9 * * *")
    with pytest.raises(QuotaExceeded):
        await world.schedule("0 9 * * *")
    schedules, more = await world.timetable.schedules(world.app, "", 100)
    assert (len(schedules), more) == (MOST, False)


def test_the_next_times_of_a_schedule_are_moments_or_local() -> None:
    now = at("2026-06-01T12:00:00")
    schedule = Schedule(
        app="news",
        draft=a_draft(None),
        asked=b"{}",
        cron="0 9 * * *",
        timezone="Asia/Tokyo",
        created_at=now,
        at=now,
        after=now,
    )
    assert coming(schedule, now, 2) == [at("2026-06-02T00:00:00"), at("2026-06-03T00:00:00")]
    local = msgspec.structs.replace(schedule, timezone=DEVICE)
    assert coming(local, now, 1) == [datetime.fromisoformat("2026-06-02T09:00:00")]


# --- what goes wrong -----------------------------------------------------------------------------


async def test_one_that_nobody_foresaw_to_fail_holds_up_no_other(world: World) -> None:
    """It is noted and put off, and tried again later."""
    await world.devices(d1=None)
    bad = await world.promise("2026-06-01T12:30:00Z")
    await world.promise("2026-06-01T13:00:00Z")
    timer = await world.saver.schedules.find(world.app.number, bad)
    assert timer is not None
    spoilt = msgspec.structs.replace(timer, body=b"\xc1", version=timer.version + 1)
    assert await world.saver.schedules.change(spoilt)
    world.now = at("2026-06-01T13:00:00")
    await world.work()
    assert await world.got("d1") == ["01 13:00"]
    assert world.faults.counts == {"coordinator.schedules": 1}
    put_off = await world.saver.schedules.find(world.app.number, bad)
    assert put_off is not None
    assert put_off.due == world.now + LATER


async def test_a_store_that_is_away_is_asked_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The round fails, and nothing is lost by that."""
    await world.devices(d1=None)
    await world.promise("2026-06-01T13:00:00Z")
    world.now = at("2026-06-01T13:00:00")

    async def away(*arguments: object) -> object:
        raise Unavailable

    with monkeypatch.context() as patched:
        patched.setattr(world.saver.messages, "enqueue", away)
        with pytest.raises(Unavailable):
            await world.work()
    await world.work()
    assert await world.got("d1") == ["01 13:00"]
