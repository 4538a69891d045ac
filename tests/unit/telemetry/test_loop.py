"""The loop's lag and the collector's pauses, measured against clocks that the tests turn."""

import asyncio
import gc
from collections.abc import Iterator
from itertools import pairwise

import pytest

from longline.telemetry.loop import GcPauses, LoopProbe, quiet_gc, task_count


class Clock:
    """Time that passes only when told, and a sleep that oversleeps as planned."""

    def __init__(self, *late: float) -> None:
        self.now = 100.0
        self._late = iter(late)

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        late = next(self._late, None)
        if late is None:
            raise asyncio.CancelledError
        self.now += seconds + late


async def test_the_probe_notes_how_much_too_late_it_was_woken() -> None:
    clock = Clock(0.0, 0.004, 0.25)
    probe = LoopProbe(0.5, clock, clock.sleep)
    with pytest.raises(asyncio.CancelledError):
        await probe.run()
    assert sum(probe.lag_seconds.counts) == 3
    assert probe.lag_seconds.highest == pytest.approx(0.25)
    assert probe.lag_seconds.total == pytest.approx(0.254)


async def test_a_timer_that_fires_early_is_no_lag() -> None:
    clock = Clock(-0.001)
    probe = LoopProbe(0.5, clock, clock.sleep)
    with pytest.raises(asyncio.CancelledError):
        await probe.run()
    assert probe.lag_seconds.total == 0


async def test_the_probe_runs_on_a_real_loop_until_cancelled() -> None:
    woken = asyncio.Event()

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(0)
        woken.set()

    probe = LoopProbe(0.01, sleep=sleep)
    before = task_count()
    task = asyncio.create_task(probe.run(), name="telemetry.loop-lag")
    await woken.wait()
    assert task_count() == before + 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task_count() == before


@pytest.fixture
def pauses() -> Iterator[GcPauses]:
    ticks = iter(range(1000))
    pauses = GcPauses(clock=lambda: next(ticks) / 1000)
    pauses.install()
    yield pauses
    pauses.remove()


def test_every_collection_is_timed(pauses: GcPauses) -> None:
    before = sum(pauses.pause_seconds.counts)
    gc.collect()
    gc.collect()
    assert sum(pauses.pause_seconds.counts) >= before + 2
    assert pauses.pause_seconds.highest == pytest.approx(0.001)


def test_what_was_collected_is_counted(pauses: GcPauses) -> None:
    gc.collect()
    before = pauses.collected
    cycle: list[object] = []
    cycle.append(cycle)
    del cycle
    gc.collect()
    assert pauses.collected > before


def test_after_removal_nothing_is_timed(pauses: GcPauses) -> None:
    pauses.remove()
    before = sum(pauses.pause_seconds.counts)
    gc.collect()
    assert sum(pauses.pause_seconds.counts) == before
    pauses.install()  # for the fixture to remove


def test_no_pass_of_the_quiet_collector_looks_at_very_many_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many come to stay: clients that connect all at once are millions of objects."""
    monkeypatch.setattr(gc, "freeze", lambda: None)  # what the tests have made is theirs
    before = gc.get_threshold()
    kept: list[list[object]] = []
    looked = [0]  # at so many, of these

    def look(phase: str, told: dict[str, int]) -> None:
        if phase == "start" and told["generation"] > 0:
            looked.append(len(kept))

    quiet_gc()
    gc.callbacks.append(look)
    try:
        kept.extend([] for _ in range(500_000))
    finally:
        gc.callbacks.remove(look)
        gc.set_threshold(*before)
    looked.append(len(kept))
    assert max(later - earlier for earlier, later in pairwise(looked)) <= 20_100
