"""As many processes as the settings say, whatever happens to them."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from longline.agent import agent, warm
from longline.agent.pauses import Pauses
from longline.agent.warm import ForkedWorker, WarmParent
from longline.errors import Unavailable
from longline.model.agents import ProcessStatus
from tests.integration.processes import alive, children
from tests.unit.agent.fake_host import FakeHost, parent_of
from tests.waiting import WITHIN, until


async def test_there_are_as_many_processes_of_each_kind_as_asked_for(tmp_path: Path) -> None:
    host = FakeHost(tmp_path, [("room", 2), ("center+dispatcher", 1)], status_ports=9000)
    host.agent.start()
    await host.ready()
    status = host.agent.status()
    assert [(child.kind, child.state) for child in status] == [
        ("room", "ready"),
        ("room", "ready"),
        ("center+dispatcher", "ready"),
    ]
    assert [child.node for child in status] == [f"node-{child.pid}" for child in status]
    began = sorted(host.diary(child.pid)[0] for child in status)
    assert began == [
        "began center+dispatcher longline.toml 9002",
        "began room longline.toml 9000",
        "began room longline.toml 9001",
    ]
    await host.stop()
    assert all(host.diary(child.pid)[1:] == ["SIGTERM"] for child in status)
    assert host.agent.status() == []


async def test_a_killed_process_is_replaced(tmp_path: Path) -> None:
    host = FakeHost(tmp_path)
    host.agent.start()
    await host.ready()
    victim, other = sorted(host.pids())
    os.kill(victim, signal.SIGKILL)
    await until(lambda: len(host.pids()) == 2 and victim not in host.pids())
    assert other in host.pids()
    ends = [(child.restarts, child.last_exit and child.last_exit.reason) for child in host.agent.status()]
    assert sorted(ends, key=lambda end: end[0]) == [(0, None), (1, "SIGKILL")]
    await host.stop()


async def test_who_ends_early_again_and_again_is_started_ever_more_rarely(tmp_path: Path) -> None:
    host = FakeHost(tmp_path, [("room", 1)])
    host.behave("fail")
    host.agent.start()
    await until(lambda: len(host.pauses) >= 5)
    assert host.pauses[:5] == [0.2, 0.4, 0.8, 1.6, 3.2]
    host.behave("")
    await host.ready()
    host.now += 100
    before = len(host.pauses)
    os.kill(min(host.pids()), signal.SIGKILL)
    await until(lambda: len(host.pauses) > before)
    assert host.pauses[before] == 0  # it had lived long
    await host.stop()


def test_pauses_double_up_to_a_bound_and_begin_anew_after_a_long_life() -> None:
    now = 0.0
    place = Pauses(30.0, lambda: now)
    pauses = [place.ended() for _ in range(5000)]
    assert pauses[:3] == [0.2, 0.4, 0.8]
    assert pauses[9:] == [30.0] * 4991
    place.starts()
    now += 100
    assert [place.ended(), place.ended()] == [0.0, 0.0]
    place.starts()
    assert place.ended() == 0.2


async def test_a_place_is_filled_and_told_of_whatever_filling_or_telling_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = FakeHost(tmp_path, [("room", 1)])
    fork = WarmParent.fork

    async def fails_to_fork(
        parent: WarmParent, roles: Sequence[str], settings: Mapping[str, str]
    ) -> ForkedWorker:
        monkeypatch.setattr(WarmParent, "fork", fork)
        raise ZeroDivisionError

    post = host.agent._post

    async def fails_to_tell(status: Sequence[ProcessStatus]) -> None:
        monkeypatch.setattr(host.agent, "_post", post)
        raise ZeroDivisionError

    monkeypatch.setattr(WarmParent, "fork", fails_to_fork)
    monkeypatch.setattr(host.agent, "_post", fails_to_tell)
    host.agent.start()
    reporting = asyncio.create_task(host.agent.report(), name="report")
    await host.ready()
    await until(lambda: host.told and [child.state for child in host.told[-1]] == ["ready"])
    assert host.faults.counts == {"agent.place": 1, "agent.report": 1}
    reporting.cancel()
    await host.stop()


async def test_who_does_not_end_in_time_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("longline.agent.agent.KILL_AFTER", 0.2)
    host = FakeHost(tmp_path, [("room", 1)], patience=0.0)
    host.behave("deaf")
    host.agent.start()
    await host.ready()
    (pid,) = host.pids()
    await host.stop()
    assert not alive(pid)
    assert host.diary(pid)[1:] == ["SIGTERM"]


async def test_an_agent_that_is_hastened_tells_its_processes_so(tmp_path: Path) -> None:
    host = FakeHost(tmp_path, patience=600.0)
    host.behave("slow")
    host.agent.start()
    await host.ready()
    pids = host.pids()
    stopping = asyncio.create_task(host.agent.stop())
    await until(lambda: all(host.diary(pid)[1:] == ["SIGTERM"] for pid in pids))
    host.agent.hasten()
    async with asyncio.timeout(WITHIN):
        await stopping
    assert all(host.diary(pid)[1:] == ["SIGTERM", "SIGTERM"] for pid in pids)


async def test_an_agent_that_stops_while_it_starts_leaves_nobody_behind(tmp_path: Path) -> None:
    """Whoever was asked for and not yet there finds its socket closed."""
    host = FakeHost(tmp_path, [("room", 4)])
    host.agent.start()
    await until(lambda: len(host.started()) >= 1)
    await host.stop()
    await until(lambda: not any(map(alive, host.started())))


async def test_the_status_is_told_when_it_changes_and_not_otherwise(tmp_path: Path) -> None:
    host = FakeHost(tmp_path, [("room", 1)])
    host.agent.start()
    reporting = asyncio.create_task(host.agent.report())
    await until(lambda: bool(host.told) and [child.state for child in host.told[-1]] == ["ready"])
    told = len(host.told)
    (pid,) = host.pids()
    os.kill(pid, signal.SIGKILL)
    await until(lambda: host.told[-1][0].restarts == 1 and host.told[-1][0].state == "ready")
    assert len(host.told) > told
    assert host.told[-1][0].pid != pid
    reporting.cancel()
    await host.stop()


# --- the parent ---------------------------------------------------------------------------------------


async def test_workers_outlive_the_parent_they_were_forked_from(tmp_path: Path) -> None:
    """And the next one is forked from a new parent."""
    host = FakeHost(tmp_path)
    host.agent.start()
    await host.ready()
    victim, survivor = sorted(host.pids())
    parent = parent_of(victim)
    assert parent == parent_of(survivor)
    os.kill(parent, signal.SIGKILL)
    await until(lambda: not alive(parent))
    os.kill(victim, signal.SIGKILL)
    await until(lambda: len(host.pids()) == 2 and victim not in host.pids())
    assert survivor in host.pids()
    (newcomer,) = host.pids() - {survivor}
    assert parent_of(newcomer) != parent
    os.kill(survivor, signal.SIGKILL)  # its end is noticed though its parent is gone
    await until(lambda: len(host.pids()) == 2 and survivor not in host.pids())
    await host.stop()


async def test_a_parent_that_cannot_load_its_target_is_tried_again_ever_more_rarely(tmp_path: Path) -> None:
    host = FakeHost(tmp_path, [("room", 1)], target="tests.unit.agent.targets:nothing_of_that_name")
    host.agent.start()
    await until(lambda: len(host.pauses) >= 2)
    assert host.pauses[:2] == [0.2, 0.4]
    assert [child.state for child in host.agent.status()] == ["pausing"]
    await host.stop()


async def test_a_worker_that_fails_as_nobody_foresaw_ends(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    host = FakeHost(tmp_path, [("room", 1)], target="tests.unit.agent.targets:broken")
    host.agent.start()
    await until(lambda: len(host.pauses) >= 1)
    await host.stop()
    assert "RuntimeError: what nobody foresaw" in capfd.readouterr().err


async def test_how_a_worker_ended_is_unknown_where_its_parent_died_before_it(tmp_path: Path) -> None:
    host = FakeHost(tmp_path, [("room", 1)])
    host.agent.start()
    await host.ready()
    (victim,) = host.pids()
    parent = parent_of(victim)
    os.kill(parent, signal.SIGKILL)
    await until(lambda: not alive(parent))
    os.kill(victim, signal.SIGKILL)
    await until(lambda: host.pids() and victim not in host.pids())
    (child,) = host.agent.status()
    assert child.last_exit is not None
    assert child.last_exit.reason == "unknown"
    await host.stop()


async def test_a_parent_that_is_loading_still_when_it_is_closed_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm, "CLOSE_WITHIN", 0.0)
    others = set(children(os.getpid()))
    parent = WarmParent("tests.unit.agent.targets:work", None, [])
    fork = asyncio.create_task(parent.fork(["room"], {"diary": str(tmp_path)}))
    await until(lambda: set(children(os.getpid())) - others)
    (started,) = set(children(os.getpid())) - others
    fork.cancel()
    await asyncio.gather(fork, return_exceptions=True)
    await parent.close()
    assert not alive(started)


# --- rolling restart ----------------------------------------------------------------------------------


async def test_a_roll_starts_all_new_ones_before_it_ends_the_old_ones(tmp_path: Path) -> None:
    host = FakeHost(tmp_path)
    host.agent.start()
    await host.ready()
    old = host.pids()
    assert await host.agent.roll()
    fresh = host.pids()
    assert len(fresh) == 2
    assert not old & fresh
    assert not any(map(alive, old))
    for pid in old:
        assert host.diary(pid)[1:] == ["SIGUSR1", "SIGTERM"]  # it took nobody new before it drained
    began = max((tmp_path / str(pid)).stat().st_mtime_ns for pid in fresh)
    assert began < min((tmp_path / str(pid)).stat().st_mtime_ns for pid in old)
    restart = host.agent.restart
    assert restart is not None
    assert (restart.state, restart.total, restart.ready, restart.replaced) == ("done", 2, 2, 2)
    await host.stop()


async def test_a_process_that_ends_before_its_turn_is_replaced_all_the_same(tmp_path: Path) -> None:
    """A restart that was begun is of places, whoever fills them by then."""
    host = FakeHost(tmp_path)
    host.agent.start()
    await host.ready()
    chosen, other = host.agent.status()
    assert chosen.node is not None
    roll = host.agent.begin([chosen.node])
    os.kill(chosen.pid, signal.SIGKILL)
    await until(lambda: len(host.pids() - {chosen.pid}) == 2)
    (again,) = host.pids() - {other.pid}
    assert await host.agent.carry_out(roll)
    assert (roll.status.state, roll.status.total, roll.status.replaced) == ("done", 1, 1)
    assert other.pid in host.pids()
    assert again not in host.pids()
    await host.stop()


@pytest.mark.parametrize("how", ["fail", "silent"])
async def test_a_new_generation_that_does_not_get_ready_leaves_the_old_one_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    host = FakeHost(tmp_path, ready_within=WITHIN if how == "fail" else 1.0)
    host.agent.start()
    await host.ready()
    old = host.pids()
    host.behave(how)
    assert not await host.agent.roll()
    assert host.pids() == old
    assert len(host.agent.status()) == 2
    assert all(len(host.diary(pid)) == 1 for pid in old)  # nobody has told them anything
    host.behave("")
    monkeypatch.setattr(host.agent, "_ready_within", WITHIN)
    os.kill(min(old), signal.SIGKILL)
    await until(lambda: len(host.pids()) == 2 and min(old) not in host.pids())
    assert {parent_of(pid) for pid in host.pids()} == {parent_of(max(old))}  # the code that is known to work
    assert await host.agent.roll()
    assert not host.pids() & old
    await host.stop()


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


async def test_the_status_does_not_outlive_the_agent_though_it_cannot_be_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = FakeHost(tmp_path)
    host.agent.start()
    await host.ready()
    post = host.agent._post
    tries = 0

    async def out_of_reach(status: Sequence[ProcessStatus]) -> None:
        nonlocal tries
        tries += 1
        if tries == 3:
            monkeypatch.setattr(host.agent, "_post", post)
            host.told.append(status)
            return
        raise Unavailable("the store did not answer in time")

    monkeypatch.setattr(host.agent, "_post", out_of_reach)
    await host.stop()
    assert host.told == [[]]


async def test_a_status_that_cannot_be_told_at_all_does_not_hold_up_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent, "LAST_WORD", 0.01)
    host = FakeHost(tmp_path)
    host.agent.start()
    await host.ready()

    async def out_of_reach(status: Sequence[ProcessStatus]) -> None:
        raise Unavailable("the store did not answer in time")

    monkeypatch.setattr(host.agent, "_post", out_of_reach)
    await host.stop()
    assert host.agent.status() == []
