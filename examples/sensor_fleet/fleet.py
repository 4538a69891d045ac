"""A fleet of simulated sensors in one process: shadows, calls, readings and a push to all, then the figures.

    LONGLINE_KEY=… python examples/sensor_fleet/fleet.py APP [--sensors 1000] [--calls 100]

It registers the sensors, connects them, has each told how often to measure (its shadow), asks some of them
for a reading (calls), collects one reading of each (upstream), pushes to the tag that they share, and ends.
Exit status 0 says that nothing is missing.
"""

import argparse
import asyncio
import os
import random
import resource
import secrets
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar

from longline import Center, Device
from longline.errors import LonglineError

TAG = f"fleet-{secrets.token_hex(4)}"  # of this run: sensors of an earlier one may still be registered
PATIENCE = 120.0  # s for any one thing that all sensors are to do
AT_ONCE = 50  # calls under way, so that a thousand sensors are not a thousand requests at once

T = TypeVar("T")


async def each(items: Iterable[T], work: Callable[[T], Awaitable[object]]) -> None:
    """Does the work for each, for AT_ONCE of them at the same time."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(item: T) -> None:
        async with room:
            await work(item)

    async with asyncio.TaskGroup() as group:
        for item in items:
            group.create_task(one(item))


def first(error: BaseException) -> BaseException:
    """The error itself, or of a group's the first."""
    return first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


class Sensor:
    """One sensor: what it measures, and what it was told."""

    def __init__(self, name: str, device: Device) -> None:
        self.name = name
        self.device = device
        self.agreed = asyncio.Event()  # it has reported what was wished for
        self.pushes: list[str] = []

    async def serve(self) -> None:
        """Does what comes, until the device is closed."""
        async for message in self.device:
            if message.topic == "shadow/desired":
                await self.device.report_state(message.json(dict[str, object]))
                self.agreed.set()
            elif message.wants_answer:
                await self.device.answer(message, {"celsius": self.measure()})
            else:
                self.pushes.append(message.text)

    def measure(self) -> float:
        """A temperature in °C, such as a sensor in a warehouse has."""
        return round(random.gauss(21, 2), 1)


@asynccontextmanager
async def connected(center: Center, app: str, names: list[str]) -> AsyncIterator[list[Sensor]]:
    """All sensors, connected and served, until the context ends."""
    host, _, port = (os.environ.get("LONGLINE_MQTT") or "127.0.0.1:1883").rpartition(":")

    def sensor(name: str) -> Sensor:
        async def token() -> str:
            return (await center.token(app, name)).password

        return Sensor(name, Device(host.strip("[]"), int(port), app=app, device=name, token=token))

    sensors = [sensor(name) for name in names]
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:

        async def connect(one: Sensor) -> None:
            await stack.enter_async_context(one.device)
            await one.device.wait_connected()
            group.create_task(one.serve(), name=one.name)

        await each(sensors, connect)
        yield sensors
        await stack.aclose()  # a sensor whose device is closed has served its time


async def main(app: str, count: int, calls: int) -> bool:
    """Runs the fleet; whether all of it worked."""
    key = os.environ.get("LONGLINE_KEY") or sys.exit("LONGLINE_KEY is not set")
    names = [f"sensor-{number}" for number in range(count)]
    began = time.monotonic()

    def tell(what: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {what}", flush=True)

    async with Center(os.environ.get("LONGLINE_URL") or "http://127.0.0.1:8080", key) as center:
        for first in range(0, count, 1000):
            some = [{"device": name, "tags": [TAG]} for name in names[first : first + 1000]]
            assert not any(await center.register_batch(app, some))
        start = None
        async for event in center.upstream(
            app, follow=False, page_size=1000
        ):  # what was there before is not ours
            start = event.cursor
        async with connected(center, app, names) as sensors:
            tell(f"{count} sensors connected")

            async def wish(sensor: Sensor) -> None:
                await center.patch_shadow(app, sensor.name, desired={"every": 30})

            await each(sensors, wish)
            async with asyncio.timeout(PATIENCE):
                await each(sensors, lambda sensor: sensor.agreed.wait())
            tell(f"{count} shadows report what was wished for")

            readings: list[object] = []

            async def ask(sensor: Sensor) -> None:
                readings.append((await center.call(app, sensor.name, {"command": "read"}, within=60)).json())

            await each(random.sample(sensors, min(calls, count)), ask)
            tell(f"{len(readings)} calls answered, such as {readings[0] if readings else 'none'}")

            async def report(sensor: Sensor) -> None:
                await sensor.device.send("temperature", {"celsius": sensor.measure()})

            await each(sensors, report)
            heard = set()
            async for event in center.upstream(app, after=start, follow=False, page_size=1000):
                if event.topic == "up/temperature":
                    heard.add(event.device)
            tell(f"{len(heard)} sensors have sent a reading, each stored before it was acknowledged")

            accepted = await center.send(app, "Good night", tags=[TAG])
            ledger = (await center.wait(app, accepted.message_id, within=PATIENCE)).ledger
            tell(f"one push to the tag: {ledger.acked} of {ledger.targeted} acknowledged")
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        tell(f"all closed; this process took {memory:.0f} MiB for all of its sensors")
        whole = (len(readings), len(heard & set(names)), ledger.acked, ledger.pending)
        return whole == (min(calls, count), count, count, 0)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("app")
    arguments.add_argument("--sensors", type=int, default=1000)
    arguments.add_argument("--calls", type=int, default=100)
    given = arguments.parse_args()
    if given.sensors < 1 or given.calls < 0:
        arguments.error("at least one sensor, and no fewer than 0 calls")
    try:
        sys.exit(0 if asyncio.run(main(given.app, given.sensors, given.calls)) else 1)
    except (LonglineError, TimeoutError, ExceptionGroup) as failed:
        error = first(failed)
        if isinstance(error, TimeoutError):
            sys.exit(f"not within {PATIENCE:g} s")
        if isinstance(error, LonglineError):
            sys.exit(f"{error.code}: {error}")
        raise
