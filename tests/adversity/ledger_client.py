"""A client that keeps book, as a process of its own: it pushes and receives without pause while others fail.

    python -m tests.adversity.ledger_client DIRECTORY < plan.json

It writes what was promised (`promised`: a line for each message answered 202) and what came (`arrived`: a
line for each delivery) into files of its own as it happens, so that what it knows outlives anything it talks
to. When its standard input is closed it stops pushing, waits until nothing is missing, and writes `summary`.
Each device is pushed to by one pusher, one message after the other, so its messages have an order that can be
checked.
"""

import asyncio
import itertools
import random
import sys
import time
from collections import defaultdict
from contextlib import AsyncExitStack
from pathlib import Path
from typing import BinaryIO

import httpx
import jwt
import msgspec

from longline import Device

DRAINED_WITHIN = 90.0  # s
ASK_AGAIN_AFTER = 0.2


class Plan(msgspec.Struct, frozen=True):
    """Where to talk to whom: centers by URL, rooms by (host, port); how many devices and pushers.

    Each pusher waits `pause` seconds between messages.
    """

    centers: list[str]
    rooms: list[tuple[str, int]]
    app: str
    admin_key: str
    device_secret: str
    devices: int
    pushers: int
    pause: float


class Promised(msgspec.Struct, frozen=True, array_like=True):
    """A message that was answered 202: when it was asked for and answered (ms), for whom, its place in "
    "order."""

    message_id: str
    device: str
    number: int
    asked: int
    answered: int
    tries: int


class Arrived(msgspec.Struct, frozen=True, array_like=True):
    """A delivery, in the order in which they came."""

    message_id: str
    device: str
    number: int
    at: int


class Summary(msgspec.Struct, frozen=True):
    """What the books say at the end."""

    promised: int
    arrived: int
    lost: list[str]
    out_of_order: list[str]
    duplicates: int
    reconnects: int


def now() -> int:
    return time.time_ns() // 1_000_000


class LedgerClient:
    """The devices, the pushers and their books."""

    def __init__(self, plan: Plan, directory: Path) -> None:
        self._plan = plan
        self._names = [f"ledger-{number:03}" for number in range(plan.devices)]
        self._numbers = {name: itertools.count(1) for name in self._names}
        self._missing: dict[str, str] = {}  # message → device
        self._early: set[str] = set()  # arrived before its 202
        self._last: defaultdict[str, int] = defaultdict(int)
        self._out_of_order: list[str] = []
        self._counts = {"promised": 0, "arrived": 0}
        self._devices: list[Device] = []
        self._files: dict[str, BinaryIO] = {
            name: (directory / name).open("wb", buffering=0) for name in ("promised", "arrived")
        }
        self._changed = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> Summary:
        """Pushes until `stop`, then waits for what is missing."""
        plan = self._plan
        async with AsyncExitStack() as stack:
            for number, name in enumerate(self._names):
                await self._connect(stack, name, number)
            for device in self._devices:
                await device.wait_connected()
            print("ready", flush=True)
            async with asyncio.TaskGroup() as group:
                pushing = [
                    group.create_task(self._push(self._names[index :: plan.pushers], index))
                    for index in range(plan.pushers)
                ]
                await stop.wait()
                self._stopping = True
                await asyncio.wait(pushing, timeout=30)
                for task in pushing:
                    task.cancel()
            try:
                async with asyncio.timeout(DRAINED_WITHIN):
                    while self._missing:
                        self._changed.clear()
                        await self._changed.wait()
            except TimeoutError:
                pass
            statistics = [device.statistics for device in self._devices]
        return Summary(
            self._counts["promised"],
            self._counts["arrived"],
            sorted(self._missing),
            self._out_of_order,
            sum(each.duplicates for each in statistics),
            sum(each.connects - 1 for each in statistics),
        )

    _stopping = False

    async def _connect(self, stack: AsyncExitStack, name: str, number: int) -> None:
        plan = self._plan
        first = number % len(plan.rooms)
        host, port = plan.rooms[first]
        device = Device(
            host,
            port,
            app=plan.app,
            device=name,
            token=jwt.encode({"sub": name}, plan.device_secret, algorithm="HS256"),
            endpoints=[*plan.rooms[first + 1 :], *plan.rooms[:first]],
            keep_alive=5,
            connect_timeout=3.0,
            backoff_base=0.2,
            backoff_cap=2.0,
        )
        await stack.enter_async_context(device)
        listening = asyncio.create_task(self._listen(name, device), name=f"listen-{name}")
        stack.callback(listening.cancel)
        self._devices.append(device)

    async def _listen(self, name: str, device: Device) -> None:
        async for message in device:
            assert message.id is not None
            number = int(message.text)
            self._write("arrived", Arrived(message.id, name, number, now()))
            if number <= self._last[name]:
                self._out_of_order.append(f"{name}: {number} after {self._last[name]}")
            self._last[name] = number
            if self._missing.pop(message.id, None) is None:
                self._early.add(message.id)
            self._changed.set()

    async def _push(self, names: list[str], pusher: int) -> None:
        chance = random.Random(pusher)
        centers = itertools.cycle(self._plan.centers[pusher % len(self._plan.centers) :] + self._plan.centers)
        headers = {"Authorization": f"Bearer {self._plan.admin_key}"}
        timeout = httpx.Timeout(4.0, connect=1.0)
        async with httpx.AsyncClient(headers=headers, timeout=timeout, trust_env=False) as client:
            while not self._stopping:
                name = chance.choice(names)
                await self._push_one(client, centers, name, next(self._numbers[name]))
                await asyncio.sleep(self._plan.pause)

    async def _push_one(
        self, client: httpx.AsyncClient, centers: "itertools.cycle[str]", name: str, number: int
    ) -> None:
        """Asks until somebody says 202: the key makes sure that it is one message however often it was "
        "asked for."""
        asked = now()
        body = {"audience": {"devices": [name]}, "payload": str(number)}
        url = next(centers)
        for tries in itertools.count(1):
            try:
                answer = await client.post(
                    f"{url}/v1/apps/{self._plan.app}/messages",
                    json=body,
                    headers={"Idempotency-Key": f"{name}-{number}"},
                )
                if answer.status_code == 202:
                    message_id = str(answer.json()["message_id"])
                    self._promise(Promised(message_id, name, number, asked, now(), tries))
                    return
                if answer.status_code not in (409, 429, 500, 503):
                    raise AssertionError(f"{answer.status_code}: {answer.text}")
            except httpx.TransportError:
                pass
            url = next(centers)
            await asyncio.sleep(ASK_AGAIN_AFTER)

    def _promise(self, promised: Promised) -> None:
        self._write("promised", promised)
        if promised.message_id in self._early:
            self._early.discard(promised.message_id)
        else:
            self._missing[promised.message_id] = promised.device

    def _write(self, book: str, entry: Promised | Arrived) -> None:
        self._counts[book] += 1
        self._files[book].write(msgspec.json.encode(entry) + b"\n")


async def main(directory: Path) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    plan = msgspec.json.decode(await reader.readline(), type=Plan)
    stop = asyncio.Event()

    async def until_closed() -> None:
        await reader.read()
        stop.set()

    closing = asyncio.create_task(until_closed(), name="stdin")
    summary = await LedgerClient(plan, directory).run(stop)
    closing.cancel()
    (directory / "summary").write_bytes(msgspec.json.encode(summary))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
