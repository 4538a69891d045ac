"""`longline serve --workers`: many processes on the same ports, of which any may die, and nothing is lost."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest

from longline import Center
from longline.errors import LonglineError
from tests.adversity.fleet import Books, Fleet
from tests.integration.processes import alive, children, command
from tests.integration.server_process import ServerProcess
from tests.servers.ports import free_ports
from tests.waiting import WITHIN, eventually, until

WORKERS = ("--workers", "2")
DEVICES = [f"d{number}" for number in range(6)]


class Family:
    """The processes of a server: its agent's children by what they are."""

    def __init__(self, server: ServerProcess) -> None:
        self.agent = server.pid

    @property
    def valkey(self) -> int:
        (found,) = (pid for pid in children(self.agent) if "valkey.sock" in command(pid))
        return found

    @property
    def has_valkey(self) -> bool:
        return any("valkey.sock" in command(pid) for pid in children(self.agent))

    @property
    def parent(self) -> int:
        """Of the latest generation; 0 before there is one."""
        return max(
            (pid for pid in children(self.agent) if "longline.agent.parent" in command(pid)), default=0
        )

    @property
    def workers(self) -> list[int]:
        return children(self.parent) if self.parent else []

    @property
    def all(self) -> list[int]:
        return [self.agent, self.valkey, self.parent, *self.workers]


@asynccontextmanager
async def a_server(path: Path, **settings: str) -> AsyncIterator[ServerProcess]:
    async with ServerProcess(path / "data", WORKERS, LONGLINE_NODE__DRAIN_GRACE="2", **settings) as server:
        yield server


async def ready(server: ServerProcess, workers: int = 2) -> None:
    """Until so many workers are members."""
    async with httpx.AsyncClient(timeout=5) as client:

        async def there() -> bool:
            with suppress(httpx.TransportError):
                answer = await client.get(
                    f"{server.url}/v1/nodes", headers={"Authorization": f"Bearer {server.admin_key}"}
                )
                if answer.status_code == 200:
                    nodes = [node for node in answer.json()["nodes"] if not node["draining"]]
                    return len(nodes) == workers
            return False

        await until(there)


async def push(server: ServerProcess, books: Books) -> None:
    """Pushes to one device after the other without a pause, and notes what was answered 202."""
    headers = {"Authorization": f"Bearer {server.admin_key}"}
    url = f"{server.url}/v1/apps/news/messages"
    number = 0
    async with httpx.AsyncClient(headers=headers, timeout=5) as client:
        while True:
            number += 1
            device = DEVICES[number % len(DEVICES)]
            body = {"audience": {"devices": [device]}, "payload": str(number)}
            try:
                answer = await client.post(url, json=body)
                if answer.status_code == 202:
                    books.promise(answer.json()["message_id"], [device])
                else:
                    assert answer.status_code in (429, 503), answer.text
                    await asyncio.sleep(0.05)
            except httpx.TransportError:
                await asyncio.sleep(0.05)


async def test_a_push_reaches_a_device_whichever_worker_either_is_at(tmp_path: Path) -> None:
    async with a_server(tmp_path) as server:
        await ready(server)
        books = Books()
        async with server.center() as center:
            secret = (await center.create_app("news")).device_secret
            fleet = Fleet(DEVICES, server.mqtt_port, "news", secret, books)
            await fleet.connect()
            rooms = {(await center.device("news", device)).room for device in DEVICES}
            family = Family(server)

            async def told() -> tuple[str, dict[int | None, bool]]:
                (host,) = await center.agents()
                return host.state, {process.pid: process.kind == "store" for process in host.processes}

            workers = dict.fromkeys(family.workers, False)
            await eventually(told, ("present", {family.valkey: True, **workers}))
            for _ in range(5):
                receipt = await center.send("news", "hello", devices=DEVICES)
                books.promise(receipt.message_id, DEVICES)
            receipt = await center.send("news", "to all", everyone=True)
            books.promise(receipt.message_id, DEVICES)
            assert not await books.settled(WITHIN), server.tail()
            await fleet.close()
        assert len(rooms) <= 2
        processes = family.all
        assert await server.terminate() == 0
        await until(lambda: not any(map(alive, processes)))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("victim", ["worker", "valkey", "agent"])
async def test_what_was_accepted_arrives_whichever_process_is_killed(tmp_path: Path, victim: str) -> None:
    books = Books()
    async with a_server(tmp_path) as server:
        await ready(server)
        async with server.center() as center:
            secret = (await center.create_app("news")).device_secret
            for device in DEVICES:
                await center.put_device("news", device)
        online = Fleet(DEVICES[:4], server.mqtt_port, "news", secret, books)
        await online.connect()
        async with asyncio.TaskGroup() as group:
            pushing = [group.create_task(push(server, books)) for _ in range(2)]
            for _ in range(2):
                await books.promises(40)
                await kill(server, victim)
                await books.promises(40)
                await ready(server)
            for task in pushing:
                task.cancel()
        late = Fleet(DEVICES[4:], server.mqtt_port, "news", secret, books)
        await late.connect()
        missing = await books.settled(60)
        assert not missing, server.tail()
        await late.close()
        await online.close()


async def kill(server: ServerProcess, victim: str) -> None:
    """SIGKILL, and until there is another one in its place."""
    family = Family(server)
    before = family.all
    if victim == "agent":
        await server.kill()
        await server.start()  # which those that are about to end may answer
        await until(lambda: not any(map(alive, before)))
        family = Family(server)
        await until(lambda: len(family.workers) == 2)
    else:
        pid = family.workers[0] if victim == "worker" else family.valkey
        os.kill(pid, signal.SIGKILL)
        await until(lambda: not alive(pid))
        await until(lambda: len(family.workers) == 2 and family.has_valkey)


async def test_workers_whose_agent_was_killed_do_not_wait_for_the_store_that_went_with_it(
    tmp_path: Path,
) -> None:
    """A new agent waits for their ports."""
    async with a_server(tmp_path) as server:
        await ready(server)
        async with server.center() as center:
            secret = (await center.create_app("news")).device_secret
        fleet = Fleet(DEVICES, server.mqtt_port, "news", secret, Books())
        await fleet.connect()
        family = Family(server).all
        await server.kill()
        await until(lambda: not any(map(alive, family)), tell=server.tail)
        await fleet.close()
        lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
        ended = {entry["node"] for entry in lines if entry["event"] == "node_stopped"}
        given_up = {entry["node"] for entry in lines if entry["event"] == "store_given_up"}
        assert len(ended) == 2
        assert given_up == ended


async def test_workers_that_are_stopped_in_good_order_are_not_said_to_be_dead(tmp_path: Path) -> None:
    async with a_server(tmp_path) as server:

        def told(event: str) -> int:
            return sum(entry["event"] == event for entry in lines())

        def lines() -> list[dict[str, object]]:
            return [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]

        await eventually(lambda: told("node_started"), 2)
        assert await server.terminate() == 0
        assert told("node_stopped") == 2
        assert [entry for entry in lines() if entry["event"] in ("taken_for_dead", "node_died")] == []


async def test_the_app_of_clients_without_credentials_is_made_once(tmp_path: Path) -> None:
    async with a_server(tmp_path, LONGLINE_ROOM__ANONYMOUS_APP="open") as server:
        await ready(server)
        async with server.center() as center:
            assert [app.app async for app in center.apps()] == ["open"]


async def test_the_admin_key_is_the_one_in_the_data_directory(tmp_path: Path) -> None:
    """Also after an operator has replaced it there."""
    async with a_server(tmp_path, LONGLINE_ADMIN_KEY="") as server:
        path = tmp_path / "data" / "admin.key"
        server.admin_key = path.read_text().strip()
        await ready(server)
        for _ in range(8):  # whichever worker answers
            async with server.center() as center:
                assert [app.app async for app in center.apps()] == []
        former = server.admin_key
        assert await server.terminate() == 0
        path.unlink()
        await server.start()
        server.admin_key = path.read_text().strip()
        assert server.admin_key != former
        await ready(server)
        async with Center(server.url, former) as center:
            with pytest.raises(LonglineError, match="key"):
                [app.app async for app in center.apps()]


async def test_a_rolling_restart_replaces_all_workers_and_keeps_the_devices(tmp_path: Path) -> None:
    async with a_server(tmp_path) as server:
        await ready(server)
        books = Books()
        async with server.center() as center:
            secret = (await center.create_app("news")).device_secret
            fleet = Fleet(DEVICES, server.mqtt_port, "news", secret, books)
            await fleet.connect()
            family = Family(server)
            former = family.workers
            async with asyncio.TaskGroup() as group:
                pushing = group.create_task(push(server, books))
                os.kill(server.pid, signal.SIGHUP)
                await until(lambda: not any(map(alive, former)))
                await books.promises(20)
                pushing.cancel()
            assert not await books.settled(WITHIN), server.tail()
            await ready(server)
            assert len(family.workers) == 2
            await fleet.close()


# --- the command ----------------------------------------------------------------------------------------


async def serve(data: Path, *arguments: str, **settings: str) -> asyncio.subprocess.Process:
    """`longline serve --workers 2` in a session of its own, on free ports unless told otherwise."""
    http_port, mqtt_port = free_ports(2)
    environment = {
        **os.environ,
        "LONGLINE_CENTER__PORT": str(http_port),
        "LONGLINE_ROOM__PORT": str(mqtt_port),
        "LONGLINE_ROOM__WS_PORT": "0",
        "LONGLINE_NODE__LOG_FORMAT": "json",
        **settings,
    }
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "longline", "serve", *WORKERS, "--data", str(data), *arguments),
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )


async def test_ctrl_c_ends_everything_in_good_order(tmp_path: Path) -> None:
    process = await serve(tmp_path / "data")
    assert process.stdout is not None
    async with asyncio.timeout(WITHIN):
        greeting = [(await process.stdout.readline()).decode() for _ in range(4)]
        assert greeting[0].startswith("mqtt")
        assert "admin key in" in greeting[2]
        family = [process.pid, *children(process.pid)]
        os.killpg(process.pid, signal.SIGINT)
        _, said = await process.communicate()
    assert process.returncode == 0, said.decode()
    assert said.decode().count('"event":"node_stopped"') == 2
    assert "Traceback" not in said.decode()
    await until(lambda: not any(map(alive, family)))


async def test_a_port_that_is_taken_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        process = await serve(tmp_path / "data", LONGLINE_CENTER__PORT=str(port))
        async with asyncio.timeout(WITHIN):
            _, said = await process.communicate()
    assert process.returncode == 1
    assert f"longline: center.port: cannot listen on 127.0.0.1:{port}" in said.decode()
    assert "Traceback" not in said.decode()


async def test_a_second_one_on_the_same_data_is_refused(tmp_path: Path) -> None:
    async with a_server(tmp_path):
        process = await serve(tmp_path / "data")
        async with asyncio.timeout(WITHIN):
            _, said = await process.communicate()
        assert process.returncode == 1
        assert "data_dir_in_use" in said.decode()


async def test_a_store_that_there_is_none_of_is_told_with_its_setting(tmp_path: Path) -> None:
    process = await serve(tmp_path / "data", LONGLINE_AGENT__VALKEY=str(tmp_path / "none"))
    async with asyncio.timeout(WITHIN):
        _, said = await process.communicate()
    assert process.returncode == 1
    assert "longline: agent.valkey: there is no program" in said.decode()
