"""`Desk`: a window of the console for tests of an app's pages; what runs there that must not, it notes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from playwright.async_api import Browser, ConsoleMessage, Locator, Page, async_playwright

from tests.console.screen import CHROMIUM, PATIENCE, WIDE, Screen
from tests.integration.browser.chromium import FLAGS
from tests.integration.clients.real import node_modules

ATTACKED: Final = "attacked"  # what a script that came with data would set, see `attacks.py`


class Desk(Screen):
    """`expected`: beginnings of what a page tells the console, of which a test knows why."""

    def __init__(self, page: Page, url: str, axe: Path) -> None:
        self.expected: set[str] = set()
        super().__init__(page, url, (), axe)
        self.refusals_expected = True

    def _said(self, message: ConsoleMessage) -> None:
        if not message.text.startswith(tuple(self.expected)):
            super()._said(message)

    @property
    def main(self) -> Locator:
        return self.page.locator("main")

    async def open(self, where: str, title: str | None = None) -> None:
        """Goes to an address behind `#`, as a link does: without loading the console anew."""
        await self.page.evaluate("where => { location.hash = where }", where)
        await self.shown()
        if title is not None:
            await self.page.get_by_role("heading", name=title, level=1, exact=True).wait_for()

    async def check(self) -> None:
        """Nothing ran that should not, nothing was complained of, and nothing is wider than the window."""
        assert await self.page.evaluate(f"window.{ATTACKED}") is None
        assert self.faults == []
        assert await self.overflow() <= 0


class Desks:
    """A browser in which windows are opened, each with cookies of its own."""

    def __init__(self, browser: Browser, axe: Path) -> None:
        self._browser = browser
        self._axe = axe

    async def desk(self, url: str, *, size: tuple[int, int] = WIDE, dark: bool = False) -> Desk:
        context = await self._browser.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme="dark" if dark else "light"
        )
        context.set_default_timeout(PATIENCE)
        return Desk(await context.new_page(), url, self._axe)


@asynccontextmanager
async def desks() -> AsyncIterator[Desks]:
    """Debian's Chromium."""
    axe = await asyncio.to_thread(node_modules) / "axe-core" / "axe.min.js"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        try:
            yield Desks(browser, axe)
        finally:
            await browser.close()
