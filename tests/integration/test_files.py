"""More connections than the process may have files: the node goes on, and says why it lets them go."""

import asyncio
from pathlib import Path

import pytest

from tests.integration.live_node import metrics
from tests.integration.server_process import ServerProcess
from tests.waiting import until

FILES = 256

pytestmark = pytest.mark.shape("embedded")


async def test_a_node_without_files_for_more_devices_answers_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = asyncio.create_subprocess_exec

    async def limited(*command: str, **options: object) -> asyncio.subprocess.Process:
        shell = f'ulimit -n {FILES}; exec "$@"'
        return await start("sh", "-c", shell, "sh", *command, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", limited)
    async with ServerProcess(tmp_path / "data") as server:
        clients = [await asyncio.open_connection("127.0.0.1", server.mqtt_port) for _ in range(2 * FILES)]

        async def refused() -> bool:
            found = await metrics(server.url)  # which takes a file, and there is one
            return found.get('longline_room_refused_total{kind="too_many_connections"}', 0) > FILES / 2

        await until(refused)
        found = await metrics(server.url)
        assert FILES / 4 < found["longline_room_connections"] < FILES
        assert found["longline_files_limit"] == FILES
        assert '"connections_limited"' in server.tail()
        for _, writer in clients:
            writer.close()

        async def gone() -> bool:
            return (await metrics(server.url))["longline_room_connections"] == 0

        await until(gone)
        _, writer = await asyncio.open_connection("127.0.0.1", server.mqtt_port)

        async def back() -> bool:
            return (await metrics(server.url))["longline_room_connections"] == 1

        await until(back)
        writer.close()
        assert await server.terminate() == 0
