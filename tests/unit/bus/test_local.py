"""What only the bus of one process promises."""

import asyncio

from longline.bus.local import LocalBus
from longline.model.commands import Close, CloseReason, Resync, Unicast
from longline.model.messages import Message


async def test_the_length_of_a_queue_can_be_watched() -> None:
    bus = LocalBus(limit=10)
    assert bus.waiting("n") == 0
    await bus.open("n")
    await bus.send("n", [Resync()] * 3)
    assert bus.waiting("n") == 3
    await bus.receive("n")
    assert bus.waiting("n") == 0


async def test_a_queue_is_bounded_by_bytes_but_takes_one_command_always() -> None:
    message = Message(
        id="m", app="news", payload=b"x" * 600, content_type="text/plain", created_at=0, expires_at=1
    )
    bus = LocalBus(limit=10, limit_bytes=1000)
    await bus.open("n")
    large = Unicast(1, message, ())
    sending = asyncio.create_task(bus.send("n", [large, large, large]))
    for expected in (1, 1, 1):
        assert len(await bus.receive("n")) == expected
    await sending
    assert bus.waiting("n") == 0


async def test_who_comes_while_others_wait_for_room_does_not_overtake_them() -> None:
    """A device would get what was sent later first."""
    bus = LocalBus(2)
    await bus.open("n1")
    await bus.send("n1", [Close(1, "d", n, CloseReason.KICKED) for n in (1, 2)])
    waiting = [
        asyncio.create_task(bus.send("n1", [Close(1, "d", n, CloseReason.KICKED) for n in some]))
        for some in ((3, 4, 5), (6,))
    ]
    await asyncio.sleep(0)
    got = [command.epoch for command in await bus.receive("n1") if isinstance(command, Close)]

    async def collect() -> None:
        while len(got) < 7:
            got.extend([command.epoch for command in await bus.receive("n1") if isinstance(command, Close)])

    collecting = asyncio.create_task(collect())
    await bus.send("n1", [Close(1, "d", 7, CloseReason.KICKED)])  # there is room, but others were first
    await asyncio.gather(*waiting, collecting)
    assert got == [1, 2, 3, 4, 5, 6, 7]
