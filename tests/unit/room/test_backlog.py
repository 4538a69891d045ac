"""What the kernel may hold of connections that nobody has accepted yet."""

import asyncio
import socket
from contextlib import suppress

from longline.room.wire.backlog import FEWEST, INTERVAL, Backlog, Crowd
from longline.room.wire.listeners import held, listen, resize
from longline.testing.clock import VirtualClock, settle


class Room:
    """Accepts `accepts` connections each time that it is looked at; the kernel holds `held`."""

    def __init__(self, most: int = 4096) -> None:
        self.told: list[int] = []
        self.held = 0
        self.accepted = 0
        self.crowd = Crowd(0, 0, 0)
        self.clock = VirtualClock()
        self.swept: list[int] = []
        self.backlog = Backlog(
            most,
            held=lambda: self.held,
            accepted=lambda: self.accepted,
            crowd=lambda: self.crowd,
            resize=self.told.append,
            sweep=self.sweep,
            clock=self.clock.now,
            sleep=self.clock.sleep,
        )

    async def sweep(self, most: int) -> int:
        """All of them had gone."""
        self.swept.append(min(most, self.held))
        self.held -= self.swept[-1]
        return self.swept[-1]

    def saw(self, *, held: int, accepted: int, seconds: float) -> None:
        self.backlog.saw(held, accepted, seconds, self.crowd)

    def served(self, served: int, gone: int, waiting: int) -> None:
        """It accepted all at once, and so many of them had their turn."""
        self.crowd = Crowd(waiting, self.crowd.served + served, self.crowd.gone + gone)
        self.saw(held=0, accepted=self.backlog.size, seconds=0.1)


def test_a_room_that_accepts_slowly_has_the_kernel_hold_what_is_accepted_in_a_clients_patience() -> None:
    room = Room()
    room.saw(held=4096, accepted=1000, seconds=0.1)  # 10,000 a second: all of them in half of one
    assert room.told == []
    room.saw(held=4096, accepted=100, seconds=0.1)  # 1000 a second
    assert room.told == [1000]
    room.saw(held=1000, accepted=0, seconds=15.0)  # it stood still
    assert room.told == [1000, 128]
    room.saw(held=128, accepted=0, seconds=15.0)
    assert room.told == [1000, 128]


def test_it_holds_more_again_when_it_is_fast_enough() -> None:
    room = Room()
    room.saw(held=4096, accepted=0, seconds=15.0)
    for _ in range(10):
        room.saw(held=10, accepted=10, seconds=0.1)
    assert room.told == [128, 256, 512, 1024, 2048, 4096]


def test_a_backlog_that_is_small_by_its_setting_stays_that_small() -> None:
    room = Room(8)
    room.saw(held=8, accepted=0, seconds=10.0)
    room.saw(held=0, accepted=0, seconds=0.1)
    assert room.told == []


def test_where_more_come_than_can_be_let_in_and_most_have_gone_it_holds_no_more_than_are_let_in() -> None:
    """A client that has gone costs nothing before it is accepted, and some of everybody's time afterwards."""
    room = Room()
    room.served(60, gone=200, waiting=3000)
    assert room.told == [60]
    room.served(0, gone=100, waiting=3000)
    assert room.told == [60, FEWEST]
    room.served(60, gone=200, waiting=3000)
    assert room.told == [60, FEWEST], "one good moment is no reason to let all in again"
    room.served(60, gone=10, waiting=100)
    assert room.told == [60, FEWEST], "nor are those that wait already"
    room.served(60, gone=10, waiting=60)
    assert room.told == [60, FEWEST, 2 * FEWEST]
    for _ in range(10):
        room.served(60, gone=0, waiting=0)
    assert room.backlog.size == 4096


def test_clients_that_come_only_to_go_keep_nobody_out_of_a_room_that_keeps_up() -> None:
    room = Room()
    room.served(1, gone=5000, waiting=0)
    assert room.told == []


def test_a_room_that_is_slow_for_clients_who_wait_holds_what_it_did() -> None:
    room = Room()
    room.served(100, gone=100, waiting=20_000)
    assert room.told == []


async def test_it_looks_at_what_the_kernel_holds_and_at_what_was_accepted_meanwhile() -> None:
    room = Room()
    task = asyncio.create_task(room.backlog.run())
    await settle()
    room.held, room.accepted = 4096, 100
    await room.clock.advance(INTERVAL)
    assert len(room.told) == 1
    assert 800 < room.told[0] < 1200
    room.held, room.accepted = 0, 4196
    await room.clock.advance(INTERVAL)
    assert room.told[1:] == [2 * room.told[0]]
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def test_the_kernel_tells_what_it_holds_and_takes_another_bound_while_it_listens() -> None:
    with listen("127.0.0.1", 0, reuse_port=False) as listener:
        listener.listen(128)
        assert held(listener) == 0
        with socket.create_connection(listener.getsockname()):
            assert held(listener) == 1
            resize(listener, 64)
            listener.accept()[0].close()
            assert held(listener) == 0


def test_a_listener_that_was_closed_is_no_error() -> None:
    listener = listen("127.0.0.1", 0, reuse_port=False)
    listener.close()
    resize(listener, 64)
    assert held(listener) == 0
