"""What operators do: figures, nodes, settings, keys, the audit log."""

import asyncio
import csv
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from playwright.async_api import expect

from tests.console.conftest import Opening
from tests.console.forms import dialog
from tests.console.screen import Screen
from tests.integration.live_node import LiveNode

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    '"><svg onload=alert(1)>',
    "javascript:alert(1)",
    "{{7*7}}${7*7}",
    "'\"`;--<!--",
    "<a href=javascript:alert(1)>x</a>",
    "&lt;b&gt;\u202ereversed",
)


async def test_the_overview_follows_what_happens(screen: Screen, api: httpx.AsyncClient) -> None:
    """Over one stream; what is accepted is seen there within seconds."""
    accepted = screen.page.locator(".tile", has_text="Accepted/s").locator(".value")
    await expect(screen.page.get_by_text("live, 1 node")).to_be_visible()
    sending = True

    async def send() -> None:
        while sending:
            await api.post("/v1/apps/news/messages", json={"audience": "all", "payload": "hello"})
            await asyncio.sleep(0.02)

    sender = asyncio.create_task(send())
    await expect(accepted).not_to_have_text("0")
    await expect(accepted).not_to_have_text("–")
    sending = False
    await sender
    label = await screen.page.locator('.uplot[role="img"]').first.get_attribute("aria-label")
    assert label is not None
    assert label.startswith("Connections.")


async def test_only_one_stream_is_open_for_all_nodes(open_screen: Opening, node: LiveNode) -> None:
    screen = await open_screen()
    streams: list[str] = []
    screen.page.on(
        "request",
        lambda request: (
            streams.append(request.url) if "event-stream" in request.headers.get("accept", "") else None
        ),
    )
    await screen.log_in(node.admin_key)
    await expect(screen.page.get_by_text("live, 1 node")).to_be_visible()
    assert streams == [f"{node.url}/v1/figures"]


async def test_a_node_is_drained_on_trial_and_taken_back(screen: Screen) -> None:
    page = screen.page
    await screen.go("nodes")
    await page.get_by_role("button", name="Drain…").click()
    await page.get_by_label("Only say what would be done").check()
    await dialog(screen, "Drain")
    await expect(page.get_by_text("trial:")).to_be_visible()
    await page.get_by_role("button", name="Undrain").click()
    await expect(page.get_by_text("in service")).to_be_visible()


async def test_what_is_wrong_in_a_form_is_said_at_its_field(screen: Screen) -> None:
    page = screen.page
    await screen.go("nodes")
    screen.refusals_expected = True
    await page.get_by_role("button", name="Drain…").click()
    await page.get_by_label("Clients in the first second").fill("-3")
    await page.get_by_role("dialog").get_by_role("button", name="Drain", exact=True).click()
    field = page.get_by_label("Clients in the first second")
    await expect(field).to_have_attribute("aria-invalid", "true")
    await expect(field).to_be_focused()
    assert await screen.axe() == []
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)


async def test_a_node_shows_its_tasks_and_its_store(screen: Screen, api: httpx.AsyncClient) -> None:
    (member,) = (await api.get("/v1/nodes")).json()["nodes"]
    await screen.go(f"nodes/{member['node']}")
    await expect(screen.page.get_by_role("rowheader", name="room.commands")).to_be_visible()
    await expect(screen.page.get_by_text("Commits a second")).to_be_visible()
    await screen.go("nodes/nobody")
    await expect(screen.page.get_by_text("nobody is not a member of the cluster now.")).to_be_visible()


async def test_a_setting_is_tried_promoted_undone_and_left_to_the_nodes(
    screen: Screen, api: httpx.AsyncClient
) -> None:
    page = screen.page
    await screen.go("settings")

    async def in_force() -> object:
        return (await api.get("/v1/config/room.linger")).json()["value"]

    await page.get_by_role("button", name="Change room.linger").click()
    await page.get_by_role("textbox", name="Value").fill("25")
    await page.get_by_label("For").select_option("some")
    await page.get_by_role("dialog").get_by_role("checkbox").first.check()
    assert await screen.axe() == []
    await dialog(screen, "Put it in force")
    await expect(page.get_by_role("heading", name="On trial")).to_be_visible()
    assert (await api.get("/v1/config/room.linger")).json()["gray"] == 25
    await page.get_by_role("button", name="Promote to all nodes").click()
    await dialog(screen, "Promote")
    await expect(page.get_by_role("heading", name="On trial")).to_have_count(0)
    assert await in_force() == 25
    assert await screen.cell("room.linger", "From") == "all nodes"

    await page.get_by_role("button", name="Change room.linger").click()
    await page.get_by_role("textbox", name="Value").fill("30")
    await dialog(screen, "Put it in force")
    await page.get_by_role("button", name="Undo: room.linger").click()
    await dialog(screen, "Undo")
    await expect(page.get_by_text("room.linger has its former value.")).to_be_visible()
    assert await in_force() == 25
    await page.get_by_role("button", name="Leave to nodes: room.linger").click()
    await dialog(screen, "Leave it to them")
    await expect(page.get_by_text("room.linger is each node's own again.")).to_be_visible()
    assert await in_force() is None
    await page.get_by_role("button", name="Roll back the latest change").click()
    await dialog(screen, "Roll back")
    await expect(page.get_by_text("The latest change is rolled back.")).to_be_visible()
    assert await in_force() == 25


async def test_a_trial_is_rolled_back(screen: Screen, api: httpx.AsyncClient) -> None:
    (member,) = (await api.get("/v1/nodes")).json()["nodes"]
    await api.put("/v1/config/room.burst", json={"value": 5, "nodes": [member["node"]]})
    await api.put("/v1/config/room.linger", json={"value": 5, "nodes": [member["node"]]})
    await screen.go("settings")
    await screen.page.get_by_role("button", name="Roll back", exact=True).click()
    await dialog(screen, "Roll back")
    await expect(screen.page.get_by_text("The trial is over.")).to_be_visible()
    assert (await api.get("/v1/config")).json()["gray"] is None


async def test_versions_of_the_settings_are_compared(screen: Screen, api: httpx.AsyncClient) -> None:
    for value in (11, 12):
        await api.put("/v1/config/room.linger", json={"value": value})
    await screen.go("settings")
    assert await screen.cell("2", "What it changed") == "room.linger 11 → 12"
    await screen.page.get_by_label("Compare").select_option("0")
    await expect(screen.page.get_by_text("From version 0 to version 2")).to_be_visible()
    assert await screen.cell("room.linger", "Version 0") == "each node's own"
    assert await screen.cell("room.linger", "Version 2") == "12"


async def test_a_value_that_is_not_allowed_is_refused_in_words(screen: Screen) -> None:
    await screen.go("settings")
    screen.refusals_expected = True
    await screen.page.get_by_role("button", name="Change room.linger").click()
    await screen.page.get_by_role("textbox", name="Value").fill("-1")
    await screen.page.get_by_role("button", name="Put it in force").click()
    await expect(screen.page.get_by_role("dialog").get_by_role("alert")).to_contain_text("invalid")


async def test_settings_are_found_by_their_words(screen: Screen) -> None:
    await screen.go("settings")
    find = screen.page.get_by_label("Find a setting")
    settings = screen.page.locator(".settings tbody th")
    await find.fill("linger")
    await expect(settings.first).to_have_text("room.linger")
    assert len(await settings.all_inner_texts()) < 5
    await find.fill("no such words")
    await expect(screen.page.get_by_text("No setting has this in its name or meaning.")).to_be_visible()


async def test_the_chooser_shows_the_same_page_of_another_app(screen: Screen, api: httpx.AsyncClient) -> None:
    await api.post("/v1/apps", json={"app": "maps"})
    await screen.page.reload()
    await screen.go("apps/news/devices")
    await screen.page.get_by_label("App", exact=True).select_option("maps")
    await screen.page.wait_for_url("**/#/apps/maps/devices")
    await screen.shown()
    await expect(screen.page.get_by_text("No device was found.")).to_be_visible()


@pytest.mark.parametrize("route", ["keys", "apps/news/keys"])
async def test_a_key_is_made_shown_once_used_and_revoked(
    screen: Screen, open_screen: Opening, route: str
) -> None:
    page = screen.page
    await screen.go(route)
    await page.get_by_role("button", name="Make a key…").click()
    await page.get_by_role("textbox", name="Name").fill("reports")
    await page.get_by_label("read:").check()
    await page.get_by_label("It ends after").select_option("30")
    assert await screen.axe() == []
    await page.get_by_role("button", name="Make it").click()
    text = await page.locator("code.secret").inner_text()
    assert text.startswith("lln_")
    assert await screen.axe() == []
    await dialog(screen, "I have it")
    assert text not in await page.evaluate("document.documentElement.outerHTML")
    await expect(page.get_by_role("rowheader", name="reports")).to_be_visible()
    assert await screen.cell("reports", "May") == "read"
    other = await open_screen(text)
    assert "reports" in await other.page.locator("#menu").inner_text()
    other.refusals_expected = True
    await page.get_by_role("button", name="Revoke reports").click()
    await dialog(screen, "Revoke")
    await expect(page.get_by_role("rowheader", name="reports")).to_have_count(0)
    await other.page.reload()
    await other.page.get_by_label("Key").wait_for()


async def test_the_server_key_of_an_app_is_rotated(screen: Screen, node: LiveNode, server_key: str) -> None:
    await screen.go("apps/news/keys")
    await screen.page.get_by_role("button", name="Rotate the server key…").click()
    await screen.page.get_by_role("dialog").get_by_role("button", name="Rotate").click()
    text = await screen.page.locator("code.secret").inner_text()
    async with httpx.AsyncClient(base_url=node.url) as http:
        for key, status in ((server_key, 401), (text, 200)):
            answer = await http.get("/v1/apps/news", headers={"Authorization": f"Bearer {key}"})
            assert answer.status_code == status


async def test_the_audit_log_tells_what_the_console_did(
    screen: Screen, api: httpx.AsyncClient, tmp_path: Path
) -> None:
    page = screen.page
    await api.post("/v1/apps", json={"app": "maps"})
    await screen.go("audit")
    await expect(page.get_by_role("row")).to_have_count(3)
    await page.get_by_label("App").fill("maps")
    await page.get_by_role("button", name="Show", exact=True).click()
    await expect(page.get_by_role("row")).to_have_count(2)
    async with page.expect_download() as downloading:
        await page.get_by_role("button", name="Export CSV").click()
    file = tmp_path / "audit.csv"
    await (await downloading.value).save_as(file)
    (entry,) = csv.DictReader(file.read_text().splitlines())
    assert (entry["app"], entry["method"], entry["path"]) == ("maps", "POST", "/v1/apps")


async def test_names_are_letters_and_never_run(screen: Screen, api: httpx.AsyncClient) -> None:
    """On the pages that show keys and changes; a dialog, or a request elsewhere, would be a fault."""
    for name in HOSTILE:
        for path in ("/v1/keys", "/v1/apps/news/keys"):
            (await api.post(path, json={"name": name, "scopes": ["read"]})).raise_for_status()
    for route in ("keys", "apps/news/keys"):
        await screen.go(route)
        shown = await screen.page.locator("tbody th").all_inner_texts()
        assert sorted(shown) == sorted(HOSTILE)
        assert await screen.page.locator("main img, main script, main svg, main a").count() == 0
    await screen.go("audit")
    assert await screen.page.locator("main img, main script").count() == 0
    text = await screen.page.locator("main").inner_text()
    assert "<img src=x onerror=alert(1)>" in text


async def test_figures_and_bounds_come_from_the_api_alone(screen: Screen, api: httpx.AsyncClient) -> None:
    """What the pages ask for is in the API's document, so a program can have it, too."""
    known = (await api.get("/openapi.json")).json()["paths"]
    if "/v1/capacity" not in known:
        pytest.skip("this node tells no capacity")
    await screen.go("capacity")
    await expect(screen.page.locator("tbody tr").first).to_be_visible()
    await screen.go("overview")
    await screen.page.get_by_label("Span of the charts").select_option("3")
    await expect(screen.page.locator('.uplot[role="img"]').first).to_be_visible()


@asynccontextmanager
async def kept_busy(api: httpx.AsyncClient) -> AsyncIterator[None]:
    """A node that answers one question after the other."""

    async def ask() -> None:
        while True:
            await api.get("/openapi.json")

    asking = asyncio.create_task(ask(), name="test.asking")
    try:
        yield
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


async def every_kind_is_taken(screen: Screen) -> None:
    """The last one is a profile of the processor, of which there are two."""
    page = screen.page
    for kind in ("tasks", "loop", "heap", "cpu", "cpu"):
        await screen.go("profiles")
        await page.get_by_label("What").select_option(kind)
        await page.get_by_label("For").select_option("5")
        await page.get_by_role("button", name="Take a profile").click()
        await page.wait_for_url("**/#/profiles/*")
        await screen.shown()
        assert await screen.axe() == [], kind
        assert await screen.overflow() <= 0


async def test_a_profile_is_taken_looked_through_compared_kept_and_deleted(
    screen: Screen, api: httpx.AsyncClient, tmp_path: Path
) -> None:
    known = (await api.get("/openapi.json")).json()["paths"]
    if "/v1/profiles" not in known:
        pytest.skip("this node takes no profiles")
    page = screen.page
    # Of a node that does nothing there is nothing to see.
    async with kept_busy(api):
        await every_kind_is_taken(screen)
    frames = page.locator(".flame .frame")
    await frames.first.focus()
    await page.keyboard.press("ArrowDown")
    await expect(page.locator(".flame-said")).to_contain_text("of all samples")
    await page.keyboard.press("Enter")
    await page.keyboard.press("Escape")
    async with page.expect_download() as downloading:
        await page.get_by_role("button", name="Download speedscope").click()
    await (await downloading.value).save_as(tmp_path / "profile")
    assert "speedscope" in (tmp_path / "profile").read_text()
    await page.get_by_role("button", name="Show what changed").click()
    await page.get_by_role("heading", name="What changed").wait_for()
    assert await screen.axe() == []
    await screen.go("profiles")
    await page.get_by_role("button", name="Delete the cpu profile").first.click()
    await dialog(screen, "Delete")
    await expect(page.get_by_role("row")).to_have_count(5)
