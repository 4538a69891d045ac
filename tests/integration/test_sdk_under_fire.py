"""A device behind a network that cuts, delays, chunks and lies, and in a process that starts again: by random
schedules, each named by its number. LONGLINE_SDK_SCHEDULES says how many, from LONGLINE_SDK_FIRST on.
"""

import asyncio
import os
import random
from pathlib import Path

import pytest

from longline import Center, Device
from longline.testing.proxy import FaultProxy
from tests.integration.live_node import LiveNode
from tests.waiting import until

FIRST = int(os.environ.get("LONGLINE_SDK_FIRST", "0"))
SCHEDULES = int(os.environ.get("LONGLINE_SDK_SCHEDULES", "3"))
STEPS = 12
LIES = (
    b"\x00",
    b"\xff" * 40,
    b"\xd0\x00" * 3,
    b"\x40\x02\x77\x77",
    b"\x32\xff\xff\xff\xff",
    b"HTTP/1.1 400\r\n",
)


class Phone:
    """A device that is used as it should be, started again when the schedule says so."""

    def __init__(self, port: int, token: str, state: Path) -> None:
        self.port = port
        self.token = token
        self.state = state
        self.received: list[int] = []
        self.device: Device | None = None
        self._reading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self.device = Device(
            "127.0.0.1",
            self.port,
            app="news",
            device="d1",
            token=self.token,
            backoff_base=0.01,
            backoff_cap=0.1,
            connect_timeout=5,
            state=self.state,
        )
        await self.device.__aenter__()
        self._reading = asyncio.create_task(self._read(self.device))

    async def _read(self, device: Device) -> None:
        async for message in device:
            # What a handler does, and that it is done, are one step: else a restart in between repeats it.
            self.received.append(int(message.text))
            await message.ack()

    async def stop(self) -> None:
        assert self.device is not None
        assert self._reading is not None
        await self.device.close()
        await self._reading


async def attack(network: FaultProxy, chance: random.Random, phone: Phone) -> None:
    """One thing that goes wrong."""
    match chance.randrange(9):
        case 0:
            network.cut()
        case 1:
            network.delay = chance.choice([0.0, 0.001, 0.01])
        case 2:
            network.split = chance.choice([0, 1, 3, 50])
        case 3:
            network.stall()
        case 4:
            network.resume()
        case 5:
            network.close_upward()
        case 6:
            network.close_downward()
        case 7:
            network.lie(chance.choice(LIES))
        case _:
            await phone.stop()
            await phone.start()


async def upstream(center: Center) -> list[int]:
    """What the server has of the device, in its order; a copy is no second message."""
    events = [event async for event in center.upstream("news", follow=False)]
    said = [int(event.data) for event in events if event.type == "upstream"]
    return list(dict.fromkeys(said))


@pytest.mark.parametrize("number", range(FIRST, FIRST + SCHEDULES))
async def test_nothing_is_lost_or_done_twice_and_order_is_kept(number: int, tmp_path: Path) -> None:
    chance = random.Random(number)
    async with LiveNode(tmp_path / "data") as node, node.center() as center:
        await center.create_app("news")
        token = (await center.token("news", "d1")).password
        before = asyncio.all_tasks()
        pushed = posted = 0
        async with FaultProxy("127.0.0.1", node.mqtt_port) as network:
            phone = Phone(network.port, token, tmp_path / "state")
            await center.put_device("news", "d1")
            await phone.start()
            for _ in range(STEPS):
                for _ in range(chance.randrange(5)):
                    await center.send("news", str(pushed), devices=["d1"])
                    pushed += 1
                for _ in range(chance.randrange(5)):
                    assert phone.device is not None
                    await phone.device.post("reading", str(posted))
                    posted += 1
                await attack(network, chance, phone)
            network.delay, network.split = 0.0, 0
            network.resume()
            network.cut()  # what was stalled for good is over
            device = phone.device
            assert device is not None
            await until(
                lambda: len(phone.received) >= pushed and not device.unsent,
                tell=lambda: (number, phone.received, device.statistics),
            )
            assert phone.received == list(range(pushed)), number
            assert await upstream(center) == list(range(posted)), number
            await phone.stop()
            await until(lambda: network.connections == 0)
        await until(
            lambda: not {task for task in asyncio.all_tasks() - before if "device" in task.get_name()}
        )
