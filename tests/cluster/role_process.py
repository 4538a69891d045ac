"""One role of a cluster as a process of its own, so that it can be killed, paused and cut off."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

from tests.servers.redis_server import DYING_WITH_US
from tests.waiting import until

START_WITHIN = 240.0  # s
STOP_WITHIN = 60.0


class RoleProcess:
    """`longline run ROLE…` whose ports and settings stay the same from one start to the next.

    `prefix`: a command to run it under, such as `ip netns exec NAME`.
    """

    def __init__(
        self,
        roles: Sequence[str],
        name: str,
        directory: Path,
        settings: Mapping[str, str],
        *,
        status: str,
        prefix: Sequence[str] = (),
    ) -> None:
        self.roles = tuple(roles)
        self.name = name
        self.status = status  # URL of its probes
        self.log = directory / f"{name}.log"
        self._prefix = tuple(prefix)
        self._settings = {
            "LONGLINE_NODE__NAME": name,
            "LONGLINE_NODE__LOG_FORMAT": "json",
            "LONGLINE_DATA_DIR": str(directory / name),
            **settings,
        }
        self._process: subprocess.Popen[bytes] | None = None  # usable from any event loop

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Starts the process; `ready` waits for it."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("LONGLINE_")}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*DYING_WITH_US, *self._prefix, sys.executable, "-m", "longline", "run", *self.roles],
                env={**inherited, **self._settings},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    async def ready(self) -> None:
        """Returns when the process takes traffic."""
        async with httpx.AsyncClient(trust_env=False) as client:

            async def looked() -> bool:
                ready = await self.is_ready(client)
                if not ready and not self.running:
                    raise AssertionError(f"{self.name} ended:\n{self.tail()}")
                return ready

            await until(looked, START_WITHIN, tell=self.tail)

    async def is_ready(self, client: httpx.AsyncClient) -> bool:
        try:
            return (await client.get(f"{self.status}/readyz", timeout=2)).status_code == 200
        except httpx.TransportError:
            return False

    async def kill(self) -> None:
        """SIGKILL: no chance to finish anything."""
        await self._end(signal.SIGKILL)

    async def terminate(self) -> int:
        """SIGTERM, and the exit status."""
        return await self._end(signal.SIGTERM)

    def pause(self) -> None:
        """SIGSTOP."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    async def _end(self, number: int) -> int:
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(number)
            if number == signal.SIGTERM:
                self.resume()  # a paused process hears nothing
        return await asyncio.to_thread(self._process.wait, STOP_WITHIN)

    def tail(self, characters: int = 4000) -> str:
        """The end of what the process has logged."""
        return self.log.read_text()[-characters:] if self.log.exists() else ""
