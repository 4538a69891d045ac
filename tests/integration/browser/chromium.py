"""`Page`: Chromium without a window, and the page that it shows, as a device.

It needs no driver: what the page is to do is in its address, and it tells what happens by requests.
"""

import asyncio
import json
import shutil
import subprocess
import tempfile
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tests.integration.clients.real import node_modules

HERE: Final = Path(__file__).parent
# It draws no window, and so takes a third of the processor for each page. By its own path: Debian's
# command is a shell beside it, which would take our signals.
CHROMIUM: Final = "/usr/lib/chromium/chromium-headless-shell"
PATIENCE: Final = 120.0  # s: a browser takes a while to begin on a busy machine
FLAGS: Final = (
    "--no-sandbox",  # which needs rights that a container does not have
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--ignore-certificate-errors",  # those of the tests are signed by nobody whom it knows
    "--no-proxy-server",
)


class Page:
    """One page, opened by `open`; `expect` waits for what it tells. `origin` is that of the page."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._unasked: list[dict[str, Any]] = []
        self._browser: asyncio.subprocess.Process | None = None
        self._profile: tempfile.TemporaryDirectory[str] | None = None
        self._server: ThreadingHTTPServer | None = None
        self.origin = ""

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        modules = await asyncio.to_thread(node_modules)
        files = {
            "/": (HERE / "page.html", "text/html"),
            "/mqtt.js": (modules / "mqtt" / "dist" / "mqtt.min.js", "text/javascript"),
        }

        def told(event: dict[str, Any]) -> None:
            loop.call_soon_threadsafe(self._told.put_nowait, event)

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = files.get(self.path)
                if found is None:
                    self.send_error(404)
                    return
                file, kind = found
                data = file.read_bytes()
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def do_POST(self) -> None:
                told(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Nobody reads it."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="page-server", daemon=True).start()
        self.origin = f"http://127.0.0.1:{self._server.server_port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._browser is not None and self._browser.returncode is None:
            self._browser.terminate()  # which ends its children too
            await self._browser.wait()
        if self._profile is not None:
            shutil.rmtree(self._profile.name, ignore_errors=True)
            self._profile.cleanup()
        if self._server is not None:
            await asyncio.to_thread(self._server.shutdown)
            self._server.server_close()

    async def open(
        self,
        *,
        app: str,
        device: str,
        token: str,
        protocol: int = 5,
        url: str | None = None,
        dispatcher: str | None = None,
        transport: str = "ws",
        reconnect: int = 0,
    ) -> None:
        """Shows the page, which connects to `url`, or to where the dispatcher says."""
        wishes = {
            "app": app,
            "device": device,
            "token": token,
            "protocol": protocol,
            "url": url,
            "dispatcher": dispatcher,
            "transport": transport,
            "reconnect": reconnect,  # ms; 0: not at all
        }
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        address = f"{self.origin}/#{urllib.parse.quote(json.dumps(wishes))}"
        with (self._folder / "chromium.log").open("wb") as log:
            self._browser = await asyncio.create_subprocess_exec(
                *(CHROMIUM, *FLAGS, f"--user-data-dir={self._profile.name}", address),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    async def expect(self, event: str) -> dict[str, Any]:
        """The first event of this kind that nobody has asked for yet; others wait for whoever asks."""
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    for place, told in enumerate(self._unasked):
                        if told["event"] == event:
                            return self._unasked.pop(place)
                    self._unasked.append(await self._told.get())
        except TimeoutError:
            log = (self._folder / "chromium.log").read_text(errors="replace")[-2000:]
            raise TimeoutError(
                f"no {event!r}; nobody asked for {self._unasked}; Chromium said:\n{log}"
            ) from None
