"""A program of this folder as a process: it is given a plan, says when it is ready, and is asked."""

import asyncio
import sys
from pathlib import Path
from typing import Self, TypeVar

import msgspec

from tests.servers.redis_server import DYING_WITH_US

ROOT = Path(__file__).parents[2]
READY_WITHIN = 240.0  # s
ANSWER_WITHIN = 240.0
LARGEST = 1 << 24  # bytes of an answer

T = TypeVar("T")


class Child:
    """`python -m MODULE ARGUMENTS`, for the time of an `async with`; it gets its `plan` as the first line.

    `nice`: how much it leaves others the processor, as a load should that comes from other machines.
    """

    def __init__(self, module: str, plan: object, *arguments: str, nice: int = 0) -> None:
        self._command = ("nice", "-n", str(nice), sys.executable, "-m", module, *arguments)
        self._plan = plan
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *DYING_WITH_US,
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
            limit=LARGEST,
        )
        self._write(msgspec.json.encode(self._plan))
        return self

    async def __aexit__(self, *_: object) -> None:
        process = self._running
        if process.returncode is None:
            process.kill()
        await process.wait()

    async def ready(self) -> None:
        """Returns when it has said so."""
        assert await self._read(READY_WITHIN) == b"ready\n"

    async def ask(self, kind: type[T], question: str = "") -> T:
        """Its answer to a line."""
        self._write(question.encode())
        return msgspec.json.decode(await self._read(ANSWER_WITHIN), type=kind)

    async def end(self, kind: type[T]) -> T:
        """What it says last."""
        stdin = self._running.stdin
        assert stdin is not None
        stdin.close()
        return msgspec.json.decode(await self._read(ANSWER_WITHIN), type=kind)

    @property
    def _running(self) -> asyncio.subprocess.Process:
        assert self._process is not None
        return self._process

    def _write(self, line: bytes) -> None:
        stdin = self._running.stdin
        assert stdin is not None
        stdin.write(line + b"\n")

    async def _read(self, within: float) -> bytes:
        stdout = self._running.stdout
        assert stdout is not None
        async with asyncio.timeout(within):
            line = await stdout.readline()
        assert line, f"{self._command} has ended"
        return line
