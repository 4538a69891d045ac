"""The agent of a host: how it ends."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from longline.keeper.local import LocalKeeper
from longline.keeper.port import Keeper
from longline.node.host import run_agent
from longline.settings import Settings, load
from longline.telemetry.faults import Faults
from tests.waiting import WITHIN

NEVER = 600.0  # s


class SilentKeeper(LocalKeeper):
    """Takes nothing, and does not end."""

    def __init__(self) -> None:
        super().__init__()
        self.answered = asyncio.Event()
        self.asked_to_forget = asyncio.Event()
        self.asked_to_end = asyncio.Event()

    async def write(self, key: str, value: bytes | None, version: int | None = None) -> int:
        if value is None:
            self.asked_to_forget.set()
        await self.answered.wait()
        return 0

    async def close(self) -> None:
        self.asked_to_end.set()
        await self.answered.wait()


@pytest_asyncio.fixture
async def handlers() -> AsyncIterator[None]:
    """Puts those of the tests' own process back."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        asyncio.get_running_loop().remove_signal_handler(number)
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
async def test_a_second_signal_ends_an_agent_whose_keeper_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would tell for a while yet that no process is left."""
    keeper = SilentKeeper()

    async def open_keeper(settings: Settings, faults: Faults, opened: AsyncExitStack) -> Keeper:
        opened.push_async_callback(keeper.close)
        return keeper

    monkeypatch.setattr("longline.node.host.open_keeper", open_keeper)
    monkeypatch.setattr("longline.agent.agent.LAST_WORD", NEVER)
    settings = load(flags={"data_dir": tmp_path, "agent.processes": []}).settings
    ending = asyncio.create_task(run_agent(settings, None, {}))
    try:
        async with asyncio.timeout(WITHIN):
            await keeper.asked_to_forget.wait()  # in its first report
            keeper.asked_to_forget.clear()
            os.kill(os.getpid(), signal.SIGTERM)
            await keeper.asked_to_forget.wait()
            os.kill(os.getpid(), signal.SIGTERM)
            assert await asyncio.shield(ending) == 0
    finally:
        keeper.answered.set()
        await ending
    assert keeper.asked_to_end.is_set()
