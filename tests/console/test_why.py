"""Why did this device not get it? Three clicks from the overview, for each of eight reasons."""

from pathlib import Path

import pytest

from tests.console.desk import Desk, desks
from tests.console.fates import APP, Fate, fates
from tests.console.screen import NARROW, WIDE
from tests.integration.live_node import LiveNode


async def three_clicks(desk: Desk, first: str, fate: Fate) -> str:
    """Overview, app, message, device: what is read there."""
    await desk.page.goto(f"{desk.url}/console/#/overview")
    await desk.page.get_by_role("heading", name="Overview", level=1).wait_for()
    await desk.main.get_by_role("link", name=first, exact=True).first.click()
    await desk.main.get_by_role("link", name=fate.message_id).first.click()
    row = desk.main.get_by_role("row", name=fate.device)
    await row.get_by_role("link", name=fate.device, exact=True).click()
    trace = desk.main.get_by_role("region", name=f"Why: {fate.device}")
    await trace.wait_for()
    return await trace.inner_text()


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("key", ["admin", "app"])
async def test_each_reason_is_read_after_three_clicks(
    tmp_path: Path, key: str, size: tuple[int, int]
) -> None:
    """Offline, expired, collapsed, inbox full, banned, refused by the client, too large, cancelled."""
    async with LiveNode(tmp_path / "data") as node, node.center() as center, desks() as browser:
        server_key = (await center.create_app(APP)).server_key
        async with fates(node, center) as found:
            assert len(found) == 8
            desk = await browser.desk(node.url, size=size)
            given, first = (node.admin_key, APP) if key == "admin" else (server_key, "Its messages")
            assert given is not None
            await desk.log_in(given)
            for fate in found:
                said = await three_clicks(desk, first, fate)
                assert fate.words in said, fate.name
                await desk.check()
