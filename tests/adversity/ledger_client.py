"""A client that keeps book, as a process of its own: it pushes and receives without pause while others fail.

    python -m tests.adversity.ledger_client DIRECTORY

It is told what to do in lines of its standard input: a plan first (`ledger_books.Plan`, JSON), then `stay`
and `wander`, and `where`, which it answers in a line with the address at which each device is connected, or
null. What it sees it writes into books (`ledger_books`) as it happens, so that what it knows outlives
anything it talks to. When its standard input ends it stops pushing, waits until nothing is missing, and
writes `summary`.

Each device is pushed to by one pusher, one message after the other, so its messages have an order that can be
checked. Every push has an Idempotency-Key and is asked for until it is answered 202. As a load balancer does,
the client asks centers every now and then whether they are ready, and pushes to those that are.
"""

import asyncio
import itertools
import random
import sys
from collections import Counter, defaultdict
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import httpx
import jwt
import msgspec

from longline import Device
from tests.adversity.ledger_books import DEVICE, Arrived, Heard, Looked, Plan, Promised, Summary, now

DRAINED_WITHIN = 90.0  # s
ASK_AGAIN_AFTER = 0.1
PUSH_TIMEOUT = httpx.Timeout(3.0, connect=1.0)
PROBE_EVERY = 0.5
PROBE_TIMEOUT = httpx.Timeout(0.5)
LOOK_UP_EVERY = 0.1
LOOK_UP_TIMEOUT = httpx.Timeout(0.5)


class LedgerClient:
    """The devices, the pushers and their books."""

    def __init__(self, plan: Plan, directory: Path) -> None:
        self._plan = plan
        self._names = [f"{DEVICE}{number:03}" for number in range(plan.devices)]
        self._numbers = {name: itertools.count(1) for name in self._names}
        self._missing: dict[str, str] = {}  # message → device
        self._early: set[str] = set()  # arrived before its 202
        self._last: defaultdict[str, int] = defaultdict(int)
        self._out_of_order: list[str] = []
        self._doubled: list[str] = []
        self._counts: Counter[str] = Counter()
        self._refusals: Counter[str] = Counter()
        self._devices: dict[str, Device] = {}
        self._rooms = dict.fromkeys(self._names, plan.rooms)  # those that dispatchers named last
        self._turn = itertools.count()
        self._unready: set[str] = set()  # centers
        self._wandering = asyncio.Event()
        self._wandering.set()
        self._stopping = asyncio.Event()
        self._changed = asyncio.Event()
        self._files: dict[str, BinaryIO] = {
            name: (directory / name).open("wb", buffering=0)
            for name in ("promised", "arrived", "looked", "heard")
        }

    async def run(self, commands: asyncio.StreamReader) -> Summary:
        """Pushes until there are no more commands, then waits for what is missing."""
        plan = self._plan
        async with asyncio.TaskGroup() as group, AsyncExitStack() as stack:
            for number, name in enumerate(self._names):
                listening = group.create_task(self._listen(name, await self._connect(stack, name, number)))
                stack.callback(listening.cancel)
            for device in self._devices.values():
                await device.wait_connected()
            say("ready")
            others = [
                group.create_task(work)
                for work in (
                    self._wander(),
                    self._look_up(),
                    self._hear(),
                    self._obey(commands),
                    *map(self._probe, plan.centers),
                )
            ]
            pushing = [
                group.create_task(self._push(self._names[index :: plan.pushers]))
                for index in range(plan.pushers)
            ]
            await self._stopping.wait()
            await asyncio.wait(pushing, timeout=60)
            for task in (*pushing, *others):
                task.cancel()
            await self._settle()
            statistics = [device.statistics for device in self._devices.values()]
            return Summary(
                promised=self._counts["promised"],
                arrived=self._counts["arrived"],
                lost=[f"{device}: {message_id}" for message_id, device in self._missing.items()],
                out_of_order=self._out_of_order,
                doubled=self._doubled,
                unpromised=len(self._early),
                duplicates=sum(each.duplicates for each in statistics),
                reconnects=sum(each.connects - 1 for each in statistics),
                refusals=dict(self._refusals),
            )

    async def _settle(self) -> None:
        try:
            async with asyncio.timeout(DRAINED_WITHIN):
                while self._missing:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            pass

    async def _obey(self, commands: asyncio.StreamReader) -> None:
        while command := (await commands.readline()).decode().strip():
            if command == "stay":
                self._wandering.clear()
            elif command == "wander":
                self._wandering.set()
            elif command == "where":
                where = {
                    name: device.endpoints.current if device.connected else None
                    for name, device in self._devices.items()
                }
                say(msgspec.json.encode(where).decode())
        self._stopping.set()

    # --- devices ----------------------------------------------------------------------------------

    async def _connect(self, stack: AsyncExitStack, name: str, number: int) -> Device:
        plan = self._plan
        first = number % len(plan.rooms)
        device = Device(
            *plan.rooms[first],
            app=plan.app,
            device=name,
            token=jwt.encode({"sub": name}, plan.device_secret, algorithm="HS256"),
            keep_alive=plan.keep_alive,
            connect_timeout=2.0,
            backoff_base=0.1,
            backoff_cap=1.0,
        )
        device.endpoints.feed([*plan.rooms[first:], *plan.rooms[:first]])
        self._devices[name] = device
        return await stack.enter_async_context(device)

    async def _listen(self, name: str, device: Device) -> None:
        async for message in device:
            assert message.id is not None
            number = int(message.text)
            self._write("arrived", Arrived(message.id, name, number, now()))
            if number == self._last[name]:
                self._doubled.append(f"{name}: {number}")
            elif number < self._last[name]:
                self._out_of_order.append(f"{name}: {number} after {self._last[name]}")
            self._last[name] = number
            if self._missing.pop(message.id, None) is None:
                self._early.add(message.id)
            self._changed.set()

    async def _wander(self) -> None:
        """Now here, now there a device loses its connection, and comes back to another room."""
        chance = random.Random(0)
        names = itertools.cycle(self._names)
        while self._plan.wander:
            await self._wandering.wait()
            await asyncio.sleep(self._plan.wander)
            name = next(names)
            device = self._devices[name]
            here = device.endpoints.current
            elsewhere = [room for room in self._rooms[name] if room != here]
            if device.connected and elsewhere:
                chance.shuffle(elsewhere)
                device.endpoints.feed([*elsewhere, here])
                drop(device)

    # --- dispatchers ------------------------------------------------------------------------------

    async def _look_up(self) -> None:
        """Devices that are connected ask again and again where they could be."""
        dispatchers = itertools.cycle(self._plan.dispatchers)
        async with httpx.AsyncClient(timeout=LOOK_UP_TIMEOUT, trust_env=False) as client:
            for name in itertools.cycle(self._names):
                await asyncio.sleep(LOOK_UP_EVERY)
                asked = now()
                rooms: list[tuple[str, int]] = []
                tries = 0
                while not rooms:
                    tries += 1
                    rooms = await look_up(client, next(dispatchers), self._plan.app, name)
                self._write("looked", Looked(name, asked, now(), tries))
                self._rooms[name] = rooms
                device = self._devices[name]
                here = device.endpoints.current
                if device.connected:
                    listed = [*rooms, *(room for room in self._plan.rooms if room not in rooms)]
                    device.endpoints.feed([here, *(room for room in listed if room != here)])

    # --- presence ---------------------------------------------------------------------------------

    async def _hear(self) -> None:
        """Reads presence events as an app server does, from whatever center answers."""
        cursor = None
        headers = {"Authorization": f"Bearer {self._plan.admin_key}"}
        centers = itertools.cycle(self._plan.centers)
        url = next(centers)
        async with httpx.AsyncClient(headers=headers, timeout=PUSH_TIMEOUT, trust_env=False) as client:
            while True:
                params = {"wait": "1", **({"cursor": cursor} if cursor else {})}
                try:
                    answer = await client.get(f"{url}/v1/apps/{self._plan.app}/upstream", params=params)
                    answer.raise_for_status()
                except httpx.HTTPError:
                    url = next(centers)
                    await asyncio.sleep(ASK_AGAIN_AFTER)
                    continue
                events = answer.json()
                cursor = events["next_cursor"]
                for event in events["events"]:
                    if event["type"] == "presence":
                        self._write("heard", heard(event))

    # --- pushes -----------------------------------------------------------------------------------

    async def _probe(self, url: str) -> None:
        async with httpx.AsyncClient(timeout=PROBE_TIMEOUT, trust_env=False) as client:
            while True:
                try:
                    (await client.get(f"{url}/readyz")).raise_for_status()
                    self._unready.discard(url)
                except httpx.HTTPError:
                    self._unready.add(url)
                await asyncio.sleep(PROBE_EVERY)

    def _center(self) -> str:
        """The next one that is ready, or just the next one."""
        centers = self._plan.centers
        ready = [url for url in centers if url not in self._unready] or centers
        return ready[next(self._turn) % len(ready)]

    async def _push(self, names: list[str]) -> None:
        headers = {"Authorization": f"Bearer {self._plan.admin_key}"}
        async with httpx.AsyncClient(headers=headers, timeout=PUSH_TIMEOUT, trust_env=False) as client:
            for name in itertools.cycle(names):
                if self._stopping.is_set():
                    return
                await self._push_one(client, name, next(self._numbers[name]))
                await asyncio.sleep(self._plan.pause)

    async def _push_one(self, client: httpx.AsyncClient, name: str, number: int) -> None:
        """Asks until somebody says 202; the key makes it one message however often it was asked for."""
        asked = now()
        body = {"audience": {"devices": [name]}, "payload": str(number)}
        for tries in itertools.count(1):
            try:
                answer = await client.post(
                    f"{self._center()}/v1/apps/{self._plan.app}/messages",
                    json=body,
                    headers={"Idempotency-Key": f"{name}-{number}"},
                )
            except httpx.TransportError:
                self._refusals["0"] += 1
            else:
                if answer.status_code == 202:
                    durability = answer.headers.get("Longline-Durability", "")
                    message_id = str(answer.json()["message_id"])
                    self._promise(Promised(message_id, name, number, asked, now(), tries, durability))
                    return
                self._refusals[str(answer.status_code)] += 1
            await asyncio.sleep(ASK_AGAIN_AFTER)

    def _promise(self, promised: Promised) -> None:
        self._write("promised", promised)
        if promised.message_id in self._early:
            self._early.discard(promised.message_id)
        else:
            self._missing[promised.message_id] = promised.device

    def _write(self, book: str, entry: Promised | Arrived | Looked | Heard) -> None:
        self._counts[book] += 1
        self._files[book].write(msgspec.json.encode(entry) + b"\n")


def drop(device: Device) -> None:
    """Breaks a device's connection as a network does: without a DISCONNECT."""
    if device._connection is not None:
        device._connection.abort()


async def look_up(client: httpx.AsyncClient, url: str, app: str, device: str) -> list[tuple[str, int]]:
    """The rooms that a dispatcher names; none when it does not answer."""
    try:
        answer = await client.get(f"{url}/v1/dispatch", params={"app": app, "device": device})
        answer.raise_for_status()
    except httpx.HTTPError:
        return []
    return [(endpoint["host"], endpoint["port"]) for endpoint in answer.json()["endpoints"]]


def heard(event: dict[str, Any]) -> Heard:
    """A presence event as it is written down."""
    at = round(datetime.fromisoformat(event["at"]).timestamp() * 1000)
    return Heard(event["device"], event["state"], event["epoch"], event["sequence"], event["room"], at, now())


def say(line: str) -> None:
    print(line, flush=True)


async def main(directory: Path) -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    plan = msgspec.json.decode(await reader.readline(), type=Plan)
    summary = await LedgerClient(plan, directory).run(reader)
    (directory / "summary").write_bytes(msgspec.json.encode(summary))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
