"""What devices and pending messages take up in Redis, in bytes: `python benchmarks/redis_memory.py [SERVER]`.

Starts the Redis or Valkey server given by its path, `redis-server` by default, on a Unix socket and without
files. Devices are registered; each is sent one message of 32 bytes while it is away; they connect; each is
sent another one, of which no room has said yet that it was written. All at the speed of the engine, by the
wall clock: how well ledgers pack depends on the time between messages.
"""

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from longline.delivery.ids import MessageIds
from longline.model.apps import App
from longline.model.audience import Devices
from longline.model.devices import Profile
from longline.model.messages import Envelope, Message
from longline.model.times import wall_clock
from longline.register.port import Bind
from longline.register.redis import RedisRegister
from longline.saver.kv.engine import RedisSaver
from longline.saver.port.devices import Registration
from longline.saver.port.messages import Submission
from longline.settings import StoreSettings
from longline.store.redis import Store

DEVICES = 50_000
AT_ONCE = 500
PAYLOAD = b"x" * 32
DAY = 86_400_000


async def used(store: Store) -> int:
    """Bytes that the server has allocated."""
    reply = await store.call(b"meta", b"INFO", b"memory")
    assert isinstance(reply, bytes)
    lines = dict(line.split(":", 1) for line in reply.decode().splitlines() if ":" in line)
    return int(lines["used_memory"])


def rehashed() -> None:
    """Lets the server finish what it does in the background."""
    time.sleep(3)


def submissions(app: int, names: Sequence[str], ids: MessageIds) -> list[Submission]:
    """A message to each."""
    now = wall_clock()
    return [
        Submission(
            app,
            (
                Envelope(
                    Message(
                        id=ids.make(now),
                        app="bench",
                        payload=PAYLOAD,
                        content_type="application/json",
                        created_at=now,
                        expires_at=now + DAY,
                    ),
                    Devices((name,)),
                ),
            ),
            now,
        )
        for name in names
    ]


async def measure(path: Path) -> None:
    """Prints bytes for each of the devices and messages."""
    store = await Store.open(StoreSettings(url=f"unix://{path}"))
    saver, register = await RedisSaver.open(store), RedisRegister(store)
    app = await saver.apps.create(
        App(
            app="bench",
            number=0,
            name="bench",
            server_key_hash=b"",
            device_secret="",
            pubsub=False,
            created_at=wall_clock(),
        )
    )
    names = [f"device-{number:08}" for number in range(DEVICES)]
    batches = [names[start : start + AT_ONCE] for start in range(0, DEVICES, AT_ONCE)]

    before = await used(store)
    for batch in batches:
        registrations = [Registration(name, Profile()) for name in batch]
        await saver.devices.put(app.number, registrations, wall_clock())
    rehashed()
    registered = await used(store)
    print(f"registered device          {(registered - before) / DEVICES:6.0f} bytes")

    ids = MessageIds()
    begin = time.perf_counter()
    for batch in batches:
        await saver.messages.enqueue(submissions(app.number, batch, ids))
    rate = DEVICES / (time.perf_counter() - begin)
    rehashed()
    sent = await used(store)
    print(
        f"  one message pending      {(sent - registered) / DEVICES:6.0f} bytes, sent at {rate:.0f} a second"
    )

    for batch in batches:
        await register.bind([Bind(app.number, name, "room-1", wall_clock()) for name in batch])
    rehashed()
    bound = await used(store)
    print(f"  connected                {(bound - sent) / DEVICES:6.0f} bytes")

    for batch in batches:
        await saver.messages.enqueue(submissions(app.number, batch, ids))
    rehashed()
    routed = await used(store)
    print(f"  another message, on its way {(routed - bound) / DEVICES:3.0f} bytes")
    await register.close()
    await saver.close()
    await store.close()


def main() -> None:
    """Runs the server for the time of the measurement."""
    server = sys.argv[1] if len(sys.argv) > 1 else "redis-server"
    with tempfile.TemporaryDirectory(prefix="ll-") as directory:
        path = Path(directory, "redis.sock")
        flags = ("--port", "0", "--save", "", "--loglevel", "warning", "--unixsocket", str(path))
        with subprocess.Popen([server, *flags], cwd=directory, stdout=subprocess.DEVNULL) as process:
            try:
                while not path.exists():
                    time.sleep(0.01)
                asyncio.run(measure(path))
            finally:
                process.terminate()


if __name__ == "__main__":
    main()
