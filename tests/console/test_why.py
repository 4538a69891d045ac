"""Why did this device not get it? Three clicks from the overview, for each of eight reasons."""

import pytest

from tests.console.conftest import Console
from tests.console.fates import APP, Fate, fates
from tests.console.screen import NARROW, WIDE, Screen

pytestmark = pytest.mark.shape("embedded", "cluster")


async def three_clicks(screen: Screen, first: str, fate: Fate) -> str:
    """Overview, app, message, device: what is read there."""
    await screen.page.goto(f"{screen.url}/console/#/overview")
    await screen.page.get_by_role("heading", name="Overview", level=1).wait_for()
    await screen.main.get_by_role("link", name=first, exact=True).first.click()
    await screen.main.get_by_role("link", name=fate.message_id).first.click()
    row = screen.main.get_by_role("row", name=fate.device)
    await row.get_by_role("link", name=fate.device, exact=True).click()
    trace = screen.main.get_by_role("region", name=f"Why: {fate.device}")
    await trace.wait_for()
    return await trace.inner_text()


@pytest.mark.parametrize(
    "size", [WIDE, pytest.param(NARROW, marks=pytest.mark.shape("embedded"))], ids=["wide", "narrow"]
)
@pytest.mark.parametrize("key", ["admin", "app"])
async def test_each_reason_is_read_after_three_clicks(
    console: Console, key: str, size: tuple[int, int]
) -> None:
    """Offline, expired, collapsed, inbox full, banned, refused by the client, too large, cancelled."""
    async with console(key, size) as (node, center, screen), fates(node, center) as found:
        assert len(found) == 8
        await screen.page.reload()
        await screen.shown()
        first = APP if key == "admin" else "Its messages"
        for fate in found:
            said = await three_clicks(screen, first, fate)
            assert fate.words in said, fate.name
            await screen.check()
