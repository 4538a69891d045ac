"""A node, its keys, and windows of its console, all of them of one browser.

Tests here run on the loop of the session, for the browser does: it lasts for all of them. What else a test
finds is its own: the node with its storage, and the cookies of each window. With `--shape=cluster` those that
are marked so find a whole cluster in the node's place, without what others have made.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from longline import Center
from tests.cluster.cluster import Cluster
from tests.console.fates import APP
from tests.console.node import Node, put_back
from tests.console.screen import PATIENCE, WIDE, Screen
from tests.integration.browser.chromium import CHROMIUM, FLAGS
from tests.integration.clients.real import node_modules
from tests.integration.live_node import LiveNode

ON_THE_SESSIONS_LOOP: Final = pytest.mark.asyncio(loop_scope="session")

Opening = Callable[..., Awaitable[Screen]]


class Stand(NamedTuple):
    """A node with an app, and the console with a key."""

    node: Node
    center: Center
    screen: Screen


class Console(Protocol):
    def __call__(
        self, key: str = ..., size: tuple[int, int] = ..., *, dark: bool = ...
    ) -> AbstractAsyncContextManager[Stand]: ...


@pytest.hookimpl(wrapper=True)
def pytest_pycollect_makemodule() -> Generator[None, pytest.Module, pytest.Module]:
    """Every test of this folder runs where the browser does."""
    module = yield
    module.add_marker(ON_THE_SESSIONS_LOOP)
    return module


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Debian's Chromium, without windows."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        try:
            yield browser
        finally:
            await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def node(
    cluster: Cluster | None, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Node]:
    """A node on the test's loop; parametrize it indirectly with settings by dotted name. Or a cluster."""
    if cluster is not None:
        yield cluster
        await put_back(cluster)
        return
    settings = {"webhooks.private_addresses": True, **getattr(request, "param", {})}
    async with LiveNode(tmp_path / "data", settings) as node:
        yield node


@pytest_asyncio.fixture(loop_scope="session")
async def api(node: Node) -> AsyncIterator[httpx.AsyncClient]:
    """The API, with the admin key."""
    headers = {"Authorization": f"Bearer {node.admin_key}"}
    async with httpx.AsyncClient(base_url=node.url, headers=headers, timeout=60) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="session")
async def server_key(api: httpx.AsyncClient) -> str:
    """That of an app `news`, which has devices."""
    made = (await api.post("/v1/apps", json={"app": "news"})).raise_for_status().json()
    devices = [{"device": f"phone{n}", "tags": ["beta"]} for n in range(5)]
    (await api.post("/v1/apps/news/devices:batch", json={"devices": devices})).raise_for_status()
    key: str = made["server_key"]
    return key


@pytest_asyncio.fixture(loop_scope="session")
async def open_screen(browser: Browser, node: Node, api: httpx.AsyncClient) -> AsyncIterator[Opening]:
    """Opens windows, each with cookies of its own. At the end none may have done what it must not."""
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
            context = await browser.new_context(
                viewport={"width": size[0], "height": size[1]},
                color_scheme="dark" if theme == "dark" else "light",
            )
            opened.push_async_callback(context.close)
            context.set_default_timeout(PATIENCE)
            screen = Screen(await context.new_page(), node.url, known, axe)
            screens.append(screen)
            return screen if key is None else await screen.log_in(key, route)

        yield opening
    assert [fault for screen in screens for fault in screen.faults] == []


@pytest_asyncio.fixture(loop_scope="session")
async def screen(open_screen: Opening, node: Node, server_key: str) -> Screen:
    """A wide window, logged in with the admin key."""
    return await open_screen(node.admin_key)


@pytest_asyncio.fixture(loop_scope="session")
async def console(node: Node, open_screen: Opening) -> Console:
    """An app, and a window with a key: "admin", "app", or scopes of a named key of it with commas between.

    What a page is refused there is no fault: tests see what it says then.
    """

    @asynccontextmanager
    async def opening(
        key: str = "admin", size: tuple[int, int] = WIDE, *, dark: bool = False
    ) -> AsyncIterator[Stand]:
        async with node.center() as center:
            server_key = (await center.create_app(APP, pubsub=True)).server_key
            keys = {"admin": node.admin_key, "app": server_key}
            given = keys.get(key) or (await center.create_key("some", key.split(","), app=APP)).key
            screen = await open_screen(given, theme="dark" if dark else "light", size=size)
            screen.refusals_expected = True
            yield Stand(node, center, screen)
            await screen.check()

    return opening
