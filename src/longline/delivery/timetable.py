"""What front doors do with what is to be sent later: take it in, show it, take it back.

A message with a `send_at` has its id from the beginning. It is checked when it comes, as far as that can be
known then, and enters the store as every other when it is due: so its audience and its time to live begin
then. Whoever leads the duty of schedules sends it.
"""

from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from typing import NamedTuple

import msgspec

from longline.delivery.calendar import (
    UTC_NAME,
    Once,
    Recurrence,
    cron_of,
    everywhere,
    local_time,
    read_send_at,
    zone_named,
)
from longline.delivery.draft import Draft
from longline.delivery.pipeline import Pipeline
from longline.delivery.plans import (
    CANCELLED,
    DEVICE,
    LaterMessage,
    Schedule,
    changed,
    closed,
    new_timer,
    planned,
)
from longline.errors import (
    AppNotFound,
    Conflict,
    IdempotencyMismatch,
    LonglineError,
    QuotaExceeded,
    ScheduleNotFound,
    ValidationFailed,
)
from longline.model.apps import App
from longline.model.audience import group_of
from longline.saver.port.messages import Accepted, IdempotencyConflict, MessageStore, Refused
from longline.saver.port.schedules import Added, AddTimers, ScheduleStore, Timer, TimerKind

TRIES = 5  # to change what others change at the same moment


class Promised(msgspec.Struct, frozen=True):
    """The message is stored, and will be sent at its time."""

    message_id: str


Result = Accepted | Promised | LonglineError


class Taken(NamedTuple):
    """One result a draft, in order; `replayed` as in `Sent`."""

    results: Sequence[Result]
    replayed: bool


class Made(NamedTuple):
    """A schedule and its id; `replayed`: it was made by an earlier request with the same idempotency key."""

    id: str
    schedule: Schedule
    replayed: bool


async def next_due(recurrence: Recurrence, timezone: str, at: int) -> int | None:
    """When something is due next behind a moment, in a zone or in any of the devices'; in ms."""
    if timezone == DEVICE:
        return (await everywhere(recurrence, at, at)).next
    return recurrence.after(at, zone_named(timezone))


class Timetable:
    """Fills the store of timers, for every front door of one process. Times in ms."""

    def __init__(
        self, pipeline: Pipeline, messages: MessageStore, schedules: ScheduleStore, *, idempotency_ttl: int
    ) -> None:
        self._pipeline = pipeline
        self._messages = messages
        self._schedules = schedules
        self._idempotency_ttl = idempotency_ttl * 1000

    # --- messages --------------------------------------------------------------------------------

    async def send(
        self,
        app: App,
        drafts: Sequence[Draft | LonglineError],
        now: int,
        *,
        key: str | None = None,
        digest: bytes = b"",
    ) -> Taken:
        """`Pipeline.send` for drafts of which some have a `send_at`: these are stored, in one step.

        Those that are for now go first. When they are stored and the others cannot be, these have that error
        for their result, and a repetition with the same key stores just them. Raises as the pipeline does,
        and `QuotaExceeded`.
        """
        results: list[Result | None] = [None] * len(drafts)
        timers: dict[int, Timer] = {}
        present: dict[int, Draft | LonglineError] = {}
        for place, draft in enumerate(drafts):
            if isinstance(draft, LonglineError) or draft.send_at is None:
                present[place] = draft
                continue
            try:
                timers[place] = await self._timer(app, draft, draft.send_at, now)
            except LonglineError as error:
                results[place] = error
        replayed = []
        if present:
            sent = await self._pipeline.send(app, list(present.values()), now, key=key, digest=digest)
            replayed.append(sent.replayed)
            for place, result in zip(present, sent.results, strict=True):
                results[place] = result
        if timers:
            try:
                added = await self._add(app, tuple(timers.values()), now, key, digest)
            except LonglineError as error:
                if not any(isinstance(result, Accepted) for result in results):
                    raise
                added = None
                results = [error if place in timers else result for place, result in enumerate(results)]
            if added is not None:
                replayed.append(added.replayed)
                for place, id in zip(timers, added.ids, strict=True):
                    results[place] = Promised(id)
        return Taken([result for result in results if result is not None], bool(replayed) and all(replayed))

    async def check(self, app: App, draft: Draft, now: int) -> None:
        """Raises what is wrong with a draft that has a `send_at`."""
        if draft.send_at is not None:
            await self._timer(app, draft, draft.send_at, now)

    async def _timer(self, app: App, draft: Draft, send_at: str, now: int) -> Timer:
        at = read_send_at(send_at, now)
        # What would be wrong with it now would be wrong with it then.
        id = self._pipeline.check(app, draft, now)
        draft = msgspec.structs.replace(draft, send_at=None)
        local = None
        if isinstance(at, datetime):
            _for_one_moment(draft, "options.send_at")
            local = at.isoformat()
            at = await next_due(Once(at), DEVICE, 0) or 0
        else:
            draft = msgspec.structs.replace(draft, id=id)
        # A time that is over is now; in all the zones where it is over together.
        plan = LaterMessage(
            app=app.app, draft=draft, send_at=send_at, created_at=now, at=max(at, now), local=local
        )
        return new_timer(id, app.number, plan)

    async def _add(
        self, app: App, timers: tuple[Timer, ...], now: int, key: str | None, digest: bytes
    ) -> Added:
        with self._pipeline.circuit.watched():
            own = app.limits
            adding = AddTimers(
                *(app.number, timers, now, key, digest, self._idempotency_ttl),
                messages=own.waiting_messages or 0,
                schedules=own.schedules or 0,
            )
            (answer,) = await self._schedules.add([adding])
        if isinstance(answer, IdempotencyConflict):
            raise IdempotencyMismatch
        if isinstance(answer, Refused):
            raise QuotaExceeded if answer.code == QuotaExceeded.code else AppNotFound
        return answer

    async def find(self, app: App, message_id: str) -> LaterMessage | None:
        """A message that waits for its time, or has not become a single one; None: there is no such one."""
        found = await self._message(app, message_id)
        return None if found is None else found[1]

    async def cancel(self, app: App, message_id: str, now: int) -> bool:
        """Has a message sent no more; what was sent of it is taken back. False: there is no such one."""
        for _ in range(TRIES):
            found = await self._message(app, message_id)
            if found is None:
                return False
            timer, plan = found
            for firing in plan.firings:
                if firing.message_id is not None:
                    await self._messages.cancel(app.number, firing.message_id, now)
            if plan.draft is None or await self._schedules.change(closed(timer, plan, CANCELLED, now)):
                return True
        raise Conflict

    async def _message(self, app: App, id: str) -> tuple[Timer, LaterMessage] | None:
        timer = await self._schedules.find(app.number, id)
        plan = None if timer is None else planned(timer)
        return (timer, plan) if timer is not None and isinstance(plan, LaterMessage) else None

    # --- schedules -------------------------------------------------------------------------------

    async def schedule(
        self,
        app: App,
        draft: Draft,
        asked: bytes,
        cron: str,
        timezone: str,
        now: int,
        *,
        key: str | None = None,
        digest: bytes = b"",
    ) -> Made:
        """Makes a schedule. `asked`: the message as JSON; `key` and `digest` as in `send`.

        Raises `InvalidCron`, `InvalidTimezone`, `QuotaExceeded`, `IdempotencyMismatch`, what is wrong with
        the draft, and `ScheduleNotFound` for one that was made with this key and deleted.
        """
        if timezone == DEVICE:
            _for_one_moment(draft, "timezone")
        id = self._pipeline.check(app, draft, now)
        plan = Schedule(
            app=app.app,
            draft=draft,
            asked=asked,
            cron=cron,
            timezone=timezone,
            created_at=now,
            at=await next_due(cron_of(cron), timezone, now) or 0,
            after=now,
        )
        added = await self._add(app, (new_timer(id, app.number, plan),), now, key, digest)
        if added.replayed:
            (id,) = added.ids
            plan = await self.schedule_of(app, id)
        return Made(id, plan, added.replayed)

    async def schedule_of(self, app: App, id: str) -> Schedule:
        """`ScheduleNotFound`."""
        _, plan = await self._schedule(app, id)
        return plan

    async def _schedule(self, app: App, id: str) -> tuple[Timer, Schedule]:
        timer = await self._schedules.find(app.number, id)
        plan = None if timer is None else planned(timer)
        if timer is None or not isinstance(plan, Schedule):
            raise ScheduleNotFound
        return timer, plan

    async def schedules(self, app: App, after: str, limit: int) -> tuple[list[tuple[str, Schedule]], bool]:
        """Schedules with their ids, in the order in which they were made, behind this id; are there more?"""
        page = await self._schedules.page(app.number, TimerKind.SCHEDULE, after, limit)
        plans = [(timer.id, planned(timer)) for timer in page.timers]
        return [(id, plan) for id, plan in plans if isinstance(plan, Schedule)], page.more

    async def pause(self, app: App, id: str, now: int, *, paused: bool) -> Schedule:
        """Stops a schedule, or has it go on with what is due behind `now`; `ScheduleNotFound`."""
        for _ in range(TRIES):
            timer, plan = await self._schedule(app, id)
            if plan.paused == paused:
                return plan
            at = None if paused else await next_due(cron_of(plan.cron), plan.timezone, now)
            plan = msgspec.structs.replace(plan, paused=paused, at=at or 0, after=now)
            if await self._schedules.change(changed(timer, plan)):
                return plan
        raise Conflict

    async def unschedule(self, app: App, id: str) -> None:
        """Forgets a schedule; what it has sent stays sent. `ScheduleNotFound`."""
        await self.schedule_of(app, id)
        if not await self._schedules.remove(app.number, id):
            raise ScheduleNotFound


def _for_one_moment(draft: Draft, field: str) -> None:
    """A message to a group has one place in its sequence, and so one moment for all members."""
    if group_of(draft.audience) is not None:
        raise ValidationFailed(
            "a message to a group is sent at one moment", details=[(field, "not in devices' own time zones")]
        )


def coming(schedule: Schedule, now: int, count: int) -> list[int | datetime]:
    """The next times of a schedule: moments in ms, or local times of one that goes by the devices' zones."""
    if schedule.paused:
        return []
    cron = cron_of(schedule.cron)
    if schedule.timezone == DEVICE:
        return list(islice(cron.following(local_time(now, zone_named(UTC_NAME))), count))
    times: list[int | datetime] = []
    zone, at = zone_named(schedule.timezone), cron.after(now, zone_named(schedule.timezone))
    while at is not None and len(times) < count:
        times.append(at)
        at = cron.after(at, zone)
    return times
