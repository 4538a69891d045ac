"""How a process ends: in good order, and sooner when somebody cannot wait."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
import pytest_asyncio

from longline.delivery.pipeline import Sent
from longline.node.embedded import open_engines
from longline.node.engines import Engines
from longline.node.process import DISMISSED, ROLES, Process
from longline.node.running import run
from longline.settings import Settings, load
from longline.telemetry.faults import Faults
from tests.servers.ports import free_ports
from tests.waiting import until

WITHIN = 60.0  # s
NEVER = 600.0  # s
KEY = "an-admin-key-of-a-test"
UNFINISHED = (
    f"POST /v1/apps HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Length: 100\r\n\r\n{{"
)


class Running(NamedTuple):
    process: Process
    ending: asyncio.Task[int]
    answered: asyncio.Event  # an engine whose end waits for this; set unless a test clears it


@pytest_asyncio.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    """One that moves its clients for ten minutes, and has a request under way that does not end."""
    http_port, mqtt_port = free_ports(2)
    flags: dict[str, object] = {
        "data_dir": tmp_path,
        "admin_key": KEY,
        "center.port": http_port,
        "room.port": mqtt_port,
        "room.ws_port": 0,
        "node.gc_freeze": False,
        "node.drain_grace": NEVER,
        "node.shutdown_grace": NEVER,
    }
    answered = asyncio.Event()
    answered.set()

    async def engines(settings: Settings, faults: Faults, opened: AsyncExitStack) -> Engines:
        found = await open_engines(settings, faults, opened)
        opened.push_async_callback(answered.wait)
        return found

    process = Process(load(flags=flags).settings, ROLES, engines, alone=False)
    handlers = {
        number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    }
    started = asyncio.Event()
    ending = asyncio.create_task(run(process, lambda _: started.set()))
    await started.wait()
    _, request = await asyncio.open_connection("127.0.0.1", http_port)
    request.write(UNFINISHED.encode())
    assert process._center is not None
    counters = process._center.counters
    await until(lambda: counters.requests_running == 1)
    yield Running(process, ending, answered)
    process.hasten()  # where a test has failed
    answered.set()
    if not ending.done():
        os.kill(os.getpid(), signal.SIGTERM)
    await ending
    request.close()
    for number, handler in handlers.items():
        asyncio.get_running_loop().remove_signal_handler(number)
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_ends_the_moving_of_clients(
    running: Running, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    moving = asyncio.Event()

    async def leave(within: float) -> None:
        assert within == NEVER
        moving.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(running.process._reconciler, "leave", leave)
    os.kill(os.getpid(), number)
    async with asyncio.timeout(WITHIN):
        await moving.wait()
        assert not running.ending.done()
        os.kill(os.getpid(), number)
        assert await running.ending == 0


async def test_a_second_signal_ends_the_wait_for_requests(running: Running) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    server = running.process._fronts._servers[0]._server
    await until(lambda: server.should_exit)
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(WITHIN):
        assert await running.ending == 0


async def test_a_second_signal_ends_the_wait_for_what_a_room_is_to_commit(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait for requests is over by then, and that for the room has begun."""
    committing = asyncio.Event()
    room = running.process._room
    assert room is not None

    async def never() -> None:
        committing.set()
        await asyncio.Event().wait()

    async def leave(within: float) -> None:
        pass

    monkeypatch.setattr(room.departures, "finished", never)
    monkeypatch.setattr(running.process._reconciler, "leave", leave)
    os.kill(os.getpid(), signal.SIGTERM)
    server = running.process._fronts._servers[0]
    await until(lambda: server._server.should_exit)
    server._force()  # somebody's request has ended
    async with asyncio.timeout(WITHIN):
        await committing.wait()
        assert not running.ending.done()
        os.kill(os.getpid(), signal.SIGTERM)
        assert await running.ending == 0


@pytest.mark.parametrize("silent_from", ["the first signal on", "then on"])
async def test_a_second_signal_ends_the_wait_for_a_keeper_that_says_nothing(
    running: Running, monkeypatch: pytest.MonkeyPatch, silent_from: str
) -> None:
    """It is told that the node drains, then that it leaves, and is closed in the end."""
    process = running.process
    asked: list[str] = []

    def never(what: str) -> Callable[..., Awaitable[None]]:
        async def wait(*_: object) -> None:
            asked.append(what)
            await running.answered.wait()

        return wait

    async def leave(within: float) -> None:
        await never("clients")()

    monkeypatch.setattr(process._reconciler, "leave", leave)
    monkeypatch.setattr(process._engines.keeper, "leave", never("leave"))
    if silent_from == "the first signal on":
        monkeypatch.setattr(process._engines.keeper, "join", never("join"))
    running.answered.clear()
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(WITHIN):
        await until(lambda: asked)
        os.kill(os.getpid(), signal.SIGTERM)
        assert await asyncio.shield(running.ending) == 0
    assert asked == ["join" if silent_from == "the first signal on" else "clients", "leave"]


async def test_a_second_signal_ends_the_wait_for_messages_that_are_being_stored(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has been told that they are accepted, or whoever finds this node gone sees to them."""
    process = running.process

    async def leave(within: float) -> None:
        pass

    async def never() -> Sent:
        await asyncio.sleep(NEVER)
        raise AssertionError

    monkeypatch.setattr(process._reconciler, "leave", leave)
    assert process._center is not None
    send = asyncio.create_task(never(), name="delivery.send")
    process._center.pipeline._sends.add(send)
    os.kill(os.getpid(), signal.SIGTERM)
    server = process._fronts._servers[0]
    await until(lambda: server._server.should_exit)
    server._force()  # somebody's request has ended
    async with asyncio.timeout(WITHIN):
        await until(lambda: server._task is None)
        assert not running.ending.done()
        os.kill(os.getpid(), signal.SIGTERM)
        assert await asyncio.shield(running.ending) == 0
    assert send.cancelled()


async def test_clients_of_a_store_that_was_given_up_before_they_are_moved_are_moved_at_once(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First the others are told that the node drains, which waits for the store where that is the keeper."""
    process = running.process
    given_up = asyncio.Event()
    within: list[float] = []

    async def give_up() -> None:
        given_up.set()

    async def leave(seconds: float) -> None:
        within.append(seconds)
        process.hasten()  # the request under way is another matter

    monkeypatch.setattr("longline.node.process.STORE_GONE", 0.0)
    process._engines = process._engines._replace(signs=lambda: (0, 1), give_up=give_up)
    monkeypatch.setattr(process.membership, "tell", given_up.wait)
    monkeypatch.setattr(process._reconciler, "leave", leave)
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(WITHIN):
        assert await running.ending == 0
    assert within == [DISMISSED]
