"""Messages that the console sends otherwise than at once to devices by name."""

import base64
from datetime import UTC, datetime, timedelta

import pytest

from longline.mqtt.packets import Puback, Publish
from longline.mqtt.properties import Properties, PropertyId
from tests.console.conftest import Console
from tests.console.fates import APP, client
from tests.console.forms import BOTH, closed, fill, press
from tests.console.screen import Screen
from tests.waiting import until

pytestmark = pytest.mark.shape("embedded", "cluster")


async def sent(screen: Screen) -> str:
    """The id of the message that the page has just sent."""
    return await screen.main.get_by_role("region", name="Sent").get_by_role("link").inner_text()


@BOTH
async def test_a_message_for_later_is_handed_in_changed_of_mind_about_and_taken_back(
    console: Console, key: str
) -> None:
    async with console(key) as (_, center, screen):
        await center.put_device(APP, "d1")
        tomorrow = (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0, second=30, tzinfo=None)
        await screen.open(f"#/apps/{APP}/send?device=d1", "Send")
        await screen.main.get_by_text("Options").click()
        await fill(screen, "Send at", tomorrow.isoformat())
        await press(screen, "Send")
        message = await center.message(APP, await sent(screen))
        assert message.status == "scheduled"
        here = await screen.page.evaluate("new Date().getTimezoneOffset()")
        assert message.send_at == (tomorrow + timedelta(minutes=here)).replace(tzinfo=UTC)

        await screen.main.get_by_role("link", name=message.message_id).click()
        await screen.page.get_by_role("heading", name="Message", level=1, exact=True).wait_for()
        await screen.shown()
        await screen.main.get_by_text("scheduled", exact=True).wait_for()
        await press(screen, "Cancel")
        await press(screen, "Cancel")  # the dialog's: no
        await closed(screen)
        assert (await center.message(APP, message.message_id)).status == "scheduled"
        await press(screen, "Cancel")
        await press(screen, "Cancel it")
        await screen.main.get_by_text("cancelled", exact=True).wait_for()
        assert (await center.message(APP, message.message_id)).status == "cancelled"
        assert await screen.main.get_by_role("button", name="Cancel", exact=True).count() == 0


async def test_a_message_by_each_devices_clock_is_sent_zone_by_zone(console: Console) -> None:
    async with console() as (_, center, screen):
        await center.put_device(APP, "d1", timezone="Pacific/Kiritimati")
        await center.put_device(APP, "d2", timezone="Pacific/Pago_Pago")
        await screen.open(f"#/apps/{APP}/send", "Send")
        await fill(screen, "Devices", "d1\nd2")
        await screen.main.get_by_text("Options").click()
        # Where the day begins, that time is over; where it ends, it comes tomorrow.
        soon = datetime.now(UTC).replace(microsecond=0, second=0, tzinfo=None)
        await fill(screen, "Send at", soon.isoformat(timespec="minutes"))
        await screen.main.get_by_label("That time is").select_option("device")
        await press(screen, "Send")
        parent = await center.message(APP, await sent(screen))
        assert parent.send_at == soon

        async def fired() -> bool:
            return bool((await center.message(APP, parent.message_id)).firings)

        await until(fired)
        await screen.open(f"#/apps/{APP}/messages/{parent.message_id}", "Message")
        times = screen.main.get_by_role("region", name="Times at which it was sent")
        await times.get_by_role("link").first.click()
        await screen.page.get_by_role("heading", name="Message", level=1, exact=True).wait_for()
        await screen.shown()
        await screen.main.get_by_role("rowheader", name="d1").wait_for()


async def test_whatever_can_be_said_of_a_message_reaches_the_api(console: Console) -> None:
    """Bytes, an audience as JSON, and every option."""
    async with console() as (node, center, screen):
        await center.put_device(APP, "d1", tags=["red"], platform="web", aliases=["ann"])
        await screen.open(f"#/apps/{APP}/send", "Send")
        await screen.main.get_by_label("Audience").select_option("An expression, as JSON")
        await fill(screen, "Expression", '{"tag": ["red"], "platform": ["web"]}')
        await screen.main.get_by_text("1 device, 0 connected.").wait_for()
        await screen.main.get_by_label("Kind of payload").select_option("Bytes, in base64")
        await fill(screen, "Payload", base64.b64encode(bytes(range(9))).decode())
        await screen.main.get_by_text("Options").click()
        for label, text in (
            ("Time to live, in seconds", "600"),
            ("Collapse key", "score"),
            ("Label", "all of it"),
            ("Spread over seconds", "0"),
        ):
            await fill(screen, label, text)
        await screen.main.get_by_label("QoS", exact=True).select_option("2")
        await screen.main.get_by_label("Priority").select_option("high")
        await press(screen, "Send")
        await screen.main.get_by_text("It is stored as").wait_for()
        async with await client(node, center, "d1") as raw:
            push = await raw.receive()
            assert isinstance(push, Publish)
            assert (push.payload, push.qos) == (bytes(range(9)), 2)

        async def is_away() -> bool:
            return not (await center.device(APP, "d1")).online

        await until(is_away)
        await screen.main.get_by_label("Audience").select_option("Devices by alias")
        await fill(screen, "Aliases", "ann")
        await screen.main.get_by_label("Only who is connected now gets it").check()
        await fill(screen, "Label", "in time")
        await press(screen, "Send")

        async def both() -> bool:
            return {each.label async for each in center.messages(APP)} == {"all of it", "in time"}

        await until(both)
        (late,) = [each async for each in center.messages(APP) if each.label == "in time"]
        await screen.open(f"#/apps/{APP}/messages/{late.message_id}?state=dropped", "Message")
        await screen.main.get_by_text("dropped: offline").wait_for()
        await screen.main.get_by_label("State").select_option("acked")
        await screen.main.get_by_text("None of its devices is in this state.").wait_for()


async def test_who_wrote_is_answered(console: Console) -> None:
    async with console() as (node, center, screen), await client(node, center, "d1") as raw:
        wants: Properties = {PropertyId.RESPONSE_TOPIC: "answers/d1"}
        raw.send(Publish("up/question", b"what now?", 1, packet_id=1, properties=wants))
        assert await raw.receive() == Puback(1)

        async def asked() -> str | None:
            events = [each async for each in center.upstream(APP, follow=False)]
            return next((each.reply_to for each in events if each.type == "upstream"), None)

        word = await until(asked)
        assert word is not None
        await screen.open(f"#/apps/{APP}/send", "Send")
        await screen.main.get_by_label("Audience").select_option("Who is answered")
        await fill(screen, "reply_to of an upstream message", word)
        await screen.main.get_by_label("Kind of payload").select_option("Text")
        await fill(screen, "Payload", "go on")
        await press(screen, "Send")
        await sent(screen)
        answer = await raw.receive()
        assert isinstance(answer, Publish)
        assert (answer.topic, answer.payload) == ("answers/d1", b"go on")


@pytest.mark.shape("embedded")
async def test_of_very_many_the_number_has_to_be_typed(console: Console) -> None:
    async with console() as (_, center, screen):
        names = [{"device": f"d{n}"} for n in range(10_001)]
        for first in range(0, len(names), 1000):
            await center.register_batch(APP, names[first : first + 1000])
        await screen.open(f"#/apps/{APP}/send", "Send")
        await screen.main.get_by_label("Audience").select_option("Everyone")
        await press(screen, "Send")
        go = screen.page.get_by_role("dialog").get_by_role("button", name="Send it")
        assert await go.is_disabled()
        await fill(screen, "Type 10001 to go on", "10000")
        assert await go.is_disabled()
        await fill(screen, "Type 10001 to go on", "10001")
        await go.click()
        await screen.main.get_by_text("It is stored as").wait_for()


async def test_links_of_a_device_and_of_a_group_fill_in_whom_a_message_is_for(console: Console) -> None:
    async with console() as (_, center, screen):
        await center.put_device(APP, "d1")
        await center.put_group(APP, "team", members=["d1"])
        for where, title, label, text in (
            ("devices/d1", "d1", "Devices", "d1"),
            ("groups/team", "team", "Group", "team"),
        ):
            await screen.open(f"#/apps/{APP}/{where}", title)
            await press(screen, "Send to it")
            await screen.page.get_by_role("heading", name="Send", level=1).wait_for()
            assert await screen.main.get_by_label(label, exact=True).input_value() == text
            await press(screen, "Check")
            await screen.main.get_by_text("It would be for 1 devices").wait_for()
