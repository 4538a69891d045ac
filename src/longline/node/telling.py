"""Tells the store how this process fares: every ten seconds, and every second while somebody watches.

One call of the store tells it, and answers whether somebody watches. What cannot be told is left out: the
store has other worries then, and the next sample says more.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec
import structlog

from longline.errors import LonglineError
from longline.model.figures import COARSE, FINE, AboutPoints, FiguresTold, Sample, packed
from longline.model.times import rfc3339, wall_clock
from longline.saver.port.figures import FigureStore
from longline.telemetry.counters import Histogram
from longline.telemetry.sampling import Interval, Numbers, Points
from longline.telemetry.tasks import TaskWatch
from longline.telemetry.traffic import Traffic

OFTEN: Final = 1.0  # s, while somebody watches

_encode = msgspec.json.Encoder().encode
log = structlog.get_logger("longline.node")


class WhoTells(NamedTuple):
    """The process. `since` in ms; `node` may change while it lives."""

    node: str
    host: str
    roles: tuple[str, ...]
    version: str
    since: int


class Teller:
    """Owned by the process, which runs `run` as a task, and `leave` at its end.

    `numbers` gives all figures; `tasks` looks at the loop's; `traffic` has what apps do. `monotonic`
    in seconds, `clock` in ms since the Unix epoch. `failed` counts what could not be told.
    """

    def __init__(
        self,
        store: FigureStore,
        who: Callable[[], WhoTells],
        numbers: Numbers,
        tasks: TaskWatch,
        traffic: Traffic | None = None,
        *,
        clock: Callable[[], int] = wall_clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.failed = 0
        self._store = store
        self._who = who
        self._numbers = numbers
        self._tasks = tasks
        self._traffic = traffic or Traffic()
        self._took = monotonic()
        self._clock = clock
        self._monotonic = monotonic
        self._watched = False
        self._awake = asyncio.Event()
        self._ended = False
        self._begin("")

    def _begin(self, life: str) -> None:
        """Counts as another life from now on."""
        self._life = life
        self._points = Points()
        self._known = 0  # names that the store has
        self._sampled = Interval()
        self._kept = {FINE: Interval(), COARSE: Interval()}
        self._due = {FINE: self._monotonic(), COARSE: self._monotonic() + COARSE / 1000}

    async def run(self) -> None:
        """Works for as long as the process lives."""
        while True:
            began = self._monotonic()
            try:
                await self.tell()
            except LonglineError as error:
                self.failed += 1
                log.debug("figures_not_told", code=error.code)
            pause = OFTEN if self._watched else self._due[FINE] - began
            self._awake.clear()
            try:
                async with asyncio.timeout(max(OFTEN / 2, began + pause - self._monotonic())):
                    await self._awake.wait()
            except TimeoutError:
                pass

    def wake(self) -> None:
        """Somebody watches, as this process knows before it tells the next time."""
        if not self._watched:
            self._watched = True
            self._awake.set()

    async def tell(self) -> None:
        """One sample, with the points that are due. Raises what the store raises."""
        if self._ended:
            return
        who = self._who()
        life = f"{who.node}@{who.since}"
        if life != self._life:
            if self._life:
                await self._store.left(self._life)
            self._begin(life)
        # All at one moment: whatever is made of it, the loop does nothing else meanwhile.
        tasks = self._tasks.look()
        numbers = list(self._numbers())
        points = {kind: self._point(kind, numbers) for kind in (FINE, COARSE)}
        figures = self._sampled.figures(numbers)
        now = self._monotonic()
        apps = self._traffic.take(now - self._took)
        self._took = now
        sample = Sample(
            *(who.node, who.host, who.roles, who.version, rfc3339(who.since), rfc3339(self._clock())),
            figures,
            tasks,
            apps,
        )
        names = self._points.names
        new = len(names) > self._known
        told = FiguresTold(
            life=life,
            sample=packed(sample),
            about=_encode(AboutPoints(who.node, who.host, names)) if new else b"",
            fine=points[FINE],
            coarse=points[COARSE],
        )
        count = len(names)
        asked = await self._store.tell(told)
        self._watched = asked.watched
        self._known = count if asked.known else 0

    def _point(self, kind: int, numbers: list[tuple[str, float | Histogram]]) -> bytes:
        """The point of this kind, if it is due."""
        now = self._monotonic()
        if now < self._due[kind]:
            return b""
        self._due[kind] = max(self._due[kind] + kind / 1000, now + kind / 2000)
        return self._points.point(self._kept[kind].figures(numbers))

    async def leave(self) -> None:
        """The process ends; what cannot be told is forgotten by itself."""
        self._ended = True
        try:
            if self._life:
                await self._store.left(self._life)
        except LonglineError as error:
            log.debug("figures_not_left", code=error.code)
