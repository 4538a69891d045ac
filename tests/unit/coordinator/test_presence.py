"""Transitions reach the event queues, each once, whoever dies in between."""

from pathlib import Path

import pytest

from longline.coordinator.presence import Lingering, Presence
from longline.model.times import wall_clock
from tests.unit.coordinator.scene import Died, a_scene


async def test_who_comes_and_goes_is_told_once_and_in_order(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene:
        presence = Presence(scene.register, scene.saver)
        binding = await scene.bind("d1", "room-1")
        assert not await presence.round()
        await scene.bind("d1", "room-2")
        await scene.unbind("d1", binding)  # the late close of the session that was taken over
        last = await scene.bind("d1", "room-2")
        await scene.unbind("d1", last)
        assert not await presence.round()
        assert not await presence.round()
        assert await scene.presence() == [("d1", "online"), ("d1", "moved"), ("d1", "offline")]
        assert await scene.register.transitions(10) == []


async def test_a_coordinator_that_dies_before_it_forgets_repeats_nothing(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene:
        await scene.bind("d1", "room-1")
        await scene.bind("d2", "room-1")
        scene.register.dies = True
        with pytest.raises(Died):
            await Presence(scene.register, scene.saver).round()
        scene.register.dies = False
        await scene.bind("d3", "room-1")
        await Presence(scene.register, scene.saver).round()
        assert await scene.presence() == [("d1", "online"), ("d2", "online"), ("d3", "online")]
        assert await scene.register.transitions(10) == []


async def test_what_an_event_says_is_what_the_session_table_said(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene:
        binding = await scene.bind("d1", "room-1")
        (transition,) = await scene.register.transitions(10)
        await Presence(scene.register, scene.saver).round()
        ((_, event),) = await scene.saver.events.read(scene.app.number, "", 10)
        assert (event.kind, event.device, event.at) == ("presence", "d1", transition.at)
        assert event.data == (
            b'{"state":"online","epoch":%d,"sequence":%d,"room":"room-1"}'
            % (binding.epoch, transition.sequence)
        )


async def test_transitions_of_a_deleted_app_hold_up_nobody(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene:
        await scene.bind("d1", "room-1")
        await scene.saver.apps.delete(scene.app.number)
        await Presence(scene.register, scene.saver).round()
        assert await scene.register.transitions(10) == []


async def test_a_session_that_has_lingered_long_enough_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_scene(tmp_path) as scene:
        binding = await scene.bind("d1", "room-1")
        await scene.unbind("d1", binding, linger=10_000)
        lingering = Lingering(scene.register)
        assert not await lingering.round()
        assert await scene.register.count(scene.app.number) == 1
        later = wall_clock() + 10_001
        monkeypatch.setattr("longline.coordinator.presence.wall_clock", lambda: later)
        assert not await lingering.round()
        assert await scene.register.count(scene.app.number) == 0
        await Presence(scene.register, scene.saver).round()
        assert await scene.presence() == [("d1", "online"), ("d1", "offline")]
