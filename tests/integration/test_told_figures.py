"""What all processes tell, end to end: who is there, how often it comes, what is kept, and what ends a
stream.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import msgspec
import pytest_asyncio

from longline import Center
from longline.center.figures.shapes import FiguresView
from longline.sdk.figures import ClusterFigures
from tests.integration.shapes import Server
from tests.waiting import WITHIN, until


@pytest_asyncio.fixture
async def center(server: Server) -> AsyncIterator[Center]:
    async with server.center() as center:
        yield center


class Reader:
    """Reads one stream, and keeps what has come."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self.data: list[str] = []
        self.events: list[str] = []
        self.task = asyncio.create_task(self._read(lines))

    async def _read(self, lines: AsyncIterator[str]) -> None:
        event = ""
        async for line in lines:
            if line.startswith("event: "):
                event = line.removeprefix("event: ")
                self.events.append(event)
            elif line.startswith("data: ") and event == "figures":
                self.data.append(line.removeprefix("data: "))

    @property
    def frames(self) -> list[ClusterFigures]:
        """What came of a cluster."""
        return [msgspec.json.decode(data, type=ClusterFigures) for data in self.data]


@asynccontextmanager
async def reading(server: Server, key: str, path: str = "/v1/figures") -> AsyncIterator[Reader]:
    headers = {"Authorization": f"Bearer {key}", "Accept": "text/event-stream"}
    async with (
        httpx.AsyncClient(base_url=server.url, headers=headers, timeout=WITHIN) as http,
        http.stream("GET", path) as answer,
    ):
        assert answer.status_code == 200
        reader = Reader(answer.aiter_lines())
        yield reader
        reader.task.cancel()
        await asyncio.gather(reader.task, return_exceptions=True)


async def test_every_process_tells_and_the_stream_ticks_for_all_of_them(
    server: Server, center: Center
) -> None:
    members = {node.node for node in await center.nodes()}
    async with reading(server, server.admin_key) as reader:

        def every_one_ticks() -> bool:
            """Each member has told something new at least twice since the stream began."""
            told = {
                node: {each.at for frame in reader.frames for each in frame.nodes if each.node == node}
                for node in members
            }
            return all(len(times) >= 3 for times in told.values())

        await until(every_one_ticks, tell=lambda: f"{len(reader.frames)} frames")
    last = reader.frames[-1]
    by_name = {each.node: each for each in last.nodes}
    for node in await center.nodes():
        told = by_name[node.node]
        assert (told.host, set(told.roles), told.version) == (node.host, set(node.roles), node.version)
        assert {"loop_lag_seconds_count", "process_cpu_seconds", "tasks"} <= set(told.figures)
        assert ("room_connections" in told.figures) == ("room" in node.roles)
        assert any(task.name == "node.figures" for task in told.tasks)
        assert any(name.startswith("bound_") for name in told.figures)


async def test_what_is_handed_on_has_the_form_that_is_documented(server: Server) -> None:
    headers = {"Authorization": f"Bearer {server.admin_key}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=WITHIN) as http:
        answer = await http.get("/v1/figures")
        found = msgspec.json.decode(answer.content, type=FiguresView)
        assert json.loads(msgspec.json.encode(found)) == answer.json()


async def test_history_is_there_for_every_process(server: Server, center: Center) -> None:
    members = {node.node for node in await center.nodes()}

    async def two_points_each() -> bool:
        found = await center.figure_history(["tasks", "process_cpu_seconds"])
        have = {each.node for each in found.nodes if len(each.at) >= 2}
        return members <= have

    await until(two_points_each)
    found = await center.figure_history(["tasks"], node=min(members))
    assert {each.node for each in found.nodes} == {min(members)}
    assert all((value or 0) > 0 for each in found.nodes for value in each.figures["tasks"])


async def test_a_revoked_key_ends_the_stream(server: Server, center: Center) -> None:
    made = await center.create_key("screen", ["operate"])
    async with reading(server, made.key) as reader:
        await until(lambda: reader.data)
        await center.delete_key(made.key_id)
        await until(reader.task.done)
    assert reader.events[-1] == "error"


async def test_bounds_and_problems_of_all_processes_are_told(server: Server, center: Center) -> None:
    members = {node.node for node in await center.nodes()}

    async def every_one_has_bounds() -> bool:
        return members <= {bound.node for bound in await center.capacity()}

    await until(every_one_has_bounds)
    silent = [each for each in await center.problems() if each.code in {"node_silent", "node_untold"}]
    assert [each for each in silent if each.node in members] == []


async def test_an_app_is_told_how_it_fares(server: Server, center: Center) -> None:
    await center.create_app("news")
    await center.put_device("news", "d1")
    await center.send("news", "x", devices=["d1"])

    async def waits() -> bool:
        found = await center.app_figures("news")
        return found.waiting.deliveries == 1 and found.messages == 1

    await until(waits)
    async with reading(server, server.admin_key, "/v1/apps/news/figures") as reader:
        await until(lambda: len(reader.data) > 1)
