"""What only the bus of one process promises."""

from longline.bus.local import LocalBus
from longline.bus.port import Resync


async def test_the_length_of_a_queue_can_be_watched() -> None:
    bus = LocalBus(limit=10)
    assert bus.waiting("n") == 0
    await bus.open("n")
    await bus.send("n", [Resync()] * 3)
    assert bus.waiting("n") == 3
    await bus.receive("n")
    assert bus.waiting("n") == 0
