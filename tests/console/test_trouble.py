"""What went wrong with a device or a webhook is seen, and put right."""

import pytest

from longline.mqtt.packets import Puback, Publish
from tests.console.conftest import Console
from tests.console.fates import APP, client
from tests.console.forms import BOTH, closed, fill, press
from tests.integration.web_target import SECRET, Target
from tests.waiting import until

pytestmark = pytest.mark.shape("embedded", "cluster")

MANY = 30  # connections: three times as many as it takes


@pytest.mark.parametrize(
    "node", [{"parking.slow_after": 2, "parking.park_after": 3}], indirect=True, ids=["hurried"]
)
@BOTH
async def test_a_device_that_is_parked_is_found_followed_and_released(console: Console, key: str) -> None:
    async with console(key) as (node, center, screen):
        await center.put_device(APP, "phone")
        await center.put_device(APP, "honest")
        await center.send(APP, "take this", devices=["phone"])

        async def parked() -> bool:
            return (await center.device(APP, "phone")).parked

        for _ in range(MANY):
            async with await client(node, center, "phone") as raw:
                if await parked():
                    break
                await raw.receive()
        assert await parked()
        await screen.open(f"#/apps/{APP}/devices", "Devices")
        await screen.main.get_by_label("Pushes").select_option("true")
        await press(screen, "Find")
        await screen.page.wait_for_url("**parked=true")
        await screen.shown()
        assert await screen.main.locator("tbody th").all_inner_texts() == ["phone"]
        await screen.main.get_by_role("link", name="phone").click()
        await screen.page.get_by_role("heading", name="phone", level=1).wait_for()
        await screen.shown()
        await screen.main.get_by_text("It is parked since").wait_for()
        await press(screen, "Follow")
        await screen.main.get_by_text("Events of this device, the latest first.").wait_for()
        async with await client(node, center, "phone") as raw:
            happened = screen.main.get_by_role("region", name="What happened to it since")
            raw.send(Publish("up/alarm", b"it is hot"))
            await happened.get_by_role("rowheader", name="up/alarm").wait_for()
            await press(screen, "Release")
            await screen.main.get_by_role("button", name="Release").wait_for(state="detached")
            push = await raw.receive()
            assert isinstance(push, Publish)
            assert push.payload == b"take this"
            raw.send(Puback(push.packet_id))
            await screen.open(f"#/apps/{APP}/devices/phone?state=acked", "phone")
        assert not await parked()


@BOTH
async def test_events_that_are_dead_are_sent_again_one_or_all(console: Console, key: str) -> None:
    async with console(key) as (node, center, screen), Target() as target:
        target.mode, target.poison = "refuse", {"1", "2", "3"}
        await center.put_webhook(APP, target.url, secret=SECRET, events=["upstream"])
        for number in range(5):
            async with await client(node, center, f"d{number}") as raw:
                raw.send(Publish("up/x", str(number).encode()))

                async def taken(number: int = number) -> bool:
                    status = (await center.webhook(APP)).status
                    return status.taken + status.dead.events > number

                await until(taken)
        await screen.open(f"#/apps/{APP}/events", "Events")
        dead = screen.main.get_by_role("region", name="Dead events")
        rows = dead.locator("tbody tr")
        assert await rows.count() == 3
        assert "refused: it answered 422" in await rows.first.inner_text()
        target.poison = set()
        await press(screen, "Send the event of d2 again")
        await screen.page.get_by_text("1 events are sent again.").wait_for()

        def payloads() -> list[str]:
            return sorted(event["payload"] for event in target.taken)

        await until(lambda: payloads() == ["0", "2", "4"])

        async def left(events: int) -> bool:
            return (await center.webhook(APP)).status.dead.events == events

        await until(lambda: left(2))
        await screen.page.reload()
        await screen.shown()
        await press(screen, "Send all again")
        await screen.page.get_by_text("2 events are sent again.").wait_for()
        await until(lambda: payloads() == ["0", "1", "2", "3", "4"])
        await until(lambda: left(0))
        await screen.page.reload()
        await screen.shown()
        await dead.get_by_text("There is none.").wait_for()
        assert await screen.main.get_by_role("button", name="Send all again").count() == 0


async def test_a_target_that_is_gone_is_set_anew(console: Console) -> None:
    """And what is not filled in of a webhook stays: its secret."""
    async with console() as (_, center, screen), Target() as target:
        target.mode = "gone"
        await center.put_webhook(APP, target.url, secret=SECRET)
        await center.put_device(APP, "d1")

        async def gone() -> bool:
            return (await center.webhook(APP)).status.state == "gone"

        await until(gone)
        target.mode = "ok"
        await screen.open(f"#/apps/{APP}/events", "Events")
        await screen.main.get_by_text("The target answered 410").wait_for()
        hook = screen.main.get_by_role("region", name="Webhook", exact=True)
        await hook.get_by_role("button", name="Change").click()
        await fill(screen, "URL", f"{target.url}?again")
        await press(screen, "Save")
        await closed(screen)
        assert (await center.webhook(APP)).url == f"{target.url}?again"
        await center.put_device(APP, "d2")
        await until(lambda: "d2" in [event["device"] for event in target.taken])
        assert target.strangers == []
