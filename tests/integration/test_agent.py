"""`longline agent`: the processes of a host, by the real command, on a store that others could share."""

import asyncio
import os
import shlex
import signal
from pathlib import Path

import httpx
import jwt
import pytest

import longline
from longline import Center, Device
from tests.integration.agent_process import KEY, LONGLINE, an_agent
from tests.integration.processes import alive
from tests.waiting import WITHIN, eventually, until

SOURCE = str(Path(longline.__file__).parent.parent)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "redis").mkdir()
    return tmp_path


async def test_the_processes_of_a_host_serve_and_its_status_is_in_the_keeper(directory: Path) -> None:
    async with an_agent(directory) as agent:
        status = await agent.until_ready()
        assert sorted(child.kind for child in status) == ["center+dispatcher", "coordinator", "room", "room"]
        assert sorted(child.pid for child in status) == sorted(agent.workers())
        assert all(child.node is not None and child.node.startswith("host-1-") for child in status)
        async with Center(f"http://127.0.0.1:{agent.http_port}", KEY) as center:
            secret = (await center.create_app("news")).device_secret
            token = jwt.encode({"sub": "d1"}, secret, algorithm="HS256")
            async with Device("127.0.0.1", agent.mqtt_port, app="news", device="d1", token=token) as device:
                await device.wait_connected()
                await center.send("news", "hello", devices=["d1"])
                async with asyncio.timeout(WITHIN):
                    assert (await device.receive()).text == "hello"
        async with httpx.AsyncClient() as client:
            probed = [
                (await client.get(f"http://127.0.0.1:{agent.status_ports + number}/readyz"))
                for number in (0, 1, 3)  # the center has its probes at its own port
            ]
        assert [answer.status_code for answer in probed] == [200, 200, 200]
        workers = agent.workers()
        assert await agent.end(signal.SIGTERM) == 0
        assert not any(map(alive, workers))
        await eventually(agent.status, [])  # the news of it takes a moment to come here


async def test_a_killed_process_is_replaced_under_another_name(directory: Path) -> None:
    async with an_agent(directory) as agent:
        before = await agent.until_ready()
        victim = next(child for child in before if child.kind == "room")
        os.kill(victim.pid, signal.SIGKILL)
        after = await agent.until_ready(victim.pid)
        assert victim.node not in {child.node for child in after}
        assert sum(child.restarts for child in after) == 1


async def test_sighup_replaces_every_process_with_the_settings_as_they_are_then(directory: Path) -> None:
    async with an_agent(directory) as agent:
        former = [child.pid for child in await agent.until_ready()]
        agent.write_config("node.region = 'north'")
        os.kill(agent.pid, signal.SIGHUP)
        await agent.until_ready(*former)
        await until(lambda: not any(map(alive, former)))
        async with Center(f"http://127.0.0.1:{agent.http_port}", KEY), httpx.AsyncClient() as client:
            answer = await client.get(
                f"http://127.0.0.1:{agent.http_port}/v1/nodes", headers={"Authorization": f"Bearer {KEY}"}
            )
        assert {node["region"] for node in answer.json()["nodes"]} == {"north"}


async def test_a_mistake_in_the_new_settings_leaves_the_old_processes_alone(directory: Path) -> None:
    async with an_agent(directory) as agent:
        former = [child.pid for child in await agent.until_ready()]
        agent.write_config("room.prot = 1")
        os.kill(agent.pid, signal.SIGHUP)
        await until(lambda: "roll_given_up" in agent.log.read_text())
        await until(lambda: sorted(agent.workers()) == sorted(former))
        said = agent.log.read_text()
        assert "room.prot: unknown setting; did you mean room.port?" in said
        assert "Traceback" not in said, said[said.index("Traceback") :]


async def test_the_unit_of_the_command_is_printed(directory: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(*LONGLINE, "agent", "--systemd", "--agent.processes", "room=2", "--data", "some data"),
        cwd=directory,
        env={**os.environ, "PYTHONPATH": SOURCE},
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(WITHIN):
        unit, _ = await process.communicate()
    assert process.returncode == 0
    (line,) = (line for line in unit.decode().splitlines() if line.startswith("ExecStart="))
    words = shlex.split(line.removeprefix("ExecStart="))
    assert words[-5:] == ["agent", "--agent.processes", "room=2", "--data_dir", str(directory / "some data")]
