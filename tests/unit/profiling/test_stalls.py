"""What ran when the loop was late."""

import asyncio
import gc

import pytest
from structlog.dev import ConsoleRenderer
from structlog.testing import capture_logs

from longline.profiling import loop, stalls
from longline.profiling.content import LoopContent, Stall
from longline.profiling.stalls import REMEMBERED, StallWatch
from longline.telemetry.loop import GcPauses
from tests.waiting import stand_still, until


def hold_up(seconds: float = 0.2) -> None:
    stand_still(seconds)


async def test_a_stall_is_noted_with_what_ran() -> None:
    watch = StallWatch(every=0.01, threshold=0.02)
    watch.start()
    try:

        async def seen() -> bool:
            hold_up()
            await asyncio.sleep(0.02)
            return any(any("hold_up (" in frame for frame in stall.stack) for stall in watch.found)

        await until(seen)
        stall = max(watch.found, key=lambda stall: stall.seconds)
        assert stall.stack[-1].startswith("stand_still (tests/waiting.py:")
        assert stall.seconds >= 0.02
        assert stall.at.endswith("Z")
    finally:
        watch.stop()


async def test_a_long_stall_is_told_in_the_log_of_people_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stalls, "LONG", 0.05)
    watch = StallWatch(every=0.01, threshold=0.02)
    watch.start()
    try:
        with capture_logs() as logs:

            async def told() -> bool:
                hold_up()
                await asyncio.sleep(0.02)
                return any("hold_up (" in frame for entry in logs for frame in entry["frames"])

            await until(told)
        told_of = next(entry for entry in logs if entry["event"] == "loop_stalled")
        assert "hold_up (" in ConsoleRenderer(colors=False)(None, "warning", {**told_of})
    finally:
        watch.stop()


async def test_the_garbage_collector_has_its_part_told() -> None:
    paused = 0.0
    watch = StallWatch(every=0.01, threshold=0.02, paused=lambda: paused)
    watch.start()
    try:

        async def seen() -> bool:
            nonlocal paused
            paused += 0.1
            hold_up()
            await asyncio.sleep(0.02)
            return any(stall.gc_seconds > 0 for stall in watch.found)

        await until(seen)
    finally:
        watch.stop()


async def test_only_so_many_are_remembered() -> None:
    watch = StallWatch()
    for _ in range(REMEMBERED + 5):
        watch.found.append(Stall("", 0.1, [], 0.0))
    assert len(watch.found) == REMEMBERED


async def test_a_profile_of_the_loop_has_stalls_lag_and_pauses() -> None:
    pauses = GcPauses()
    pauses.install()
    always = StallWatch()
    always.start()

    async def disturb() -> None:
        while True:
            hold_up(0.1)
            gc.collect(0)
            await asyncio.sleep(0.05)

    async def take() -> LoopContent | None:
        taken = await loop.take(1.0, always, pauses)
        held_up = any("hold_up (" in frame for stall in taken.stalls for frame in stall.stack)
        return taken if held_up and taken.gc.count else None

    disturbing = asyncio.create_task(disturb())
    try:
        content = await until(take)
    finally:
        disturbing.cancel()
        always.stop()
        pauses.remove()
    assert content is not None
    assert content.lag.count > 0
    assert content.lag.highest >= 0.05
    assert content.lag.buckets[-1].seconds == "+Inf"
    assert content.lag.buckets[-1].count == content.lag.count
    assert [stall.at for stall in content.stalls] == sorted((s.at for s in content.stalls), reverse=True)
