"""`Screen`: the console in Chromium, which notes whatever a page must not do."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

from playwright.async_api import ConsoleMessage, Locator, Page, expect

PATIENCE: Final = 30_000.0  # ms: a busy machine is no failure
WIDE: Final = (1280, 900)
NARROW: Final = (360, 740)
ATTACKED: Final = "attacked"  # what a script that came with data would set, see `attacks.py`
RULES: Final = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
_FAILED: Final = re.compile(r"Failed to load resource: the server responded with a status of (\d+)")

expect.set_options(timeout=PATIENCE)


class Screen:
    """One window. `known` are the paths of the API's document: a call that is not in it may be missing.

    `faults`: errors of the page and of its console, violations of its policy, requests to other servers,
    dialogs of scripts. `expected`: beginnings of what a page tells the console, of which a test knows why.
    """

    def __init__(self, page: Page, url: str, known: Sequence[str], axe: Path) -> None:
        self.page = page
        self.url = url
        self.faults: list[str] = []
        self.expected: set[str] = set()
        self.refusals_expected = False  # the test has the server say no
        self._known = [re.compile(re.sub(r"{\w+}", "[^/:]+", path) + "$") for path in known]
        self._axe = axe
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        page.on("request", lambda request: self._asked(request.url))
        page.on("dialog", lambda dialog: self.faults.append(f"dialog: {dialog.message}"))

    def _said(self, message: ConsoleMessage) -> None:
        if message.type not in ("error", "warning") or message.text.startswith(tuple(self.expected)):
            return
        failed = _FAILED.match(message.text)
        if failed:
            path = urlsplit(message.location.get("url", "")).path
            not_logged_in = failed[1] == "401" and path == "/v1/session"
            missing = failed[1] == "404" and not any(each.match(path) for each in self._known)
            if not_logged_in or missing or self.refusals_expected:
                return
        self.faults.append(f"{message.type}: {message.text}")

    def _asked(self, url: str) -> None:
        if not url.startswith((self.url, "data:", "blob:")):
            self.faults.append(f"asked elsewhere: {url}")

    @property
    def main(self) -> Locator:
        return self.page.locator("main")

    async def log_in(self, key: str, route: str = "overview") -> Self:
        await self.page.goto(f"{self.url}/console/#/{route}")
        await self.page.get_by_label("Key").fill(key)
        await self.page.get_by_role("button", name="Log in").click()
        await self.shown()
        return self

    async def go(self, route: str) -> None:
        """Shows a page, and waits until it is there."""
        await self.page.goto(f"{self.url}/console/#/{route}")
        await self.shown()

    async def open(self, where: str, title: str | None = None) -> None:
        """Goes to an address behind `#`, as a link does: without loading the console anew."""
        await self.page.evaluate("where => { location.hash = where }", where)
        await self.shown()
        if title is not None:
            await self.page.get_by_role("heading", name=title, level=1, exact=True).wait_for()

    async def shown(self) -> None:
        """Waits for the page of the address. One that was left stays until then, as if it were that."""
        address: str = await self.page.evaluate("location.hash")
        await expect(self.page.locator("#main")).to_have_attribute("data-address", address)
        await expect(self.page.locator("#main:not([aria-busy]) h1")).to_be_visible()

    async def heading(self) -> str:
        return await self.page.locator("h1").inner_text()

    async def cell(self, row: str, column: str) -> str:
        """What stands in a table, in the row that is headed so, below this title."""
        found: str | None = await self.page.evaluate(
            """([row, column]) => {
              for (const table of document.querySelectorAll("table")) {
                const titles = [...table.querySelectorAll("thead th")].map((each) => each.textContent);
                const place = titles.indexOf(column);
                const found = [...table.querySelectorAll("tbody tr")].find(
                  (each) => each.querySelector("th")?.textContent === row);
                if (found && place >= 0) return found.children[place].textContent;
              }
              return null;
            }""",
            [row, column],
        )
        return found or ""

    async def axe(self) -> list[str]:
        """What axe finds wrong, in words."""
        if not await self.page.evaluate("typeof axe !== 'undefined'"):
            await self.page.evaluate(self._axe.read_text(encoding="utf-8"))
        result: dict[str, Any] = await self.page.evaluate(
            "(rules) => axe.run(document, {runOnly: rules})", list(RULES)
        )
        return [
            f"{found['id']}: {found['help']}: {[node['target'] for node in found['nodes']][:3]}"
            for found in result["violations"]
        ]

    async def overflow(self) -> int:
        """By how many pixels the page is wider than its window."""
        over: int = await self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        return over

    async def check(self) -> None:
        """Nothing ran that should not, nothing was complained of, and nothing is wider than the window."""
        assert await self.page.evaluate(f"window.{ATTACKED}") is None
        assert self.faults == []
        assert await self.overflow() <= 0
