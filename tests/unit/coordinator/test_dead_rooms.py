"""Which rooms are cleaned up after, when, and in which order."""

from pathlib import Path

import pytest

from longline.coordinator import dead_rooms
from longline.coordinator.dead_rooms import DeadRooms
from longline.coordinator.judgement import LATE, NEWS
from longline.errors import Fenced, Unavailable
from longline.model.audience import Everyone
from longline.model.devices import Profile
from longline.model.messages import Envelope, Message
from longline.model.times import wall_clock
from longline.saver.port.devices import Registration
from longline.saver.port.messages import Submission
from tests.unit.coordinator.cluster import Cluster, a_cluster


def the_duty(cluster: Cluster, *, grace: float = 15.0) -> DeadRooms:
    return DeadRooms(
        cluster.register,
        cluster.saver.routing,
        cluster.saver.sessions,
        cluster.bus,
        cluster.keeper,
        cluster.faults,
        grace=grace,
        monotonic=lambda: cluster.now,
    )


async def looks_for(cluster: Cluster, duty: DeadRooms, seconds: float) -> None:
    """Rounds twice a second."""
    for _ in range(int(seconds * 2)):
        await duty.round()
        cluster.now += 0.5


async def test_a_dead_node_is_fenced_before_its_devices_are_released_and_its_queue_is_shut_last(
    tmp_path: Path,
) -> None:
    async with a_cluster(tmp_path) as cluster:
        duty = the_duty(cluster)
        await cluster.a_node("room-1")
        await cluster.a_node("room-2")
        await cluster.bind("d1", "room-1")
        await cluster.bind("d2", "room-2")
        await looks_for(cluster, duty, 10)
        assert cluster.record.lines == []
        await cluster.dies("room-1")
        await looks_for(cluster, duty, NEWS + 1)
        assert cluster.record.lines == [
            "declare_dead room-1",
            "release room-1 1",
            "release room-1 0",
            "shut room-1",
        ]
        assert duty.cleaned_up == 1
        with pytest.raises(Fenced):
            await cluster.bind("d3", "room-1")
        assert await cluster.bus.nodes() == ["room-2"]


async def test_devices_of_a_dead_node_are_away_only_after_the_grace_time(tmp_path: Path) -> None:
    async with a_cluster(tmp_path) as cluster:
        duty = the_duty(cluster, grace=15.0)
        await cluster.a_node("room-1")
        await cluster.a_node("room-2")
        await cluster.bind("d1", "room-1")
        await cluster.bind("d2", "room-1")
        await cluster.dies("room-1")
        await looks_for(cluster, duty, NEWS + 1)
        await cluster.bind("d1", "room-2")  # it came back elsewhere
        assert await cluster.register.end_lingering(wall_clock() + 14_000, 10) == 0
        assert await cluster.register.end_lingering(wall_clock() + 16_000, 10) == 1
        states = [(each.device, each.state) for each in await cluster.register.transitions(10)]
        assert states == [("d1", "online"), ("d2", "online"), ("d1", "moved"), ("d2", "offline")]


async def test_no_room_is_dead_before_the_news_of_its_joining_must_be_here(tmp_path: Path) -> None:
    async with a_cluster(tmp_path) as cluster:
        duty = the_duty(cluster)
        await cluster.a_node("room-1")
        await cluster.bus.open("room-2")
        await looks_for(cluster, duty, NEWS - 0.5)
        await cluster.a_node("room-2")
        await looks_for(cluster, duty, NEWS + 1)
        await cluster.dies("room-2")
        await looks_for(cluster, duty, NEWS - 0.5)  # the time begins anew
        assert cluster.record.lines == []


async def test_no_room_is_declared_dead_by_who_has_not_looked_for_long(tmp_path: Path) -> None:
    """It may have stood still, or somebody else led; what it saw then says nothing about now."""
    async with a_cluster(tmp_path) as cluster:
        duty = the_duty(cluster)
        await cluster.a_node("room-1")
        await cluster.bus.open("room-2")
        await duty.round()
        cluster.now += 60
        await duty.round()
        assert cluster.record.lines == []
        await looks_for(cluster, duty, NEWS + 1)
        assert "declare_dead room-2" in cluster.record.lines


async def test_a_store_that_answers_late_has_the_observation_begin_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_cluster(tmp_path) as cluster:
        duty = the_duty(cluster)
        await cluster.a_node("room-1")
        await cluster.a_node("room-2")
        await looks_for(cluster, duty, 2)
        await cluster.dies("room-1")
        nodes = cluster.bus.nodes

        async def late() -> list[str]:
            cluster.now += LATE + 0.5
            return await nodes()

        with monkeypatch.context() as patch:
            patch.setattr(cluster.bus, "nodes", late)
            await looks_for(cluster, duty, NEWS + 5)
        assert cluster.record.lines == []
        await looks_for(cluster, duty, NEWS + 1)
        assert "declare_dead room-1" in cluster.record.lines


async def test_no_room_is_declared_dead_on_old_news(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The keeper may have heard nothing since before the room joined."""
    async with a_cluster(tmp_path) as cluster:
        duty = the_duty(cluster)
        await cluster.a_node("room-1")
        await looks_for(cluster, duty, 2)
        heard = cluster.now
        await cluster.bus.open("room-2")
        with monkeypatch.context() as patch:
            patch.setattr(cluster.keeper, "age", lambda: cluster.now - heard + 0.1)
            await looks_for(cluster, duty, 2 * NEWS)
        assert cluster.record.lines == []
        await duty.round()
        assert "declare_dead room-2" in cluster.record.lines


@pytest.mark.parametrize("how", ["out of touch", "without members"])
async def test_no_room_is_declared_dead_by_who_knows_nothing(tmp_path: Path, how: str) -> None:
    async with a_cluster(tmp_path) as cluster:
        duty = the_duty(cluster)
        await cluster.bus.open("room-1")
        if how == "out of touch":
            await cluster.a_node("room-2")
            cluster.keeper.gone = True
        await looks_for(cluster, duty, 10)
        assert cluster.record.lines == []


async def test_a_clean_up_that_was_interrupted_is_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_cluster(tmp_path) as cluster:
        duty = the_duty(cluster)
        await cluster.a_node("room-1")
        await cluster.a_node("room-2")
        await cluster.bind("d1", "room-1")
        await cluster.dies("room-1")
        await looks_for(cluster, duty, NEWS)

        async def broken(node: str, limit: int) -> list[tuple[int, str]]:
            raise Unavailable("no store")

        with monkeypatch.context() as patch:
            patch.setattr(cluster.saver.routing, "unfinished", broken)
            with pytest.raises(Unavailable):
                await duty.round()
        assert "shut room-1" not in cluster.record.lines  # so that somebody finds it again
        cluster.now += 1
        await duty.round()
        assert cluster.record.lines[-1] == "shut room-1"
        assert duty.cleaned_up == 1


async def test_more_devices_than_a_batch_are_all_released(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_rooms, "BATCH", 10)
    async with a_cluster(tmp_path) as cluster:
        duty = the_duty(cluster, grace=0.0)
        await cluster.a_node("room-1")
        await cluster.a_node("room-2")
        for number in range(25):
            await cluster.bind(f"d{number}", "room-1")
        await cluster.dies("room-1")
        await looks_for(cluster, duty, NEWS + 1)
        assert await cluster.register.count(cluster.app.number) == 0
        assert cluster.record.lines.count("release room-1 10") == 2


async def test_the_share_of_a_broadcast_that_a_dead_node_had_is_done(tmp_path: Path) -> None:
    """An online-only broadcast is not waited for in vain: who was not reached was offline."""
    async with a_cluster(tmp_path) as cluster:
        duty, now, app = the_duty(cluster), wall_clock(), cluster.app.number
        await cluster.a_node("room-1")
        await cluster.a_node("room-2")
        await cluster.saver.devices.put(app, [Registration("d1", Profile())], now)
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
        await cluster.saver.messages.enqueue([Submission(app, (Envelope(message, Everyone()),), now)])
        await cluster.saver.routing.assign(app, message.id, ["room-1", "room-2"])
        await cluster.saver.routing.finish(app, message.id, "room-2", now)
        await cluster.dies("room-1")
        await looks_for(cluster, duty, NEWS + 1)
        status = await cluster.saver.ledgers.status(app, message.id)
        assert status is not None
        assert status.ledger.dropped == {"offline": 1}
        assert await cluster.saver.routing.unfinished("room-1", 10) == []


async def test_a_broadcast_whose_share_cannot_be_crossed_out_holds_up_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_cluster(tmp_path) as cluster:
        duty = the_duty(cluster)
        await cluster.a_node("room-1")
        await cluster.a_node("room-2")
        await cluster.dies("room-1")
        crossed_out = []

        async def unfinished(node: str, limit: int) -> list[tuple[int, str]]:
            return [(1, "first"), (1, "second"), (1, "third")]

        async def finish(app: int, message_id: str, node: str, at: int) -> None:
            if message_id == "second":
                raise ValueError("what nobody foresaw")
            crossed_out.append(message_id)

        monkeypatch.setattr(cluster.saver.routing, "unfinished", unfinished)
        monkeypatch.setattr(cluster.saver.routing, "finish", finish)
        await looks_for(cluster, duty, NEWS + 1)
    assert {"first", "third"} == set(crossed_out)
    assert cluster.record.lines[-1] == "shut room-1"
    assert cluster.faults.counts == {"coordinator.dead-rooms": 1}
