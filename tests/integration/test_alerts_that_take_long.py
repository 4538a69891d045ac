"""Alerts that go by hours, or by minutes of a node's own clock: on real nodes. Else as `test_alerts`."""

import asyncio
import os
import re
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from longline import AppLimits
from tests.integration.alerts import fired, stay
from tests.integration.live_node import LiveNode
from tests.integration.server_process import ServerProcess
from tests.integration.versions import another_version
from tests.integration.web_target import SECRET, Target
from tests.servers.prometheus import Prometheus, rules
from tests.waiting import until

pytestmark = [
    pytest.mark.shape("embedded"),
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="needs Debian's package prometheus"),
]

HOURS_AS_SECONDS: Final = 600  # times faster: six seconds are an hour
REQUESTS: Final = 1100
SLOW_BY: Final = 120 * 1_000_000_000  # ns


async def test_two_versions_side_by_side(tmp_path: Path) -> None:
    other = os.pathsep.join([str(another_version(tmp_path)), os.environ.get("PYTHONPATH", "")])
    async with (
        LiveNode(tmp_path / "data") as node,
        ServerProcess(tmp_path / "other-data", PYTHONPATH=other) as server,
        Prometheus(
            tmp_path / "p",
            [f"127.0.0.1:{port}" for port in (node.http_port, server.http_port)],
            faster=HOURS_AS_SECONDS,
        ) as prometheus,
    ):
        await prometheus.fires("VersionsDiffer")


async def test_many_requests_that_wait(tmp_path: Path) -> None:
    """Each is a task, and there were few an hour ago."""
    async with (
        LiveNode(tmp_path / "data", {"center.max_requests": 2 * REQUESTS}) as node,
        Prometheus(tmp_path / "p", [f"127.0.0.1:{node.http_port}"], faster=HOURS_AS_SECONDS) as prometheus,
        node.center() as center,
    ):
        await center.create_app("news")
        await until(lambda: prometheus.query("longline_tasks offset 6s"), tell=prometheus.tail)
        request = (
            "GET /v1/apps/news/upstream?wait=30 HTTP/1.1\r\n"
            f"Host: x\r\nAuthorization: Bearer {node.admin_key}\r\n\r\n"
        )
        writers = []
        for _ in range(REQUESTS):
            _, writer = await asyncio.open_connection("127.0.0.1", node.http_port)
            writer.write(request.encode())
            writers.append(writer)
        await prometheus.fires("TasksGrow")
        for writer in writers:
            writer.transport.abort()


async def test_a_clock_that_is_set_forward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By two minutes: what was due and what has happened lies behind for so long, and takes its time."""
    clock = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: clock() - SLOW_BY)
    settings = {"webhooks.private_addresses": True, "webhooks.batch": 1}
    async with (
        Target() as to,
        LiveNode(tmp_path / "data", settings) as node,
        Prometheus(tmp_path / "p", [f"127.0.0.1:{node.http_port}"]) as prometheus,
        node.center() as center,
    ):
        to.mode = "slow"
        await center.create_app("news")
        await center.put_webhook("news", to.url, secret=SECRET)
        await center.put_limits("news", AppLimits(messages_per_second=2))
        devices = [{"device": f"d{number}"} for number in range(200)]
        await center.register_batch("news", devices)
        soon = datetime.fromtimestamp(time.time_ns() / 1e9, UTC) + timedelta(seconds=30)
        await center.send_batch(
            "news",
            [
                {
                    "audience": {"devices": [device["device"]]},
                    "payload": "x",
                    "options": {"send_at": soon.isoformat()},
                }
                for device in devices
            ],
        )
        monkeypatch.undo()
        await fired(prometheus, ("SchedulesLate", "WebhooksLag"), stay)


def test_every_alert_is_made_true() -> None:
    """Here or in the other files of tests of alerts; which of them, stands in the calls."""
    made = {
        name
        for path in Path(__file__).parent.glob("test_alerts*.py")
        for names in re.findall(r'\.fires\("(\w+)"\)|fired\(\s*prometheus,\s*\(([^)]*)\)', path.read_text())
        for part in names
        for name in re.findall(r"\w+", part)
    }
    groups = rules()["groups"]
    alerts = {rule["alert"].removeprefix("Longline") for group in groups for rule in group["rules"]}
    assert made == alerts
