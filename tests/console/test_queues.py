"""A profile of queues and locks, as the console shows it."""

import asyncio

import httpx
from playwright.async_api import expect

from tests.console.screen import Screen


class Desk:
    """One lock, which somebody holds and others want."""

    def __init__(self) -> None:
        self.turn = asyncio.Lock()

    async def use(self, gate: asyncio.Event) -> None:
        async with self.turn:
            await gate.wait()


async def test_a_held_lock_is_shown_with_who_waits_and_who_holds_it_and_two_profiles_compare(
    screen: Screen, api: httpx.AsyncClient
) -> None:
    desk, gate = Desk(), asyncio.Event()
    tasks = [asyncio.create_task(desk.use(gate), name=f"desk-{n}") for n in range(3)]
    (node,) = (await api.get("/v1/nodes")).raise_for_status().json()["nodes"]
    taken = [
        (await api.get(f"/v1/nodes/{node['node']}/profile", params={"kind": "queues", "seconds": 1}))
        .raise_for_status()
        .json()
        for _ in range(2)
    ]
    gate.set()
    await asyncio.gather(*tasks)
    page = screen.page
    await screen.go(f"profiles/{taken[1]['profile']}")
    row = page.get_by_role("row", name=f"{__name__}.Desk.turn")
    await expect(row).to_contain_text("desk-*")
    await expect(row).to_contain_text("Desk.use (")
    await expect(row).to_contain_text("100")
    await expect(page.get_by_role("figure").filter(has_text="Tasks that wait for a lock")).to_be_visible()
    await expect(page.get_by_role("row", name="saver_write_queue")).to_be_visible()
    assert await screen.axe() == []
    assert await screen.overflow() <= 0
    await page.get_by_role("button", name="Show what changed").click()
    await page.get_by_role("heading", name="What changed").wait_for()
