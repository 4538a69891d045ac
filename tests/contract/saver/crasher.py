"""A process that sends, broadcasts, acks and cancels until it is killed, and prints what it was promised.

    python -m tests.contract.saver.crasher ENGINE PLACE ROUND

Lines: `accepted ID DEVICE` and `acked ID DEVICE`; a broadcast's device is `*`.
"""

import asyncio
import sys
from uuid import UUID

import structlog

from longline.model.audience import Devices, Everyone
from longline.model.commands import Broadcast
from longline.model.ledger import State
from longline.model.messages import Envelope, Message
from longline.saver.port.inboxes import Receipt
from longline.saver.port.messages import Outcome, Submission
from tests.contract.engines import SAVERS
from tests.contract.saver.positions import position_of
from tests.contract.store_fixture import START

DEVICES = tuple(f"d{n}" for n in range(20))
DAY = 86_400_000


def a_message(number: int) -> Message:
    return Message(
        id=str(UUID(int=(START << 80) | (7 << 76) | (2 << 62) | number)),
        app="news",
        payload=b"x" * 200,
        content_type="text/plain",
        created_at=START,
        expires_at=START + DAY,
    )


async def main(engine: str, place: str, round_number: int) -> None:
    saver = (await SAVERS[engine].open(place)).saver
    app = await saver.apps.find("news")
    assert app is not None
    number = app.number
    ordinals = [device.ordinal for device in await saver.devices.find(number, DEVICES) if device is not None]

    async def sender(index: int) -> None:
        count = 0
        while True:
            count += 1
            message = a_message(round_number * 10_000_000 + index * 1_000_000 + count)
            device = DEVICES[count % len(DEVICES)]
            to_all = count % 10 == 0
            audience = Everyone() if to_all else Devices((device,))
            (outcome,) = await saver.messages.enqueue(
                [Submission(number, (Envelope(message, audience),), START)]
            )
            assert isinstance(outcome, Outcome)
            print("accepted", message.id, "*" if to_all else device, flush=True)
            (route,) = outcome.routes
            if count % 3 == 0:
                ordinal = ordinals[index] if isinstance(route, Broadcast) else route.targets[0].ordinal
                receipt = Receipt(number, ordinal, position_of(route, ordinal), to_all, State.ACKED, START)
                await saver.inboxes.settle([receipt])
                print("acked", message.id, DEVICES[index] if to_all else device, flush=True)

    await asyncio.gather(*(sender(index) for index in range(8)))


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
