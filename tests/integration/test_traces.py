"""Traces reach a collector over OTLP, whatever processes a message passes, and never hold anything up."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from longline.errors import SettingsError
from longline.settings import load
from longline.telemetry import traces
from longline.telemetry.traces import Tracer, headers_of, parent_of
from tests.integration.live_member import live_member
from tests.integration.live_node import LiveNode, RawClient
from tests.servers.shared import shared
from tests.waiting import until

pytestmark = pytest.mark.shape("embedded")

MESSAGE = "019c2b3e-8f00-7c11-9d3e-5a1f0c6b7e20"
CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
STEPS = {f"longline.{step}" for step in ("accept", "store", "route", "write", "ack")}


class Collector:
    """Takes OTLP over HTTP; `spans` are those that it was sent, with what sent them."""

    def __init__(self) -> None:
        self.spans: list[dict[str, Any]] = []
        self.headers: list[str] = []
        self.status = 200
        self.port = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                size = int(next(line for line in head.lower().split("\r\n") if "content-length" in line)[15:])
                body = json.loads(await reader.readexactly(size))
                assert head.startswith("POST /v1/traces ")
                self.headers.append(head)
                if self.status == 200:
                    for resource in body["resourceSpans"]:
                        for scope in resource["scopeSpans"]:
                            self.spans += scope["spans"]
                writer.write(b"HTTP/1.1 %d x\r\ncontent-length: 2\r\n\r\n{}" % self.status)
        except asyncio.IncompleteReadError:
            writer.close()

    def of(self, message_id: str) -> dict[str, dict[str, Any]]:
        """A message's spans by their names."""
        trace = message_id.replace("-", "")
        return {span["name"]: span for span in self.spans if span["traceId"] == trace}

    @asynccontextmanager
    async def up(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{self.port}"
        server.close()


def check_tree(spans: dict[str, dict[str, Any]]) -> None:
    """Each is below the one that it follows, and ends after it began."""
    above = {"store": "accept", "route": "accept", "write": "route", "ack": "write"}
    assert "parentSpanId" not in spans["longline.accept"]
    for step, parent in above.items():
        assert spans[f"longline.{step}"]["parentSpanId"] == spans[f"longline.{parent}"]["spanId"]
    for span in spans.values():
        assert int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"])


async def test_a_message_is_traced_from_the_request_to_the_acknowledgement(tmp_path: Path) -> None:
    collector = Collector()
    async with collector.up() as url:
        settings = {
            "telemetry.otlp_endpoint": url,
            "telemetry.otlp_headers": "x-key=secret-of-ours,x-team=a",
            "telemetry.trace_one_in": 1,
        }
        async with LiveNode(tmp_path / "data", settings) as node, node.center() as center:
            await center.create_app("news")
            async with await node.connect(4) as client:
                await client.enter("d1", "news", (await center.token("news", "d1")).password)
                headers = {"Authorization": f"Bearer {node.admin_key}", "traceparent": CALLER}
                body = {"audience": {"devices": ["d1"]}, "payload": "x"}
                async with httpx.AsyncClient(headers=headers) as http:
                    sent = await http.post(f"{node.url}/v1/apps/news/messages", json=body)
                message_id = sent.json()["message_id"]
                push = await client.receive()
                assert push is not None
                client.bytes(b"\x40\x02\x00\x01")  # PUBACK of the first packet
                await until(lambda: set(collector.of(message_id)) == STEPS)
            figures = await node.metrics()
    spans = collector.of(message_id)
    check_tree(spans)
    link = {"traceId": CALLER[3:35], "spanId": CALLER[36:52]}
    assert spans["longline.accept"]["links"] == [link]
    assert {"key": "longline.device", "value": {"stringValue": "d1"}} in spans["longline.ack"]["attributes"]
    assert "x-key: secret-of-ours" in collector.headers[0].lower()
    assert figures["longline_traces_sent_total"] >= len(STEPS)


async def test_processes_make_one_trace_without_telling_each_other(tmp_path: Path) -> None:
    collector = Collector()
    with shared("redis") as server:
        async with collector.up() as url:
            traced = {"telemetry__otlp_endpoint": url, "telemetry__trace_one_in": 1}
            async with (
                live_member(tmp_path / "a", server.url, **traced) as room,
                live_member(tmp_path / "b", server.url, **traced) as other,
                other.center() as center,
            ):
                await center.create_app("news")
                token = await center.token("news", "d1")
                async with await RawClient.open(room.mqtt_port, 4) as client:
                    await client.enter("d1", "news", token.password)
                    sent = await center.send("news", "x", devices=["d1"])
                    assert await client.receive() is not None
                    client.bytes(b"\x40\x02\x00\x01")
                    await until(lambda: set(collector.of(sent.message_id)) == STEPS)
    check_tree(collector.of(sent.message_id))


async def test_by_default_nothing_is_traced(tmp_path: Path) -> None:
    async with LiveNode(tmp_path / "data") as node:
        assert not [name for name in await node.metrics() if name.startswith("longline_traces")]


def a_tracer(answers: list[int], one_in: int = 1) -> tuple[Tracer, httpx.AsyncClient, list[int]]:
    """One whose collector answers so; and how many spans came with each request."""
    sizes: list[int] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sizes.append(len(json.loads(request.content)["resourceSpans"][0]["scopeSpans"][0]["spans"]))
        status = answers.pop(0)
        if not status:
            raise httpx.ConnectError("nobody there")
        return httpx.Response(status)

    client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    return Tracer("http://c", {}, one_in, "n"), client, sizes


async def test_what_is_too_much_is_dropped_and_counted_and_nothing_waits() -> None:
    tracer, client, sizes = a_tracer([200] * 100)
    for _ in range(traces.WAITING + 7):
        tracer.add("store", MESSAGE, 1, 2, {})
    assert tracer.counters.dropped == 7
    assert tracer.counters.waiting == traces.WAITING
    await tracer.flush(client)
    assert sizes == [traces.BATCH] * (traces.WAITING // traces.BATCH)
    assert (tracer.counters.sent, tracer.counters.waiting) == (traces.WAITING, 0)


@pytest.mark.parametrize("status", [0, 429, 503])
async def test_what_the_collector_does_not_take_now_stays(status: int) -> None:
    tracer, client, _ = a_tracer([status, 200])
    tracer.add("store", MESSAGE, 1, 2, {})
    await tracer.flush(client)
    assert (tracer.counters.failures, tracer.counters.waiting, tracer.counters.dropped) == (1, 1, 0)
    await tracer.flush(client)
    assert (tracer.counters.sent, tracer.counters.waiting) == (1, 0)


async def test_what_the_collector_refuses_is_dropped() -> None:
    tracer, client, _ = a_tracer([400])
    tracer.add("store", MESSAGE, 1, 2, {})
    await tracer.flush(client)
    assert (tracer.counters.waiting, tracer.counters.dropped) == (0, 1)


async def test_of_a_message_to_many_some_devices_are_traced_with_all_their_steps() -> None:
    tracer, _, _ = a_tracer([])
    for number in range(traces.DEVICES + 5):
        tracer.add("write", MESSAGE, 1, 2, {}, device=f"d{number}")
    for number in reversed(range(traces.DEVICES + 5)):
        tracer.add("ack", MESSAGE, 1, 2, {}, device=f"d{number}")
    assert tracer.counters.waiting == 2 * traces.DEVICES


def test_one_in_so_many_is_traced_and_all_choose_the_same() -> None:
    tracer, _, _ = a_tracer([], one_in=10)
    ids = [f"019c2b3e-8f00-7c11-9d3e-5a1f{number:08x}" for number in range(1000)]
    assert sum(map(tracer.traces, ids)) == 100


def test_what_is_no_traceparent_is_ignored() -> None:
    assert parent_of(CALLER) == (CALLER[3:35], CALLER[36:52])
    assert parent_of("01" + CALLER[2:] + "-more") is not None
    for wrong in (
        None,
        "",
        "x",
        CALLER.upper(),
        "ff" + CALLER[2:],
        f"00-{'0' * 32}-{'1' * 16}-01",
        CALLER[:-1],
    ):
        assert parent_of(wrong) is None


def test_headers_and_addresses_that_are_none_are_refused() -> None:
    assert headers_of("a=b,c=d=e") == {"a": "b", "c": "d=e"}
    for setting, value in (("otlp_headers", "nothing"), ("otlp_endpoint", "collector:4318")):
        with pytest.raises(SettingsError, match=f"telemetry.{setting}"):
            load(flags={f"telemetry.{setting}": value})
