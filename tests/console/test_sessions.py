"""Logging in and out, and what each kind of key gets to see."""

import httpx
from playwright.async_api import expect

from tests.console.conftest import Opening
from tests.console.screen import Screen
from tests.integration.live_node import LiveNode


async def menu(screen: Screen) -> list[str]:
    return await screen.page.locator("#menu li a").all_inner_texts()


async def test_a_wrong_key_is_told_and_opens_nothing(open_screen: Opening, node: LiveNode) -> None:
    screen = await open_screen()
    await screen.page.goto(f"{node.url}/console/")
    key = screen.page.get_by_label("Key")
    await screen.page.get_by_role("button", name="Log in").click()
    await expect(screen.page.get_by_text("Paste a key here.")).to_be_visible()
    await key.fill("lla_wrong")
    await screen.page.get_by_role("button", name="Log in").click()
    await expect(screen.page.get_by_role("alert")).to_contain_text("unauthorized")
    assert await screen.page.locator("#menu").count() == 0


async def test_the_key_is_nowhere_in_the_page(open_screen: Opening, node: LiveNode) -> None:
    screen = await open_screen(node.admin_key)
    for route in ("overview", "keys", "settings"):
        await screen.go(route)
        seen = await screen.page.evaluate(
            "document.documentElement.outerHTML + document.cookie + JSON.stringify({...localStorage})"
            " + JSON.stringify({...sessionStorage}) + location.href"
        )
        assert node.admin_key not in seen
        assert "longline_session" not in seen
    (cookie,) = await screen.page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/")
    assert node.admin_key not in cookie["value"]


async def test_a_session_lasts_through_a_reload_and_ends_by_logging_out(
    open_screen: Opening, node: LiveNode
) -> None:
    screen = await open_screen(node.admin_key, "settings")
    await screen.page.reload()
    await screen.shown()
    assert await screen.heading() == "Settings"
    await screen.page.get_by_role("button", name="Log out").click()
    await screen.page.get_by_label("Key").wait_for()
    assert await screen.page.context.cookies() == []
    await screen.page.reload()
    await screen.page.get_by_label("Key").wait_for()


async def test_an_apps_key_sees_its_app_and_nothing_of_others(
    open_screen: Opening, api: httpx.AsyncClient, server_key: str
) -> None:
    await api.post("/v1/apps", json={"app": "maps"})
    screen = await open_screen(server_key)
    assert await menu(screen) == [
        "Overview",
        "About",
        "Devices",
        "Messages",
        "Send",
        "Schedules",
        "Groups",
        "Events",
        "Keys",
    ]
    assert "maps" not in await screen.page.locator("body").inner_text()
    for route in (
        "nodes",
        "settings",
        "profiles",
        "audit",
        "keys",
        "capacity",
        "apps",
        "apps/maps",
        "apps/maps/keys",
    ):
        await screen.go(route)
        assert await screen.heading() == "This page cannot be shown", route


async def test_the_pages_of_operators_need_the_scope(open_screen: Opening, api: httpx.AsyncClient) -> None:
    made = (await api.post("/v1/keys", json={"name": "reader", "scopes": ["read"]})).json()
    screen = await open_screen(made["key"])
    assert await menu(screen) == ["Overview", "Apps"]
    await expect(screen.page.get_by_text("need a key with the scope operate")).to_be_visible()
    assert "reader" in await screen.page.locator("#menu").inner_text()


async def test_a_key_that_is_revoked_ends_its_session(
    open_screen: Opening, api: httpx.AsyncClient, node: LiveNode
) -> None:
    made = (await api.post("/v1/keys", json={"name": "ann", "scopes": ["read", "operate"]})).json()
    screen = await open_screen(made["key"], "nodes")
    screen.refusals_expected = True
    await api.delete(f"/v1/keys/{made['key_id']}")
    await screen.page.get_by_label("Key").wait_for()
    assert await screen.page.locator("#menu").count() == 0


async def test_a_server_that_is_away_is_said_and_found_again(open_screen: Opening, node: LiveNode) -> None:
    screen = await open_screen(node.admin_key, "nodes")
    screen.refusals_expected = True
    await screen.page.route("**/v1/nodes", lambda route: route.abort())
    await expect(screen.page.get_by_text("The server cannot be reached.")).to_be_visible()
    await screen.page.unroute("**/v1/nodes")
    await expect(screen.page.get_by_text("The server cannot be reached.")).not_to_be_visible()
    screen.faults = [fault for fault in screen.faults if "net::ERR_FAILED" not in fault]


async def test_a_console_that_cannot_begin_is_tried_again(open_screen: Opening, node: LiveNode) -> None:
    screen = await open_screen()
    screen.refusals_expected = True
    await screen.page.route("**/v1/session", lambda route: route.fulfill(status=503, body="away"))
    await screen.page.goto(f"{node.url}/console/")
    again = screen.page.get_by_role("button", name="Try again")
    await again.wait_for()
    await screen.page.unroute("**/v1/session")
    await again.click()
    await screen.page.get_by_label("Key").wait_for()
