"""Devices that keep book: which message each of them got, and what was promised to whom."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from contextlib import AsyncExitStack

import jwt

from longline import Device


class Books:
    """What was answered 202, for whom, and what has arrived."""

    def __init__(self) -> None:
        self.promised: defaultdict[str, set[str]] = defaultdict(set)  # device → message ids
        self.arrived: defaultdict[str, set[str]] = defaultdict(set)
        self.messages: list[str] = []
        self._changed = asyncio.Event()

    def promise(self, message_id: str, devices: Iterable[str]) -> None:
        self.messages.append(message_id)
        for device in devices:
            self.promised[device].add(message_id)
        self._changed.set()

    def arrive(self, device: str, message_id: str) -> None:
        self.arrived[device].add(message_id)
        self._changed.set()

    def missing(self) -> dict[str, set[str]]:
        """What was promised and has not arrived, by device."""
        missing = {device: ids - self.arrived[device] for device, ids in self.promised.items()}
        return {device: ids for device, ids in missing.items() if ids}

    async def settled(self, within: float) -> dict[str, set[str]]:
        """Waits until nothing is missing; what still is after `within` seconds."""
        try:
            async with asyncio.timeout(within):
                while self.missing():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            pass
        return self.missing()

    async def promises(self, count: int) -> None:
        """Waits until so many more messages were answered 202."""
        goal = len(self.messages) + count
        while len(self.messages) < goal:
            self._changed.clear()
            await self._changed.wait()

    async def arrivals(self, count: int) -> None:
        """Waits until so many more messages have arrived."""
        goal = sum(map(len, self.arrived.values())) + count
        while sum(map(len, self.arrived.values())) < goal:
            self._changed.clear()
            await self._changed.wait()


class Fleet:
    """Devices of one app, connected from `connect` until `close`; they come back by themselves.

    With `keep_alive` (s) they bear so long a silence of their server.
    """

    def __init__(
        self,
        names: Iterable[str],
        port: int,
        app: str,
        secret: str,
        books: Books,
        *,
        keep_alive: int | None = None,
    ) -> None:
        self.names = list(names)
        self.duplicates = 0
        self._port = port
        self._app = app
        self._secret = secret
        self._books = books
        self._keep_alive = keep_alive
        self._stack = AsyncExitStack()
        self._devices: list[Device] = []

    async def connect(self) -> None:
        for name in self.names:
            device = Device(
                "127.0.0.1",
                self._port,
                app=self._app,
                device=name,
                token=jwt.encode({"sub": name}, self._secret, algorithm="HS256"),
                keep_alive=self._keep_alive,
                backoff_base=0.05,
                backoff_cap=0.2,
            )
            await self._stack.enter_async_context(device)
            task = asyncio.create_task(self._listen(name, device), name=f"listen-{name}")
            self._stack.callback(task.cancel)
            self._devices.append(device)
        for device in self._devices:
            await device.wait_connected()

    @property
    def connects(self) -> list[int]:
        """How often each has connected."""
        return [device.statistics.connects for device in self._devices]

    async def close(self) -> None:
        self.duplicates += sum(device.statistics.duplicates for device in self._devices)
        self._devices.clear()
        await self._stack.aclose()

    async def _listen(self, name: str, device: Device) -> None:
        async for message in device:
            assert message.id is not None
            self._books.arrive(name, message.id)
