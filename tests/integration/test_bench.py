"""`longline bench` against a node, over TCP and over TLS."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

import longline
from longline import Center
from tests.certificates import Authority
from tests.integration.server_process import ServerProcess

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(longline.__file__).parents[1])}


class Bench:
    """The command, against a node and an app of it."""

    def __init__(self, server: ServerProcess, authority: Authority, secret: str, key: str) -> None:
        self.server = server
        self.authority = authority
        self.account = ("--app", "bench", "--secret", secret)
        self.api = ("--url", server.url, "--key", key)

    async def run(self, mode: str, way: str, *arguments: str | float) -> dict[str, Any]:
        """The figures of a run, which has to be a sound one."""
        port = self.server.tls_port if way == "tls" else self.server.mqtt_port
        tls = ("--tls", "--ca", str(self.authority.ca)) if way == "tls" else ()
        words = ("--port", port, *tls, "--server-pid", self.server.pid, "--json", *arguments)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "longline", "bench", mode, *map(str, words)),
            env=ENVIRONMENT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert process.returncode == 0, (out, err)
        figures: dict[str, Any] = json.loads(out)
        return figures


@pytest_asyncio.fixture
async def bench(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """Parametrize it indirectly with settings, as variables of the environment."""
    authority = Authority(tmp_path / "authority")
    async with ServerProcess(tmp_path / "data", (), authority, **getattr(request, "param", {})) as server:
        async with Center(server.url, server.admin_key) as center:
            app = await center.create_app("bench", pubsub=True)
        assert app.server_key is not None
        yield Bench(server, authority, app.device_secret, app.server_key)


@pytest.mark.parametrize("way", ["tcp", "tls"])
async def test_every_mode_measures_a_node_and_finds_nothing_missing(bench: Bench, way: str) -> None:
    for qos in (0, 1, 2):
        shape = ("--topics", 3, "--subscribers", 2, "--qos", qos, "--seconds", 0.2)
        routed = await bench.run("fanout", way, *bench.account, *shape)
        assert routed["delivered_per_second"] > 0
        assert routed["unfinished"] == 0
    opened = await bench.run(
        "connections", way, *bench.account, "--connections", 20, "--at-once", 4, "--hold", 0
    )
    assert (opened["opened"], opened["handshake"]["samples"]) == (20, 20)
    sent = await bench.run(
        "unicast", way, *bench.account, *bench.api, "--devices", 3, "--messages", 30, "--batch", 10
    )
    assert sent["acknowledged"] == 30
    said = await bench.run(
        "broadcast", way, *bench.account, *bench.api, "--devices", 3, "--messages", 10, "--group", "team"
    )
    assert said["delivered"] == 3 * 11
    told = await bench.run("upstream", way, *bench.account, *bench.api, "--devices", 3, "--seconds", 0.2)
    assert told["found"] == told["acknowledged"] > 0
    waited = await bench.run("drain", way, *bench.account, *bench.api, "--devices", 3, "--pending", 20)
    assert waited["drained"] == 60


@pytest.mark.parametrize("bench", [{"LONGLINE_SAVER__EVENT_LIMIT": "1000"}], indirect=True)
async def test_more_messages_than_the_app_keeps_events_are_not_taken_for_lost(bench: Bench) -> None:
    words = ("upstream", "tcp", *bench.account, *bench.api, "--devices", 3, "--seconds", 1)
    told = await bench.run(*words)
    while told["acknowledged"] < 2000:  # on a busy machine it takes a while
        told = await bench.run(*words)
    assert (told["found"], told["lost"]) == (None, 0)


async def test_handshakes_are_whole_unless_they_are_to_be_resumed(bench: Bench) -> None:
    whole = await bench.run("handshakes", "tls", "--at-once", 2, "--seconds", 0.2)
    assert list(whole["versions"]) == ["TLSv1.3"]
    assert (whole["resumed_per_second"], whole["failed"]) == (0, {})
    again = await bench.run("handshakes", "tls", "--at-once", 2, "--seconds", 0.2, "--resume")
    assert again["resumed_per_second"] > 0
