"""What the kernel may hold of connections that nobody has accepted yet."""

import asyncio
import socket
from contextlib import suppress

from longline.room.wire.backlog import INTERVAL, Backlog
from longline.room.wire.listeners import listen, resize
from longline.testing.clock import VirtualClock, settle


def test_a_room_whose_loop_is_slow_has_the_kernel_hold_fewer_connections() -> None:
    told: list[int] = []
    backlog = Backlog(4096, told.append, clock=lambda: 0.0)
    backlog.turn_took(0.2)
    assert (backlog.size, told) == (4096, [])
    backlog.turn_took(1.0)
    assert (backlog.size, told) == (1024, [1024])
    backlog.turn_took(60.0)
    assert told == [1024, 16]
    backlog.turn_took(60.0)
    assert told == [1024, 16]
    for _ in range(10):
        backlog.turn_took(0.01)
    assert told == [1024, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096]


def test_a_backlog_that_is_small_by_its_setting_stays_that_small() -> None:
    told: list[int] = []
    backlog = Backlog(8, told.append, clock=lambda: 0.0)
    backlog.turn_took(10.0)
    backlog.turn_took(0.0)
    assert told == []


async def test_it_looks_at_how_late_it_is_woken() -> None:
    clock = VirtualClock()
    late = 0.0
    told: list[int] = []

    async def sleep(seconds: float) -> None:
        await clock.sleep(seconds + late)

    backlog = Backlog(4096, told.append, clock=clock.now, sleep=sleep)
    task = asyncio.create_task(backlog.run())
    await settle()
    await clock.advance(INTERVAL)
    assert told == []
    late = 0.5
    await clock.advance(INTERVAL)  # the sleep that it was in
    await clock.advance(INTERVAL + 0.5)
    assert told == [2048]
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def test_the_kernel_takes_another_bound_while_it_listens_and_a_closed_listener_is_no_error() -> None:
    with listen("127.0.0.1", 0, reuse_port=False) as listener:
        listener.listen(128)
        resize(listener, 64)
        with socket.create_connection(listener.getsockname()):
            pass
    resize(listener, 64)
