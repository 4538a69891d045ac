"""The history of a device's connections on its page."""

import httpx
import pytest
from playwright.async_api import expect

from longline.mqtt.packets import Connack, Connect, Disconnect
from longline.mqtt.properties import Properties, PropertyId
from tests.console.conftest import Opening
from tests.console.screen import NARROW, WIDE, Screen
from tests.integration.live_node import LiveNode, RawClient

ATTACK = "<img src=x onerror=window.attacked=1>"
TABLE = 'table:has(caption:text-is("Its latest connections"))'


async def enter(node: LiveNode, api: httpx.AsyncClient, program: str = "lamp") -> RawClient:
    """The device `phone0` connects, with a program of this name."""
    token = (await api.post("/v1/apps/news/devices/phone0/token")).json()["password"]
    client = await node.connect()
    said: Properties = {PropertyId.USER_PROPERTY: [("client-name", program), ("client-version", "1.0")]}
    connect = Connect(5, "phone0", username="news", password=token.encode(), properties=said)
    client.send(connect)
    assert isinstance(await client.receive(), Connack)
    return client


async def leave(client: RawClient) -> None:
    client.send(Disconnect())
    await client.rest()
    await client.close()


async def rows(screen: Screen) -> list[list[str]]:
    """What stands in the table but for times and addresses: how long ago it ended, why, where, by what."""
    found = await screen.page.locator(f"{TABLE} tbody tr").all()
    cells = [await row.locator("th, td").all_inner_texts() for row in found]
    return [[row[1] if row[1] in ("connected", "not known") else "ended", row[3], *row[6:]] for row in cells]


async def test_the_page_of_a_device_shows_its_connections_as_they_come_and_go(
    node: LiveNode, api: httpx.AsyncClient, screen: Screen
) -> None:
    await screen.go("apps/news/devices/phone0")
    await expect(screen.page.get_by_text("None is known.")).to_be_visible()
    await leave(await enter(node, api))
    # The page looks again by itself.
    cells = screen.page.locator(f"{TABLE} tbody tr")
    async with await enter(node, api, "phone") as second:
        await expect(cells).to_have_count(2)
        goes_on = ["connected", "", "MQTT 5.0", "phone 1.0"]
        over = ["ended", "it said that it goes", "MQTT 5.0", "lamp 1.0"]
        assert await rows(screen) == [goes_on, over]
        (await api.delete("/v1/apps/news/devices/phone0/connection")).raise_for_status()
        assert await second.rest() != []
    await expect(cells.first).to_contain_text("it was disconnected by the API")
    assert [row[0] for row in await rows(screen)] == ["ended", "ended"]


async def test_further_ones_are_shown_page_by_page(
    node: LiveNode, api: httpx.AsyncClient, screen: Screen
) -> None:
    for _ in range(10):
        await leave(await enter(node, api))
    await screen.page.route(
        "**/connections?**", lambda route: route.continue_(url=_of_four(route.request.url))
    )
    await screen.go("apps/news/devices/phone0")
    cells = screen.page.locator(f"{TABLE} tbody tr")
    more = screen.page.locator(f".table:has({TABLE})").get_by_role("button", name="Show more")
    for count in (4, 8, 10):
        await expect(cells).to_have_count(count)
        if count < 10:
            await more.click()
    await expect(more).to_be_hidden()


def _of_four(url: str) -> str:
    return url.replace("limit=10", "limit=4")


@pytest.mark.parametrize("size", [WIDE, NARROW])
@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_what_a_program_says_that_it_is_runs_nothing(
    open_screen: Opening,
    node: LiveNode,
    api: httpx.AsyncClient,
    server_key: str,
    theme: str,
    size: tuple[int, int],
) -> None:
    """Nor does it widen the page, and axe finds nothing."""
    await leave(await enter(node, api, ATTACK))
    screen = await open_screen(server_key, "apps/news/devices/phone0", theme=theme, size=size)
    await expect(screen.page.locator(f"{TABLE} tbody tr")).to_contain_text(ATTACK)
    assert await screen.page.locator(f"{TABLE} img").count() == 0
    assert await screen.page.evaluate("window.attacked") is None
    assert await screen.axe() == []
    assert await screen.overflow() <= 0
