"""Messages of all kinds at once against one node: who sends what, what was promised, and what came of it."""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import AsyncExitStack, suppress
from itertools import count
from typing import Any, Final

import httpx
import jwt

from longline import Device, errors
from tests.adversity.fleet import Books

APP: Final = "news"
GROUP: Final = "team"
TAG: Final = "even"
SOON: Final = (0.1, 6.0)  # s until what is sent later: before a kill, while the node is down, after it
PAUSE: Final = 0.005  # s between what one says


class Mixed(Books):
    """Books by payload, each of which is one message's; `ids` are those under which it came.

    `told` is what devices have sent upstream and heard to be stored; `places`, the sequences of the group
    that each has got, in their order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ids: defaultdict[str, set[str]] = defaultdict(set)
        self.told: defaultdict[str, list[str]] = defaultdict(list)
        self.places: defaultdict[str, list[int]] = defaultdict(list)
        self.kinds: defaultdict[str, int] = defaultdict(int)
        self._numbers = count()

    def payload(self, kind: str) -> str:
        return f"{kind} {next(self._numbers)}"

    def promise_payload(self, kind: str, payload: str, devices: Iterable[str]) -> None:
        self.kinds[kind] += 1
        self.promise(payload, devices)

    @property
    def doubled(self) -> dict[str, set[str]]:
        """What came as more than one message."""
        return {payload: ids for payload, ids in self.ids.items() if len(ids) > 1}


class Phones:
    """Devices that note what comes, and, those that `talk`, say something upstream and in the group."""

    def __init__(self, names: Iterable[str], port: int, secret: str, books: Mixed) -> None:
        self.names = list(names)
        self.duplicates = 0
        self._port = port
        self._secret = secret
        self._books = books
        self._stack = AsyncExitStack()
        self._devices: dict[str, Device] = {}

    async def connect(self) -> None:
        for name in self.names:
            token = jwt.encode({"sub": name}, self._secret, algorithm="HS256")
            device = Device(
                "127.0.0.1",
                self._port,
                app=APP,
                device=name,
                token=token,
                backoff_base=0.05,
                backoff_cap=0.2,
            )
            self._devices[name] = await self._stack.enter_async_context(device)
            task = asyncio.create_task(self._listen(name, device), name=f"listen-{name}")
            self._stack.callback(task.cancel)
        for device in self._devices.values():
            await device.wait_connected()

    async def close(self) -> None:
        self.duplicates += sum(device.statistics.duplicates for device in self._devices.values())
        self._devices.clear()
        await self._stack.aclose()

    async def _listen(self, name: str, device: Device) -> None:
        async for message in device:
            assert message.id is not None
            if message.sequence:
                self._books.places[name].append(message.sequence)
            self._books.ids[message.text].add(message.id)
            self._books.arrive(name, message.text)

    async def talk(self, name: str, members: list[str], stop: asyncio.Event) -> None:
        """One thing after the other, upstream and in the group, until it is to stop."""
        device, books = self._devices[name], self._books
        while not stop.is_set():
            text = books.payload(f"up {name}")
            await device.publish("up/x", text)
            books.told[name].append(text)
            text = books.payload("said")
            with suppress(errors.LonglineError):
                await device.say(GROUP, text)
                books.promise_payload("said", text, members)
            await asyncio.sleep(PAUSE)


class Sender:
    """An app server that sends messages of all kinds to devices of a list, half of which have a tag."""

    def __init__(self, url: str, key: str, devices: list[str], members: list[str], books: Mixed) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {key}"}
        self._devices = devices
        self._members = members
        self._books = books

    async def run(self, chance: random.Random) -> None:
        """Until it is cancelled; what had no answer was not promised."""
        async with httpx.AsyncClient(base_url=self._url, headers=self._headers, timeout=30) as client:
            while True:
                asked = [self._message(chance) for _ in range(chance.choice([1, 1, 6]))]
                body = {"messages": [message for _, message, _ in asked]}
                try:
                    answer = await client.post(f"/v1/apps/{APP}/messages:batch", json=body)
                except httpx.TransportError:
                    continue
                if answer.status_code != 202:
                    continue
                for (kind, message, devices), result in zip(asked, answer.json()["results"], strict=True):
                    assert "message_id" in result, result
                    self._books.promise_payload(kind, message["payload"], devices)
                await asyncio.sleep(PAUSE)

    def _message(self, chance: random.Random) -> tuple[str, dict[str, Any], list[str]]:
        """Its kind, as the API wants it, and who is to get it."""
        kind = chance.choice(["device", "device", "tag", "group", "all", "later"])
        audience: Any = "all"
        devices = self._devices
        if kind == "group":
            audience, devices = {"group": GROUP}, self._members
        elif kind == "tag":
            audience, devices = {"tag": [TAG]}, self._devices[::2]
        elif kind != "all":
            devices = chance.sample(self._devices, chance.choice([1, 1, 4]))
            audience = {"devices": devices}
        options: dict[str, Any] = {"qos": chance.choice([1, 2])}
        if kind == "later":
            at = time.time() + chance.uniform(*SOON)
            options["send_at"] = (
                time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1000):03}Z"
            )
        return kind, {"audience": audience, "payload": self._books.payload(kind), "options": options}, devices
