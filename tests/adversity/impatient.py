"""Clients in one process that give up: who gets no CONNACK in time hangs up, and comes again soon after.

    python -m tests.adversity.impatient < plan.json

Prints a `Seen` as JSON every half second until standard input is closed.
"""

import asyncio
import random
import sys
from collections.abc import Callable
from typing import cast

import jwt
import msgspec
import uvloop

from longline.bench.dialling import raise_file_limit
from longline.mqtt.codec import Decoder, encode
from longline.mqtt.packets import MQTT_5_0, Connack, Connect
from tests.adversity.crowd import address_of

EVERY = 0.5  # s
KEEP_ALIVE = 3600  # s


class Plan(msgspec.Struct, frozen=True):
    """`count` clients that wait `patience` seconds for CONNACK, and come again within `again` seconds."""

    host: str
    port: int
    app: str
    secret: str
    count: int
    patience: float
    again: float = 0.5


class Seen(msgspec.Struct, frozen=True):
    """How many are connected now; and in all, how often one tried, gave up, or lost its connection."""

    connected: int
    attempts: int
    given_up: int
    lost: int


class Storm:
    """All clients of the process."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.connected = self.attempts = self.given_up = self.lost = 0

    async def client(self, number: int) -> None:
        """One client, for ever."""
        plan = self.plan
        name = f"impatient-{number:05}"
        token = jwt.encode({"sub": name}, plan.secret, algorithm="HS256").encode()
        hello = encode(Connect(MQTT_5_0, name, True, KEEP_ALIVE, plan.app, token), MQTT_5_0)
        await asyncio.sleep(random.uniform(0, plan.again))
        while True:
            self.attempts += 1
            connection: _Connection | None = None
            try:
                async with asyncio.timeout(plan.patience):
                    connection = await self._dial(number, hello)
                    await connection.answered
            except (OSError, TimeoutError):
                self.given_up += 1
            else:
                self.connected += 1
                await connection.gone
                self.connected -= 1
                self.lost += 1
            if connection is not None:
                connection.hang_up()
            await asyncio.sleep(random.uniform(0, plan.again))

    async def _dial(self, number: int, hello: bytes) -> "_Connection":
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: _Connection(hello), self.plan.host, self.plan.port, local_addr=(address_of(number), 0)
        )
        return connection

    async def tell(self) -> None:
        """Prints how it goes, for ever."""
        while True:
            seen = Seen(self.connected, self.attempts, self.given_up, self.lost)
            print(msgspec.json.encode(seen).decode(), flush=True)
            await asyncio.sleep(EVERY)


class _Connection(asyncio.Protocol):
    """`answered` when a CONNACK lets it in, and failed when none does; `gone` when the connection is."""

    def __init__(self, hello: bytes) -> None:
        loop = asyncio.get_running_loop()
        self.answered: asyncio.Future[None] = loop.create_future()
        self.gone: asyncio.Future[None] = loop.create_future()
        self._hello = hello
        self._decoder = Decoder(1 << 20, version=MQTT_5_0, from_client=False)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are transports by behaviour only
        self._transport.write(self._hello)

    def data_received(self, data: bytes) -> None:
        for packet in self._decoder.feed(data):
            if isinstance(packet, Connack) and not self.answered.done():
                if packet.reason:
                    self.answered.set_exception(ConnectionRefusedError())
                else:
                    self.answered.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.answered.done():
            self.answered.set_exception(ConnectionResetError())
            self.answered.exception()  # nobody may be waiting for it any more
        if not self.gone.done():
            self.gone.set_result(None)

    def hang_up(self) -> None:
        if self._transport is not None:
            self._transport.close()


async def main(plan: Plan, closed: Callable[[], object]) -> None:
    raise_file_limit(plan.count + 100)
    storm = Storm(plan)
    tasks = [asyncio.create_task(storm.client(number)) for number in range(plan.count)]
    tasks.append(asyncio.create_task(storm.tell()))
    await asyncio.get_running_loop().run_in_executor(None, closed)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    uvloop.run(main(msgspec.json.decode(sys.stdin.readline(), type=Plan), sys.stdin.read))
