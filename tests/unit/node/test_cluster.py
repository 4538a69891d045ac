"""What a process of a cluster says of its store when it opens it."""

from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import structlog

from longline.node.cluster import HOST_FORGETS, PROCESS_FORGETS, open_engines
from longline.settings import KeeperSettings, Settings, StoreSettings
from longline.telemetry.faults import Faults
from tests.servers.redis_server import RedisServer


@pytest.mark.parametrize(
    ("config", "warned"),
    [
        ({"appendonly": "no"}, [PROCESS_FORGETS]),
        ({"appendonly": "yes", "appendfsync": "everysec"}, [HOST_FORGETS]),
        ({"appendonly": "yes", "appendfsync": "always"}, []),
    ],
    ids=["no file", "everysec", "always"],
)
async def test_a_store_is_said_to_forget_no_more_than_it_does(
    tmp_path: Path, config: dict[str, str], warned: list[str]
) -> None:
    with RedisServer(tmp_path, config=config) as server:
        settings = Settings(
            store=StoreSettings(url=server.url, partitions=2), keeper=KeeperSettings(engine="redis")
        )
        with structlog.testing.capture_logs() as logs:
            async with AsyncExitStack() as opened:
                await open_engines(settings, Faults(), opened)
    assert [entry["reason"] for entry in logs if entry["event"] == "store_forgets"] == warned
