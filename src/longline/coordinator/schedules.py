"""Sends what is due: messages with a `send_at`, and those of schedules.

A timer is changed only after what was due for it has entered the store, under a key that its id and its time
make. So whoever leads after a death sends the same again, which the store answers as it did the first time,
and goes on from there. Where a time has come several times with nobody to lead, its timer is first
moved to this moment, and then sends once for all of them: that is written down before anything is sent,
because whoever repeats it must mean the same.

What meets the limit of its app on messages a second waits: timers of one app queue up behind each other, each
for the moment when there is room for it, and hold up nobody else's.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import structlog

from longline.delivery.calendar import Once, cron_of, everywhere, read_local
from longline.delivery.draft import Draft
from longline.delivery.pipeline import Pipeline
from longline.delivery.plans import (
    DEVICE,
    FIRINGS,
    Firing,
    LaterMessage,
    Schedule,
    changed,
    closed,
    planned,
    put_off,
)
from longline.delivery.timetable import next_due
from longline.delivery.zones import Zones
from longline.errors import AppNotFound, LonglineError, MessageRateExceeded, NoTarget, ValidationFailed
from longline.flow.lru import LruCache
from longline.model.apps import App
from longline.model.times import wall_clock
from longline.saver.port.apps import AppStore
from longline.saver.port.messages import MessageStore
from longline.saver.port.schedules import ScheduleStore, Timer
from longline.telemetry.faults import Faults

BATCH: Final = 200  # timers in one round
QUEUES: Final = 10_000  # apps whose timers queue up
LATER: Final = 60_000  # ms after which what nobody foresaw to fail is tried again

log = structlog.get_logger("longline.coordinator")


class Schedules:
    """`round` sends what is due, a batch at most. `clock` gives ms since the Unix epoch.

    `fired` counts messages that were stored, `late` is by how many ms the latest of them came behind its
    time, and `waiting` how many timers there are. `delayed` counts how often one had to wait for its app's
    limit.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        apps: AppStore,
        zones: Zones,
        messages: MessageStore,
        schedules: ScheduleStore,
        faults: Faults,
        *,
        clock: Callable[[], int] = wall_clock,
    ) -> None:
        self.fired = 0
        self.late = 0
        self.waiting = 0
        self.delayed = 0
        self._free: LruCache[int, float] = LruCache(QUEUES)  # ms: when an app may send again, by number
        self._pipeline = pipeline
        self._apps = apps
        self._zones = zones
        self._messages = messages
        self._schedules = schedules
        self._faults = faults
        self._clock = clock

    async def round(self) -> bool:
        """True when there may be more."""
        found = await self._schedules.due(self._clock(), BATCH)
        self.waiting = found.waiting
        done = await asyncio.gather(*map(self._tried, found.timers), return_exceptions=True)
        for error in done:
            if error is not None:
                raise error
        return bool(found.timers)

    async def _tried(self, timer: Timer) -> None:
        """Does what is due; what would fail again is put off, so that it holds up no other."""
        try:
            await self._fire(timer)
        except MessageRateExceeded as error:
            self.delayed += 1
            await self._put_behind(timer, error)
        except Exception as error:
            if isinstance(error, LonglineError) and error.retryable:
                raise
            if not isinstance(error, AppNotFound):
                self._faults.note("coordinator.schedules", error)
            await self._schedules.change(put_off(timer, self._clock() + LATER))

    async def _put_behind(self, timer: Timer, error: MessageRateExceeded) -> None:
        """Has a timer wait for its app's limit, behind those that do already."""
        now = self._clock()
        first = now + 1000 * (error.retry_after or 0.0)
        at = max(first, self._free.get(timer.app) or 0.0)
        self._free.put(timer.app, at + 1000 / max(1, error.rate))
        # It is read anew: what was written down before it was sent may have changed it.
        present = await self._schedules.find(timer.app, timer.id)
        if present is not None and present.open:
            await self._schedules.change(put_off(present, max(now + 1, int(at))))

    async def _fire(self, timer: Timer) -> None:
        plan = planned(timer)
        app = await self._apps.find(plan.app)
        if app is None or app.number != timer.app:
            raise AppNotFound  # it is being deleted, and what it had with it
        if isinstance(plan, Schedule):
            await self._fire_schedule(app, timer, plan)
        elif plan.draft is None:
            await self._schedules.remove(timer.app, timer.id)
        elif plan.local is None:
            await self._fire_message(app, timer, plan, plan.draft)
        else:
            await self._fire_locally(app, timer, plan, plan.draft, read_local(plan.local))

    async def _fire_message(self, app: App, timer: Timer, plan: LaterMessage, draft: Draft) -> None:
        """At one moment. The message has a ledger then, so the timer goes; unless nobody was there."""
        (firing,) = await self._send(app, timer, plan.at, [draft])
        if firing.error is not None:
            await self._schedules.change(closed(timer, plan, firing.error, self._clock()))
        elif not await self._schedules.remove(timer.app, timer.id, timer.version):
            await self._take_back(timer, [firing])

    async def _fire_locally(
        self, app: App, timer: Timer, plan: LaterMessage, draft: Draft, once: Once
    ) -> None:
        """In each time zone at its moment; in those where it is over, together. Not where nobody is."""
        where = await everywhere(once, plan.after, plan.at)
        if where.next is not None and where.next <= (now := self._clock()):
            plan = msgspec.structs.replace(plan, at=now)
            timer = changed(timer, plan)
            if not await self._schedules.change(timer):
                return
            where = await everywhere(once, plan.after, plan.at)
        new = await self._send_in(where.zones, app, timer, plan.at, draft)
        plan = msgspec.structs.replace(plan, firings=(*plan.firings, *new), after=plan.at)
        if where.next is not None:
            timer = changed(timer, msgspec.structs.replace(plan, at=where.next))
        else:
            timer = closed(timer, plan, None if plan.firings else NoTarget.code, self._clock())
        await self._settle(timer, new)

    async def _fire_schedule(self, app: App, timer: Timer, plan: Schedule) -> None:
        """Once, however often its time has come."""
        now = self._clock()
        cron = cron_of(plan.cron)
        coming = await next_due(cron, plan.timezone, plan.at)
        if coming is not None and coming <= now:
            plan = msgspec.structs.replace(plan, at=now)
            timer = changed(timer, plan)
            if not await self._schedules.change(timer):
                return
            coming = await next_due(cron, plan.timezone, plan.at)
        if plan.timezone == DEVICE:
            zones = (await everywhere(cron, plan.after, plan.at)).zones
            new = await self._send_in(zones, app, timer, plan.at, plan.draft)
        else:
            new = await self._send(app, timer, plan.at, [plan.draft])
        firings = (*plan.firings, *new)[-FIRINGS:]
        plan = msgspec.structs.replace(plan, firings=firings, at=coming or 0, after=plan.at)
        await self._settle(changed(timer, plan), new)

    async def _send_in(
        self, zones: frozenset[str], app: App, timer: Timer, at: int, draft: Draft
    ) -> Sequence[Firing]:
        """What was due in some time zones; nothing, where nobody was in them."""
        try:
            audiences = await self._zones.within(draft, app, zones)
        except ValidationFailed as error:
            return [Firing(at, error=error.code)]
        drafts = [msgspec.structs.replace(draft, audience=audience) for audience in audiences]
        firings = await self._send(app, timer, at, drafts) if drafts else []
        return [firing for firing in firings if firing.error != NoTarget.code]

    async def _send(self, app: App, timer: Timer, at: int, drafts: Sequence[Draft]) -> Sequence[Firing]:
        """What was due at a moment, once for however often this is called for it."""
        # No key of a sender's has a line feed.
        key = f"\n{timer.id} {at}"
        digest = hashlib.sha256(key.encode()).digest()
        sent = await self._pipeline.send(app, drafts, self._clock(), key=key, digest=digest)
        firings: list[Firing] = []
        for result in sent.results:
            if isinstance(result, LonglineError):
                log.info("not_sent_later", timer=timer.id, code=result.code)
                firings.append(Firing(at, error=result.code))
            else:
                if not sent.replayed:
                    self.fired += 1
                    self.late = max(0, self._clock() - at)
                firings.append(Firing(at, result.message_id))
        return firings

    async def _settle(self, timer: Timer, fired: Sequence[Firing]) -> None:
        """Writes down what was done; what was cancelled meanwhile is taken back."""
        if not await self._schedules.change(timer):
            await self._take_back(timer, fired)

    async def _take_back(self, timer: Timer, fired: Sequence[Firing]) -> None:
        present = await self._schedules.find(timer.app, timer.id)
        if present is not None and present.open:
            return  # it was paused, or somebody else did this
        for firing in fired:
            if firing.message_id is not None:
                await self._messages.cancel(timer.app, firing.message_id, self._clock())
