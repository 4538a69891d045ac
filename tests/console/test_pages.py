"""Every page, in a wide and a narrow window, light and dark, with both kinds of key."""

import httpx
import pytest
from playwright.async_api import expect

from tests.console.conftest import Opening
from tests.console.screen import NARROW, WIDE
from tests.integration.live_node import LiveNode

OPERATORS = (
    "overview",
    "nodes",
    "nodes/{node}",
    "settings",
    "profiles",
    "audit",
    "keys",
    "capacity",
    "apps/news/keys",
)
APPS = ("overview", "apps/news/keys")
ON_A_CLUSTER_TOO = pytest.mark.shape("embedded", "cluster")
VIEWS = [
    pytest.param("light", WIDE, marks=ON_A_CLUSTER_TOO),
    ("dark", WIDE),
    ("light", NARROW),
    pytest.param("dark", NARROW, marks=ON_A_CLUSTER_TOO),
]


@pytest.mark.parametrize(("theme", "size"), VIEWS)
async def test_axe_finds_nothing_on_any_page_of_operators(
    open_screen: Opening,
    node: LiveNode,
    api: httpx.AsyncClient,
    server_key: str,
    theme: str,
    size: tuple[int, int],
) -> None:
    await api.post("/v1/keys", json={"name": "monitoring", "scopes": ["read"]})
    await api.put("/v1/config/room.linger", json={"value": 20})
    screen = await open_screen(theme=theme, size=size)
    await screen.page.goto(f"{screen.url}/console/")
    await screen.page.get_by_label("Key").wait_for()
    assert await screen.axe() == []
    await screen.log_in(node.admin_key)
    member = (await api.get("/v1/nodes")).json()["nodes"][0]
    for route in OPERATORS:
        await screen.go(route.format(node=member["node"]))
        assert await screen.axe() == [], route
        assert await screen.overflow() <= 0, route


@pytest.mark.parametrize(("theme", "size"), [VIEWS[0], VIEWS[3]])
async def test_axe_finds_nothing_on_any_page_of_an_app(
    open_screen: Opening, server_key: str, theme: str, size: tuple[int, int]
) -> None:
    screen = await open_screen(server_key, theme=theme, size=size)
    for route in APPS:
        await screen.go(route)
        assert await screen.axe() == [], route
        assert await screen.overflow() <= 0, route


async def test_a_page_has_the_focus_on_its_heading_and_its_name_in_the_title(
    open_screen: Opening, node: LiveNode
) -> None:
    screen = await open_screen(node.admin_key)
    for route, name in (("nodes", "Nodes"), ("settings", "Settings"), ("audit", "Audit log")):
        await screen.page.locator(f'#menu a[href="#/{route}"]').click()
        # Not just what has the focus and is called so: the link in the menu is, too, until the page is there.
        heading = screen.page.get_by_role("heading", name=name, level=1, exact=True)
        await expect(heading).to_be_focused()
        await expect(screen.page).to_have_title(f"{name} – Longline")
        await expect(screen.page.locator('#menu a[aria-current="page"]')).to_have_text(name)


async def test_an_address_that_is_none_says_so(open_screen: Opening, node: LiveNode) -> None:
    screen = await open_screen(node.admin_key)
    for route in ("nothing", "apps/%", "nodes/", "settings/../audit"):
        await screen.go(route)
        assert await screen.heading() == "This page cannot be shown", route


async def test_all_can_be_done_by_keyboard(open_screen: Opening, node: LiveNode) -> None:
    """The way past the menu, the menu itself where it is closed, and out of it again."""
    screen = await open_screen(node.admin_key, size=NARROW)
    page = screen.page
    await page.reload()
    await screen.shown()
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.textContent") == "Skip to the page"
    await page.keyboard.press("Enter")
    assert await page.evaluate("document.activeElement.tagName") == "H1"
    menu = page.get_by_role("button", name="Menu")
    await menu.focus()
    await page.keyboard.press("Enter")
    assert await menu.get_attribute("aria-expanded") == "true"
    await page.keyboard.press("Escape")
    assert await menu.get_attribute("aria-expanded") == "false"
    assert await page.evaluate("document.activeElement.textContent") == "Menu"
    await page.keyboard.press("Enter")
    await page.locator('#menu a[href="#/audit"]').focus()
    await page.keyboard.press("Enter")
    await page.get_by_role("heading", name="Audit log").wait_for()
    assert await menu.get_attribute("aria-expanded") == "false"


async def test_colours_are_chosen_and_remembered(open_screen: Opening, node: LiveNode) -> None:
    screen = await open_screen(node.admin_key)
    page = screen.page
    light = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    await page.get_by_label("Colours").select_option("dark")
    dark = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert dark != light
    await page.reload()
    await screen.shown()
    assert await page.evaluate("getComputedStyle(document.body).backgroundColor") == dark
