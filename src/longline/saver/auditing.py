"""An audit of a store, check by check, while others write to it.

A step sees one moment. What is not written in one step of its engine may be half done at that moment: an
event that follows a change, an index that is noted before what it leads to. So a check that found something
is made again after a while, `LOOKS` times in all, and only what is found each time is a difference.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from longline.saver.port.audits import STORE, AuditStore, Difference

LOOKS: Final = 3
PAUSE: Final = 1.0  # s before the second look, twice as long before the third
ABREAST: Final = 8  # checks at once
MOST: Final = 10_000  # differences that are kept of one check; of more it is told how many there were

Progress = Callable[[int, int, int], None]
"""Called with how many checks are made, of how many, and the rows looked at so far."""

_Known = dict[tuple[str, int, str], Difference]  # by check, app and subject
_Planned = tuple[str, int]  # a check, and the app or the store


class AuditReport(msgspec.Struct, frozen=True):
    """What an audit found. `looked`: rows. `left_out`: differences beyond those that are listed."""

    apps: int
    checks: int
    looked: int
    differences: tuple[Difference, ...]
    left_out: int = 0


class StoreAudit:
    """Looks at one store. `pause`: seconds before another look at what seemed to differ."""

    def __init__(self, store: AuditStore, *, pause: float = PAUSE, progress: Progress | None = None) -> None:
        self._store = store
        self._pause = pause
        self._progress = progress
        self._looked = 0
        self._made = 0
        self._planned = 0

    async def run(self, apps: Sequence[int], *, whole: bool) -> AuditReport:
        """Makes all checks of these apps, and with `whole` those of the store."""
        plan = [(check, app) for app in apps for check in self._store.app_checks]
        if whole:
            plan += [(check, STORE) for check in self._store.store_checks]
        self._planned = len(plan)
        seen = await self._look_at(plan)
        for look in range(1, LOOKS):
            if not seen:
                break
            await asyncio.sleep(self._pause * look)
            again = await self._look_at(list(seen))
            still: dict[_Planned, tuple[_Known, int]] = {}
            for of, (known, left_out) in again.items():
                both = {subject: each for subject, each in known.items() if subject in seen[of][0]}
                if both:
                    still[of] = both, left_out
            seen = still
        differences = tuple([each for known, _ in seen.values() for each in known.values()])
        left_out = sum(count for _, count in seen.values())
        return AuditReport(len(apps), len(plan), self._looked, differences, left_out)

    async def _look_at(self, plan: Sequence[_Planned]) -> dict[_Planned, tuple[_Known, int]]:
        """Makes these checks, some at once; what those found that found anything."""
        found: dict[_Planned, tuple[_Known, int]] = {}
        waiting = iter(plan)

        async def work() -> None:
            for of in waiting:
                known, left_out = await self._look(*of)
                if known:
                    found[of] = known, left_out

        async with asyncio.TaskGroup() as tasks:
            for n in range(min(ABREAST, len(plan))):
                tasks.create_task(work(), name=f"audit.{n}")
        return {of: found[of] for of in plan if of in found}

    async def _look(self, check: str, app: int) -> tuple[_Known, int]:
        """One whole check, in its steps."""
        known: _Known = {}
        left_out = 0
        after: str | None = ""
        while after is not None:
            step = await self._store.look(check, app, after)
            for each in step.differences:
                if len(known) < MOST:
                    known[each.check, each.app, each.subject] = each
                else:
                    left_out += 1
            self._looked += step.looked
            after = step.next
        self._made += 1
        if self._progress is not None:
            self._progress(min(self._made, self._planned), self._planned, self._looked)
        return known, left_out
