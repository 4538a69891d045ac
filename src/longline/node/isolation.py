"""Whether this process can do its work: whether it is in touch with the store.

Without the store nothing can be bound, sent or received, and a room without it cannot know whether its
clients are better served elsewhere. Without the keeper alone a process goes on with what it knows: the store
still tells it when others took it for dead. But then it cannot go on under another name until the keeper is
back, and is as isolated.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from longline.telemetry.faults import Faults

EVERY: Final = 0.25  # s
HELD_UP: Final = 2 * EVERY  # s between two looks that count at most: then this process got no time itself
FALLEN: Final = 2.0  # s for which a process may look for a new name

log = structlog.get_logger("longline.node")

Signs = Callable[[], tuple[int, int]]
"""How much was heard of the store so far, and how many calls wait for it."""


class Silence:
    """For how long the store has said nothing though calls wait for it; `look` is called every `EVERY` s."""

    def __init__(self, signs: Signs, now: float) -> None:
        self.seconds = 0.0
        self._signs = signs
        self._heard, _ = signs()
        self._looked = now

    def look(self, now: float) -> float:
        """The seconds, as of now."""
        passed, self._looked = min(HELD_UP, now - self._looked), now
        heard, waiting = self._signs()
        if heard != self._heard:
            self._heard, self.seconds = heard, 0.0
        elif waiting:
            self.seconds += passed
        return self.seconds


async def silent(signs: Signs, seconds: float) -> None:
    """Returns when the store has been silent for so long."""
    silence = Silence(signs, time.monotonic())
    while True:
        await asyncio.sleep(EVERY)
        if silence.look(time.monotonic()) >= seconds:
            return


class Isolation:
    """Owned by the process, which runs `run` as a task.

    `patience`: seconds for which the store may be silent. `fallen` says whether the process was taken for
    dead and has no new name yet. While `isolated`, `work` runs, and is cancelled when that is over.
    """

    def __init__(
        self,
        signs: Signs,
        *,
        patience: float,
        fallen: Callable[[], bool],
        work: Callable[[], Awaitable[None]],
        faults: Faults,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.isolated = False
        self._patience = patience
        self._fallen = fallen
        self._work = work
        self._faults = faults
        self._monotonic = monotonic
        self._sleep = sleep
        self._silence = Silence(signs, monotonic())
        self._fallen_for = 0.0
        self._working: asyncio.Task[None] | None = None

    def state(self) -> int:
        """For the metrics."""
        return int(self.isolated)

    async def run(self) -> None:
        """Looks for as long as the process lives."""
        try:
            while True:
                self.look()
                await self._sleep(EVERY)
        finally:
            self._end()

    def look(self) -> None:
        """Decides anew."""
        silent = self._silence.look(self._monotonic())
        self._fallen_for = self._fallen_for + EVERY if self._fallen() else 0.0
        isolated = silent >= self._patience or self._fallen_for >= FALLEN
        if isolated == self.isolated:
            return
        self.isolated = isolated
        if isolated:
            log.warning("isolated", store_silent=round(silent, 1), fallen=round(self._fallen_for, 1))
            self._working = asyncio.create_task(self._do_work(), name="node.isolated")
        else:
            log.info("in_reach")
            self._end()

    async def _do_work(self) -> None:
        try:
            await self._work()
        except Exception as error:
            self._faults.note("node.isolation", error)

    def _end(self) -> None:
        if self._working is not None:
            self._working.cancel()
            self._working = None
