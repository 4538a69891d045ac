"""Processes are killed while a group talks: what was acknowledged is heard, by all and in one order."""

import asyncio
import functools
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress

import pytest
import pytest_asyncio

from longline import Center, Device, errors
from tests.cluster.cluster import Cluster
from tests.integration.server_process import ServerProcess
from tests.integration.shapes import Server
from tests.waiting import until

pytestmark = pytest.mark.timeout(900)

ROUNDS = 3
TALKING = 15  # messages that are acknowledged between two kills
MEMBERS = ("ann", "bob", "cat", "dan")


@pytest_asyncio.fixture
async def center(server: Server) -> AsyncIterator[Center]:
    async with server.center() as center:
        await center.create_app("news")
        for name in (*MEMBERS, "away"):
            await center.put_device("news", name)
        await center.put_group("news", "team", [*MEMBERS, "away"])
        yield center


async def member(server: Server, center: Center, name: str) -> Device:
    """With a token of its own for all that time, so that it needs nobody to come back."""
    token = (await center.token("news", name)).password
    ports = server.room_ports if isinstance(server, Cluster) else [server.mqtt_port]
    endpoints = [("127.0.0.1", port) for port in ports]
    return Device(app="news", device=name, token=token, endpoints=endpoints, backoff_cap=1.0)


def _has_said(said: set[str], count: int) -> bool:
    return len(said) >= count


class Listener:
    """What a member hears: sequences in the order in which they came, and texts by sequence."""

    def __init__(self) -> None:
        self.order: list[int] = []
        self.texts: dict[int, str] = {}

    async def listen(self, device: Device) -> None:
        async for message in device:
            self.order.append(message.sequence)
            self.texts[message.sequence] = message.text

    def has(self, said: set[str]) -> bool:
        return said <= set(self.texts.values())


async def speak(who: Device | Center, name: str, said: set[str], stop: asyncio.Event) -> None:
    """Says one thing after the other until it is to stop; `said` gets what was acknowledged."""
    n = 0
    while not stop.is_set():
        text, n = f"{name} {n}", n + 1
        try:
            if isinstance(who, Device):
                await who.say("team", text)
            else:
                await who.send("news", text, group="team")
        except errors.LonglineError:
            await asyncio.sleep(0)  # nobody knows whether it was said
        else:
            said.add(text)


async def kill_one(server: Server, chance: random.Random) -> None:
    """Kills a process of those that members and app servers speak through, and starts it again."""
    if isinstance(server, Cluster):
        process = chance.choice([*server.rooms, *server.centers])
        await process.kill()
        process.start()
        await process.ready()
    else:
        assert isinstance(server, ServerProcess)
        await server.kill()
        await server.start()


async def test_what_was_acknowledged_is_heard_by_all_in_one_order_whoever_is_killed(
    server: Server, center: Center
) -> None:
    chance = random.Random(seed := random.randrange(1 << 30))
    said: set[str] = set()
    stop = asyncio.Event()
    listeners = [Listener() for _ in MEMBERS]
    async with AsyncExitStack() as stack:
        devices = [await stack.enter_async_context(await member(server, center, name)) for name in MEMBERS]
        for device in devices:
            await device.wait_connected()
        speaking = [
            asyncio.create_task(speak(d, n, said, stop)) for d, n in zip(devices, MEMBERS, strict=True)
        ]
        speaking.append(asyncio.create_task(speak(center, "server", said, stop)))
        listening = [asyncio.create_task(li.listen(d)) for li, d in zip(listeners, devices, strict=True)]
        for _ in range(ROUNDS):
            before = len(said)
            await until(functools.partial(_has_said, said, before + TALKING), 120)
            await kill_one(server, chance)
        before = len(said)
        await until(functools.partial(_has_said, said, before + TALKING), 120)
        stop.set()
        await asyncio.gather(*speaking)
        await until(lambda: all(listener.has(said) for listener in listeners), 120)
        away, back = Listener(), await stack.enter_async_context(await member(server, center, "away"))
        listening.append(asyncio.create_task(away.listen(back)))
        await until(lambda: away.has(said), 120)
        for task in listening:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
    told = f"seed {seed}"
    for listener in (*listeners, away):
        assert listener.order == sorted(set(listener.order)), told
    texts = {sequence: text for listener in (*listeners, away) for sequence, text in listener.texts.items()}
    for listener in (*listeners, away):
        assert all(texts[sequence] == text for sequence, text in listener.texts.items()), told
    history = {m.sequence: m.payload.decode() async for m in center.group_messages("news", "team")}
    assert texts.items() <= history.items(), told
    async for message in center.messages("news"):
        ledger = message.ledger
        dropped = sum(ledger.dropped.values())
        assert ledger.targeted == ledger.pending + ledger.acked + ledger.expired + ledger.collapsed + dropped
