"""Lists that are longer than what is shown at first, and what a browser keeps: files, and copies."""

import asyncio
import gzip
import json
import time
from functools import partial
from pathlib import Path

import httpx
import pytest
from playwright.async_api import expect

from longline import Push
from tests.console.conftest import Console
from tests.console.fates import APP
from tests.console.forms import press
from tests.console.screen import Screen
from tests.console.test_operating import kept_busy
from tests.console.test_secrets import take
from tests.waiting import until


async def test_earlier_messages_are_shown_when_asked_for(console: Console) -> None:
    async with console() as (_, center, desk):
        await center.put_device(APP, "d1")
        push = {"audience": {"devices": ["d1"]}, "payload": "hello"}
        await center.send_batch(APP, [push] * 120)
        sent = [message.message_id async for message in center.messages(APP)]
        await desk.open(f"#/apps/{APP}/messages", "Messages")
        links = desk.main.locator("tbody a.mono")
        for shown in (50, 100, 120):
            await expect(links).to_have_count(shown)
            assert await links.all_inner_texts() == sent[:shown]
            if shown < len(sent):
                await press(desk, "Show more")
        await expect(desk.main.get_by_role("button", name="Show more")).to_be_hidden()


async def test_members_of_a_large_group_are_shown_when_asked_for(console: Console) -> None:
    names = [f"d{number:04}" for number in range(1100)]
    async with console() as (_, center, desk):
        await center.put_group(APP, "team")
        for part in (names[:1000], names[1000:]):
            await center.register_batch(APP, [{"device": name} for name in part])
            await center.add_members(APP, "team", part)
        await desk.open(f"#/apps/{APP}/groups/team", "team")
        members = desk.main.get_by_role("region", name="Members").first
        rows = members.locator("tbody th")
        await expect(rows).to_have_count(0)
        await press(desk, "Show all 1,100 members")
        for shown in (500, 1000, 1100):
            await expect(rows).to_have_count(shown)
            assert await rows.all_inner_texts() == names[:shown]
            if shown < len(names):
                await members.get_by_role("button", name="Show more").click()
        await expect(members.get_by_role("button", name="Show more")).to_be_hidden()


async def test_the_latest_of_a_schedule_lead_to_what_was_sent(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every minute, of which the node's clock has the next one at once."""
    async with console() as (_, center, desk):
        await center.put_device(APP, "d1")
        made = await center.schedule(APP, Push(payload={"rain": 5}, devices=["d1"]), "* * * * *")
        assert made.firings == ()
        clock = time.time_ns
        ahead = int(made.next[0].timestamp()) * 1_000_000_000 - clock()
        monkeypatch.setattr(time, "time_ns", lambda: clock() + ahead)

        async def fired() -> bool:
            return bool((await center.schedule_info(APP, made.schedule_id)).firings)

        await until(fired)
        (message,) = [each async for each in center.messages(APP)]
        await desk.open(f"#/apps/{APP}/schedules", "Schedules")
        row = desk.main.get_by_role("row", name="* * * * *")
        await row.get_by_text("Show", exact=True).click()
        assert json.loads(await row.locator("pre").inner_text())["payload"] == {"rain": 5}
        latest = row.locator(f'a[href$="{message.message_id}"]')
        await expect(latest).to_have_count(1)
        await latest.click()
        await desk.page.get_by_role("heading", name="Message", level=1).wait_for()
        await desk.main.get_by_text(message.message_id).first.wait_for()


async def test_changes_are_kept_as_json(screen: Screen, api: httpx.AsyncClient, tmp_path: Path) -> None:
    await api.post("/v1/apps", json={"app": "maps"})
    await screen.go("audit")
    told = (await api.get("/v1/audit")).json()["changes"]
    assert json.loads(await kept(screen, "Export JSON", tmp_path)) == told
    assert {change["app"] for change in told} == {"maps", "news"}


async def test_a_profile_is_searched_and_kept_in_every_format(
    screen: Screen, api: httpx.AsyncClient, tmp_path: Path
) -> None:
    (member,) = (await api.get("/v1/nodes")).json()["nodes"]
    async with kept_busy(api):
        tasks, cpu = [await until(partial(take, api, member["node"], kind)) for kind in ("tasks", "cpu")]
    await screen.go(f"profiles/{tasks['profile']}")
    assert json.loads(await kept(screen, "Download json", tmp_path))["content"] == tasks["content"]
    await expect(screen.page.get_by_role("button", name="Download pprof")).to_have_count(0)

    await screen.go(f"profiles/{cpu['profile']}")
    files = {}
    for format in ("json", "speedscope", "pprof"):
        asked = await api.get(f"/v1/profiles/{cpu['profile']}", params={"format": format})
        files[format] = await kept(screen, f"Download {format}", tmp_path)
        assert files[format] == asked.content
    # A profile.proto has names as they are, in its table of strings.
    words = gzip.decompress(files["pprof"])
    functions = {frame.partition(" (")[0] for stack in cpu["content"]["stacks"] for frame in stack["frames"]}
    assert [name for name in functions if name.encode() not in words] == []

    frames = screen.page.locator(".flame .frame")
    await screen.page.get_by_label("Find functions").fill("LOOP")
    await expect(screen.page.locator(".flame-said")).to_contain_text("Functions with “LOOP” have")
    await screen.page.get_by_label("Find functions").fill("")
    every = await frames.count()
    await frames.last.click()
    await expect(screen.page.locator(".flame-said")).to_contain_text("of all samples")
    await press(screen, "Show all")
    await expect(frames).to_have_count(every)


async def test_profiles_of_one_kind_are_shown(screen: Screen, api: httpx.AsyncClient) -> None:
    (member,) = (await api.get("/v1/nodes")).json()["nodes"]
    for kind in ("tasks", "loop"):
        await api.get(f"/v1/nodes/{member['node']}/profile", params={"kind": kind, "seconds": 1})
    await screen.go("profiles")
    kinds = screen.main.locator("tbody .badge")
    await expect(kinds).to_have_text(["loop", "tasks"])
    await screen.main.get_by_label("Kind").select_option("tasks")
    await expect(kinds).to_have_text(["tasks"])
    await screen.main.get_by_label("Kind").select_option("")
    await screen.main.get_by_label("Node").last.select_option(member["node"])
    await expect(kinds).to_have_text(["loop", "tasks"])


async def test_a_key_is_copied(screen: Screen) -> None:
    context = screen.page.context
    await context.grant_permissions(["clipboard-read", "clipboard-write"])
    await screen.go("apps")
    await press(screen, "New app")
    dialog = screen.page.get_by_role("dialog")
    await dialog.get_by_label("App", exact=True).fill("weather")
    await press(screen, "Make it")
    key = await dialog.get_by_text("llk_weather.").inner_text()
    await dialog.get_by_role("button", name="Copy").first.click()
    await expect(screen.page.get_by_text("Copied.")).to_be_visible()
    assert await screen.page.evaluate("navigator.clipboard.readText()") == key


async def kept(screen: Screen, button: str, directory: Path) -> bytes:
    """What a button has the browser keep as a file."""
    async with screen.page.expect_download() as downloading:
        await screen.page.get_by_role("button", name=button).click()
    file = directory / "kept"
    await (await downloading.value).save_as(file)
    return await asyncio.to_thread(file.read_bytes)
