"""One order for each device: whatever was accepted before something else was sent comes before it."""

import asyncio
from contextlib import AsyncExitStack

import jwt

from longline import Center, Device
from tests.integration.shapes import Server
from tests.waiting import until

DEVICES = 300
ROUNDS = 8


class Listeners:
    """Connected devices, and the numbers that each has got, in the order in which they came."""

    def __init__(self, server: Server, secret: str, stack: AsyncExitStack) -> None:
        self.got: dict[str, list[int]] = {}
        self._server = server
        self._secret = secret
        self._stack = stack

    async def connect(self, name: str) -> None:
        token = jwt.encode({"sub": name}, self._secret, algorithm="HS256")
        device = Device("127.0.0.1", self._server.mqtt_port, app="news", device=name, token=token)
        self.got[name] = []
        await self._stack.enter_async_context(device)
        listening = asyncio.create_task(self._listen(name, device), name=f"listen-{name}")
        self._stack.callback(listening.cancel)
        await device.wait_connected()

    async def _listen(self, name: str, device: Device) -> None:
        async for message in device:
            self.got[name].append(int(message.text))
            await message.ack()


async def send_all(center: Center, names: list[str]) -> set[int]:
    """Broadcasts and messages to all by name in turn, each sent when the one before was accepted.

    Every third is only for who is connected, and every sixth would be spread over an hour. Returns the
    numbers of those that nobody may miss.
    """
    kept = set()
    for number in range(3 * ROUNDS):
        online_only = number % 3 == 2
        if number % 2:
            await center.send("news", str(number), devices=names, online_only=online_only)
        else:
            spread_over = 0 if number % 6 else 3600
            await center.send(
                "news",
                str(number),
                everyone=True,
                online_only=online_only,
                spread_over=spread_over,
                ttl=86_400,
            )
        if not online_only:
            kept.add(number)
    return kept


async def test_broadcasts_and_unicasts_come_in_the_order_in_which_they_were_sent(server: Server) -> None:
    """What is only for who is connected may be left out when it would come late, and is never behind."""
    names = [f"d{number}" for number in range(DEVICES)]
    async with server.center() as center, AsyncExitStack() as stack:
        secret = (await center.create_app("news")).device_secret
        await center.register_batch("news", [{"device": name} for name in names])
        listeners = Listeners(server, secret, stack)
        for start in range(0, DEVICES, 50):
            await asyncio.gather(*(listeners.connect(name) for name in names[start : start + 50]))
        kept = await send_all(center, names)
        await until(lambda: all(kept <= set(got) for got in listeners.got.values()), 120)
        for name, got in listeners.got.items():
            assert got == sorted(set(got)), f"{name} got {got}"
