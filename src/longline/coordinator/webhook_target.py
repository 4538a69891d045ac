"""The target of one app's webhook: what is sent to it next, and what its answer means.

Events are read from the app's queue by a cursor, which is stored behind what the target took. So whoever goes
on after a death sends at most the last batch again. A batch that failed is fixed by its length: the same one
is tried again, under the same id, which its events make. Calls follow one another, so each device's events
arrive in order.

What the answers mean:

- 2xx: it has taken the batch.
- 410: it wants no more, ever; nothing is sent until the webhook is put anew.
- Any other 4xx but those of `LATER`: it refuses the batch, which is halved at once until the event that it
  refuses is alone. That one is tried `REFUSALS` times and then given up, so that it holds up no others. But
  when as many events as `BELIEVED` were refused in a row and none was taken, it is not the events.
- All else, and no answer: it is tried again after a pause that doubles. When the circuit is open, an answer
  with an error halves the batch, too. Where an event is alone and the target has failed on it so often as
  `CRASHES` says, the next event of another device is sent as a witness. When the target takes that, it is the
  event: it is given up. The witness is sent again in its turn, under its own cursor. A witness of the same
  device would overtake it, so while there is no other's the event waits.

When nothing was taken for as long as `webhooks.give_up_after`, events that are older are given up.
"""

import asyncio
import hashlib
import random
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec
import structlog

from longline.coordinator.webhook_counters import WebhookCounters
from longline.delivery.event_views import EventView, event_view
from longline.delivery.signing import signatures
from longline.flow.outbound import AddressRefused, CallFailed
from longline.flow.posting import Posting, PostTarget
from longline.model.events import Event
from longline.model.times import wall_clock
from longline.model.webhooks import REFUSED, UNANSWERED, DeadEvent, Progress, Webhook
from longline.saver.port.events import EventPage, EventStore
from longline.saver.port.webhooks import WebhookChange, WebhookStore
from longline.settings import WebhookSettings
from longline.version import VERSION

# 4xx that say nothing of what was sent: whoever may call, the address, or the moment is not right.
LATER: Final = frozenset({401, 404, 405, 407, 408, 421, 425, 429})
GONE: Final = 410
REFUSALS: Final = 3  # of an event that is alone
BELIEVED: Final = 3  # events in a row
CRASHES: Final = 5  # tries of an event that is alone, each answered with an error, before a witness is asked
WITNESSES: Final = 100  # events behind it among which there is one
MOMENT: Final = 503  # of the errors, the one that says nothing of what was sent
NOTED_EVERY: Final = 1000  # ms, at most, between two notes of how far events were left out
SLICE: Final = 100  # events in one turn of the loop
SLOW: Final = 1.0  # s that a target may take and still be among those that are quick

log = structlog.get_logger("longline.coordinator")

_encode = msgspec.json.Encoder().encode
_Cursored = tuple[str, Event]


class WebhookCall(msgspec.Struct, frozen=True):
    """What is sent. `gap`: events before these were removed from the queue unread."""

    app: str
    events: list[EventView]
    gap: bool


class WebhookMeans(NamedTuple):
    """What targets work with. `clock` in ms since the Unix epoch, `monotonic` in s, `chance` from 0 to 1."""

    events: EventStore
    webhooks: WebhookStore
    posting: Posting
    settings: WebhookSettings
    counters: WebhookCounters
    clock: Callable[[], int] = wall_clock
    monotonic: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random


class _Answered(NamedTuple):
    """What came of a call. `answered`: it was more than silence. `crashed`: the target may have failed on
    what was sent."""

    result: str
    error: str = ""
    answered: bool = True
    crashed: bool = False
    retry_after: float = 0.0


TAKEN: Final = "taken"  # results of a call, beside `REFUSED`
FAILED: Final = "failed"
UNWANTED: Final = "unwanted"


class WebhookTarget:
    """`webhook` is as this process has stored it last. `stale`: it has to be read again. `again`: how many
    dead events are to be sent once more. `end`: of the queue, as it was when the target was given work.
    `waiting_since`: of the oldest event that waits, 0 for none.
    """

    def __init__(self, app: int, means: WebhookMeans) -> None:
        self.app = app
        self.webhook: Webhook | None = None
        self.stale = True
        self.removed = False
        self.again = 0
        self.queued = False
        self.look_at = 0.0
        self.end: str | None = None
        self.busy_at = float("-inf")  # when it last had something to do
        self.slow = False
        self.waiting_since = 0
        self._means = means
        self._after = ""
        self._empty_until: str | None = None  # an end of the queue up to which there was nothing
        self._limit = means.settings.batch
        self._replayed = means.settings.batch  # dead events in one call
        self._refusals = 0
        self._crashes = 0
        self._noted_at = 0
        self._unsaved: WebhookChange | None = None
        self._target: PostTarget | None = None

    @property
    def version(self) -> int:
        return 0 if self.webhook is None else self.webhook.version

    @property
    def failing(self) -> bool:
        """Whether its last try failed."""
        return self.webhook is not None and self.webhook.progress.failures > 0

    def wait(self, now: int) -> float:
        """How many seconds it is left alone for."""
        if self.webhook is None or self.webhook.progress.gone:
            return 0.0
        return max(0, self.webhook.progress.next_at - now) / 1000

    def is_done(self, end: str | None) -> bool:
        """Whether it has nothing to do, as its app's queue has this end; None: nobody knows."""
        if self.stale or self.again or self._unsaved is not None:
            return False
        if end is not None and end in ("", self._after, self._empty_until):
            return True
        return self.webhook is None or self.webhook.progress.gone

    async def step(self) -> bool:
        """Does what is next. False: there is nothing more, or not now. Raises what the store raises."""
        if self._unsaved is not None:
            # What the target took is not asked of it again only because the store could not note it.
            self.stale = not await self._means.webhooks.change(self._unsaved)
            if not self.stale:
                self.webhook = self._unsaved.webhook
                self._after = self.webhook.progress.after
            self._unsaved = None
        if self.stale:
            await self._load()
        webhook = self.webhook
        if webhook is None or webhook.progress.gone or self.wait(self._means.clock()) > 0:
            return False
        page = await self._means.events.read(self.app, self._after, self._limit)
        self.waiting_since = page.events[0][1].at if page.events else 0
        if not page.events:
            self._empty_until = self.end
            return await self._replay(webhook) if self.again else False
        self.busy_at = self._means.monotonic()
        more = await self._send_page(webhook, page)
        if more and self.again and self.webhook is not None:
            await self._replay(self.webhook)
        return more

    async def close(self) -> None:
        """Ends its connections."""
        if self._target is not None:
            target, self._target = self._target, None
            await target.close()

    async def _load(self) -> None:
        found = await self._means.webhooks.find(self.app)
        before, self.webhook = self.webhook, None if found is None else found[0]
        self.stale = False
        self.removed = self.webhook is None
        if self.webhook is None or before is None or before.url != self.webhook.url:
            await self.close()
            self.slow = False
        if self.webhook is not None:
            progress = self.webhook.progress
            self._after, self._limit = progress.after, progress.count or self._means.settings.batch
            self._refusals = self._crashes = 0

    # --- what is in the queue ---

    async def _send_page(self, webhook: Webhook, page: EventPage) -> bool:
        now = self._means.clock()
        old = self._too_old(webhook.progress, page.events, now)
        if old:
            return await self._give_up(webhook, old, UNANSWERED, webhook.progress.error)
        wanted = [item for item in page.events if item[1].kind in webhook.events]
        last = page.events[-1][0]
        if not wanted:
            return await self._pass(webhook, last, now)
        answer = await self._call(webhook, wanted, gap=page.gap)
        if answer.result == TAKEN:
            self._limit = min(self._means.settings.batch, 2 * self._limit)
            self._refusals = self._crashes = 0
            return await self._took(webhook, len(wanted), WebhookChange(webhook, 0), after=last, gap=page.gap)
        if answer.result == REFUSED and len(wanted) > 1:
            self._limit = _half(page.events, wanted)
            return True
        if answer.result == REFUSED:
            self._refusals += 1
            if self._refusals >= REFUSALS and webhook.progress.refused < BELIEVED:
                self._refusals = 0
                self._limit = 1
                return await self._give_up(webhook, page.events, REFUSED, answer.error)
        if answer.crashed and len(wanted) == 1:
            self._crashes += 1
            if self._crashes >= CRASHES and await self._takes_another(webhook, wanted[0], last):
                self._crashes = 0
                self._limit = 1
                # The target has just taken one: what it refused before that is not to be counted with this.
                progress = msgspec.structs.replace(webhook.progress, refused=0)
                webhook = msgspec.structs.replace(webhook, progress=progress)
                return await self._give_up(webhook, page.events, REFUSED, answer.error)
        self._limit = len(page.events)
        if self._opened(webhook.progress.failures + 1) and answer.answered and len(wanted) > 1:
            self._limit = _half(page.events, wanted)
        return await self._failed(webhook, answer)

    async def _takes_another(self, webhook: Webhook, alone: _Cursored, last: str) -> bool:
        """Whether the target takes the next event behind `last` that is of another device than this one."""
        behind = (await self._means.events.read(self.app, last, WITNESSES)).events
        for cursor, event in behind:
            if event.kind in webhook.events and event.device != alone[1].device:
                return (await self._call(webhook, [(cursor, event)], gap=False)).result == TAKEN
        return False

    def _too_old(self, progress: Progress, events: Sequence[_Cursored], now: int) -> Sequence[_Cursored]:
        """Those at the beginning that are too old, if the target has taken nothing for as long."""
        since = now - int(self._means.settings.give_up_after * 1000)
        if not progress.failing_since or progress.failing_since > since:
            return ()
        kept = next((place for place, (_, event) in enumerate(events) if event.at > since), len(events))
        return events[:kept]

    async def _pass(self, webhook: Webhook, last: str, now: int) -> bool:
        """Goes past events that are not wanted, and notes that now and then."""
        self._after = last
        if now - self._noted_at < NOTED_EVERY:
            return True
        self._noted_at = now
        return await self._change(webhook, self._reached(webhook), WebhookChange(webhook, 0))

    async def _give_up(self, webhook: Webhook, events: Sequence[_Cursored], reason: str, error: str) -> bool:
        now = self._means.clock()
        dead = tuple(
            DeadEvent(cursor=cursor, event=event, reason=reason, error=error, at=now)
            for cursor, event in events
            if event.kind in webhook.events
        )
        progress = msgspec.structs.replace(self._reached(webhook), after=events[-1][0], count=0)
        if reason == REFUSED:  # which is an answer: the others are not kept waiting
            progress = msgspec.structs.replace(
                progress,
                refused=progress.refused + 1,
                failures=0,
                failing_since=0,
                next_at=0,
                failed_at=now,
                error=error,
            )
        if dead:
            told = {"events": len(dead), "reason": reason, "error": error}
            self._means.counters.given_up.add(reason, len(dead))
            log.warning("webhook_events_given_up", app=webhook.name, **told)
        return await self._change(webhook, progress, WebhookChange(webhook, 0, dead))

    # --- what is dead, and to be sent once more ---

    async def _replay(self, webhook: Webhook) -> bool:
        page = await self._means.webhooks.dead(self.app, "", self._replayed, again=True)
        if not page.events:
            self.again = 0
            return False
        self.busy_at = self._means.monotonic()
        answer = await self._call(webhook, [(dead.cursor, dead.event) for dead in page.events], gap=False)
        cursors = tuple([dead.cursor for dead in page.events])
        if answer.result == TAKEN:
            self._replayed = min(self._means.settings.batch, 2 * self._replayed)
            return await self._took(webhook, len(cursors), WebhookChange(webhook, 0, taken=cursors))
        if answer.result != REFUSED:
            return await self._failed(webhook, answer)
        if len(cursors) > 1:
            self._replayed = len(cursors) // 2
            return True
        change = WebhookChange(webhook, 0, refused=cursors)
        return await self._change(webhook, self._reached(webhook), change)

    # --- calling it ---

    async def _call(self, webhook: Webhook, events: Sequence[_Cursored], *, gap: bool) -> _Answered:
        means, counters = self._means, self._means.counters
        views: list[EventView] = []
        for place, (cursor, event) in enumerate(events, 1):
            views.append(event_view(cursor, event))
            if place % SLICE == 0:
                await asyncio.sleep(0)
        body = _encode(WebhookCall(webhook.name, views, gap))
        id = _id_of(webhook, [cursor for cursor, _ in events])
        now = means.clock()
        headers = {
            "content-type": "application/json",
            "user-agent": f"longline/{VERSION}",
            "webhook-id": id,
            "webhook-timestamp": str(now // 1000),
            "webhook-signature": signatures(webhook.secrets(now), id, now // 1000, body),
        }
        if self._target is None:
            self._target = PostTarget(means.posting, webhook.url)
        began = means.monotonic()
        counters.under_way += 1
        try:
            posted = await self._target.post(body, headers)
        except (CallFailed, AddressRefused) as error:
            answer = _Answered(FAILED, error.message, answered=False)
        else:
            answer = _meaning(posted.status, posted.retry_after)
        finally:
            counters.under_way -= 1
        took = means.monotonic() - began
        self.slow = answer.result == FAILED or took > SLOW
        counters.call_seconds.observe(took)
        counters.calls.add(answer.result)
        return answer

    # --- what has become of it ---

    async def _took(
        self,
        webhook: Webhook,
        events: int,
        change: WebhookChange,
        *,
        after: str | None = None,
        gap: bool = False,
    ) -> bool:
        self._means.counters.events_taken += events
        self._means.counters.gaps += gap
        progress = self._reached(webhook)
        if self._opened(progress.failures):
            log.info("webhook_circuit_closed", app=webhook.name)
        if after is not None:
            progress = msgspec.structs.replace(progress, after=after, count=0)
        progress = msgspec.structs.replace(
            progress,
            failures=0,
            failing_since=0,
            next_at=0,
            refused=0,
            taken_at=self._means.clock(),
            taken=progress.taken + events,
            gaps=progress.gaps + gap,
            error="",
        )
        return await self._change(webhook, progress, change)

    async def _failed(self, webhook: Webhook, answer: _Answered) -> bool:
        """Leaves the target alone for a while; always False."""
        settings, now, progress = self._means.settings, self._means.clock(), self._reached(webhook)
        failures = progress.failures + 1
        if self._opened(failures) and not self._opened(failures - 1):
            self._means.counters.circuits_opened += 1
            log.warning("webhook_circuit_opened", app=webhook.name, failures=failures, error=answer.error)
        pause = min(settings.longest_retry, settings.first_retry * 2.0 ** min(failures - 1, 32))
        pause *= 1.0 - self._means.chance() / 2
        pause = max(pause, min(answer.retry_after, settings.longest_retry))
        progress = msgspec.structs.replace(
            progress,
            count=self._limit,
            failures=failures,
            failing_since=progress.failing_since or now,
            next_at=now + int(pause * 1000),
            failed_at=now,
            error=answer.error,
            gone=answer.result == UNWANTED,
        )
        if progress.gone:
            log.warning("webhook_gone", app=webhook.name)
        await self._change(webhook, progress, WebhookChange(webhook, 0))
        return False

    async def _change(self, webhook: Webhook, progress: Progress, change: WebhookChange) -> bool:
        """Stores how far it has come. False: somebody else has changed it, which is to be read first."""
        changed = msgspec.structs.replace(webhook, version=webhook.version + 1, progress=progress)
        self._unsaved = msgspec.structs.replace(change, webhook=changed, before=webhook.version)
        done = await self._means.webhooks.change(self._unsaved)
        self._unsaved = None
        if done:
            self.webhook = changed
            self._after = progress.after
            return True
        self.stale = True
        return False

    def _reached(self, webhook: Webhook) -> Progress:
        """Its progress, with the events that were left out since it was stored."""
        if self._after == webhook.progress.after:
            return webhook.progress
        return msgspec.structs.replace(webhook.progress, after=self._after, count=0)

    def _opened(self, failures: int) -> bool:
        """Whether the circuit is open after so many in a row."""
        return failures >= self._means.settings.failures


def _meaning(status: int, retry_after: float) -> _Answered:
    error = f"it answered {status}"
    if 200 <= status < 300:
        return _Answered(TAKEN)
    if status == GONE:
        return _Answered(UNWANTED, error)
    if 400 <= status < 500 and status not in LATER:
        return _Answered(REFUSED, error)
    return _Answered(FAILED, error, crashed=status >= 500 and status != MOMENT, retry_after=retry_after)


def _half(events: Sequence[_Cursored], wanted: Sequence[_Cursored]) -> int:
    """How many events of the queue there are up to the middle of those that are wanted."""
    middle = wanted[len(wanted) // 2 - 1][0]
    return 1 + next(place for place, (cursor, _) in enumerate(events) if cursor == middle)


def _id_of(webhook: Webhook, cursors: Sequence[str]) -> str:
    """The same for the same events of the same webhook, whoever sends them and however often."""
    told = f"{webhook.app} {webhook.created_at} {' '.join(cursors)}"
    return f"msg_{hashlib.blake2b(told.encode(), digest_size=16).hexdigest()}"
