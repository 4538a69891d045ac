"""A node, its keys, and windows of its console."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from tests.console.screen import WIDE, Screen, browsing
from tests.integration.clients.real import node_modules
from tests.integration.live_node import LiveNode

Opening = Callable[..., Awaitable[Screen]]


@pytest_asyncio.fixture
async def node(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[LiveNode]:
    """A node on the test's loop; parametrize it indirectly with settings by dotted name."""
    async with LiveNode(tmp_path / "data", getattr(request, "param", None)) as node:
        yield node


@pytest_asyncio.fixture
async def api(node: LiveNode) -> AsyncIterator[httpx.AsyncClient]:
    """The API, with the admin key."""
    headers = {"Authorization": f"Bearer {node.admin_key}"}
    async with httpx.AsyncClient(base_url=node.url, headers=headers, timeout=60) as client:
        yield client


@pytest_asyncio.fixture
async def server_key(api: httpx.AsyncClient) -> str:
    """That of an app `news`, which has devices."""
    made = (await api.post("/v1/apps", json={"app": "news"})).raise_for_status().json()
    devices = [{"device": f"phone{n}", "tags": ["beta"]} for n in range(5)]
    (await api.post("/v1/apps/news/devices:batch", json={"devices": devices})).raise_for_status()
    key: str = made["server_key"]
    return key


@pytest_asyncio.fixture
async def open_screen(node: LiveNode, api: httpx.AsyncClient) -> AsyncIterator[Opening]:
    """Opens windows. At the end none of them may have done what it must not."""
    axe = await asyncio.to_thread(node_modules) / "axe-core" / "axe.min.js"
    known = list((await api.get("/openapi.json")).json()["paths"])
    screens: list[Screen] = []
    async with AsyncExitStack() as opened:

        async def opening(
            key: str | None = None,
            route: str = "overview",
            *,
            theme: str = "light",
            size: tuple[int, int] = WIDE,
        ) -> Screen:
            context = await opened.enter_async_context(browsing(theme, size))
            screen = Screen(await context.new_page(), node.url, known, axe)
            screens.append(screen)
            return screen if key is None else await screen.log_in(key, route)

        yield opening
    assert [fault for screen in screens for fault in screen.faults] == []


@pytest_asyncio.fixture
async def screen(open_screen: Opening, node: LiveNode, server_key: str) -> Screen:
    """A wide window, logged in with the admin key."""
    return await open_screen(node.admin_key)
