"""As many processes as the settings say, whatever happens to them."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from longline.agent.agent import pause
from tests.unit.agent.scene import WITHIN, Scene, alive, parent_of, until


async def test_there_are_as_many_processes_of_each_kind_as_asked_for(tmp_path: Path) -> None:
    scene = Scene(tmp_path, [("room", 2), ("center+dispatcher", 1)], status_ports=9000)
    scene.agent.start()
    await scene.ready()
    status = scene.agent.status()
    assert [(child.kind, child.state) for child in status] == [
        ("room", "ready"),
        ("room", "ready"),
        ("center+dispatcher", "ready"),
    ]
    assert [child.node for child in status] == [f"node-{child.pid}" for child in status]
    began = sorted(scene.diary(child.pid)[0] for child in status)
    assert began == [
        "began center+dispatcher longline.toml 9002",
        "began room longline.toml 9000",
        "began room longline.toml 9001",
    ]
    await scene.stop()
    assert all(scene.diary(child.pid)[1:] == ["SIGTERM"] for child in status)
    assert scene.agent.status() == []


async def test_a_killed_process_is_replaced(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.agent.start()
    await scene.ready()
    victim, other = sorted(scene.pids())
    os.kill(victim, signal.SIGKILL)
    await until(lambda: len(scene.pids()) == 2 and victim not in scene.pids())
    assert other in scene.pids()
    assert sorted(child.restarts for child in scene.agent.status()) == [0, 1]
    await scene.stop()


async def test_who_ends_early_again_and_again_is_started_ever_more_rarely(tmp_path: Path) -> None:
    scene = Scene(tmp_path, [("room", 1)])
    scene.behave("fail")
    scene.agent.start()
    await until(lambda: len(scene.pauses) >= 5)
    assert scene.pauses[:5] == [0.2, 0.4, 0.8, 1.6, 3.2]
    scene.behave("")
    await scene.ready()
    scene.now += 100
    before = len(scene.pauses)
    os.kill(min(scene.pids()), signal.SIGKILL)
    await until(lambda: len(scene.pauses) > before)
    assert scene.pauses[before] == 0  # it had lived long
    await scene.stop()


@pytest.mark.parametrize(
    ("early", "expected"), [(0, 0.0), (1, 0.2), (2, 0.4), (9, 30.0), (5000, 30.0)], ids=str
)
def test_pauses_double_up_to_a_bound(early: int, expected: float) -> None:
    assert pause(early) == expected


async def test_who_does_not_end_in_time_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("longline.agent.agent.KILL_AFTER", 0.2)
    scene = Scene(tmp_path, [("room", 1)], patience=0.0)
    scene.behave("deaf")
    scene.agent.start()
    await scene.ready()
    (pid,) = scene.pids()
    await scene.stop()
    assert not alive(pid)
    assert scene.diary(pid)[1:] == ["SIGTERM"]


async def test_an_agent_that_stops_while_it_starts_leaves_nobody_behind(tmp_path: Path) -> None:
    """Whoever was asked for and not yet there finds its socket closed."""
    scene = Scene(tmp_path, [("room", 4)])
    scene.agent.start()
    await until(lambda: len(scene.started()) >= 1)
    await scene.stop()
    await until(lambda: not any(map(alive, scene.started())))


async def test_the_status_is_told_when_it_changes_and_not_otherwise(tmp_path: Path) -> None:
    scene = Scene(tmp_path, [("room", 1)])
    scene.agent.start()
    reporting = asyncio.create_task(scene.agent.report())
    await until(lambda: bool(scene.told) and [child.state for child in scene.told[-1]] == ["ready"])
    told = len(scene.told)
    (pid,) = scene.pids()
    os.kill(pid, signal.SIGKILL)
    await until(lambda: scene.told[-1][0].restarts == 1 and scene.told[-1][0].state == "ready")
    assert len(scene.told) > told
    assert scene.told[-1][0].pid != pid
    reporting.cancel()
    await scene.stop()


# --- the parent ---------------------------------------------------------------------------------------


async def test_workers_outlive_the_parent_they_were_forked_from(tmp_path: Path) -> None:
    """And the next one is forked from a new parent."""
    scene = Scene(tmp_path)
    scene.agent.start()
    await scene.ready()
    victim, survivor = sorted(scene.pids())
    parent = parent_of(victim)
    assert parent == parent_of(survivor)
    os.kill(parent, signal.SIGKILL)
    await until(lambda: not alive(parent))
    os.kill(victim, signal.SIGKILL)
    await until(lambda: len(scene.pids()) == 2 and victim not in scene.pids())
    assert survivor in scene.pids()
    (newcomer,) = scene.pids() - {survivor}
    assert parent_of(newcomer) != parent
    os.kill(survivor, signal.SIGKILL)  # its end is noticed though its parent is gone
    await until(lambda: len(scene.pids()) == 2 and survivor not in scene.pids())
    await scene.stop()


async def test_a_parent_that_cannot_load_its_target_is_tried_again_ever_more_rarely(tmp_path: Path) -> None:
    scene = Scene(tmp_path, [("room", 1)], target="tests.unit.agent.targets:nothing_of_that_name")
    scene.agent.start()
    await until(lambda: len(scene.pauses) >= 2)
    assert scene.pauses[:2] == [0.2, 0.4]
    assert [child.state for child in scene.agent.status()] == ["pausing"]
    await scene.stop()


async def test_a_worker_that_fails_as_nobody_foresaw_ends(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    scene = Scene(tmp_path, [("room", 1)], target="tests.unit.agent.targets:broken")
    scene.agent.start()
    await until(lambda: len(scene.pauses) >= 1)
    await scene.stop()
    assert "RuntimeError: what nobody foresaw" in capfd.readouterr().err


# --- rolling restart ----------------------------------------------------------------------------------


async def test_a_roll_starts_all_new_ones_before_it_ends_the_old_ones(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.agent.start()
    await scene.ready()
    old = scene.pids()
    assert await scene.agent.roll()
    fresh = scene.pids()
    assert len(fresh) == 2
    assert not old & fresh
    assert not any(map(alive, old))
    for pid in old:
        assert scene.diary(pid)[1:] == ["SIGUSR1", "SIGTERM"]  # it took nobody new before it drained
    began = max((tmp_path / str(pid)).stat().st_mtime_ns for pid in fresh)
    assert began < min((tmp_path / str(pid)).stat().st_mtime_ns for pid in old)
    await scene.stop()


@pytest.mark.parametrize("how", ["fail", "silent"])
async def test_a_new_generation_that_does_not_get_ready_leaves_the_old_one_alone(
    tmp_path: Path, how: str
) -> None:
    scene = Scene(tmp_path, ready_within=20.0 if how == "fail" else 1.0)
    scene.agent.start()
    await scene.ready()
    old = scene.pids()
    scene.behave(how)
    assert not await scene.agent.roll()
    assert scene.pids() == old
    assert len(scene.agent.status()) == 2
    assert all(len(scene.diary(pid)) == 1 for pid in old)  # nobody has told them anything
    scene.behave("")
    os.kill(min(old), signal.SIGKILL)
    await until(lambda: len(scene.pids()) == 2 and min(old) not in scene.pids())
    assert {parent_of(pid) for pid in scene.pids()} == {parent_of(max(old))}  # the code that is known to work
    assert await scene.agent.roll()
    assert not scene.pids() & old
    await scene.stop()


# --- the agent's own end --------------------------------------------------------------------------------


async def test_workers_end_in_good_order_when_their_agent_is_killed(tmp_path: Path) -> None:
    agent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.unit.agent.lone_agent", str(tmp_path)), stdout=asyncio.subprocess.PIPE
    )
    assert agent.stdout is not None
    try:
        async with asyncio.timeout(WITHIN):
            pids = [int(word) for word in (await agent.stdout.readline()).split()]
        assert len(pids) == 2
        parent = parent_of(pids[0])
    finally:
        agent.kill()
        await agent.wait()
    await until(lambda: not any(map(alive, [*pids, parent])))
    assert all(entries(tmp_path, pid)[-1] == "orphaned" for pid in pids)


def entries(directory: Path, pid: int) -> list[str]:
    return (directory / str(pid)).read_text().splitlines()
