"""What operators see of a cluster of many nodes, and do with one of them, whatever its role."""

import asyncio
from contextlib import AsyncExitStack

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Locator, expect

from longline import Center
from tests.cluster.cluster import Cluster
from tests.console.conftest import Console, Opening
from tests.console.fates import APP
from tests.console.forms import BOTH, dialog
from tests.console.screen import NARROW, WIDE, Screen
from tests.integration.live_node import RawClient

pytestmark = [pytest.mark.shape("cluster"), pytest.mark.timeout(600)]

SIZES = pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
DEVICES = 6


@pytest_asyncio.fixture(loop_scope="session")
async def members(api: httpx.AsyncClient) -> dict[str, list[str]]:
    """Names of the nodes, by role."""
    found: dict[str, list[str]] = {}
    for node in (await api.get("/v1/nodes")).json()["nodes"]:
        for role in node["roles"]:
            found.setdefault(role, []).append(node["node"])
    return found


async def arrived(cluster: Cluster, center: Center, room: int, devices: list[str]) -> list[RawClient]:
    """Devices on one of the rooms, by its place."""
    clients = []
    for device in devices:
        client = await RawClient.open(cluster.room_ports[room])
        token = (await center.token(APP, device)).password
        assert (await client.enter(device, APP, token)).reason == 0
        clients.append(client)
    return clients


def row(screen: Screen, table: str, node: str) -> Locator:
    """That of a node, in the table of this name."""
    found = screen.main.get_by_role("region", name=table, exact=True).locator("tr")
    return found.filter(has=screen.page.get_by_role("rowheader", name=node, exact=True))


@SIZES
async def test_the_overview_shows_all_nodes_and_their_clients(
    node: Cluster, open_screen: Opening, members: dict[str, list[str]], size: tuple[int, int]
) -> None:
    nodes = sorted({name for names in members.values() for name in names})
    async with node.center() as center, AsyncExitStack() as opened:
        await center.create_app(APP)
        for place in (0, 1):
            for client in await arrived(node, center, place, [f"d{place}{n}" for n in range(place + 1)]):
                opened.push_async_callback(client.close)
        rooms = [(await center.device(APP, device)).room for device in ("d00", "d10")]
        screen = await open_screen(node.admin_key, size=size)
        await expect(screen.page.get_by_text(f"live, {len(nodes)} nodes")).to_be_visible()
        connections = screen.page.locator(".tile", has_text="Connections").locator(".value")
        await expect(connections).to_have_text("3")
        for room, count in zip(rooms, ("1", "2"), strict=True):
            assert room is not None
            now = row(screen, "By node, now", room).get_by_role("cell")
            await expect(now.nth(1)).to_have_text(count)
        shown = screen.main.get_by_role("region", name="By node, now").locator("tbody th")
        assert sorted(await shown.all_inner_texts()) == nodes
        assert await screen.axe() == []
        await screen.check()
        for role in ("room", "center", "dispatcher", "coordinator"):
            await screen.go(f"nodes/{members[role][0]}")
            await expect(screen.main.get_by_text("Servers connected")).to_be_visible()
            await expect(
                screen.main.get_by_role("region", name="Tasks, by name").locator("th")
            ).not_to_have_count(1)
            assert await screen.axe() == [], role
            await screen.check()


@SIZES
async def test_one_room_of_several_is_drained_and_taken_back(
    node: Cluster, open_screen: Opening, size: tuple[int, int]
) -> None:
    """Its clients go, and the page says how far that is; the other rooms stay in service."""
    async with node.center() as center, AsyncExitStack() as opened:
        await center.create_app(APP)
        clients = await arrived(node, center, 0, [f"d{n}" for n in range(DEVICES)])
        stays = await arrived(node, center, 1, ["other"])
        for client in (*clients, *stays):
            opened.push_async_callback(client.close)
        (room, other) = [(await center.device(APP, device)).room for device in ("d0", "other")]
        assert room is not None
        assert other is not None
        screen = await open_screen(node.admin_key, "nodes", size=size)
        await row(screen, "Service", room).get_by_role("button", name="Drain…").click()
        await screen.page.get_by_label("Clients in the first second").fill("100")
        assert await screen.axe() == []
        await dialog(screen, "Drain")
        await asyncio.gather(*(client.rest() for client in clients))
        service = row(screen, "Service", room)
        await expect(service).to_contain_text(f"{DEVICES} of {DEVICES} moved")
        await expect(row(screen, "Service", other)).to_contain_text("in service")
        await screen.go(f"nodes/{room}")
        await expect(screen.main.get_by_text(f"{DEVICES} of {DEVICES} moved")).to_be_visible()
        await screen.main.get_by_role("button", name="Undrain").click()
        await expect(screen.main.get_by_text("in service")).to_be_visible()
        (back,) = await arrived(node, center, 0, ["d0"])
        opened.push_async_callback(back.close)
        assert (await center.device(APP, "d0")).room == room
        assert (await center.device(APP, "other")).room == other
        await screen.check()


async def test_a_setting_is_on_trial_on_one_node_alone(
    screen: Screen, api: httpx.AsyncClient, members: dict[str, list[str]]
) -> None:
    room, other = members["room"][:2]
    page = screen.page
    await screen.go("settings")
    await page.get_by_role("button", name="Change room.linger").click()
    await page.get_by_role("textbox", name="Value").fill("25")
    await page.get_by_label("For").select_option("some")
    await page.get_by_role("dialog").get_by_role("checkbox", name=room, exact=True).check()
    await dialog(screen, "Put it in force")
    trial = screen.main.get_by_role("region", name="On trial")
    await expect(trial).to_contain_text(f"On {room}:")
    gray = (await api.get("/v1/config")).json()["gray"]
    assert (gray["nodes"], gray["settings"]) == ([room], {"room.linger": 25})
    versions = "Which node has which version"
    await expect(row(screen, versions, room)).to_contain_text("on trial")
    await expect(row(screen, versions, room)).to_contain_text("in force")
    await expect(row(screen, versions, other)).not_to_contain_text("on trial")
    await trial.get_by_role("button", name="Roll back").click()
    await dialog(screen, "Roll back")
    await expect(page.get_by_text("The trial is over.")).to_be_visible()
    config = (await api.get("/v1/config")).json()
    assert (config["gray"], config["settings"]) == (None, {})
    await expect(row(screen, versions, room)).not_to_contain_text("on trial")


async def test_profiles_of_chosen_nodes_are_taken_side_by_side_and_compared(
    node: Cluster, open_screen: Opening, members: dict[str, list[str]]
) -> None:
    """Each kind of another role: what another process has told is shown here."""
    chosen = {
        "tasks": members["coordinator"][0],
        "loop": members["dispatcher"][0],
        "heap": members["center"][0],
        "cpu": members["room"][0],
    }

    async def taken(kind: str, of: str) -> Screen:
        screen = await open_screen(node.admin_key, f"profiles?node={of}")
        assert await screen.page.get_by_label("Node").first.input_value() == of
        await screen.page.get_by_label("What").select_option(kind)
        await screen.page.get_by_label("For").select_option("5")
        await screen.page.get_by_role("button", name="Take a profile").click()
        await screen.page.wait_for_url("**/#/profiles/*")
        await screen.shown()
        assert (await screen.heading()).endswith(f"of {of}")
        assert await screen.axe() == [], kind
        await screen.check()
        return screen

    await asyncio.gather(*(taken(kind, of) for kind, of in chosen.items()), taken("cpu", members["room"][1]))
    screen = await open_screen(node.admin_key, "profiles")
    rows = screen.main.locator("tbody tr")
    await expect(rows).to_have_count(5)
    await screen.page.locator("select").filter(has_text="all kinds").select_option("cpu")
    await expect(rows).to_have_count(2)
    for place in (0, 1):
        await rows.nth(place).get_by_role("checkbox").check()
    await screen.page.get_by_role("button", name="Compare").click()
    await screen.page.get_by_role("heading", name="What changed").wait_for()
    await screen.shown()
    await screen.check()


async def test_what_one_center_has_done_the_other_knows(
    node: Cluster, open_screen: Opening, api: httpx.AsyncClient
) -> None:
    """Windows on both: keys, the audit log, and a session that ends with its key."""
    first, second = await open_screen(node.admin_key, "keys"), await open_screen()
    assert first.url != second.url
    page = first.page
    await page.get_by_role("button", name="Make a key…").click()
    await page.get_by_role("textbox", name="Name").fill("reports")
    for scope in ("read:", "operate:"):
        await page.get_by_label(scope).check()
    await page.get_by_role("button", name="Make it").click()
    text = await page.locator("code.secret").inner_text()
    await dialog(first, "I have it")
    await second.log_in(text, "nodes")
    second.refusals_expected = True
    await page.get_by_role("button", name="Revoke reports").click()
    await dialog(first, "Revoke")
    await second.page.get_by_label("Key").wait_for()
    await second.log_in(node.admin_key, "audit")
    await expect(second.main.get_by_role("rowheader", name="POST keys").first).to_be_visible()
    await expect(second.main.get_by_role("cell", name="reports").first).to_be_visible()
    await second.go("capacity")
    await expect(second.main.locator("tbody tr").first).to_be_visible()


@BOTH
@SIZES
async def test_devices_of_two_rooms_are_followed_on_one_page(
    node: Cluster, console: Console, key: str, size: tuple[int, int]
) -> None:
    async with console(key, size) as (_, center, screen), AsyncExitStack() as opened:
        await screen.open(f"#/apps/{APP}/events", "Events")
        await screen.main.get_by_text("Events as they happen").wait_for()
        for place, device in enumerate(("d0", "d1")):
            for client in await arrived(node, center, place, [device]):
                opened.push_async_callback(client.close)
        rooms = {device: (await center.device(APP, device)).room for device in ("d0", "d1")}
        assert len({*rooms.values()}) == 2
        for device, room in rooms.items():
            event = screen.main.locator("tr", has_text=f"on node {room}")
            await expect(event.get_by_role("rowheader", name=device)).to_be_visible()
        await screen.open(f"#/apps/{APP}/devices", "Devices")
        for device, room in rooms.items():
            assert await screen.cell(device, "Node") == room
            await screen.check()
        for device, room in rooms.items():
            await screen.open(f"#/apps/{APP}/devices/{device}", device)
            fact = screen.main.locator("dl.facts > div", has_text="Node")
            await expect(fact.locator("dd")).to_have_text(str(room))
