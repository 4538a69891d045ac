"""The overview by node and by app: live, in the order of any column, and in the words of the API."""

import json
import re

import pytest
from playwright.async_api import Page, Route, expect

from longline import Center, Device
from tests.console.conftest import Opening
from tests.console.screen import NARROW, WIDE, Screen
from tests.integration.live_node import LiveNode
from tests.waiting import until

NAMES = [
    "<img src=x onerror=window.attacked=1>",
    '"><script>window.attacked=1</script>',
    "javascript:window.attacked=1",
    "../../keys",
]
ZERO = dict.fromkeys(
    ("connections", "connects", "accepted", "sent", "acked", "upstream", "requests", "refused", "errors"), 0
)
BY_APP = 'table:has(caption:text-is("By app, now"))'
BY_NODE = 'table:has(caption:text-is("By node, now"))'


def load(app: str | None, apps: int = 1, **done: float) -> dict[str, object]:
    return {"app": app, "apps": apps, **ZERO, "request_seconds": None, **done}


def told(*nodes: list[dict[str, object]]) -> str:
    """One event of a stream of figures, with what apps do in each node."""
    at = "2030-01-01T00:00:00.000Z"
    samples = [
        {
            "node": f"n{place}",
            "host": "h",
            "roles": ["room"],
            "version": "1.0",
            "since": at,
            "at": at,
            "figures": {"room_connections": 10 * place},
            "tasks": [],
            "apps": apps,
        }
        for place, apps in enumerate(nodes)
    ]
    return f"event: figures\ndata: {json.dumps({'at': at, 'nodes': samples})}\n\n"


async def show(screen: Screen, body: str) -> None:
    """Has the overview show these figures, whatever the node's are."""

    async def answer(route: Route) -> None:
        await route.fulfill(body=body, content_type="text/event-stream")

    await screen.page.route("**/v1/figures", answer)
    await screen.page.reload()
    await screen.shown()
    await expect(screen.page.locator(BY_APP)).to_be_visible()


async def column(page: Page, table: str, place: int = 0) -> list[str]:
    return await page.locator(f"{table} tbody tr > :nth-child({place + 1})").all_inner_texts()


async def test_what_an_app_does_is_seen_on_the_overview(
    node: LiveNode, screen: Screen, server_key: str
) -> None:
    async with Center(node.url, server_key) as center:
        token = await center.token("news", "phone0")
        async with Device(
            "127.0.0.1", node.mqtt_port, app="news", device="phone0", token=token.password
        ) as device:
            await device.wait_connected()
            await until(lambda: _cell(screen, "Connections", "1"))

            async def accepted() -> bool:
                await center.send("news", {"hello": 1}, devices=["phone0"])
                return await screen.cell("news", "Accepted/s") not in ("", "0")

            await until(accepted)
    link = screen.page.locator(f"{BY_APP} a", has_text="news")
    assert await link.get_attribute("href") == "#/apps/news"


async def _cell(screen: Screen, title: str, value: str) -> bool:
    return await screen.cell("news", title) == value


async def test_the_store_of_a_node_has_a_latency(screen: Screen) -> None:
    tile = screen.page.locator(".tile", has_text="Store, p99").locator(".value")

    async def known() -> bool:
        return (await tile.inner_text()).endswith(("µs", "ms", " s"))

    await until(known)


async def test_apps_of_all_nodes_are_added_up_and_others_come_last(screen: Screen) -> None:
    first = [load("news", connections=5, sent=2, requests=1, request_seconds=0.1), load(None, 70, sent=9)]
    second = [load("news", connections=7, sent=3, requests=3, request_seconds=0.3), load(None, 90, sent=1)]
    await show(screen, told(first, [*second, load("sport", connections=2)]))
    page = screen.page
    assert await column(page, BY_APP) == ["news", "sport", "90 others"]
    assert await screen.cell("news", "Connections") == "12"
    assert await screen.cell("news", "Sent/s") == "5"
    assert await screen.cell("news", "API, mean") == "250 ms"
    assert await screen.cell("90 others", "Sent/s") == "10"
    assert await page.locator(f"{BY_APP} tr", has_text="others").locator("a").count() == 0


async def test_tables_are_put_in_order_by_keyboard_and_stay_so(screen: Screen) -> None:
    loads = [load("b", sent=1), load("a", sent=3), load("c", sent=2), load(None, 4, sent=9)]
    await show(screen, told(loads, []))
    page = screen.page
    sent = page.locator(BY_APP).get_by_role("button", name="Sent/s", exact=True)
    await sent.focus()
    for key, way, order in (
        ("Enter", "descending", ["a", "c", "b", "4 others"]),
        ("Space", "ascending", ["b", "c", "a", "4 others"]),
    ):
        await page.keyboard.press(key)
        head = page.locator(f"{BY_APP} th[aria-sort]")
        await expect(head).to_have_attribute("aria-sort", way)
        assert await head.count() == 1
        assert await column(page, BY_APP) == order
        await expect(sent).to_be_focused()
    await page.locator(BY_APP).get_by_role("button", name="App", exact=True).click()
    assert await column(page, BY_APP) == ["a", "b", "c", "4 others"]
    await page.locator(BY_NODE).get_by_role("button", name="Connections", exact=True).click()
    assert await column(page, BY_NODE) == ["n1", "n0"]


async def test_who_is_at_a_link_stays_there_when_figures_change(screen: Screen) -> None:
    page = screen.page
    link = page.locator(f"{BY_NODE} tbody a")
    await expect(link).to_have_count(1)
    await link.focus()
    before = await link.element_handle()
    assert before is not None

    async def changed() -> bool:
        return not await before.evaluate("(link) => link.isConnected")

    await until(changed)
    await expect(link).to_be_focused()


@pytest.mark.parametrize("size", [WIDE, NARROW])
@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_axe_finds_nothing_and_the_page_is_no_wider_than_its_window(
    open_screen: Opening, node: LiveNode, server_key: str, theme: str, size: tuple[int, int]
) -> None:
    screen = await open_screen(node.admin_key, theme=theme, size=size)
    await show(screen, told([load("a" * 64, connections=5), load(None, 4)]))
    await screen.page.locator(BY_APP).get_by_role("button", name="Connections", exact=True).click()
    assert await screen.axe() == []
    assert await screen.overflow() <= 0


async def test_a_name_is_a_name_and_nothing_else(screen: Screen) -> None:
    """Whatever a process says that it is."""
    await show(screen, told([load(name, connections=1) for name in NAMES]))
    assert sorted(await column(screen.page, BY_APP)) == sorted(NAMES)
    links = [await each.get_attribute("href") for each in await screen.page.locator(f"{BY_APP} a").all()]
    assert all(link is not None and re.fullmatch(r"#/apps/[\w.%-]+", link) for link in links)
    assert await screen.page.evaluate("window.attacked") is None
