"""An agent in the cluster: a member that tells what it keeps, and carries orders out once."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from longline.center.operators.agent_orders import ORDERS, STATUSES, status_in
from longline.errors import Unavailable
from longline.keeper.local import LocalKeeper
from longline.keeper.port import AGENT, Node
from longline.model.agents import (
    ORDER_TTL,
    AgentOrder,
    AgentStatus,
    OrderAnswer,
    OrderKind,
    ProcessStatus,
    RestartStatus,
)
from longline.model.times import wall_clock
from longline.node import agent_link
from longline.node.agent_link import FORGET_AFTER, AgentLink
from longline.telemetry.faults import Faults
from tests.unit.agent.fake_host import FakeHost
from tests.waiting import WITHIN, until


class Stand:
    """An agent with small workers, linked to a keeper."""

    def __init__(self, directory: Path, keeper: LocalKeeper, monotonic: Callable[[], float]) -> None:
        self.keeper = keeper
        self.faults = Faults()
        self.host = FakeHost(directory)
        self.link = AgentLink("host-1", keeper, self.faults, monotonic=monotonic)
        self.tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        agent = self.host.agent

        async def post(processes: "list[ProcessStatus] | tuple[ProcessStatus, ...]") -> None:
            await self.link.tell(processes, agent.restart)

        agent._post = post  # type: ignore[assignment]
        await self.link.open()
        agent.start()
        for work in (agent.report(), self.link.run(agent), self.link.carry_out(agent)):
            self.tasks.append(asyncio.create_task(work))
        await self.host.ready()
        await until(self.told_of_all)

    async def told_of_all(self) -> bool:
        status = await self.status()
        ready = [process for process in status.processes if process.state == "ready"]
        return len(ready) == 2 and bool(status.member)

    async def die(self) -> None:
        """As when it is killed: nothing is said any more."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.host.agent._post = None
        await self.host.stop()

    async def status(self) -> AgentStatus:
        found = status_in(await self.keeper.read(STATUSES + "host-1"))
        return found or AgentStatus(agent="host-1", member="", version="", since=0, told_at=0, processes=())

    async def order(
        self,
        id: str,
        kind: OrderKind = "restart",
        *,
        processes: tuple[str, ...] = (),
        member: str | None = None,
        at: int | None = None,
    ) -> None:
        order = AgentOrder(
            id=id,
            kind=kind,
            member=(await self.status()).member if member is None else member,
            requested_at=wall_clock() if at is None else at,
            processes=processes,
            by="admin",
        )
        await self.keeper.write(ORDERS + "host-1", msgspec.json.encode(order))

    async def said(self, id: str) -> OrderAnswer:
        """What the agent says to an order."""

        async def look() -> list[OrderAnswer]:
            return [each for each in (await self.status()).answers if each.id == id]

        (said,) = await until(look)
        return said

    async def restarted(self, state: str) -> RestartStatus:
        async def look() -> list[RestartStatus]:
            restart = (await self.status()).restart
            return [restart] if restart is not None and restart.state == state else []

        (found,) = await until(look)
        return found


@asynccontextmanager
async def standing(
    directory: Path, keeper: LocalKeeper | None = None, monotonic: Callable[[], float] = lambda: 0.0
) -> AsyncIterator[Stand]:
    stand = Stand(directory, keeper or LocalKeeper(), monotonic)
    try:
        await stand.start()
        yield stand
    finally:
        await stand.die()
    assert stand.faults.counts == {}


async def test_an_agent_is_a_member_and_tells_its_processes(tmp_path: Path) -> None:
    async with standing(tmp_path) as stand:
        status = await stand.status()
        (member,) = await stand.keeper.members()
        assert (member.node, member.roles, member.host) == (status.member, (AGENT,), "host-1")
        assert {process.pid for process in status.processes} == stand.host.pids()
        assert all(process.node == f"node-{process.pid}" for process in status.processes)
        assert all(process.since >= status.since > 0 for process in status.processes)
        await stand.link.tell((), None)
        assert await stand.keeper.read(STATUSES + "host-1") is None


async def test_an_order_replaces_all_processes_and_its_progress_is_told(tmp_path: Path) -> None:
    async with standing(tmp_path) as stand:
        before = stand.host.pids()
        await stand.order("one")
        assert (await stand.said("one")).code == ""
        restart = await stand.restarted("done")
        assert not before & stand.host.pids()
        assert (restart.id, restart.by, restart.total, restart.ready, restart.replaced) == (
            *("one", "admin"),
            *(2, 2, 2),
        )
        assert restart.ended_at >= restart.started_at > 0
        assert await stand.keeper.read(ORDERS + "host-1") is None


async def test_an_order_replaces_the_processes_that_it_names(tmp_path: Path) -> None:
    async with standing(tmp_path) as stand:
        chosen, other = sorted(stand.host.pids())
        await stand.order("one", processes=(f"node-{chosen}",))
        restart = await stand.restarted("done")
        assert (restart.total, restart.replaced) == (1, 1)
        assert other in stand.host.pids()
        assert chosen not in stand.host.pids()
        assert len(stand.host.pids()) == 2
        await stand.order("two")  # and those that stayed, from their own parent, after that
        await until(lambda: not {other} & stand.host.pids() and len(stand.host.pids()) == 2)
        await stand.order("three", processes=("node-0",))
        assert (await stand.said("three")).code in ("conflict", "restart_under_way")


async def test_one_restart_at_a_time(tmp_path: Path) -> None:
    async with standing(tmp_path) as stand:
        stand.host.behave("silent")
        before = stand.host.pids()
        await stand.order("one")
        assert (await stand.said("one")).code == ""
        await stand.order("two")
        assert (await stand.said("two")).code == "restart_under_way"
        await stand.order("three", "cancel")
        assert (await stand.said("three")).code == ""
        restart = await stand.restarted("cancelled")
        assert (restart.id, restart.replaced) == ("one", 0)
        assert stand.host.pids() == before
        assert all(len(stand.host.diary(pid)) == 1 for pid in before)  # nobody has told them anything


async def test_what_has_begun_to_replace_cannot_be_cancelled_nor_what_there_is_not(tmp_path: Path) -> None:
    async with standing(tmp_path) as stand:
        await stand.order("one", "cancel")
        assert (await stand.said("one")).code == "nothing_to_cancel"
        stand.host.behave("slow")  # of the second generation
        await stand.order("two")
        await stand.restarted("done")
        stand.host.behave("")
        slow = stand.host.pids()
        await stand.order("three")
        await stand.restarted("replacing")
        await stand.order("four", "cancel")
        assert (await stand.said("four")).code == "nothing_to_cancel"
        for pid in slow:
            os.kill(pid, signal.SIGTERM)  # the second for one, the first for the other
        await stand.restarted("done")


async def test_new_processes_that_do_not_get_ready_are_told_of_with_how_they_ended(tmp_path: Path) -> None:
    async with standing(tmp_path) as stand:
        before = stand.host.pids()
        stand.host.behave("fail")
        await stand.order("one")
        restart = await stand.restarted("given_up")
        assert "room ended (status 1)" in restart.reason
        assert stand.host.pids() == before


@pytest.mark.parametrize("why", ["former life", "too old"])
async def test_an_order_that_comes_too_late_is_not_carried_out(tmp_path: Path, why: str) -> None:
    async with standing(tmp_path) as stand:
        before = stand.host.pids()
        if why == "former life":
            await stand.order("one", member="agent-host-1-before")
        else:
            await stand.order("one", at=wall_clock() - ORDER_TTL - 1000)
        assert (await stand.said("one")).code == "agent_silent"
        assert (await stand.status()).restart is None
        assert stand.host.pids() == before


async def test_an_order_whose_taking_failed_is_carried_out_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store is away for a moment: nothing is done until it is certain that nobody does it again."""
    monkeypatch.setattr(agent_link, "RETRY_AFTER", 0.01)
    async with standing(tmp_path) as stand:
        write = stand.keeper.write
        refused: list[RestartStatus | None] = []

        async def out_of_reach(key: str, value: bytes | None, version: int | None = None) -> int:
            if key.startswith(ORDERS) and value is None and len(refused) < 3:
                refused.append(stand.host.agent.restart)
                raise Unavailable("the store did not answer in time")
            return await write(key, value, version)

        monkeypatch.setattr(stand.keeper, "write", out_of_reach)
        before = stand.host.pids()
        await stand.order("one")
        await stand.restarted("done")
        assert refused == [None, None, None]
        assert not before & stand.host.pids()
        assert len(stand.host.started()) == 4


async def test_an_order_of_which_it_is_not_known_whether_it_was_taken_is_not_carried_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order was removed, and the answer lost: for all that the agent knows, by the center."""
    monkeypatch.setattr(agent_link, "RETRY_AFTER", 0.01)
    async with standing(tmp_path) as stand:
        write, lost = stand.keeper.write, asyncio.Event()

        async def without_an_answer(key: str, value: bytes | None, version: int | None = None) -> int:
            written = await write(key, value, version)
            if key.startswith(ORDERS) and value is None and not lost.is_set():
                lost.set()
                raise Unavailable("the store did not answer in time")
            return written

        monkeypatch.setattr(stand.keeper, "write", without_an_answer)
        await stand.order("one")
        await lost.wait()
        await stand.order("two", "cancel")
        assert (await stand.said("two")).code == "nothing_to_cancel"
        status = await stand.status()
        assert [answer.id for answer in status.answers] == ["two"]
        assert status.restart is None


async def test_an_agent_that_died_in_a_restart_tells_so_when_it_is_back_and_does_not_do_it_again(
    tmp_path: Path,
) -> None:
    keeper = LocalKeeper()
    for number in range(2):
        (tmp_path / str(number)).mkdir()
    async with standing(tmp_path / "0", keeper) as stand:
        stand.host.behave("silent")
        member = (await stand.status()).member
        await stand.order("one")
        await stand.restarted("starting")
    await keeper.leave(member)
    async with standing(tmp_path / "1", keeper) as stand:
        restart = await stand.restarted("interrupted")
        assert restart.id == "one"
        assert restart.ended_at > 0
        assert "the agent was gone" in restart.reason
        assert (await stand.status()).member != member
        assert len(stand.host.started()) == 2
        await stand.order("two")
        assert (await stand.restarted("done")).id == "two"


async def test_an_agent_that_was_taken_for_dead_is_a_member_again_under_another_name(tmp_path: Path) -> None:
    now = 0.0
    async with standing(tmp_path, monotonic=lambda: now) as stand:
        first = (await stand.status()).member
        now += 10.0
        await stand.keeper.leave(first)

        async def again() -> str:
            members = [member.node for member in await stand.keeper.members()]
            told = (await stand.status()).member
            return told if members == [told] else ""

        second = await until(again)
        assert second != first
        await stand.order("one", member=first)
        assert (await stand.said("one")).code == "agent_silent"


async def test_agents_that_never_came_back_are_forgotten_after_a_day(tmp_path: Path) -> None:
    keeper = LocalKeeper()
    now = wall_clock()

    async def tell(name: str, told_at: int) -> None:
        status = AgentStatus(
            agent=name, member=f"agent-{name}-1", version="1", since=1, told_at=told_at, processes=()
        )
        await keeper.write(STATUSES + name, msgspec.json.encode(status))
        await keeper.write(ORDERS + name, b"{}")

    await tell("long-gone", now - FORGET_AFTER - 60_000)
    await tell("just-gone", now - 60_000)
    await tell("quiet", now - FORGET_AFTER - 60_000)
    await keeper.join(Node(node="agent-quiet-1", roles=(AGENT,), addresses={}, since=1, version="1"))
    async with standing(tmp_path, keeper):
        async with asyncio.timeout(WITHIN):
            seen = 0
            while STATUSES + "long-gone" in await keeper.read_all(STATUSES):
                seen = await keeper.changed(seen)
            while ORDERS + "long-gone" in await keeper.read_all(ORDERS):
                seen = await keeper.changed(seen)
        assert {"agents/just-gone", "agents/quiet"} <= set(await keeper.read_all(STATUSES))
        assert {ORDERS + "just-gone", ORDERS + "quiet"} <= set(await keeper.read_all(ORDERS))
