"""Filling in the forms of a page, and pressing its buttons, as people do: by what is written on them."""

import pytest
from playwright.async_api import expect

from tests.console.screen import Screen

BOTH = pytest.mark.parametrize("key", ["admin", "app"])  # kinds of keys


async def press(screen: Screen, name: str) -> None:
    """A button of the dialog that is open, or of the page."""
    dialog = screen.page.get_by_role("dialog")
    where = dialog if await dialog.count() else screen.main
    await where.get_by_role("button", name=name, exact=True).click()


async def fill(screen: Screen, label: str, text: str) -> None:
    dialog = screen.page.get_by_role("dialog")
    where = dialog if await dialog.count() else screen.main
    await where.get_by_label(label, exact=True).fill(text)


async def closed(screen: Screen) -> None:
    await screen.page.get_by_role("dialog").wait_for(state="detached")
    await screen.shown()


async def dialog(screen: Screen, name: str) -> None:
    """Presses this button in the dialog, which is then gone: hidden it is before."""
    await screen.page.get_by_role("dialog").get_by_role("button", name=name, exact=True).click()
    await expect(screen.page.locator("dialog")).to_have_count(0)
