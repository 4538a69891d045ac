"""Commands on a terminal, which is a real one: bars, live figures, and Ctrl-C."""

import asyncio
import os
import re
import signal
import sys
import termios
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from longline import Device
from tests.integration.live_node import LiveNode
from tests.integration.server_process import ServerProcess
from tests.integration.test_commands import access
from tests.waiting import WITHIN

STYLE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class TerminalOf:
    """A process in a terminal of its own."""

    def __init__(self, process: asyncio.subprocess.Process, screen: int) -> None:
        self.process = process
        self.shown = ""
        self._screen = screen

    async def shows(self, words: str) -> None:
        """Returns when these words were on the screen, whatever their colours."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(WITHIN):
            while words not in STYLE.sub("", self.shown):
                with suppress(OSError):  # the process has ended
                    data = await loop.run_in_executor(None, os.read, self._screen, 65536)
                    self.shown += data.decode(errors="replace")
                    continue
                raise AssertionError(f"{words!r} is not in {self.shown!r}")

    async def interrupted(self) -> int:
        """Presses Ctrl-C; the exit status."""
        self.process.send_signal(signal.SIGINT)
        return await self.ended()

    async def ended(self) -> int:
        """The exit status, when all that was shown is read."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(WITHIN):
            with suppress(OSError):
                while data := await loop.run_in_executor(None, os.read, self._screen, 65536):
                    self.shown += data.decode(errors="replace")
            return await self.process.wait()


@asynccontextmanager
async def terminal(
    environ: Mapping[str, str], *arguments: str, columns: int = 80, rows: int = 24
) -> AsyncIterator[TerminalOf]:
    """A command in a terminal."""
    said = ("LONGLINE_", "COLUMNS", "LINES")  # of sizes, what the terminal itself says counts
    clean = {name: value for name, value in os.environ.items() if not name.startswith(said)}
    screen, keyboard = os.openpty()
    termios.tcsetwinsize(keyboard, (rows, columns))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "longline", *arguments),
        env={**clean, "TERM": "xterm", **environ},
        stdin=keyboard,
        stdout=keyboard,
        stderr=keyboard,
    )
    os.close(keyboard)
    try:
        yield TerminalOf(process, screen)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(screen)


async def test_a_push_that_is_waited_for_has_a_bar_until_the_devices_have_it(tmp_path: Path) -> None:
    async with LiveNode(tmp_path / "data") as node, node.center() as center:
        await center.create_app("news")
        await center.put_device("news", "d1")
        token = (await center.token("news", "d1")).password
        async with terminal(access(node), "push", "news", "hello", "--all", "--wait") as screen:
            await screen.shows("0/1")
            async with Device("127.0.0.1", node.mqtt_port, app="news", device="d1", token=token) as device:
                async for message in device:
                    await message.ack()
                    break
                assert await screen.ended() == 0
        assert "acked" in screen.shown
        assert "targeted" in screen.shown


async def test_live_figures_come_and_go_with_the_terminal_as_it_was(tmp_path: Path) -> None:
    async with LiveNode(tmp_path / "data") as node, node.center() as center:
        await center.create_app("news")
        async with terminal(
            access(node), "top", "--app", "news", "--every", "0.1", columns=40, rows=60
        ) as screen:
            await screen.shows("1 nodes")
            await screen.shows("app: news")  # 40 columns are too few for a table
            assert await screen.interrupted() == 130
        assert "\x1b[?1049h" in screen.shown  # another screen
        assert "\x1b[?1049l" in screen.shown  # and back
        assert "Traceback" not in screen.shown


async def test_who_follows_events_goes_on_when_the_server_is_back_and_ends_with_130(tmp_path: Path) -> None:
    async with ServerProcess(tmp_path / "data") as node:
        async with node.center() as center:
            await center.create_app("news")
            await center.put_device("news", "d1")
            async with terminal(access(node), "upstream", "news", "--follow", columns=200) as screen:
                await screen.shows("d1")
                await node.kill()
                await node.start()
                await center.put_device("news", "d2")
                await screen.shows("d2")
                assert await screen.interrupted() == 130
        assert screen.shown.count("registered") == 2
        assert "Traceback" not in screen.shown
