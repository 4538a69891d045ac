"""The promise of a 202 against SIGKILL: what was answered is delivered, whatever moment the node dies at."""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from longline import Center
from tests.adversity.fleet import Books, Fleet
from tests.integration.server_process import ServerProcess

pytestmark = [pytest.mark.adversity, pytest.mark.timeout(1500)]

DEVICES = [f"d{number:02}" for number in range(20)]
ONLINE, OFFLINE = DEVICES[:10], DEVICES[10:]
DRAINED_WITHIN = 60.0  # s


async def test_what_was_answered_202_is_delivered_though_the_node_is_killed_while_pushes_arrive(
    tmp_path: Path, rounds: int, chance: random.Random, tell: Callable[[str], None]
) -> None:
    """Each round: pushes from four sides, SIGKILL, restart, and everything promised so far must arrive."""
    books = Books()
    async with ServerProcess(tmp_path / "data") as server:
        secret = await prepare(server)
        online = Fleet(ONLINE, server.mqtt_port, "news", secret, books)
        await online.connect()
        duplicates = 0
        for number in range(rounds):
            async with asyncio.TaskGroup() as group:
                pushers = [group.create_task(push_on(server, books, chance)) for _ in range(4)]
                await books.promises(chance.randrange(1, 60))
                await asyncio.sleep(chance.random() / 100)  # a moment that no step of the node's own decides
                await server.kill()
                for pusher in pushers:
                    pusher.cancel()
            await server.start()
            returning = Fleet(OFFLINE, server.mqtt_port, "news", secret, books)
            await returning.connect()
            missing = await books.settled(DRAINED_WITHIN)
            await returning.close()
            duplicates += returning.duplicates
            assert not missing, f"round {number}: 202, never delivered: {missing}\n{server.tail()}"
        # Receipts that died with the node are given once more by whoever is there again.
        returning = Fleet(OFFLINE, server.mqtt_port, "news", secret, books)
        await returning.connect()
        await expect_settled(server, books, chance)
        await returning.close()
        await online.close()
        duplicates += online.duplicates + returning.duplicates
        tell(
            f"{rounds} kills while pushes arrive, {len(books.messages)} messages answered 202, "
            f"{sum(map(len, books.promised.values()))} deliveries promised, lost 0, duplicates {duplicates}"
        )


async def test_nothing_is_lost_though_the_node_is_killed_while_devices_acknowledge(
    tmp_path: Path, rounds: int, chance: random.Random, tell: Callable[[str], None]
) -> None:
    """Each round: a backlog for devices that are away, and SIGKILL while they take it."""
    books = Books()
    async with ServerProcess(tmp_path / "data") as server:
        secret = await prepare(server)
        duplicates = 0
        for number in range(rounds):
            await backlog(server, books)
            fleet = Fleet(DEVICES, server.mqtt_port, "news", secret, books)
            connecting = asyncio.create_task(fleet.connect())
            await books.arrivals(chance.randrange(1, 20 * len(DEVICES)))
            await asyncio.sleep(chance.random() / 200)
            await server.kill()
            await server.start()
            await connecting
            missing = await books.settled(DRAINED_WITHIN)
            await fleet.close()
            duplicates += fleet.duplicates
            assert not missing, f"round {number}: lost: {missing}\n{server.tail()}"
        fleet = Fleet(DEVICES, server.mqtt_port, "news", secret, books)
        await fleet.connect()
        await expect_settled(server, books, chance)
        await fleet.close()
        tell(
            f"{rounds} kills while devices acknowledge, {sum(map(len, books.promised.values()))} deliveries "
            f"promised, lost 0, duplicates {duplicates}"
        )


async def test_a_request_repeated_after_a_crash_is_stored_once(
    tmp_path: Path, rounds: int, chance: random.Random, tell: Callable[[str], None]
) -> None:
    """Each round: requests with an Idempotency-Key, SIGKILL among them, restart, and all ask again."""
    answered_twice = 0
    ids: dict[str, str] = {}  # payload → message id
    async with ServerProcess(tmp_path / "data") as server:
        await prepare(server)
        headers = {"Authorization": f"Bearer {server.admin_key}"}
        for number in range(rounds):
            keys = [f"{number}-{index}" for index in range(40)]
            async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=30) as client:
                answers = [asyncio.create_task(push_once(client, key)) for key in keys]
                await asyncio.sleep(chance.random() / 10)  # before, among and after the commits
                await server.kill()
                first = await asyncio.gather(*answers, return_exceptions=True)
            await server.start()
            async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=30) as client:
                second = await asyncio.gather(*(push_once(client, key) for key in keys))
            for key, before, after in zip(keys, first, second, strict=True):
                if isinstance(before, str):
                    answered_twice += 1
                    assert before == after, "the first answer is replayed, also by the node that came after"
                ids[key] = after
        async with server.center() as center:
            waiting = (await center.device("news", DEVICES[0])).pending
        assert waiting == len(ids) == len(set(ids.values())) == rounds * 40
    tell(f"{rounds} kills, {len(ids)} requests, {answered_twice} answered before and after, doubled 0")


async def push_once(client: httpx.AsyncClient, key: str) -> str:
    """A push under an Idempotency-Key; returns its message id."""
    answer = await client.post(
        "/v1/apps/news/messages",
        json={"audience": {"devices": DEVICES[:1]}, "payload": key},
        headers={"Idempotency-Key": key},
    )
    assert answer.status_code == 202
    message_id: str = answer.json()["message_id"]
    return message_id


async def prepare(server: ServerProcess) -> str:
    """Makes the app and registers the devices; returns the app's device secret."""
    async with server.center() as center:
        keys = await center.create_app("news")
        for device in DEVICES:
            await center.put_device("news", device)
        return keys.device_secret


async def push_on(server: ServerProcess, books: Books, chance: random.Random) -> None:
    """Pushes without pause: to one device, to several, to all, one message or many in a request."""
    headers = {"Authorization": f"Bearer {server.admin_key}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=30) as client:
        while True:
            audiences = [audience(chance) for _ in range(chance.choice([1, 1, 8]))]
            messages = [{"audience": asked, "payload": {"n": chance.random()}} for asked, _ in audiences]
            try:
                answer = await client.post("/v1/apps/news/messages:batch", json={"messages": messages})
            except httpx.TransportError:
                continue  # no answer, no promise
            if answer.status_code == 202:
                for result, (_, devices) in zip(answer.json()["results"], audiences, strict=True):
                    books.promise(result["message_id"], devices)


def audience(chance: random.Random) -> tuple[object, list[str]]:
    """An audience as the API wants it, and who is in it."""
    if chance.random() < 0.1:
        return "all", DEVICES
    devices = chance.sample(DEVICES, chance.choice([1, 1, 1, 5]))
    return {"devices": devices}, devices


async def backlog(server: ServerProcess, books: Books) -> None:
    """Twenty messages for each device."""
    headers = {"Authorization": f"Bearer {server.admin_key}"}
    targets = [device for _ in range(20) for device in DEVICES]
    messages = [{"audience": {"devices": [device]}, "payload": "waiting"} for device in targets]
    async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=30) as client:
        answer = await client.post("/v1/apps/news/messages:batch", json={"messages": messages})
    assert answer.status_code == 202
    for result, device in zip(answer.json()["results"], targets, strict=True):
        books.promise(result["message_id"], [device])


async def expect_settled(server: ServerProcess, books: Books, chance: random.Random) -> None:
    """Every ledger looked at balances, and nothing is pending in it."""
    async with server.center() as center:
        for message_id in chance.sample(books.messages, min(500, len(books.messages))):
            await expect_acked(center, message_id)


async def expect_acked(center: Center, message_id: str) -> None:
    ledger = (await center.wait("news", message_id, within=DRAINED_WITHIN)).ledger
    assert ledger.targeted == ledger.acked > 0
    assert ledger.pending == ledger.expired == ledger.collapsed == 0
    assert not ledger.dropped
