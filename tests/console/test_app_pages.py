"""Every page of an app in the console, and every action there, with both kinds of key."""

import json
from functools import partial

import pytest

from longline import Center, Device, Push
from longline.mqtt.packets import Puback, Publish
from longline.mqtt.reasons import ReasonCode
from tests.console.conftest import Console
from tests.console.fates import APP, client
from tests.console.forms import BOTH, closed, fill, press
from tests.console.screen import NARROW, WIDE, Screen
from tests.integration.live_node import RawClient
from tests.waiting import eventually, until

pytestmark = pytest.mark.shape("embedded", "cluster")

HOOK = "http://127.0.0.1:9/hook"  # where nobody listens


@pytest.mark.parametrize(
    "dark", [False, pytest.param(True, marks=pytest.mark.shape("embedded"))], ids=["light", "dark"]
)
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
@BOTH
async def test_every_page_of_an_app_is_shown(
    console: Console, key: str, size: tuple[int, int], dark: bool
) -> None:
    async with console(key, size, dark=dark) as (_, center, desk):
        await center.put_device(APP, "d1", tags=["red"], aliases=["ann"], attributes={"plan": "pro"})
        await center.put_group(APP, "team", members=["d1"])
        sent = await center.send(APP, {"hello": 1}, devices=["d1"])
        for where, title in (
            ("", APP),
            ("/devices", "Devices"),
            ("/devices/d1", "d1"),
            ("/messages", "Messages"),
            (f"/messages/{sent.message_id}", "Message"),
            (f"/messages/{sent.message_id}?device=d1", "Message"),
            ("/send", "Send"),
            ("/schedules", "Schedules"),
            ("/groups", "Groups"),
            ("/groups/team", "team"),
            ("/events", "Events"),
        ):
            await desk.open(f"#/apps/{APP}{where}", title)
            await desk.check()
            assert await desk.page.evaluate("document.activeElement.tagName") == "H1"
            assert await desk.axe() == [], where


async def test_apps_are_made_changed_given_new_keys_and_deleted(console: Console) -> None:
    async with console() as (_, center, desk):
        await desk.open("#/apps", "Apps")
        await press(desk, "New app")
        await fill(desk, "App", "Not a name")
        await press(desk, "Make it")
        await desk.page.get_by_role("dialog").get_by_text("1 to 64 of").first.wait_for()
        await fill(desk, "App", "weather")
        await fill(desk, "Name for people", "The weather")
        await press(desk, "Make it")
        keys = desk.page.get_by_role("dialog", name="weather was made")
        await keys.get_by_text("llk_weather.").wait_for()
        await keys.get_by_role("button", name="Close").click()
        await desk.main.get_by_role("link", name="weather").click()
        await desk.page.get_by_role("heading", name="The weather", level=1).wait_for()

        await desk.main.locator("header").get_by_role("button", name="Change").click()
        await fill(desk, "Name for people", "Rain")
        await press(desk, "Save")
        await desk.page.get_by_role("heading", name="Rain", level=1).wait_for()
        assert (await center.app("weather")).name == "Rain"

        await press(desk, "Replace keys")
        await press(desk, "Replace")
        rotated = desk.page.get_by_role("dialog", name="The keys of weather")
        text = await rotated.get_by_text("llk_weather.").inner_text()
        await rotated.get_by_role("button", name="Close").click()

        async def is_good() -> bool:
            async with desk_center(desk, text) as other:
                return (await other.app("weather")).name == "Rain"

        assert await is_good()
        await press(desk, "Delete")
        delete = desk.page.get_by_role("dialog").get_by_role("button", name="Delete it")
        assert await delete.is_disabled()
        await fill(desk, "Type weather to go on", "weather")
        await delete.click()
        await desk.page.get_by_role("heading", name="Apps", level=1).wait_for()
        assert [app.app async for app in center.apps()] == [APP]


def desk_center(desk: Screen, key: str) -> Center:
    return Center(desk.url, key)


async def test_limits_and_rules_are_changed(console: Console) -> None:
    async with console() as (node, _, desk), Center(desk.url, node.admin_key) as center:
        await desk.open(f"#/apps/{APP}", APP)
        await desk.main.get_by_role("region", name="Limits").get_by_role("button", name="Change").click()
        await fill(desk, "inbox_messages", "7")
        await press(desk, "Save")
        await closed(desk)
        assert (await center.limits(APP)).inbox_messages == 7
        rules = desk.main.get_by_role("region", name="Rules of topics").last
        await desk.main.get_by_role("button", name="Change").nth(1).click()
        await fill(desk, "One rule a line", "everything home/#")
        await press(desk, "Save")
        await desk.page.get_by_role("dialog").get_by_text("Line 1:").wait_for()
        await fill(desk, "One rule a line", "both home/{device}/#\nsubscribe news/+")
        await press(desk, "Save")
        await closed(desk)
        await rules.get_by_text("home/{device}/#").wait_for()
        assert [(rule.allow, rule.filter) for rule in await center.topic_rules(APP)] == [
            ("both", "home/{device}/#"),
            ("subscribe", "news/+"),
        ]


@BOTH
async def test_devices_are_registered_found_changed_and_deleted(console: Console, key: str) -> None:
    async with console(key) as (_, center, desk):
        for n in range(60):
            await center.put_device(APP, f"phone-{n:02}", tags=["odd"] if n % 2 else [])
        await center.put_device(APP, "tablet", aliases=["ann"])
        await desk.open(f"#/apps/{APP}/devices", "Devices")
        await press(desk, "Register a device")
        await fill(desk, "Device", "phone-é/")
        await press(desk, "Register")
        await desk.page.get_by_role("dialog").get_by_role("alert").wait_for()
        await fill(desk, "Device", "phone-é")
        await fill(desk, "Tags", "red\nblue")
        await fill(desk, "Attributes, as JSON", '{"plan": "pro"}')
        await press(desk, "Register")
        await desk.page.get_by_role("heading", name="phone-é", level=1).wait_for()
        known = await center.device(APP, "phone-é")
        assert (set(known.tags), known.attributes) == ({"red", "blue"}, {"plan": "pro"})

        async def found(**asked: str) -> list[str]:
            await desk.open(f"#/apps/{APP}/devices", "Devices")
            for label, text in asked.items():
                await fill(desk, label.replace("_", " "), text)
            await desk.page.keyboard.press("Enter")
            await desk.shown()
            more = desk.main.get_by_role("button", name="Show more")
            while await more.is_visible():
                before = await desk.main.locator("tbody tr").count()
                await more.click()
                await until(partial(_more, desk, before))
            return await desk.main.locator("tbody th").all_inner_texts()

        assert await found(Name_begins_with="phone-") == [*(f"phone-{n:02}" for n in range(60)), "phone-é"]
        assert await found(Name_begins_with="phone-1", Tag="odd") == [f"phone-1{n}" for n in (1, 3, 5, 7, 9)]
        assert await found(Alias="ann") == ["tablet"]
        assert await found(Tag="red") == ["phone-é"]

        await desk.open(f"#/apps/{APP}/devices/tablet", "tablet")
        await desk.main.locator("header").get_by_role("button", name="Change").click()
        await fill(desk, "Aliases", "bob")
        await fill(desk, "Platform", "web")
        await press(desk, "Save")
        await closed(desk)
        known = await center.device(APP, "tablet")
        assert (known.aliases, known.platform) == (("bob",), "web")
        await press(desk, "Delete")
        await fill(desk, "Type tablet to go on", "tablet")
        await press(desk, "Delete it")
        await desk.page.get_by_role("heading", name="Devices", level=1).wait_for()
        assert await found(Name_begins_with="tab") == []


async def _more(desk: Screen, before: int) -> bool:
    gone = not await desk.main.get_by_role("button", name="Show more").is_visible()
    return gone or await desk.main.locator("tbody tr").count() > before


@BOTH
async def test_a_device_is_called_banned_let_in_and_given_a_token(console: Console, key: str) -> None:
    async with console(key) as (node, center, desk):
        async with await client(node, center, "d1") as raw:
            await desk.open(f"#/apps/{APP}/devices/d1", "d1")
            await desk.main.get_by_text("online").first.wait_for()
            await press(desk, "Call it")
            await fill(desk, "Command", '{"open": "valve"}')
            await press(desk, "Call")
            push = await raw.receive()
            assert isinstance(push, Publish)
            assert json.loads(push.payload) == {"open": "valve"}
            message_id = push.topic.removeprefix("push/")
            raw.send(Publish(f"reply/{message_id}", b"<b>open</b>"))
            await desk.page.get_by_role("dialog").get_by_text("<b>open</b>").wait_for()
            await desk.page.get_by_role("dialog").get_by_role("button", name="Close").click()

            await press(desk, "Token")
            await fill(desk, "Seconds that it is good for", "60")
            await press(desk, "Make it")
            made = desk.page.get_by_role("dialog", name="The device's token")
            await made.get_by_text("eyJ").wait_for()
            await made.get_by_role("button", name="Close").click()

            await press(desk, "Disconnect")
            await press(desk, "Disconnect")
            await raw.rest()
        await closed(desk)
        await press(desk, "Ban")
        await fill(desk, "Seconds", "600")
        await press(desk, "Ban it")
        await desk.main.get_by_text("It is banned until").wait_for()
        assert (await center.device(APP, "d1")).banned_until is not None
        await press(desk, "Lift the ban")
        await desk.main.get_by_role("button", name="Lift the ban").wait_for(state="detached")
        assert (await center.device(APP, "d1")).banned_until is None


@BOTH
async def test_a_shadow_is_changed_and_subscriptions_are_shown(console: Console, key: str) -> None:
    async with console(key) as (node, center, desk):
        token = (await center.token(APP, "d1")).password
        device = Device("127.0.0.1", node.mqtt_port, app=APP, device="d1", token=token, session_expiry=3600)
        async with device:
            await device.subscribe("home/+/<door>")
            await desk.open(f"#/apps/{APP}/devices/d1", "d1")
            await desk.main.get_by_text("home/+/<door>").wait_for()
            await press(desk, "Change what is desired")
            await fill(desk, "JSON to merge into it", '{"light": ')
            await press(desk, "Merge")
            await desk.page.get_by_role("dialog").get_by_text("This is no JSON").wait_for()
            await fill(desk, "JSON to merge into it", '{"light": {"on": true}}')
            await press(desk, "Merge")
            await closed(desk)
            assert (await center.shadow(APP, "d1")).desired == {"light": {"on": True}}
            await desk.main.get_by_text("Version 1").wait_for()


@BOTH
async def test_a_message_is_composed_counted_checked_sent_and_cancelled(console: Console, key: str) -> None:
    async with console(key) as (_, center, desk):
        for n in range(3):
            await center.put_device(APP, f"d{n}", tags=["red"])
        await desk.open(f"#/apps/{APP}/send", "Send")
        await desk.main.get_by_text("Nobody yet.").wait_for()
        await fill(desk, "Devices", "d0\nd1")
        await desk.main.get_by_text("2 devices, 0 connected.").wait_for()
        await desk.main.get_by_label("Audience").select_option("Devices by tag and platform")
        await fill(desk, "One of these tags", "red")
        await desk.main.get_by_text("3 devices, 0 connected.").wait_for()
        await fill(desk, "Payload", "{")
        await press(desk, "Check")
        await desk.page.get_by_text("A field is not right.").wait_for()
        await desk.page.get_by_role("button", name="Close").click()
        await desk.main.get_by_label("Kind of payload").select_option("Text")
        await fill(desk, "Payload", "hello")
        await desk.main.get_by_text("Options").click()
        await fill(desk, "Label", "goals")
        await press(desk, "Check")
        await desk.main.get_by_text("It would be for 3 devices").wait_for()
        assert [each async for each in center.messages(APP)] == []
        await press(desk, "Send")
        await desk.main.get_by_text("It is stored as").wait_for()
        (message,) = [each async for each in center.messages(APP)]
        assert (message.label, message.ledger.targeted, message.ledger.pending) == ("goals", 3, 3)
        await press(desk, "Cancel")
        await desk.main.get_by_text("3 cancelled").wait_for()

        await desk.open(f"#/apps/{APP}/messages?missed=true", "Messages")
        await desk.main.get_by_role("link", name=message.message_id).click()
        await fill(desk, "Device", "d1")
        await press(desk, "Why did it not get it?")
        await desk.main.get_by_text("It was cancelled before the device had it.").first.wait_for()
        await desk.open(f"#/apps/{APP}/messages?missed=false", "Messages")
        await desk.main.get_by_text("No message was found.").wait_for()


async def test_a_ledger_fills_while_one_looks(console: Console) -> None:
    async with console() as (node, center, desk):
        await center.put_device(APP, "d1")
        await desk.open(f"#/apps/{APP}/send?device=d1", "Send")
        await press(desk, "Send")
        await desk.main.get_by_text("It is stored as").wait_for()
        acked = desk.main.get_by_role("region", name="Sent").locator(".tile", has_text="Acknowledged")
        await acked.get_by_text("0", exact=True).wait_for()
        async with await client(node, center, "d1") as raw:
            push = await raw.receive()
            assert isinstance(push, Publish)
            raw.send(Puback(push.packet_id))
            await acked.get_by_text("1", exact=True).wait_for()


async def test_a_message_for_many_is_asked_about_first(console: Console) -> None:
    async with console() as (_, center, desk):
        await center.register_batch(APP, [{"device": f"d{n}"} for n in range(101)])
        await desk.open(f"#/apps/{APP}/send", "Send")
        await desk.main.get_by_label("Audience").select_option("Everyone")
        await desk.main.get_by_text("101 devices").wait_for()
        await press(desk, "Send")
        await desk.page.get_by_role("dialog").get_by_text("This is for 101 devices").wait_for()
        await press(desk, "Cancel")
        await closed(desk)
        assert [each async for each in center.messages(APP)] == []
        await press(desk, "Send")
        await desk.page.get_by_role("dialog").get_by_text("This is for 101 devices").wait_for()
        await press(desk, "Send it")
        await desk.main.get_by_text("It is stored as").wait_for()
        assert len([each async for each in center.messages(APP)]) == 1


@BOTH
async def test_schedules_are_made_paused_resumed_and_deleted(console: Console, key: str) -> None:
    async with console(key) as (_, center, desk):
        await center.put_device(APP, "d1")
        await desk.open(f"#/apps/{APP}/schedules", "Schedules")
        await press(desk, "New schedule")
        await fill(desk, "When, as cron has it", "every day")
        await fill(desk, "Time zone", "Europe/Berlin")
        await desk.page.get_by_role("dialog").get_by_label("Audience").select_option("Everyone")
        await press(desk, "Make it")
        await desk.page.get_by_role("dialog").get_by_role("alert").wait_for()
        await fill(desk, "When, as cron has it", "0 9 * * 1-5")
        await press(desk, "Make it")
        await closed(desk)
        (schedule,) = [each async for each in center.schedules(APP)]
        assert (schedule.cron, schedule.timezone) == ("0 9 * * 1-5", "Europe/Berlin")
        row = desk.main.get_by_role("row", name="0 9 * * 1-5")
        await row.get_by_role("button", name="Pause").click()
        # "Pause" and "Delete", side by side, have the word in them, too.
        await row.get_by_text("paused", exact=True).wait_for()
        assert (await center.schedule_info(APP, schedule.schedule_id)).paused
        await row.get_by_role("button", name="Resume").click()
        await row.get_by_text("runs", exact=True).wait_for()
        await row.get_by_role("button", name="Delete").click()
        await press(desk, "Delete it")
        await desk.main.get_by_text("There is no schedule.").wait_for()


@BOTH
async def test_groups_are_made_filled_read_and_deleted(console: Console, key: str) -> None:
    async with console(key) as (_, center, desk):
        for n in range(3):
            await center.put_device(APP, f"d{n}")
        await desk.open(f"#/apps/{APP}/groups", "Groups")
        await press(desk, "New group")
        await fill(desk, "Group", "team")
        await press(desk, "Make it")
        await desk.page.get_by_role("heading", name="team", level=1).wait_for()
        await desk.shown()
        await press(desk, "Add members")
        await fill(desk, "Devices", "d0\nd1")
        await press(desk, "Add members")
        await desk.main.get_by_text("2 members, 0 connected").wait_for()
        for n in range(60):
            await center.send(APP, f"message {n}", group="team")
        await desk.page.reload()
        await desk.main.get_by_text("message 59", exact=True).wait_for()
        await press(desk, "Show earlier ones")
        await desk.main.get_by_text("message 0", exact=True).wait_for()
        assert await desk.main.get_by_role("region", name="What was said").locator("tbody tr").count() == 60
        await press(desk, "Remove members")
        await fill(desk, "Devices", "d0")
        await press(desk, "Remove members")
        await desk.main.get_by_text("1 members, 0 connected").wait_for()
        await press(desk, "Delete")
        await fill(desk, "Type team to go on", "team")
        await press(desk, "Delete it")
        await desk.main.get_by_text("There is no group.").wait_for()


@BOTH
async def test_events_come_as_they_happen(console: Console, key: str) -> None:
    async with console(key) as (node, center, desk):
        await center.put_device(APP, "before")
        await desk.open(f"#/apps/{APP}/events", "Events")
        await desk.main.get_by_text("Events as they happen").wait_for()
        async with await client(node, center, "d1") as raw:
            raw.send(Publish("up/alarm", b"it is hot"))
            row = desk.main.locator("tr", has_text="it is hot")
            await row.get_by_text("up/alarm").wait_for()
        await desk.main.get_by_label("Type").select_option("presence")
        await desk.main.get_by_text("online", exact=True).wait_for()
        assert await desk.main.get_by_text("it is hot").count() == 0
        assert await desk.main.get_by_text("before").count() == 0
        await press(desk, "Stop")
        await desk.main.get_by_text("Stopped.").wait_for()
        await press(desk, "Clear")
        await desk.main.get_by_text("Nothing has happened").wait_for()
        await press(desk, "Go on")
        await desk.main.get_by_text("Events as they happen").wait_for()


@BOTH
async def test_a_webhook_is_set_fails_and_is_removed(console: Console, key: str) -> None:
    async with console(key) as (_, center, desk):
        await desk.open(f"#/apps/{APP}/events", "Events")
        await press(desk, "Set a webhook")
        await fill(desk, "URL", "no address")
        await press(desk, "Save")
        await desk.page.get_by_role("dialog").get_by_role("alert").wait_for()
        await fill(desk, "URL", HOOK)
        await desk.page.get_by_role("dialog").get_by_label("receipt").uncheck()
        await press(desk, "Save")
        await closed(desk)
        await desk.main.get_by_text(HOOK).wait_for()
        assert [*(await center.webhook(APP)).events] == ["upstream", "presence", "device"]
        await center.put_device(APP, "d1")

        async def fails() -> bool:
            return (await center.webhook(APP)).status.failures > 0

        await until(fails)
        await desk.page.reload()
        await desk.main.get_by_text("It fails:").wait_for()
        await press(desk, "Remove")
        await press(desk, "Remove it")
        await desk.main.get_by_text("The app's events are sent nowhere.").wait_for()


async def test_a_webhook_gets_another_target_and_keeps_its_secret(console: Console) -> None:
    async with console() as (_, center, desk):
        await center.put_webhook(APP, HOOK, secret="whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")
        await desk.open(f"#/apps/{APP}/events", "Events")
        webhook = desk.main.get_by_role("region", name="Webhook").first
        await webhook.get_by_role("button", name="Change").click()
        await fill(desk, "URL", f"{HOOK}/other")
        assert await desk.page.get_by_role("dialog").get_by_label("Secret", exact=True).input_value() == ""
        await press(desk, "Save")
        await closed(desk)
        await desk.main.get_by_text(f"{HOOK}/other").wait_for()
        known = await center.webhook(APP)
        assert (known.url, known.former_secret_until) == (f"{HOOK}/other", None)


async def test_a_device_secret_is_replaced_and_those_whom_it_let_in_go(console: Console) -> None:
    async with console() as (node, center, desk):
        former = (await center.token(APP, "d1")).password
        async with await client(node, center, "d1") as raw:
            await desk.open(f"#/apps/{APP}", APP)
            await press(desk, "Replace keys")
            dialog = desk.page.get_by_role("dialog")
            await dialog.get_by_label("The server key").uncheck()
            await press(desk, "Replace")
            await dialog.get_by_text("Tick what is to be replaced.").wait_for()
            await dialog.get_by_label("The device secret").check()
            await dialog.get_by_label("End the connections").check()
            await press(desk, "Replace")
            await desk.page.get_by_role("dialog", name=f"The keys of {APP}").wait_for()
            await raw.rest()

        async def answer(password: str | None = None) -> int:
            """What a device hears that comes with this, or with what a center gives it now."""
            token = password or (await center.token(APP, "d1")).password
            async with await RawClient.open(node.mqtt_port) as again:
                return (await again.enter("d1", APP, token)).reason

        # Each center and each room hears of it within a second.
        await eventually(lambda: answer(former), ReasonCode.BAD_USER_NAME_OR_PASSWORD)
        await eventually(answer, ReasonCode.SUCCESS)


async def test_a_message_is_begun_from_the_page_of_the_app_and_of_its_messages(console: Console) -> None:
    async with console() as (_, _, desk):
        for where, title in (("", APP), ("/messages", "Messages")):
            await desk.open(f"#/apps/{APP}{where}", title)
            await press(desk, "Send a message")
            await desk.page.get_by_role("heading", name="Send", level=1, exact=True).wait_for()


async def test_a_key_that_may_only_read_sees_what_it_may_not_do_and_why(console: Console) -> None:
    async with console("read") as (_, center, desk):
        await center.put_device(APP, "d1")
        await center.put_group(APP, "team", members=["d1"])
        await center.schedule(APP, Push(payload="x", everyone=True), "0 9 * * *")
        sent = await center.send(APP, "x", devices=["d1"])
        for where, names in (
            ("", ["Send a message", "Replace keys"]),
            ("/devices", ["Register a device"]),
            ("/devices/d1", ["Send to it", "Call it", "Token", "Disconnect", "Ban", "Delete"]),
            ("/messages", ["Send a message"]),
            (f"/messages/{sent.message_id}", ["Cancel"]),
            ("/send", ["Send", "Check"]),
            ("/schedules", ["New schedule", "Pause 0 9 * * *", "Delete 0 9 * * *"]),
            ("/groups", ["New group"]),
            ("/groups/team", ["Send to it", "Add members", "Remove members", "Delete"]),
            ("/events", ["Set a webhook"]),
        ):
            await desk.open(f"#/apps/{APP}{where}")
            for name in names:
                button = desk.main.get_by_role("button", name=name, exact=True)
                assert await button.is_disabled(), (where, name)
                told = await button.get_attribute("aria-describedby")
                assert "lacks the scope" in await desk.page.locator(f"#{told}").inner_text(), (where, name)


async def test_the_key_of_an_app_reaches_no_page_of_others(console: Console) -> None:
    async with console("app") as (_, center, desk):
        await center.create_app("weather")
        await center.put_device("weather", "d1")
        desk.expected.add("Error: The key that you have logged in with does not reach this page.")
        for where in ("#/apps", "#/apps/weather", "#/apps/weather/devices", "#/apps/weather/devices/d1"):
            await desk.open(where, "This page cannot be shown")
        await desk.open("#/overview", "Overview")
        assert await desk.page.get_by_text("weather").count() == 0


async def test_everything_is_reached_by_keyboard(console: Console) -> None:
    """A device is found, opened and banned without a mouse."""
    async with console() as (_, center, desk):
        await center.put_device(APP, "d1")
        await desk.open(f"#/apps/{APP}/devices", "Devices")
        keyboard = desk.page.keyboard

        async def tab_to(name: str) -> None:
            for _ in range(80):
                await keyboard.press("Tab")
                at = await desk.page.evaluate(
                    "document.activeElement.textContent || document.activeElement.labels?.[0]?.textContent"
                )
                if at == name:
                    return
            raise AssertionError(name)

        await tab_to("Name begins with")
        await keyboard.type("d")
        await keyboard.press("Enter")
        await desk.page.wait_for_url("**prefix=d")
        await desk.shown()
        await tab_to("d1")
        await keyboard.press("Enter")
        await desk.page.get_by_role("heading", name="d1", level=1).wait_for()
        await desk.shown()
        await tab_to("Ban")
        await keyboard.press("Enter")
        await desk.page.get_by_role("dialog").wait_for()
        await tab_to("Ban it")
        await keyboard.press("Enter")
        await desk.main.get_by_text("It is banned until").wait_for()


async def test_a_device_called_as_a_step_of_a_path_is_nobody(console: Console) -> None:
    """A browser takes `devices/..` for the app itself, which its page would then delete."""
    async with console() as (_, _, desk):
        await desk.page.evaluate(f"location.hash = '#/apps/{APP}/devices/..'")
        await desk.main.get_by_text('Nothing can be called ".."').first.wait_for()


async def test_where_plain_topics_are_off_it_is_not_said_that_everything_is_allowed(console: Console) -> None:
    async with console() as (_, center, desk):
        rules = desk.main.get_by_role("region", name="Rules of topics")
        await desk.open(f"#/apps/{APP}", APP)
        await rules.get_by_text("devices may publish and subscribe to everything").wait_for()
        await center.update_app(APP, pubsub=False)

        async def off() -> bool:  # the page's center may be another, which hears of it a moment later
            await desk.page.reload()
            await desk.shown()
            return await rules.get_by_text("Plain MQTT topics are off").is_visible()

        await until(off)
