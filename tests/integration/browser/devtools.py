"""A page of headless Chromium, driven as a person would: by what is on it, over the DevTools protocol."""

import asyncio
import itertools
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx
from websockets.asyncio.client import ClientConnection, connect

from tests.integration.browser.chromium import CHROMIUM, FLAGS
from tests.waiting import until

PATIENCE: Final = 120.0  # s: a browser takes a while to begin on a busy machine


class Visitor:
    """A browser of its own with one page; what it has stored there lasts as long as this."""

    def __init__(self) -> None:
        self._profile = tempfile.mkdtemp()
        self._browser: asyncio.subprocess.Process | None = None
        self._page: ClientConnection | None = None
        self._ids = itertools.count(1)

    async def __aenter__(self) -> Self:
        self._browser = await asyncio.create_subprocess_exec(
            *(CHROMIUM, *FLAGS, f"--user-data-dir={self._profile}", "--remote-debugging-port=0"),
            "about:blank",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        port = await until(lambda: _port(Path(self._profile, "DevToolsActivePort")), PATIENCE)
        async with httpx.AsyncClient(trust_env=False) as client:

            async def pages() -> list[str]:
                targets = (await client.get(f"http://127.0.0.1:{port}/json")).json()
                return [one["webSocketDebuggerUrl"] for one in targets if one["type"] == "page"]

            [address] = await until(pages, PATIENCE)
        self._page = await connect(address, max_size=None, proxy=None)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._page is not None:
            await self._page.close()
        if self._browser is not None:
            self._browser.terminate()
            await self._browser.wait()
        shutil.rmtree(self._profile, ignore_errors=True)

    async def go(self, url: str) -> None:
        """Opens an address."""
        await self._command("Page.navigate", url=url)

    async def evaluate(self, expression: str) -> Any:
        """What an expression of JavaScript is on the page; null while it throws."""
        result = await self._command("Runtime.evaluate", expression=expression, returnByValue=True)
        return result["result"].get("value")

    async def sees(self, selector: str, text: str) -> None:
        """Waits until elements of a selector together say a text."""
        shown = (
            f"[...document.querySelectorAll({json.dumps(selector)})].map((e) => e.textContent).join('\\n')"
        )

        async def there() -> bool:
            return text in ((await self.evaluate(shown)) or "")

        await until(there, tell=lambda: f"{text!r} is not in {selector}")

    async def submit(self, form: str, field: str, text: str) -> None:
        """Fills a field of a form, and sends it."""
        of_form = f"document.querySelector({json.dumps(form)})"
        await until(lambda: self.evaluate(f"{of_form} !== null && document.readyState === 'complete'"))
        await self.evaluate(
            f"{of_form}.elements[{json.dumps(field)}].value = {json.dumps(text)}; {of_form}.requestSubmit()"
        )

    async def _command(self, method: str, **parameters: Any) -> dict[str, Any]:
        assert self._page is not None
        id = next(self._ids)
        await self._page.send(json.dumps({"id": id, "method": method, "params": parameters}))
        async with asyncio.timeout(PATIENCE):
            while True:
                told = json.loads(await self._page.recv())
                if told.get("id") == id:
                    found: dict[str, Any] = told["result"]
                    return found


def _port(told: Path) -> str | None:
    """Where the browser listens, once it has said so."""
    lines = told.read_text().split("\n") if told.exists() else []
    return lines[0] if len(lines) > 1 else None
