"""Workers that get no time for longer than their session: their devices hear nothing of it."""

import asyncio
import json
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.adversity.fleet import Books, Fleet
from tests.adversity.test_kill import DEVICES, prepare, push_on
from tests.integration.server_process import ServerProcess
from tests.integration.test_workers import Family, ready
from tests.waiting import until

pytestmark = [pytest.mark.adversity, pytest.mark.shape("workers"), pytest.mark.timeout(1800)]

WORKERS = 3
SETTLED_WITHIN = 120.0  # s
KEEP_ALIVE = 1000  # s


def said(server: ServerProcess, event: str) -> int:
    """How often a worker has logged this."""
    lines = [line for line in server.log.read_text().splitlines() if line.startswith("{")]
    return sum(json.loads(line)["event"] == event for line in lines)


async def says_once_more(server: ServerProcess, event: str, before: int) -> None:
    await until(lambda: said(server, event) > before, tell=server.tail)


async def test_devices_of_workers_that_are_paused_one_after_the_other_keep_their_connections(
    tmp_path: Path, rounds: int, chance: random.Random, tell: Callable[[str], None]
) -> None:
    """Each round: pushes, one worker stopped until the others take it for dead, and all must arrive."""
    books = Books()
    async with ServerProcess(tmp_path / "data", ("--workers", str(WORKERS))) as server:
        await ready(server, WORKERS)
        secret = await prepare(server)
        fleet = Fleet(DEVICES, server.mqtt_port, "news", secret, books, keep_alive=KEEP_ALIVE)
        await fleet.connect()
        for number in range(rounds):
            renamed = said(server, "renamed")
            victim = chance.choice(Family(server).workers)
            async with asyncio.TaskGroup() as group:
                pushers = [group.create_task(push_on(server, books, chance)) for _ in range(4)]
                await books.promises(chance.randrange(10, 60))
                os.kill(victim, signal.SIGSTOP)
                try:
                    dead = said(server, "node_cleaned_up")
                    await says_once_more(server, "node_cleaned_up", dead)
                finally:
                    os.kill(victim, signal.SIGCONT)
                await says_once_more(server, "renamed", renamed)
                await books.promises(20)
                for pusher in pushers:
                    pusher.cancel()
            missing = await books.settled(SETTLED_WITHIN)
            assert not missing, f"round {number}: never delivered: {missing}\n{server.tail()}"
            assert said(server, "renamed") == renamed + 1
        assert fleet.connects == [1] * len(DEVICES)
        await fleet.close()
        promised = sum(map(len, books.promised.values()))
        tell(
            f"{rounds} workers paused until they were dead, {promised} deliveries promised, lost 0, "
            f"connections closed 0, duplicates {fleet.duplicates}"
        )
