"""Who is buried, when, and in which order."""

from pathlib import Path

import pytest

from longline.coordinator import obituary
from longline.coordinator.obituary import NEWS, Obituary
from longline.errors import Fenced, Unavailable
from longline.model.audience import Everyone
from longline.model.devices import Profile
from longline.model.messages import Envelope, Message
from longline.model.times import wall_clock
from longline.saver.port.devices import Registration
from longline.saver.port.messages import Submission
from tests.unit.coordinator.scene import Scene, a_scene


def an_obituary(scene: Scene, *, grace: float = 15.0) -> Obituary:
    return Obituary(
        scene.saver, scene.register, scene.bus, scene.keeper, grace=grace, monotonic=lambda: scene.now
    )


async def looks_for(scene: Scene, duty: Obituary, seconds: float) -> None:
    """Rounds twice a second."""
    for _ in range(int(seconds * 2)):
        await duty.round()
        scene.now += 0.5


async def test_a_dead_node_is_fenced_before_its_devices_are_released_and_its_queue_is_shut_last(
    tmp_path: Path,
) -> None:
    async with a_scene(tmp_path) as scene:
        duty = an_obituary(scene)
        await scene.a_node("room-1")
        await scene.a_node("room-2")
        await scene.bind("d1", "room-1")
        await scene.bind("d2", "room-2")
        await looks_for(scene, duty, 10)
        assert scene.diary.lines == []
        await scene.dies("room-1")
        await looks_for(scene, duty, NEWS + 1)
        assert scene.diary.lines == [
            "declare_dead room-1",
            "release room-1 1",
            "release room-1 0",
            "shut room-1",
        ]
        assert duty.buried == 1
        with pytest.raises(Fenced):
            await scene.bind("d3", "room-1")
        assert await scene.bus.nodes() == ["room-2"]


async def test_devices_of_a_dead_node_are_away_only_after_the_grace_time(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene:
        duty = an_obituary(scene, grace=15.0)
        await scene.a_node("room-1")
        await scene.a_node("room-2")
        await scene.bind("d1", "room-1")
        await scene.bind("d2", "room-1")
        await scene.dies("room-1")
        await looks_for(scene, duty, NEWS + 1)
        await scene.bind("d1", "room-2")  # it came back elsewhere
        assert await scene.register.end_lingering(wall_clock() + 14_000, 10) == 0
        assert await scene.register.end_lingering(wall_clock() + 16_000, 10) == 1
        states = [(each.device, each.state) for each in await scene.register.transitions(10)]
        assert states == [("d1", "online"), ("d2", "online"), ("d1", "moved"), ("d2", "offline")]


async def test_nobody_is_buried_before_the_news_of_his_joining_must_be_here(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene:
        duty = an_obituary(scene)
        await scene.a_node("room-1")
        await scene.bus.open("room-2")
        await looks_for(scene, duty, NEWS - 0.5)
        await scene.a_node("room-2")
        await looks_for(scene, duty, NEWS + 1)
        await scene.dies("room-2")
        await looks_for(scene, duty, NEWS - 0.5)  # the time begins anew
        assert scene.diary.lines == []


async def test_nobody_is_buried_by_who_has_not_looked_for_long(tmp_path: Path) -> None:
    """It may have stood still, or somebody else led; what it saw then says nothing about now."""
    async with a_scene(tmp_path) as scene:
        duty = an_obituary(scene)
        await scene.a_node("room-1")
        await scene.bus.open("room-2")
        await duty.round()
        scene.now += 60
        await duty.round()
        assert scene.diary.lines == []
        scene.now += NEWS
        await duty.round()
        assert "declare_dead room-2" in scene.diary.lines


@pytest.mark.parametrize("how", ["out of touch", "without members"])
async def test_nobody_is_buried_by_who_knows_nothing(tmp_path: Path, how: str) -> None:
    async with a_scene(tmp_path) as scene:
        duty = an_obituary(scene)
        await scene.bus.open("room-1")
        if how == "out of touch":
            await scene.a_node("room-2")
            scene.keeper.gone = True
        await looks_for(scene, duty, 10)
        assert scene.diary.lines == []


async def test_a_funeral_that_was_interrupted_is_held_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_scene(tmp_path) as scene:
        duty = an_obituary(scene)
        await scene.a_node("room-1")
        await scene.a_node("room-2")
        await scene.bind("d1", "room-1")
        await scene.dies("room-1")
        await looks_for(scene, duty, NEWS)

        async def broken(node: str, limit: int) -> list[tuple[int, str]]:
            raise Unavailable("no store")

        with monkeypatch.context() as patch:
            patch.setattr(scene.saver.routing, "unfinished", broken)
            with pytest.raises(Unavailable):
                await duty.round()
        assert "shut room-1" not in scene.diary.lines  # so that somebody finds it again
        scene.now += 1
        await duty.round()
        assert scene.diary.lines[-1] == "shut room-1"
        assert duty.buried == 1


async def test_more_devices_than_a_batch_are_all_released(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(obituary, "BATCH", 10)
    async with a_scene(tmp_path) as scene:
        duty = an_obituary(scene, grace=0.0)
        await scene.a_node("room-1")
        await scene.a_node("room-2")
        for number in range(25):
            await scene.bind(f"d{number}", "room-1")
        await scene.dies("room-1")
        await looks_for(scene, duty, NEWS + 1)
        assert await scene.register.count(scene.app.number) == 0
        assert scene.diary.lines.count("release room-1 10") == 2


async def test_the_share_of_a_broadcast_that_a_dead_node_had_is_done(tmp_path: Path) -> None:
    """An online-only broadcast is not waited for in vain: who was not reached was offline."""
    async with a_scene(tmp_path) as scene:
        duty, now, app = an_obituary(scene), wall_clock(), scene.app.number
        await scene.a_node("room-1")
        await scene.a_node("room-2")
        await scene.saver.devices.put(app, [Registration("d1", Profile())], now)
        message = Message(
            id="01890000-0000-7000-8000-000000000001",
            app="news",
            payload=b"x",
            content_type="text/plain",
            qos=1,
            created_at=now,
            expires_at=now + 60_000,
            online_only=True,
        )
        await scene.saver.messages.enqueue([Submission(app, (Envelope(message, Everyone()),), now)])
        await scene.saver.routing.assign(app, message.id, ["room-1", "room-2"])
        await scene.saver.routing.finish(app, message.id, "room-2", now)
        await scene.dies("room-1")
        await looks_for(scene, duty, NEWS + 1)
        status = await scene.saver.ledgers.status(app, message.id)
        assert status is not None
        assert status.ledger.dropped == {"offline": 1}
        assert await scene.saver.routing.unfinished("room-1", 10) == []
