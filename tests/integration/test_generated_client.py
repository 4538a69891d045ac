"""A client that a public generator makes of `/openapi.json`, as users do, works against a live node."""

import asyncio
import importlib
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.integration.live_node import LiveNode

GENERATOR = "openapi_python_client"
QUIET = "post_hooks: []\n"  # it would have its source formatted


class Generated:
    """The package that was generated, and a client of it."""

    def __init__(self, name: str, url: str, key: str) -> None:
        self._name = name
        self.client = self.part("client").AuthenticatedClient(base_url=url, token=key)

    def part(self, path: str) -> ModuleType:
        return importlib.import_module(f"{self._name}.{path}")

    def body(self, model: str, value: Mapping[str, object]) -> Any:
        """A body of one of its types, made from JSON."""
        return getattr(self.part("models"), model).from_dict(value)

    async def call(self, tag: str, operation: str, *path: str, **rest: Any) -> Any:
        """What an operation answers, as one of its types."""
        return await self.part(f"api.{tag}.{operation}").asyncio(*path, client=self.client, **rest)


@pytest.fixture
async def generated(
    node: LiveNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Generated]:
    async with httpx.AsyncClient() as client:
        (tmp_path / "openapi.json").write_bytes((await client.get(f"{node.url}/openapi.json")).content)
    (tmp_path / "config.yaml").write_text(QUIET)
    name = f"generated_{uuid4().hex}"
    made = await asyncio.to_thread(
        subprocess.run,
        [
            *(sys.executable, "-m", GENERATOR, "generate", "--path", str(tmp_path / "openapi.json")),
            *("--output-path", str(tmp_path / name), "--meta", "none", "--fail-on-warning"),
            *("--config", str(tmp_path / "config.yaml")),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    monkeypatch.syspath_prepend(str(tmp_path))
    generated = Generated(name, node.url, node.admin_key)
    yield generated
    await generated.client.get_async_httpx_client().aclose()


async def test_a_generated_client_sends_to_a_device_and_reads_the_ledger(generated: Generated) -> None:
    made = await generated.call("apps", "apps_create", body=generated.body("NewApp", {"app": "news"}))
    assert made.app == "news"
    assert made.server_key
    profile = generated.body("NewProfile", {"tags": ["beta"], "attributes": {"plan": "pro"}})
    device = await generated.call("devices", "devices_put", "news", "d1", body=profile)
    assert (device.device, device.tags) == ("d1", ["beta"])
    asked = {"audience": {"devices": ["d1", "d2"]}, "payload": {"title": "Goal!"}, "options": {"ttl": 60}}
    sent = await generated.call(
        "messages", "messages_send", "news", body=generated.body("JsonMessage", asked)
    )
    assert (sent.status, sent.targeted) == ("accepted", 2)
    status = await generated.call("messages", "messages_status", "news", sent.message_id)
    assert (status.ledger.pending, status.ledger.dropped.to_dict()) == (1, {"device_not_found": 1})
    deliveries = await generated.call("messages", "messages_deliveries", "news", sent.message_id)
    assert [(row.device, row.state) for row in deliveries.deliveries] == [("d1", "pending")]


async def test_a_generated_client_knows_every_kind_of_audience_and_of_answer(generated: Generated) -> None:
    await generated.call("apps", "apps_create", body=generated.body("NewApp", {"app": "news"}))
    await generated.call(
        "devices", "devices_put", "news", "d1", body=generated.body("NewProfile", {"tags": ["a"]})
    )
    audience = {"any": [{"tag": ["a"]}, {"not": {"attributes": {"age": {"gte": 18}}}}]}
    estimate = await generated.call(
        "messages",
        "audiences_estimate",
        "news",
        body=generated.body("EstimateRequest", {"audience": audience}),
    )
    assert estimate.devices == 1
    batch = {
        "messages": [
            {"audience": "all", "payload": "hello"},
            {"audience": {"devices": ["x"]}, "payload": "y"},
        ]
    }
    results = await generated.call(
        "messages", "messages_send_batch", "news", body=generated.body("MessageBatch", batch)
    )
    first, second = results.results
    assert first.message_id
    assert second.error.code == "no_target"
    listed = await generated.call("messages", "records_latest", "news", limit=10)
    assert [message.message_id for message in listed.messages] == [first.message_id]
    plan = {"message": {"audience": "all", "payload": "hello"}, "cron": "0 9 * * 1-5", "timezone": "UTC"}
    schedule = await generated.call(
        "schedules", "schedules_create", "news", body=generated.body("NewSchedule", plan)
    )
    assert len(schedule.next_) > 0
    events = await generated.call("events", "upstream_read", "news", wait=0)
    assert events.gap is False
    refused = await generated.call("messages", "messages_status", "news", "nothing")
    assert refused.error.code == "message_not_found"
