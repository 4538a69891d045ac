"""Random schedules of a bad network, and what a device went through under one of them.

A schedule is made from its number, so one that fails can be run alone. While messages go both ways, the
network between the device and the room cuts, half-closes, delays, chunks, stalls, refuses, and lies: it
answers in the room's place with what is no MQTT.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import msgspec

from longline import Center
from longline.testing.proxy import FaultProxy
from tests.integration.sdk_js.programs import Driven, Refusal, Sdk
from tests.waiting import WITHIN, until

MESSAGES = 12  # each way
STEPS = 5
LIES = (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x20\x02\x00", b"\xff" * 64, b"")


class Outcome(msgspec.Struct):
    """What is left when the network is well again.

    Payloads as the device handled them, as the app server heard them, and those of which the device was told
    that they were given up.
    """

    handled: list[str]
    heard: list[str]
    given_up: list[str]
    pending: int
    connects: int
    duplicates: int


class Liar:
    """Listens where the room should be, and answers with nonsense."""

    def __init__(self, says: bytes) -> None:
        self._says = says
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            await reader.read(1000)
            writer.write(self._says)
            await writer.drain()
        writer.close()


async def suffer(network: FaultProxy, draw: random.Random, room: int) -> None:
    """One schedule of faults; the network is well when it returns."""
    for _ in range(STEPS):
        await asyncio.sleep(draw.uniform(0.0, 0.06))
        fault = draw.choice(("cut", "up", "down", "delay", "chunk", "stall", "refuse", "lie"))
        if fault == "cut":
            network.cut()
        elif fault == "up":
            network.close_upward()
        elif fault == "down":
            network.close_downward()
        elif fault == "delay":
            network.delay = draw.uniform(0.0, 0.01)
        elif fault == "chunk":
            network.split = draw.choice((0, 1, 2, 7, 100))
        elif fault == "stall":
            network.stall()
            await asyncio.sleep(draw.uniform(0.0, 0.05))
            if draw.random() < 0.5:
                network.cut()
            network.resume()
        elif fault == "refuse":
            network.refusing = True
            network.cut()
            await asyncio.sleep(draw.uniform(0.0, 0.05))
            network.refusing = False
        else:
            liar = Liar(draw.choice(LIES))
            await liar.start()
            network.target_port = liar.port
            network.cut()
            await asyncio.sleep(draw.uniform(0.0, 0.1))
            network.target_port = room
            network.cut()
            await liar.stop()
    network.delay, network.split = 0.0, 0


async def outcome(
    number: int, center: Center, sdk: Sdk, room: int, url: Callable[[int], str], app: str
) -> Outcome:
    """What became of a schedule."""
    draw = random.Random(number)
    name = f"d{number}"
    token = (await center.token(app, name)).password
    async with FaultProxy("127.0.0.1", room) as network:
        options: dict[str, Any] = {
            "protocol": draw.choice((4, 5)),
            "backoffBase": 0.02,
            "backoffCap": 0.2,
            "connectTimeout": 1,
        }
        device = await sdk.device(url(network.port), app, name, [token], **options)
        await device.ask("connected")
        cursor = await _now(center, app)
        consuming = asyncio.create_task(_consume(device))
        saying = asyncio.create_task(_say(device, draw))
        suffering = asyncio.create_task(suffer(network, draw, room))
        sent = []
        for message in range(MESSAGES):
            sent.append((await center.send(app, str(message), devices=[name])).message_id)
            await asyncio.sleep(draw.uniform(0.0, 0.03))
        await suffering
        given_up = await asyncio.wait_for(saying, WITHIN)
        handled = await asyncio.wait_for(consuming, WITHIN)

        async def pending() -> int:
            return sum([(await center.message(app, id)).ledger.pending for id in sent])

        await until(_none(pending))
        counted = await device.statistics()
        await device.ask("close")
        heard = [
            event.payload or ""
            async for event in center.upstream(app, after=cursor, follow=False)
            if event.type == "upstream" and event.device == name
        ]
        return Outcome(handled, heard, given_up, await pending(), counted["connects"], counted["duplicates"])


async def _now(center: Center, app: str) -> str | None:
    cursor = None
    async for event in center.upstream(app, follow=False):
        cursor = event.cursor
    return cursor


async def _consume(device: Driven) -> list[str]:
    handled: list[str] = []
    while len(handled) < MESSAGES:
        message = await device.receive()
        handled.append(message.text)
        await device.ack(message)
    return handled


async def _say(device: Driven, draw: random.Random) -> list[str]:
    said = []
    for message in range(MESSAGES):
        said.append(asyncio.create_task(device.ask("send", name="n", payload=str(message))))
        await asyncio.sleep(draw.uniform(0.0, 0.03))
    given_up = []
    for message, refused in enumerate(await asyncio.gather(*said, return_exceptions=True)):
        if refused is not None:  # five connections went without its answer
            assert isinstance(refused, Refusal), refused
            assert refused.code == "unavailable", refused
            given_up.append(str(message))
    return given_up


def _none(count: Callable[[], Awaitable[int]]) -> Callable[[], Awaitable[bool]]:
    async def nothing() -> bool:
        return await count() == 0

    return nothing
