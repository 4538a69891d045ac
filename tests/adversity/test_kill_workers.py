"""The promise of a 202 on one host with several workers, any process of which is killed."""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.adversity.fleet import Books, Fleet
from tests.adversity.test_kill import DEVICES, OFFLINE, ONLINE, expect_settled, prepare, push_on
from tests.integration.test_workers import a_server, kill, ready

pytestmark = [pytest.mark.adversity, pytest.mark.shape("workers"), pytest.mark.timeout(1800)]

VICTIMS = ("worker", "valkey", "agent")
SETTLED_WITHIN = 60.0  # s


async def test_what_was_answered_202_is_delivered_whichever_process_is_killed(
    tmp_path: Path, rounds: int, chance: random.Random, tell: Callable[[str], None]
) -> None:
    """Each round: pushes from four sides, SIGKILL for one process, and all that was promised must arrive."""
    books = Books()
    killed = dict.fromkeys(VICTIMS, 0)
    async with a_server(tmp_path) as server:
        await ready(server)
        secret = await prepare(server)
        online = Fleet(ONLINE, server.mqtt_port, "news", secret, books)
        await online.connect()
        duplicates = 0
        for number in range(rounds):
            victim = VICTIMS[number % len(VICTIMS)]
            async with asyncio.TaskGroup() as group:
                pushers = [group.create_task(push_on(server, books, chance)) for _ in range(4)]
                await books.promises(chance.randrange(10, 60))
                await asyncio.sleep(
                    chance.random() / 100
                )  # a moment that no step of the server's own decides
                await kill(server, victim)
                killed[victim] += 1
                await books.promises(20)
                for pusher in pushers:
                    pusher.cancel()
            returning = Fleet(OFFLINE, server.mqtt_port, "news", secret, books)
            await returning.connect()
            missing = await books.settled(SETTLED_WITHIN)
            await returning.close()
            duplicates += returning.duplicates
            assert not missing, (
                f"round {number}, {victim} killed: never delivered: {missing}\n{server.tail()}"
            )
        returning = Fleet(OFFLINE, server.mqtt_port, "news", secret, books)
        await returning.connect()
        await expect_settled(server, books, chance)
        await returning.close()
        await online.close()
        tell(
            f"{killed} killed among {len(DEVICES)} devices, {len(books.messages)} messages answered 202, "
            f"{sum(map(len, books.promised.values()))} deliveries promised, lost 0, "
            f"duplicates {duplicates + online.duplicates + returning.duplicates}"
        )
