"""Transitions reach the event queues, each once, whoever dies in between."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from longline.coordinator.presence import Lingering, PresenceDuty
from longline.errors import Unavailable
from longline.model.events import Event
from longline.model.times import wall_clock
from tests.unit.coordinator.cluster import Died, a_cluster
from tests.waiting import until


async def test_who_comes_and_goes_is_told_once_and_in_order(tmp_path: Path) -> None:
    async with a_cluster(tmp_path) as cluster:
        presence = PresenceDuty(cluster.register, cluster.saver.events, cluster.faults)
        binding = await cluster.bind("d1", "room-1")
        assert not await presence.round()
        await cluster.bind("d1", "room-2")
        await cluster.unbind("d1", binding)  # the late close of the session that was taken over
        last = await cluster.bind("d1", "room-2")
        await cluster.unbind("d1", last)
        assert not await presence.round()
        assert not await presence.round()
        assert await cluster.presence() == [("d1", "online"), ("d1", "moved"), ("d1", "offline")]
        assert await cluster.register.transitions(10) == []


async def test_a_coordinator_that_dies_before_it_forgets_repeats_nothing(tmp_path: Path) -> None:
    async with a_cluster(tmp_path) as cluster:
        await cluster.bind("d1", "room-1")
        await cluster.bind("d2", "room-1")
        cluster.register.dies = True
        with pytest.raises(Died):
            await PresenceDuty(cluster.register, cluster.saver.events, cluster.faults).round()
        cluster.register.dies = False
        await cluster.bind("d3", "room-1")
        await PresenceDuty(cluster.register, cluster.saver.events, cluster.faults).round()
        assert await cluster.presence() == [("d1", "online"), ("d2", "online"), ("d3", "online")]
        assert await cluster.register.transitions(10) == []


async def test_what_an_event_says_is_what_the_session_table_said(tmp_path: Path) -> None:
    async with a_cluster(tmp_path) as cluster:
        binding = await cluster.bind("d1", "room-1")
        (transition,) = await cluster.register.transitions(10)
        await PresenceDuty(cluster.register, cluster.saver.events, cluster.faults).round()
        ((_, event),) = (await cluster.saver.events.read(cluster.app.number, "", 10)).events
        assert (event.kind, event.device, event.at) == ("presence", "d1", transition.at)
        assert event.data == (
            b'{"state":"online","epoch":%d,"sequence":%d,"room":"room-1"}'
            % (binding.epoch, transition.sequence)
        )


async def test_transitions_of_a_deleted_app_hold_up_nobody(tmp_path: Path) -> None:
    async with a_cluster(tmp_path) as cluster:
        await cluster.bind("d1", "room-1")
        await cluster.saver.apps.delete(cluster.app.number)
        await PresenceDuty(cluster.register, cluster.saver.events, cluster.faults).round()
        assert await cluster.register.transitions(10) == []


async def test_a_session_that_has_lingered_long_enough_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_cluster(tmp_path) as cluster:
        binding = await cluster.bind("d1", "room-1")
        await cluster.unbind("d1", binding, linger=10_000)
        lingering = Lingering(cluster.register)
        assert not await lingering.round()
        assert await cluster.register.count(cluster.app.number) == 1
        later = wall_clock() + 10_001
        monkeypatch.setattr("longline.coordinator.presence.wall_clock", lambda: later)
        assert not await lingering.round()
        assert await cluster.register.count(cluster.app.number) == 0
        await PresenceDuty(cluster.register, cluster.saver.events, cluster.faults).round()
        assert await cluster.presence() == [("d1", "online"), ("d1", "offline")]


async def test_nobody_is_away_for_the_time_in_which_the_session_table_could_not_be_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its device could not come back; it has the time that it was kept away."""
    async with a_cluster(tmp_path) as cluster:
        binding = await cluster.bind("d1", "room-1")
        lingering = Lingering(cluster.register, monotonic=lambda: cluster.now)
        asked: list[bool] = []
        gone = True

        async def end_lingering(now: int, limit: int) -> int:
            if gone:
                raise Unavailable("the table is away")
            asked.append(wall_clock() - now >= 10_000)
            return 0

        with monkeypatch.context() as patch:
            await lingering.round()
            patch.setattr(cluster.register, "end_lingering", end_lingering)
            for _ in range(20):
                cluster.now += 0.5
                with pytest.raises(Unavailable):
                    await lingering.round()
            gone = False
            for _ in range(22):
                cluster.now += 0.5
                await lingering.round()
        assert asked == [True] * 21 + [False], "graces end later by the time that it was away"
        await cluster.unbind("d1", binding, linger=1)
        await until(lambda: wall_clock() > binding.since + 1)
        await lingering.round()
        assert await cluster.register.count(cluster.app.number) == 0


async def test_a_transition_that_no_event_can_be_made_of_holds_up_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_cluster(tmp_path) as cluster:
        for device in ("d1", "d2", "d3"):
            await cluster.bind(device, "room-1")
        append = cluster.saver.events.append

        async def picky(batch: Sequence[Event]) -> None:
            if any(event.device == "d2" for event in batch):
                raise ValueError("what nobody foresaw")
            await append(batch)

        monkeypatch.setattr(cluster.saver.events, "append", picky)
        await PresenceDuty(cluster.register, cluster.saver.events, cluster.faults).round()
        assert await cluster.presence() == [("d1", "online"), ("d3", "online")]
        assert await cluster.register.transitions(10) == []
        assert cluster.faults.counts == {"coordinator.presence": 1}
