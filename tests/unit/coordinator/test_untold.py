"""Rooms are told of queues of which whoever filled them could not tell."""

from longline.bus.local import LocalBus
from longline.coordinator.untold import BATCH, UntoldDuty
from longline.model.commands import Filled
from longline.model.devices import Binding
from longline.model.times import wall_clock
from longline.saver.port.queues import Queued
from tests.fakes.sessions import FakeSessions


def behind(number: int, node: str | None) -> Queued:
    return Queued(f"d{number}", number, None if node is None else Binding(node, 1, 1))


async def test_each_room_is_told_of_its_sessions() -> None:
    store, bus = FakeSessions(), LocalBus(100)
    for node in ("room-1", "room-2"):
        await bus.open(node)
    store.behind = [
        (1, behind(1, "room-1")),
        (1, behind(2, "room-2")),
        (1, behind(3, "room-1")),
        (2, behind(4, "room-1")),
        (1, behind(5, None)),
    ]
    duty = UntoldDuty(store, bus, after=5.0)
    assert not await duty.round()
    assert list(await bus.receive("room-1")) == [Filled(1, ("d1", "d3")), Filled(2, ("d4",))]
    assert list(await bus.receive("room-2")) == [Filled(1, ("d2",))]
    assert duty.told == 4


async def test_only_what_is_old_enough_is_told() -> None:
    store = FakeSessions()
    now = wall_clock()
    await UntoldDuty(store, LocalBus(100), after=5.0).round()
    (before,) = store.asked
    assert now - 5000 <= before <= now - 4000


async def test_a_room_that_cannot_be_told_holds_up_no_other() -> None:
    """It is told when the store says so again."""
    store, bus = FakeSessions(), LocalBus(100)
    await bus.open("room-2")
    store.behind = [(1, behind(1, "nowhere")), (1, behind(2, "room-2"))]
    duty = UntoldDuty(store, bus, after=5.0)
    await duty.round()
    assert list(await bus.receive("room-2")) == [Filled(1, ("d2",))]


async def test_a_full_batch_says_that_there_may_be_more() -> None:
    store, bus = FakeSessions(), LocalBus(100)
    await bus.open("room-1")
    store.behind = [(1, behind(number, "room-1")) for number in range(BATCH)]
    assert await UntoldDuty(store, bus, after=5.0).round()
