"""Sends apps' events to their webhooks: one process for all apps, many targets at once.

Whoever leads the duty does its rounds, which look which webhooks there are and put those with something to do
into lines; others take them out of there, call the targets and note how far each has come. Each target has
one call at a time. Targets that failed last, or are slow, have a line and places of their own, so that they
keep none waiting that are quick.

Leading lasts as long as rounds come: a process that was paused, or lost its lead, begins no call. If two call
a target for a moment, one of them cannot store how far it came, and reads what the other has stored.
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from longline.coordinator.webhook_counters import WebhookCounters
from longline.coordinator.webhook_target import WebhookMeans, WebhookTarget
from longline.errors import LonglineError
from longline.flow.posting import Posting
from longline.model.times import wall_clock
from longline.saver.port.events import EventStore
from longline.saver.port.webhooks import WebhookMark, WebhookStore
from longline.settings import WebhookSettings
from longline.telemetry.faults import Faults

LEASE: Final = 3.0  # s that a round stands for
REFRESH: Final = 1.0  # s between two looks at which webhooks there are
PAGE: Final = 1000  # webhooks in one answer
LOOK_EVERY: Final = 0.25  # s between two looks for events of an app that had some lately
LATELY: Final = 10.0  # s
LOOKS: Final = 4000  # in a second, for events of all apps that had none lately
TURN: Final = 20  # batches before others have their turn
PAUSE: Final = 1.0  # s after a step that failed
FAULTY: Final = 10.0  # s after one that nobody foresaw to fail
QUIET: Final = 30.0  # s after which nobody keeps a connection for the next call
SLOW_SHARE: Final = 4  # the targets that are slow have a fourth as many places as the others

_Line = asyncio.Queue[WebhookTarget]


class Webhooks:
    """`round` is a duty's; `run` does the calls, for as long as the process lives."""

    def __init__(
        self,
        settings: WebhookSettings,
        events: EventStore,
        webhooks: WebhookStore,
        faults: Faults,
        *,
        posting: Posting | None = None,
        clock: Callable[[], int] = wall_clock,
        monotonic: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.counters = WebhookCounters()
        self._settings = settings
        self._store = webhooks
        self._faults = faults
        self._clock = clock
        self._monotonic = monotonic
        self._posting = posting or Posting(private=settings.private_addresses, timeout=settings.timeout)
        self._means = WebhookMeans(
            events, webhooks, self._posting, settings, self.counters, clock, monotonic, chance
        )
        self._targets: dict[int, WebhookTarget] = {}
        self._until = float("-inf")  # when its lead is to be confirmed
        self._refresh_at = 0.0
        # Each target is in one of them at most once.
        self._quick: _Line = asyncio.Queue()
        self._slow: _Line = asyncio.Queue()
        self._needed = asyncio.Event()

    def waiting(self) -> int:
        """How many targets have something to be sent, and wait for a turn."""
        return self._quick.qsize() + self._slow.qsize()

    async def round(self) -> bool:
        """Looks who has something to do. Always False: the next look comes in its time."""
        now = self._monotonic()
        self._until = now + LEASE
        if now >= self._refresh_at:
            await self._refresh()
            self._refresh_at = now + max(REFRESH, len(self._targets) / (5 * PAGE))
        due = [target for target in self.targets if not target.queued and now >= target.look_at]
        for target, end in zip(due, await self._ends(due), strict=True):
            if target.is_done(end):
                self._rest(target)
            else:
                target.end = end
                self._queue(target)
        return False

    async def _ends(self, targets: Sequence[WebhookTarget]) -> Sequence[str | None]:
        """The ends of their apps' queues. None where nobody knows: a part of the store cannot be reached, and
        each finds out by itself whether it can do without that."""
        if not targets:
            return ()
        try:
            return await self._means.events.ends([target.app for target in targets])
        except LonglineError:
            return [None] * len(targets)

    async def run(self) -> None:
        """Takes targets out of the lines. Nothing of it exists in a process that never had any."""
        try:
            await self._needed.wait()
            async with asyncio.TaskGroup() as group:
                for line, places in (
                    (self._quick, self._settings.concurrency),
                    (self._slow, self._settings.concurrency // SLOW_SHARE),
                ):
                    for place in range(places):
                        group.create_task(self._serve(line), name=f"coordinator.webhook-{place}")
                group.create_task(self._tidy(), name="coordinator.webhooks-tidy")
        finally:
            for target in self.targets:
                await target.close()
            self._posting.close()

    @property
    def targets(self) -> Iterable[WebhookTarget]:
        """Those that it knows."""
        return self._targets.values()

    def _leads(self) -> bool:
        return self._monotonic() < self._until

    # --- which there are ---

    async def _refresh(self) -> None:
        marks: list[WebhookMark] = []
        page = await self._store.marks(0, PAGE)
        while page:
            marks += page
            page = await self._store.marks(page[-1].app, PAGE) if len(page) == PAGE else ()
        there = {mark.app for mark in marks}
        for app in [app for app in self._targets if app not in there]:
            target = self._targets.pop(app)
            target.removed = True
            if not target.queued:
                await target.close()
        for mark in marks:
            found = self._targets.get(mark.app)
            if found is None:
                found = self._targets[mark.app] = WebhookTarget(mark.app, self._means)
            if mark.version > found.version or mark.again > found.again:
                found.stale = found.stale or mark.version > found.version
                found.again = mark.again
                found.look_at = 0.0
        self._count()

    def _count(self) -> None:
        now = self._clock()
        waiting = [target.waiting_since for target in self._targets.values() if target.waiting_since]
        self.counters.targets = len(self._targets)
        self.counters.failing = sum(target.failing for target in self._targets.values())
        self.counters.lag_seconds = max(0, now - min(waiting)) / 1000 if waiting else 0.0

    # --- who is served ---

    def _queue(self, target: WebhookTarget) -> None:
        if not target.queued:
            target.queued = True
            (self._slow if target.slow else self._quick).put_nowait(target)
            self._needed.set()

    async def _serve(self, line: _Line) -> None:
        while True:
            target = await line.get()
            more = False
            try:
                more = await self._take_turn(target, line)
            except LonglineError:  # of the store; the duty's own round tells the log
                target.look_at = self._monotonic() + PAUSE
            except Exception as error:
                self._faults.note("coordinator.webhooks", error)
                target.look_at = self._monotonic() + FAULTY
            finally:
                target.queued = False
                if target.removed:
                    await target.close()
            if more and not target.removed and self._leads():
                self._queue(target)

    async def _take_turn(self, target: WebhookTarget, line: _Line) -> bool:
        """Some batches of a target; True when it is to have another turn at once."""
        for _ in range(TURN):
            if target.removed or not self._leads():
                return False
            if target.slow and line is self._quick:
                break
            if not await target.step():
                self._rest(target)
                return False
        return True

    def _rest(self, target: WebhookTarget) -> None:
        """Leaves it alone until its time, or the next look."""
        now = self._monotonic()
        pause = LOOK_EVERY if now - target.busy_at < LATELY else max(LOOK_EVERY, len(self._targets) / LOOKS)
        target.look_at = now + max(target.wait(self._clock()), pause)

    async def _tidy(self) -> None:
        """Ends connections that nobody needs; and when it does not lead any more, lets go of all it knows."""
        while True:
            await asyncio.sleep(LEASE)
            now, leads = self._monotonic(), self._leads()
            idle = [target for target in self.targets if not target.queued]
            if not leads:
                for target in self.targets:
                    target.removed = True
                self._targets = {}
                self._refresh_at = 0.0
                self._count()
            for target in idle:
                if not leads or now - target.busy_at > QUIET:
                    await target.close()
