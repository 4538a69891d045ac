"""Chromium at the console: whatever runs there that should not, or is complained of, fails the test."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Locator,
    Page,
    Request,
    async_playwright,
)

from tests.waiting import WITHIN

CHROMIUM = "/usr/bin/chromium"
WIDE = (1280, 900)
NARROW = (360, 740)
# An answer of the API with 4xx is told to the console by the browser itself, and shown by the page.
_ANSWERS = re.compile(r"Failed to load resource: the server responded with a status of 4\d\d")
ATTACKED = "attacked"  # what a script that came with data would set, see `attacks.py`


class Desk:
    """A window with the console in it. `faults`: what a test is to find empty at its end."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.faults: list[str] = []
        self.expected: set[str] = set()  # beginnings of console messages that a test expects
        page.set_default_timeout(WITHIN * 1000)
        page.on("console", self._told)
        page.on("pageerror", lambda error: self.faults.append(f"page error: {error}"))
        page.on("dialog", self._dialog)
        page.on("request", self._request)

    def _told(self, message: ConsoleMessage) -> None:
        if message.text.startswith(tuple(self.expected)):
            return
        if message.type in ("error", "warning") and not _ANSWERS.search(message.text):
            self.faults.append(f"console: {message.text}")

    async def _dialog(self, dialog: Dialog) -> None:
        self.faults.append(f"dialog: {dialog.message}")
        await dialog.dismiss()

    def _request(self, request: Request) -> None:
        if not request.url.startswith((self.url, "data:", "blob:")):
            self.faults.append(f"request to {request.url}")

    async def log_in(self, key: str) -> Self:
        """Opens the console and gives it a key."""
        await self.page.goto(f"{self.url}/console/")
        await self.page.get_by_label("Key").fill(key)
        await self.page.get_by_role("button", name="Log in").click()
        await self.page.get_by_role("heading", name="Overview", level=1).wait_for()
        return self

    async def open(self, where: str, title: str | None = None) -> Locator:
        """Goes to a page of the console; what is in its main part."""
        await self.page.evaluate("where => { location.hash = where }", where)
        if title is not None:
            await self.page.get_by_role("heading", name=title, level=1, exact=True).wait_for()
        await self.settled()
        return self.main

    @property
    def main(self) -> Locator:
        return self.page.locator("main")

    async def settled(self) -> None:
        """Returns when the page that was asked for is there."""
        await self.page.locator("main:not([aria-busy])").wait_for()

    async def text(self) -> str:
        return await self.main.inner_text()

    async def check(self) -> None:
        """Nothing ran that should not, nothing was complained of, and nothing is wider than the window."""
        assert await self.page.evaluate(f"window.{ATTACKED}") is None
        assert self.faults == []
        wider = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert await self.page.evaluate(wider) <= 0


class Desks:
    """A browser in which windows are opened, each with cookies of its own."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._contexts: list[BrowserContext] = []

    async def desk(self, url: str, *, size: tuple[int, int] = WIDE, dark: bool = False) -> Desk:
        context = await self._browser.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme="dark" if dark else "light"
        )
        self._contexts.append(context)
        return Desk(await context.new_page(), url)


@asynccontextmanager
async def desks() -> AsyncIterator[Desks]:
    """Debian's Chromium."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield Desks(browser)
        finally:
            await browser.close()
