"""Broadcasts that take their time: evenly, in full, and not in the way of others."""

import asyncio
from collections.abc import Sequence
from itertools import count
from typing import cast

import pytest

from longline.model.commands import Cancelled
from longline.mqtt.packets import Publish
from longline.mqtt.properties import PropertyId, get_int
from longline.room.push.spreading import TICK, Spreading
from longline.room.session.session import Session
from longline.telemetry.faults import Faults
from longline.testing.clock import VirtualClock
from tests.unit.room.fixture import NOW_MS
from tests.unit.room.running import NODE, RunningRoom
from tests.unit.room.test_admission import topics
from tests.unit.room.test_broadcasts import broadcast, paced


def numbered(count: int) -> list[Session]:
    """Numbers that pass for sessions: `Spreading` does not look at them."""
    return cast(list[Session], list(range(count)))


class Writer:
    """Takes sessions as `Spreading` hands them out; they are only numbers here."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.written: list[Session] = []
        self.over = 0
        self._stop_after = stop_after

    async def write(self, sessions: Sequence[Session]) -> bool:
        self.written += sessions
        return self._stop_after is None or len(self.written) < self._stop_after

    def end(self) -> None:
        self.over += 1


async def test_a_broadcast_is_written_evenly_over_its_time() -> None:
    clock = VirtualClock()
    spreading = Spreading(Faults(), clock.now, clock.sleep)
    running = asyncio.create_task(spreading.run(), name="spreading")
    writer = Writer()
    assert spreading.add(numbered(1000), 10, writer.write, writer.end)
    for second in range(1, 10):
        await clock.advance(1)
        assert abs(len(writer.written) - second * 100) <= 100 * TICK + 1
        assert writer.over == 0
    await clock.advance(1 + TICK)
    assert writer.written == numbered(1000)
    assert writer.over == 1
    running.cancel()


async def test_several_go_side_by_side_and_one_that_is_cancelled_ends_at_once() -> None:
    clock = VirtualClock()
    spreading = Spreading(Faults(), clock.now, clock.sleep)
    running = asyncio.create_task(spreading.run(), name="spreading")
    slow, quick, cancelled = Writer(), Writer(), Writer(stop_after=10)
    for writer, seconds in ((slow, 100), (quick, 1), (cancelled, 10)):
        assert spreading.add(numbered(100), seconds, writer.write, writer.end)
    await clock.advance(2)
    assert (len(quick.written), quick.over) == (100, 1)
    assert (slow.over, cancelled.over) == (0, 1)
    assert len(cancelled.written) < 15
    await clock.advance(99)
    assert (len(slow.written), slow.over) == (100, 1)
    running.cancel()


async def test_a_paced_broadcast_reaches_everybody() -> None:
    async with RunningRoom() as room:
        peers = [await room.client(f"d{n}") for n in range(20)]
        await room.bus.send(NODE, [paced(broadcast(1, *range(20)), 1)])
        await room.until(lambda: len(room.store.finished) == 1)
        assert [topics(peer.unread()) for peer in peers] == [["push/m1"]] * 20


async def test_a_broadcast_that_cannot_be_ended_costs_the_others_nothing() -> None:
    clock = VirtualClock()
    faults = Faults()
    spreading = Spreading(faults, clock.now, clock.sleep)
    running = asyncio.create_task(spreading.run(), name="spreading")
    writer = Writer()

    def planted() -> None:
        raise ZeroDivisionError

    assert spreading.add(numbered(1), 1, writer.write, planted)
    assert spreading.add(numbered(10), 1, writer.write, writer.end)
    await clock.advance(1 + 2 * TICK)
    assert (writer.over, faults.counts) == (1, {"room.broadcasts": 1})
    running.cancel()


async def test_a_paced_broadcast_that_is_cancelled_is_written_to_nobody_else() -> None:
    async with RunningRoom() as room:
        peers = [await room.client(f"d{n}") for n in range(20)]
        command = paced(broadcast(1, *range(20)), 3600)
        await room.bus.send(NODE, [command])
        await room.settle()
        await room.bus.send(NODE, [Cancelled(7, command.message.id)])
        await room.until(lambda: len(room.store.finished) == 1)
        assert sum(topics(peer.unread()) == ["push/m1"] for peer in peers) <= 1


async def test_the_expiry_of_a_paced_broadcast_is_counted_down_for_each_device_as_it_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Seven seconds pass between two slices; the message lasts for 60."""
    now = count(NOW_MS, 7_000)
    monkeypatch.setattr("longline.room.push.broadcasts.wall_clock", lambda: next(now))
    async with RunningRoom(fanout_slice=1) as room:
        peers = [await room.client(f"d{n}") for n in range(20)]
        await room.bus.send(NODE, [paced(broadcast(1, *range(20)), 1)])
        await room.until(lambda: len(room.store.finished) == 1)
        left = [
            get_int(packet.properties, PropertyId.MESSAGE_EXPIRY_INTERVAL)
            for peer in peers
            for packet in peer.unread()
            if isinstance(packet, Publish)
        ]
        assert left == [60, 53, 46, 39, 32, 25, 18, 11, 4]
