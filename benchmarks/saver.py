"""Measures the SQLite engine alone: enqueue, settle and fetch, with the event loop sharing one core.

    python benchmarks/saver.py [--seconds 5] [--devices 20000] [--batch 500] [--data DIR]

Every figure is of durable work: each enqueue and each settle was awaited, hence synced. Run it under
`taskset -c 0` for the figure on one core.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from longline.model.apps import App
from longline.model.audience import Devices, Everyone
from longline.model.commands import Broadcast, Unicast
from longline.model.devices import Binding, Profile
from longline.model.ledger import State
from longline.model.messages import Envelope, Message
from longline.saver.port.devices import Registration
from longline.saver.port.inboxes import Arrive, Fetch, Receipt
from longline.saver.port.messages import Accepted, Outcome, Submission
from longline.saver.sql.engine import SqliteSaver


def now() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def message_id(number: int) -> str:
    """A UUIDv7 in its form, rising with `number`."""
    digits = f"{now():012x}7{number & 0xFFF:03x}8{number >> 12:015x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def message(number: int, ttl: int = 86_400_000) -> Message:
    """A push of 256 bytes."""
    at = now()
    return Message(
        id=message_id(number),
        app="bench",
        payload=b"x" * 256,
        content_type="text/plain",
        created_at=at,
        expires_at=at + ttl,
    )


class Bench:
    """One engine and the devices to send to."""

    def __init__(self, saver: SqliteSaver, app: int, devices: list[str], batch: int, seconds: float) -> None:
        self.saver = saver
        self.app = app
        self.devices = devices
        self.batch = batch
        self.seconds = seconds
        self.sent = 0
        self.acked = 0
        self.latencies: list[float] = []
        self.loop_lag = 0.0

    async def unicasts(self, senders: int, acks: bool) -> None:
        """Senders that each keep one batch under way, and ack it when it is stored."""
        started = time.perf_counter()
        cpu = time.process_time()
        self.sent = self.acked = 0
        self.latencies = []
        self.loop_lag = 0.0
        lag = asyncio.create_task(self._watch_loop(), name="lag")
        await asyncio.gather(
            *(self._send(index, senders, started + self.seconds, acks) for index in range(senders))
        )
        lag.cancel()
        took = time.perf_counter() - started
        self.latencies.sort()
        middle, high = (self.latencies[int(len(self.latencies) * q)] * 1000 for q in (0.5, 0.99))
        print(
            f"unicasts in batches of {self.batch}: {self.sent / took:,.0f}/s stored,"
            f" {self.acked / took:,.0f}/s acked; a batch's commit {middle:.1f} ms (p99 {high:.1f});"
            f" loop lag up to {self.loop_lag * 1000:.1f} ms;"
            f" {(time.process_time() - cpu) / took:.0%} of a core"
        )

    async def _watch_loop(self) -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.001)
            self.loop_lag = max(self.loop_lag, time.perf_counter() - before - 0.001)

    async def _send(self, index: int, senders: int, until: float, acks: bool) -> None:
        number = index * 100_000_000
        settling: asyncio.Task[None] | None = None
        while time.perf_counter() < until:
            at = now()
            envelopes = []
            for _ in range(self.batch):
                number += 1
                device = self.devices[number * 7919 % len(self.devices)]
                envelopes.append(Envelope(message(number), Devices((device,))))
            started = time.perf_counter()
            (outcome,) = await self.saver.messages.enqueue([Submission(self.app, tuple(envelopes), at)])
            self.latencies.append(time.perf_counter() - started)
            assert isinstance(outcome, Outcome)
            self.sent += len(outcome.routes)
            if acks:
                if settling is not None:
                    await settling
                settling = asyncio.create_task(self._ack(outcome), name=f"ack-{index}")
        if settling is not None:
            await settling

    async def _ack(self, outcome: Outcome) -> None:
        at = now()
        receipts = [
            Receipt(self.app, target.ordinal, target.position, False, State.ACKED, at, at)
            for route in outcome.routes
            if isinstance(route, Unicast)
            for target in route.targets
        ]
        await self.saver.inboxes.settle(receipts)
        self.acked += len(receipts)

    async def singles(self, clients: int) -> None:
        """Clients that each send one message and wait for it."""
        started = time.perf_counter()
        self.latencies = []

        async def client(index: int) -> int:
            number = (1000 + index) * 10_000_000
            first = number
            while time.perf_counter() < started + self.seconds:
                number += 1
                envelope = Envelope(message(number), Devices((self.devices[number % len(self.devices)],)))
                before = time.perf_counter()
                await self.saver.messages.enqueue([Submission(self.app, (envelope,), now())])
                self.latencies.append(time.perf_counter() - before)
            return number - first

        sent = sum(await asyncio.gather(*(client(index) for index in range(clients))))
        self.latencies.sort()
        middle, high = (self.latencies[int(len(self.latencies) * q)] * 1000 for q in (0.5, 0.99))
        print(
            f"single unicasts from {clients} clients: {sent / (time.perf_counter() - started):,.0f}/s,"
            f" {middle:.2f} ms (p99 {high:.2f})"
        )

    async def storm(self) -> None:
        """All devices come back at once: arrive, and fetch what waits."""
        started = time.perf_counter()
        arrived = fetched = 0
        for first in range(0, len(self.devices), 500):
            part = self.devices[first : first + 500]
            arrivals = await self.saver.inboxes.arrive([Arrive(self.app, name, now()) for name in part])
            arrived += len(arrivals)
        middle = time.perf_counter()
        ordinals = range(len(self.devices))
        for first in range(0, len(ordinals), 500):
            fetches = [Fetch(self.app, ordinal, 0, 0, 16, now()) for ordinal in ordinals[first : first + 500]]
            fetched += sum(len(page.pushes) for page in await self.saver.inboxes.fetch(fetches))
        end = time.perf_counter()
        print(
            f"storm: {arrived / (middle - started):,.0f} arrivals/s,"
            f" {len(self.devices) / (end - middle):,.0f} fetches/s that found {fetched:,} pushes"
        )

    async def broadcast(self) -> None:
        """A broadcast to all devices, acked by each."""
        started = time.perf_counter()
        envelope = Envelope(message(7), Everyone())
        (outcome,) = await self.saver.messages.enqueue([Submission(self.app, (envelope,), now())])
        assert isinstance(outcome, Outcome)
        assert isinstance(outcome.results[0], Accepted)
        stored = time.perf_counter()
        route = outcome.routes[0]
        assert isinstance(route, Broadcast)
        for first in range(0, len(self.devices), 500):
            ordinals = range(first, min(first + 500, len(self.devices)))
            await self.saver.inboxes.settle(
                [
                    Receipt(self.app, n, route.parts[0].position, True, State.ACKED, now(), now())
                    for n in ordinals
                ]
            )
        took = time.perf_counter() - stored
        status = await self.saver.ledgers.status(self.app, envelope.message.id)
        assert status is not None
        assert status.ledger.acked == len(self.devices)
        print(
            f"broadcast to {len(self.devices):,}: stored in {(stored - started) * 1000:.1f} ms,"
            f" {len(self.devices) / took:,.0f} acks/s"
        )


async def run(options: argparse.Namespace, data: Path) -> None:
    """Measures in `data`."""
    binding = Binding("node", 1, 1)

    def locate(app: int, devices: Sequence[str]) -> list[Binding | None]:
        return [binding] * len(devices)

    saver = await SqliteSaver.open(data / "bench.db", locate=locate)
    app = await saver.apps.create(
        App(app="bench", number=0, name="", server_key_hash=b"", device_secret="", pubsub=False, created_at=0)
    )
    devices = [f"device-{index:07}" for index in range(options.devices)]
    started = time.perf_counter()
    for first in range(0, len(devices), 1000):
        part = devices[first : first + 1000]
        await saver.devices.put(app.number, [Registration(name, Profile()) for name in part], now())
    print(f"register: {len(devices) / (time.perf_counter() - started):,.0f} devices/s")
    bench = Bench(saver, app.number, devices, options.batch, options.seconds)
    await bench.unicasts(4, acks=True)
    await bench.unicasts(4, acks=False)
    await bench.singles(200)
    await bench.storm()
    await bench.broadcast()
    print(msgspec.json.encode(dict(saver.statistics())).decode())
    await saver.close()


def main() -> None:
    """Reads the command line and measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--devices", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--data", type=Path, default=None, help="a directory on the disk to measure")
    parser.add_argument("--uvloop", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.data) as directory:
        if options.uvloop:
            import uvloop

            uvloop.run(run(options, Path(directory)))
        else:
            asyncio.run(run(options, Path(directory)))


if __name__ == "__main__":
    main()
