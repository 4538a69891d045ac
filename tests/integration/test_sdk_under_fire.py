"""A device behind a network that cuts, delays, chunks and lies, of an app whose keys change, in a process
that starts again, of a server that is killed: by random schedules, for both SDKs. `LONGLINE_SDK_SCHEDULES`
says how many for each, from `LONGLINE_SDK_FIRST` on; a hundred share a server.
"""

import asyncio
import os
import shutil
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio

from tests.certificates import Authority
from tests.integration.fire.campaign import campaign, devices_left, open_files, resident, tasks_of_devices
from tests.integration.fire.course import WITHIN, Rooms
from tests.integration.fire.schedule import STEPS
from tests.integration.live_node import LiveNode
from tests.integration.sdk_js.programs import InNode, InPython, Sdk
from tests.integration.server_process import ServerProcess
from tests.servers.ports import free_ports
from tests.waiting import eventually, until

FIRST = int(os.environ.get("LONGLINE_SDK_FIRST", "0"))
SCHEDULES = int(os.environ.get("LONGLINE_SDK_SCHEDULES", "6"))
TOGETHER = 100
EACH_KILL = 20  # schedules, but at least two kills
END = FIRST + SCHEDULES

pytestmark = [
    pytest.mark.timeout(3600),
    pytest.mark.parametrize("first", range(FIRST, END, TOGETHER)),
    pytest.mark.parametrize(
        "sdk",
        [
            "python",
            pytest.param(
                "node", marks=pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
            ),
        ],
        indirect=True,
    ),
]


@pytest_asyncio.fixture
async def sdk(request: pytest.FixtureRequest) -> AsyncIterator[Sdk]:
    running = await (InPython() if request.param == "python" else InNode()).start()
    running.patience = WITHIN
    try:
        yield running
    finally:
        await running.end()


@pytest.fixture
def numbers(first: int) -> range:
    return range(first, min(first + TOGETHER, END))


async def test_nothing_is_lost_or_done_twice_and_order_is_kept(
    sdk: Sdk, numbers: range, tmp_path: Path
) -> None:
    """And nothing of a device is left: no task, timer, socket, file, and no memory of its own."""
    authority = Authority(tmp_path / "authority")
    pair = authority.server()
    tls_port, wss_port = free_ports(2)
    settings = {
        "room.tls_cert": pair.certificate,
        "room.tls_key": pair.key,
        "room.tls_port": tls_port,
        "room.wss_port": wss_port,
    }
    files, memory = open_files(), resident()
    files_of_node = None
    if isinstance(sdk, InNode):
        assert await sdk.ask("resources") == []  # it has begun
        files_of_node = open_files(sdk.pid)
    counted: Counter[str] = Counter()
    async with LiveNode(tmp_path / "data", settings) as node, node.center() as center:
        rooms = Rooms(node.mqtt_port, node.ws_port, tls_port, wss_port, authority.ca)
        await campaign(numbers, rooms, center, sdk, tmp_path, counted)
        await eventually(tasks_of_devices, [])
    await eventually(lambda: open_files() - files, Counter())
    assert devices_left() == 0
    grown = resident() - memory
    if isinstance(sdk, InNode):
        await eventually(lambda: sdk.ask("resources"), [])
        await eventually(lambda: sdk.ask("alive"), 0)
        await eventually(lambda: open_files(sdk.pid), files_of_node)
        print(f"Node has {resident(sdk.pid) / 1e6:.0f} MB")
    tell(numbers, counted)
    print(f"this process has grown by {grown / 1e6:.1f} MB")


async def test_a_server_that_is_killed_meanwhile_costs_nothing(
    sdk: Sdk, numbers: range, tmp_path: Path
) -> None:
    """Again and again, when a part of the steps are done; it starts again at once."""
    authority = Authority(tmp_path / "authority")
    counted: Counter[str] = Counter()
    async with ServerProcess(tmp_path / "data", (), authority) as server, server.center() as center:
        rooms = Rooms(server.mqtt_port, server.ws_port, server.tls_port, server.wss_port, authority.ca)

        kills = max(2, len(numbers) // EACH_KILL)

        def done(part: int) -> bool:
            return counted["steps"] >= part * STEPS * len(numbers) // (kills + 1)

        async def kill() -> None:
            for part in range(1, kills + 1):
                await until(partial(done, part), WITHIN)
                await server.kill()
                await server.start()
                counted["kills"] += 1

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(kill(), name="killing")
            tasks.create_task(campaign(numbers, rooms, center, sdk, tmp_path, counted), name="campaign")
    tell(numbers, counted)
    assert devices_left() == 0


def tell(numbers: range, counted: Counter[str]) -> None:
    """For whoever runs many."""
    print(f"\n{len(numbers)} schedules from {numbers.start} on:", dict(sorted(counted.items())))
