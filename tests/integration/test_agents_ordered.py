"""Rolling restarts that are ordered through the API, under load, and when somebody dies meanwhile."""

import asyncio
import signal
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest

from longline import Center
from longline.errors import AgentAway, LonglineError, RestartUnderWay
from longline.sdk.agents import AgentInfo
from tests.adversity.fleet import Books, Fleet
from tests.integration.agent_process import KEY, AgentProcess, a_store, an_agent, running
from tests.integration.processes import alive
from tests.waiting import WITHIN, until

pytestmark = pytest.mark.timeout(600)

APP = "news"
CENTERS = ["center+dispatcher=1", "coordinator=1"]
DEVICES = [f"d{number}" for number in range(8)]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "redis").mkdir()
    return tmp_path


async def push(port: int, books: Books) -> None:
    """Pushes to one device after the other without a pause, and notes what was answered 202."""
    url, number = f"http://127.0.0.1:{port}/v1/apps/{APP}/messages", 0
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {KEY}"}, timeout=5) as client:
        while True:
            number += 1
            device = DEVICES[number % len(DEVICES)]
            with suppress(httpx.TransportError):  # its center is replaced
                answer = await client.post(
                    url, json={"audience": {"devices": [device]}, "payload": f"{number}"}
                )
                if answer.status_code == 202:
                    books.promise(answer.json()["message_id"], [device])
                else:
                    assert answer.status_code in (429, 503), answer.text
            await asyncio.sleep(0.01)


@asynccontextmanager
async def under_load(center: Center, http_port: int, mqtt_port: int) -> AsyncIterator[tuple[Books, Fleet]]:
    """Devices that are connected through the SDK, and pushes to them that go on."""
    books = Books()
    secret = (await center.create_app(APP)).device_secret
    fleet = Fleet(DEVICES, mqtt_port, APP, secret, books)
    await fleet.connect()
    pushing = asyncio.create_task(push(http_port, books))
    try:
        await books.promises(40)
        yield books, fleet
        await books.promises(40)
        assert not pushing.done()
        pushing.cancel()
        assert not await books.settled(WITHIN)
        online = await center.status(APP, DEVICES)
        assert all(status.online for status in online)
    finally:
        pushing.cancel()
        await asyncio.gather(pushing, return_exceptions=True)
        await fleet.close()


async def told_ready(center: Center, host: str, pids: Collection[int]) -> AgentInfo:
    """The agent, when the center has heard that these processes, and no others, take traffic."""

    async def look() -> list[AgentInfo]:
        found = await center.agent(host)
        ready = {process.pid for process in found.processes if process.state == "ready"}
        there = found.state == "present" and ready == set(pids) and len(found.processes) == len(pids)
        return [found] if there else []

    (found,) = await until(look)
    return found


async def ended(center: Center, host: str, id: str | None) -> AgentInfo:
    """The agent, when its restart of this id has ended."""

    async def look() -> list[AgentInfo]:
        with suppress(LonglineError):  # the center is replaced, too
            found = await center.agent(host)
            restart = found.restart
            if restart is not None and restart.id == id and restart.ended_at is not None:
                return [found]
        return []

    (found,) = await until(look)
    return found


async def test_an_ordered_restart_replaces_every_process_and_loses_nothing(directory: Path) -> None:
    async with an_agent(directory) as agent:
        former = {process.pid: process.node for process in await agent.until_ready()}
        async with Center(f"http://127.0.0.1:{agent.http_port}", KEY) as center:
            told = await told_ready(center, "host-1", former)
            assert [agent.agent for agent in await center.agents()] == ["host-1"]
            async with under_load(center, agent.http_port, agent.mqtt_port) as (_, fleet):
                # Two at once, of which one is carried out.
                answers = await asyncio.gather(
                    center.restart_agent("host-1"), center.restart_agent("host-1"), return_exceptions=True
                )
                (begun,) = [answer for answer in answers if isinstance(answer, AgentInfo)]
                assert [type(answer) for answer in answers if answer is not begun] == [RestartUnderWay]
                assert begun.restart is not None
                assert (begun.restart.by, begun.restart.total) == ("admin", 4)
                told = await ended(center, "host-1", begun.restart.id)
                assert told.restart is not None
                assert (told.restart.state, told.restart.replaced) == ("done", 4)
                pids = {process.pid for process in told.processes}
                assert len(pids) == 4
                assert not pids & set(former)
                assert not any(map(alive, former))
                assert all(process.version and process.restarts == 0 for process in told.processes)
                await until(lambda: all(connects > 1 for connects in fleet.connects))
                assert set(fleet.connects) == {2}, "each was moved once"
            changes = [change async for change in center.changes() if ":restart" in change.path]
        assert sorted(change.status or 0 for change in changes) == [202, 409]
        assert {(change.key_id, change.subject) for change in changes} == {("admin", "host-1")}
        log = agent.log.read_text()
        assert log.count('"event":"rolled"') == 1, log[-4000:]


async def test_one_process_is_replaced_and_the_others_stay(directory: Path) -> None:
    async with an_agent(directory) as agent:
        pids = {process.pid for process in await agent.until_ready()}
        async with Center(f"http://127.0.0.1:{agent.http_port}", KEY) as center:
            before = (await told_ready(center, "host-1", pids)).processes
            room = next(process for process in before if process.kind == "room")
            assert room.node is not None
            assert room.pid is not None
            begun = await center.restart_agent("host-1", processes=[room.node])
            assert begun.restart is not None
            told = await ended(center, "host-1", begun.restart.id)
        stayed = {process.pid for process in before if process is not room}
        assert stayed == {process.pid for process in told.processes} & {process.pid for process in before}
        assert len(told.processes) == 4
        assert not alive(room.pid)


async def test_an_agent_that_is_killed_in_a_restart_is_away_and_says_what_became_of_it(
    directory: Path,
) -> None:
    """The center is on another host; devices, and what was promised to them, bear it."""
    async with (
        a_store(directory) as (store, keeper),
        running(AgentProcess(directory, store, keeper, "host-2", CENTERS)) as other,
        running(AgentProcess(directory, store, keeper, "host-1", ["room=2"])) as agent,
        Center(f"http://127.0.0.1:{other.http_port}", KEY) as center,
    ):
        await other.until_ready()
        former = [process.pid for process in await agent.until_ready()]
        async with under_load(center, other.http_port, agent.mqtt_port):
            begun = await center.restart_agent("host-1")
            assert begun.restart is not None
            await until(lambda: '"event":"retired"' in agent.log.read_text())  # the old ones are about to end
            orphans = agent.workers()
            await agent.end(signal.SIGKILL)

            async def away() -> bool:
                return (await center.agent("host-1")).state == "away"

            await until(away)
            for ordering in (center.restart_agent, center.cancel_restart):
                with pytest.raises(AgentAway):
                    await ordering("host-1")
            await until(lambda: not any(map(alive, orphans)))
            await agent.start()
            after = [process.pid for process in await agent.until_ready(*former, *orphans)]
            told = await told_ready(center, "host-1", after)
            assert told.restart is not None
            assert (told.restart.id, told.restart.state) == (begun.restart.id, "interrupted")
            again = await center.restart_agent("host-1")
            assert again.restart is not None
            told = await ended(center, "host-1", again.restart.id)
            assert told.restart is not None
            assert told.restart.state == "done"
            assert not {process.pid for process in told.processes} & set(after)
