"""What of an app's own: how many of its devices are there, what it sends of late, what waits; and whether
what waits only becomes more.

Nothing here looks at every device, or every message: the count of devices is kept by the session table, that
of messages by the hour, and what waits is that of the latest messages.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from longline.center.figures.findings import Problem
from longline.errors import LonglineError
from longline.flow.lru import LruCache
from longline.model.apps import App
from longline.model.statistics import HOUR
from longline.register.port import Register
from longline.saver.bundle import Saver
from longline.saver.port.ledgers import MessagesAsked

LATEST: Final = 100  # messages whose ledgers are looked at
READ_EVERY: Final = 1.0  # s: who asks more often is told the same
OF_LATE: Final = 10.0  # s that a rate is taken over
REMEMBERED: Final = 1000  # apps
AT_ONCE: Final = 16  # apps that are looked at together
APPS: Final = 64  # looked at for one answer; the rest comes with the next ones
LOOK_AGAIN: Final = 60.0  # s
HOURS: Final = 24
FEW: Final = 100  # deliveries that wait, below which nobody is told
TAKEN: Final = 0.01  # of what waits, that devices must have taken in `HOURS`


class AppHealth(NamedTuple):
    """An app at one moment. Rates a second, None for not known yet. `messages` and `deliveries` are those of
    this hour so far, `waiting` the deliveries that wait of the latest `looked_at` messages."""

    connected: int
    message_rate: float | None
    delivery_rate: float | None
    messages: int
    deliveries: int
    waiting: int
    looked_at: int


class _Reading(NamedTuple):
    at: float
    hour: int
    messages: int
    deliveries: int


class AppHealths:
    """One for a center. `clock` gives ms since the Unix epoch, `monotonic` seconds."""

    def __init__(
        self,
        saver: Saver,
        register: Register,
        clock: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._saver = saver
        self._register = register
        self._clock = clock
        self._monotonic = monotonic
        self._readings: LruCache[int, list[_Reading]] = LruCache(REMEMBERED)
        self._known: LruCache[int, tuple[float, asyncio.Task[AppHealth]]] = LruCache(REMEMBERED)
        self._after = ""
        self._problems: dict[str, Problem] = {}
        self._looked_at = float("-inf")
        self._looking = asyncio.Lock()

    async def of(self, number: int) -> AppHealth:
        """An app, by its number; all who ask within a second are told the same."""
        now = self._monotonic()
        known = self._known.get(number)
        if known is None or now - known[0] >= READ_EVERY or known[1].cancelled():
            known = (now, asyncio.create_task(self._read(number), name="center.app-health"))
            self._known.put(number, known)
        return await asyncio.shield(known[1])

    async def _read(self, number: int) -> AppHealth:
        saver, now = self._saver, self._clock()
        hour = now // HOUR * HOUR
        connected, counted, page = await asyncio.gather(
            self._register.count(number),
            saver.counts.read(number, hour, hour + HOUR, by_day=False, now=now),
            saver.ledgers.latest(number, MessagesAsked(limit=LATEST)),
        )
        messages = sum(each.messages for each in counted)
        deliveries = sum(each.deliveries for each in counted)
        reading = _Reading(self._monotonic(), hour, messages, deliveries)
        first = self._note(number, reading)
        seconds = reading.at - first.at
        rates: tuple[float | None, float | None] = (None, None)
        if seconds > 0 and first.hour == hour:
            rates = ((messages - first.messages) / seconds, (deliveries - first.deliveries) / seconds)
        return AppHealth(
            connected,
            *rates,
            messages,
            deliveries,
            sum(each.ledger.pending for each in page.messages),
            len(page.messages),
        )

    def _note(self, number: int, reading: _Reading) -> _Reading:
        """Remembers a reading; the one that rates are to be taken from."""
        readings = self._readings.get(number)
        if readings is None:
            readings = []
            self._readings.put(number, readings)
        while len(readings) > 1 and readings[1].at <= reading.at - OF_LATE:
            readings.pop(0)
        if readings and (readings[0].hour != reading.hour or readings[0].at < reading.at - 6 * OF_LATE):
            readings.clear()
        readings.append(reading)
        return readings[0]

    async def problems(self) -> Sequence[Problem]:
        """Apps whose inboxes only grow. Some apps are looked at each minute, one after the other."""
        async with self._looking:
            if self._monotonic() - self._looked_at >= LOOK_AGAIN:
                self._looked_at = self._monotonic()
                apps = await self._saver.apps.list(self._after, APPS)
                self._after = apps[-1].app if len(apps) == APPS else ""
                for first in range(0, len(apps), AT_ONCE):
                    await asyncio.gather(*(self._look_at(app) for app in apps[first : first + AT_ONCE]))
        return [*self._problems.values()]

    async def _look_at(self, app: App) -> None:
        self._problems.pop(app.app, None)
        now = self._clock()
        until = now // HOUR * HOUR + HOUR
        try:
            page, counted = await asyncio.gather(
                self._saver.ledgers.latest(app.number, MessagesAsked(limit=LATEST)),
                self._saver.counts.read(app.number, until - HOURS * HOUR, until, by_day=False, now=now),
            )
        except LonglineError:  # the next look tells
            return
        waiting = sum(each.ledger.pending for each in page.messages)
        taken = sum(each.deliveries for each in counted)
        if waiting >= FEW and taken < waiting * TAKEN and any(each.messages for each in counted):
            self._problems[app.app] = Problem(
                "inboxes_grow",
                "warning",
                f"Its inboxes only grow: {waiting:,} deliveries of its latest messages wait, and devices "
                f"took {taken:,} in {HOURS} hours.",
                "Its devices do not come, or acknowledge nothing: see `longline message list APP`.",
                page.messages[-1].created_at,
                app=app.app,
            )
