"""A process that publishes to sessions and reads their queues until it is killed, and prints what it did.

    python -m tests.contract.saver.queue_crasher ENGINE PLACE ROUND

Lines: `asked SENDER PACKET_ID TEXT` before a message is published (packet identifier 0: with QoS 1),
`taken TEXT` when that was answered, `read READER PLACE TEXT` before a message is settled.
"""

import asyncio
import sys
from collections.abc import Sequence

import structlog

from longline.model.pubsub import Publication
from longline.saver.bundle import Saver
from longline.saver.port.queues import Complete, Published, QueuePublication, Read, Received, Settle, Step
from longline.saver.port.sessions import FOREVER, OpenSession
from tests.contract.engines import SAVERS
from tests.contract.store_fixture import START

READERS = tuple(f"reader-{n}" for n in range(6))
SENDERS = tuple(f"sender-{n}" for n in range(4))
IDENTIFIERS = 5  # that a sender uses in turn


def a_publication(text: str, qos: int, number: int) -> Publication:
    return Publication(f"01890a5d-ac96-774b-bcce-{number:012x}", "x", text.encode(), qos, at=START)


async def open_all(saver: Saver, app: int, names: Sequence[str], epoch: int) -> dict[str, tuple[int, int]]:
    """The sessions of devices that connect: ordinal and number of each."""
    devices = [device for device in await saver.devices.find(app, names) if device is not None]
    asked = [
        OpenSession(app, device.device, device.ordinal, "node", epoch, START, False, FOREVER)
        for device in devices
    ]
    opened = await saver.sessions.open(asked)
    return {
        item.device: (item.ordinal, session.number)
        for item, session in zip(asked, opened, strict=True)
        if session is not None
    }


async def main(engine: str, place: str, round_number: int) -> None:
    saver = (await SAVERS[engine].open(place)).saver
    found = await saver.apps.find("news")
    assert found is not None
    app = found.number
    epoch = 10 + round_number
    readers = await open_all(saver, app, READERS, epoch)
    senders = await open_all(saver, app, SENDERS, epoch)

    async def send(name: str, count: int) -> None:
        ordinal, number = senders[name]
        packet_id = count % IDENTIFIERS + 1 if count % 3 else 0
        text = f"{round_number}/{name}/{count}"
        received = Received(ordinal, number, epoch, packet_id) if packet_id else None
        publication = a_publication(text, 2 if packet_id else 1, count)
        print("asked", name, packet_id, text, flush=True)
        (answer,) = await saver.queues.publish([QueuePublication(app, publication, START, name, received)])
        assert isinstance(answer, Published)
        assert (answer.full, answer.again) == (0, False)
        print("taken", text, flush=True)
        if packet_id:
            await saver.queues.complete([Complete(app, ordinal, number, packet_id)])

    async def drain(name: str) -> None:
        ordinal, number = readers[name]
        (page,) = await saver.queues.read([Read(app, ordinal, number, 0, 1000, START)])
        for entry in page.entries:
            print("read", name, entry.place, entry.publication.payload.decode(), flush=True)
        await saver.queues.settle(
            [Settle(app, ordinal, number, entry.place, Step.SETTLED) for entry in page.entries]
        )

    await asyncio.gather(*map(drain, READERS))
    count = 0
    while True:
        count += 1
        await asyncio.gather(*(send(name, count) for name in SENDERS))
        await asyncio.gather(*map(drain, READERS))


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
