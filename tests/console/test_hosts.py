"""Hosts with an agent, on the page of nodes: their processes, and rolling restarts with live progress."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest_asyncio
from playwright.async_api import expect

from longline.center.operators.agent_orders import STATUSES, status_in
from longline.keeper.port import Keeper
from longline.model.agents import AgentStatus, ProcessExit, ProcessStatus, RestartStatus
from longline.model.times import wall_clock
from longline.node.agent_link import AgentLink
from longline.telemetry.faults import Faults
from tests.console.attacks import ATTACKS
from tests.console.conftest import Opening
from tests.console.screen import NARROW, Screen
from tests.integration.live_node import LiveNode
from tests.unit.agent.fake_host import FakeHost
from tests.waiting import until

HOST = "host-1"


def keeper_of(node: LiveNode) -> Keeper:
    return node.embedded._engines.keeper


@pytest_asyncio.fixture(loop_scope="session")
async def host(node: LiveNode, tmp_path: Path) -> AsyncIterator[FakeHost]:
    """An agent with two small processes, linked to the node's keeper."""
    (tmp_path / "host").mkdir()
    host, link = FakeHost(tmp_path / "host"), AgentLink(HOST, keeper_of(node), Faults())

    async def post(processes: Sequence[ProcessStatus]) -> None:
        await link.tell(processes, host.agent.restart)

    host.agent._post = post
    host.agent.start()
    work = (host.agent.report(), link.run(host.agent), link.carry_out(host.agent))
    tasks = [asyncio.create_task(each) for each in work]
    await host.ready()

    async def told() -> bool:
        status = status_in(await keeper_of(node).read(STATUSES + HOST))
        return status is not None and [each.state for each in status.processes] == ["ready", "ready"]

    await until(told)
    yield host
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await host.stop()


async def tell(node: LiveNode, status: AgentStatus) -> None:
    await keeper_of(node).write(STATUSES + status.agent, msgspec.json.encode(status))


def hurry(pid: int) -> None:
    """Tells a process that waits for a second signal to end."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)


async def test_a_host_is_restarted_and_its_progress_is_seen(screen: Screen, host: FakeHost) -> None:
    """By keyboard alone."""
    page = screen.page
    await screen.go("nodes")
    region = page.get_by_role("region", name=f"Host {HOST}", exact=True)
    await expect(region.get_by_text("agent present")).to_be_visible()
    before = host.pids()
    for pid in before:
        assert await screen.cell(f"node-{pid}", "PID") == str(pid)
        assert await screen.cell(f"node-{pid}", "State") == "ready"
    host.behave("silent")
    button = region.get_by_role("button", name=f"Rolling restart of {HOST}…")
    await button.focus()
    await page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name=f"Rolling restart of {HOST}")
    await expect(dialog.get_by_role("checkbox")).to_have_count(2)
    assert await screen.axe() == []
    await page.keyboard.press("Escape")
    await expect(dialog).to_have_count(0)
    await expect(button).to_be_focused()
    await page.keyboard.press("Enter")
    await dialog.get_by_role("button", name="Restart", exact=True).focus()
    await page.keyboard.press("Enter")
    await expect(dialog).to_have_count(0)
    await expect(region.get_by_text("0 of 2 new processes ready, ordered by admin")).to_be_visible()
    await expect(button).to_be_disabled()
    await expect(region.get_by_role("heading")).to_be_focused()
    assert await screen.axe() == []
    assert await screen.overflow() <= 0
    cancel = region.get_by_role("button", name=f"Cancel the restart of {HOST}")
    await cancel.focus()
    await page.keyboard.press("Enter")
    await expect(region.get_by_text("restart cancelled")).to_be_visible()
    await expect(cancel).to_be_hidden()
    await expect(region.get_by_role("heading")).to_be_focused()
    await expect(button).to_be_enabled()
    assert host.pids() == before
    host.behave("")
    await button.click()
    await dialog.get_by_role("button", name="Restart", exact=True).click()
    await expect(region.get_by_text("restarted 2 processes")).to_be_visible()
    assert not host.pids() & before
    for pid in host.pids():
        await expect(region.get_by_role("link", name=f"node-{pid}")).to_be_visible()
    assert await screen.axe() == []


async def test_some_processes_are_chosen_and_their_end_is_seen(screen: Screen, host: FakeHost) -> None:
    page = screen.page
    host.behave("slow")
    assert await host.agent.roll()
    host.behave("")
    slow, other = sorted(host.pids())
    await screen.go("nodes")
    region = page.get_by_role("region", name=f"Host {HOST}", exact=True)
    await region.get_by_role("link", name=f"node-{slow}").wait_for()
    await region.get_by_role("button", name=f"Rolling restart of {HOST}…").click()
    await page.get_by_role("checkbox", name=f"node-{other} (room)").uncheck()
    await page.get_by_role("dialog").get_by_role("button", name="Restart", exact=True).click()
    await expect(region.get_by_text("0 of 1 old processes ended")).to_be_visible()
    await expect(region.get_by_role("row", name=f"node-{slow}")).to_contain_text("moves its clients")
    await expect(region.get_by_role("button", name=f"Cancel the restart of {HOST}")).to_be_hidden()
    hurry(slow)
    await expect(region.get_by_text("restarted 1 process,")).to_be_visible()
    assert other in host.pids()
    assert slow not in host.pids()
    hurry(other)


async def test_choosing_no_process_is_said_and_does_nothing(screen: Screen, host: FakeHost) -> None:
    page = screen.page
    before = host.pids()
    await screen.go("nodes")
    screen.refusals_expected = True
    await page.get_by_role("button", name=f"Rolling restart of {HOST}…").click()
    dialog = page.get_by_role("dialog")
    for box in await dialog.get_by_role("checkbox").all():
        await box.uncheck()
    await dialog.get_by_role("button", name="Restart", exact=True).click()
    await expect(dialog.get_by_role("alert")).to_be_visible()
    assert await screen.axe() == []
    await page.keyboard.press("Escape")
    await expect(dialog).to_have_count(0)
    assert host.pids() == before


async def test_an_agent_that_is_away_takes_no_orders_and_its_words_do_not_run(
    open_screen: Opening, node: LiveNode, server_key: str
) -> None:
    """On a narrow screen. What an agent tells, a host that was broken into may have made up."""
    now = wall_clock()
    processes = tuple(
        ProcessStatus(attack, attack, 7, "ready", 3, now, ProcessExit(now, attack)) for attack in ATTACKS[:20]
    )
    status = AgentStatus(
        agent=HOST,
        member="agent-host-1-gone",
        version=ATTACKS[0],
        since=now,
        told_at=now,
        processes=processes,
        restart=RestartStatus(
            state="given_up",
            started_at=now,
            ended_at=now,
            total=2,
            id=ATTACKS[1],
            by=ATTACKS[2],
            reason=ATTACKS[3],
        ),
    )
    await tell(node, status)
    screen = await open_screen(node.admin_key, "nodes", size=NARROW)
    region = screen.page.get_by_role("region", name=f"Host {HOST}", exact=True)
    await expect(region.get_by_text("agent away")).to_be_visible()
    await expect(region.get_by_role("button", name=f"Rolling restart of {HOST}…")).to_be_disabled()
    said: str = await screen.page.evaluate("document.querySelector('main').textContent")
    assert all(attack in said for attack in (*ATTACKS[2:20], "This is what it told last"))
    assert await region.locator("img, script, iframe, svg").count() == 0
    assert await screen.overflow() <= 0
    assert await screen.axe() == []


async def test_hosts_come_and_go_while_the_page_is_open(screen: Screen, node: LiveNode) -> None:
    """A node on its own has no agent, and the page says nothing of any."""
    page = screen.page
    await screen.go("nodes")
    await expect(page.get_by_role("heading", name=f"Host {HOST}")).to_have_count(0)
    now = wall_clock()
    gone = AgentStatus(agent=HOST, member="", version="1", since=now, told_at=now, processes=())
    await tell(node, gone)
    await expect(page.get_by_role("heading", name=f"Host {HOST}")).to_be_visible()
    await keeper_of(node).write(STATUSES + HOST, None)
    await expect(page.get_by_role("heading", name=f"Host {HOST}")).to_have_count(0)
