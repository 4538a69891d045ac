"""A room that was declared dead and lives binds its sessions anew, and its clients do not hear of it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from longline.errors import StoreError, Unavailable
from longline.model.times import wall_clock
from longline.mqtt.packets import Disconnect, Packet, Publish
from longline.mqtt.reasons import ReasonCode
from longline.register.memory import MemoryRegister
from longline.register.port import Bind, Rebind
from longline.room.session.session import Gone
from longline.saver.port.inboxes import Arrival, Page
from tests.unit.room.running import NODE, RunningRoom
from tests.unit.room.test_admission import push, unicast

APP = 7
AGAIN = "n1-again"


class LateRegister(MemoryRegister):
    """Rebinds when it is let, and may do so without an answer."""

    def __init__(self) -> None:
        super().__init__()
        self.delayed: asyncio.Event | None = None  # before it is done
        self.held: asyncio.Event | None = None  # before it is answered
        self.answers_lost = 0
        self.broken: set[str] = set()
        self.batches: list[int] = []

    async def rebind(self, batch: Sequence[Rebind]) -> list[int | None]:
        self.batches.append(len(batch))
        if self.delayed is not None:
            await self.delayed.wait()
        if any(item.device in self.broken for item in batch):
            raise StoreError("no")
        done = await super().rebind(batch)
        if self.held is not None:
            await self.held.wait()
        if self.answers_lost:
            self.answers_lost -= 1
            raise Unavailable("no answer")
        return done


@asynccontextmanager
async def a_dead_room(
    *devices: str, linger: int = 15_000
) -> "AsyncIterator[tuple[RunningRoom, LateRegister]]":
    """Devices in it, whose sessions linger by now; `everybody` is yet to be called."""
    register = LateRegister()
    async with RunningRoom(register=register) as room:
        room.parts.noted.departures = room.departures
        for device in devices:
            await room.client(device)
        await register.declare_dead(NODE)
        while await register.release(NODE, wall_clock(), linger, 100):
            pass
        await register.forget(await register.transitions(100_000))
        room.store.arrived.clear()
        yield room, register


async def nodes(register: MemoryRegister, *devices: str) -> list[str | None]:
    return [None if item is None else item.node for item in await register.locate(APP, devices)]


async def states(register: MemoryRegister) -> list[tuple[str, str]]:
    return [(item.device, item.state) for item in await register.transitions(1000)]


def topics(packets: Sequence[Packet]) -> list[str]:
    return [packet.topic for packet in packets if isinstance(packet, Publish)]


async def test_clients_do_not_hear_of_it_and_nobody_was_away() -> None:
    async with a_dead_room("d1", "d2") as (room, register):
        peers = [room.parts.sessions.tenants[APP].sessions[name] for name in ("d1", "d2")]
        await room.rebinding.everybody(AGAIN)
        await room.settle()
        assert await nodes(register, "d1", "d2") == [AGAIN, AGAIN]
        assert await states(register) == [("d1", "moved"), ("d2", "moved")]
        assert [session.attachment is not None for session in peers] == [True, True]
        assert await register.end_lingering(wall_clock() + 1_000_000, 10) == 0
        assert room.rebinding.waiting() == 0
        assert room.parts.counters.rebound == 2


async def test_what_was_sent_meanwhile_is_read_and_comes_in_its_order() -> None:
    async with RunningRoom(register=LateRegister()) as room:
        peer = await room.client("phone")
        ordinal = peer.session.ordinal
        await room.register.declare_dead(NODE)
        # The first two went to the queue of a dead node; the third is offered under the new name.
        room.store.arrivals["phone"] = Arrival(ordinal, True, 0, 0)
        room.store.pages[ordinal] = [Page((push(1), push(2), push(3)), 0, True)]
        await room.rebinding.everybody(AGAIN)
        room.commands.leave()
        await room.bus.open(AGAIN)
        room.commands.listen(AGAIN)
        await room.bus.send(AGAIN, [unicast("phone", 3)])
        await room.settle()
        assert topics(peer.unread()) == ["push/m1", "push/m2", "push/m3"]


async def test_nothing_is_read_for_those_for_whom_nothing_waits() -> None:
    async with a_dead_room("d1") as (room, _):
        await room.rebinding.everybody(AGAIN)
        await room.settle()
        assert room.store.fetched == []


async def test_of_those_that_are_elsewhere_by_now_the_connection_here_is_closed_and_no_other() -> None:
    async with RunningRoom(register=LateRegister()) as room:
        phone, tablet = await room.client("phone"), await room.client("tablet")
        await room.register.declare_dead(NODE)
        (there,) = await room.register.bind([Bind(APP, "phone", "n2", 0)])
        await room.rebinding.everybody(AGAIN)
        await room.settle()
        assert phone.unread() == [Disconnect(ReasonCode.SESSION_TAKEN_OVER)]
        assert phone.over
        assert not tablet.over
        assert tablet.unread() == []
        await room.settle()
        assert await room.register.locate(APP, ["phone"]) == [there.binding], "nobody takes it away there"


async def test_who_leaves_while_it_is_bound_anew_is_not_left_in_the_table() -> None:
    async with RunningRoom(register=(register := LateRegister())) as room:
        room.parts.noted.departures = room.departures
        peer = await room.client("phone")
        await register.declare_dead(NODE)
        register.held = asyncio.Event()
        await room.rebinding.everybody(AGAIN)
        await room.settle()
        peer.send(Disconnect())
        await room.settle()
        register.held.set()
        await room.settle()
        assert await nodes(register, "phone") == [None]


async def test_who_leaves_while_nobody_knows_whether_it_is_bound_is_not_left_in_the_table() -> None:
    async with RunningRoom(register=(register := LateRegister())) as room:
        room.parts.noted.departures = room.departures
        peer = await room.client("phone")
        await register.declare_dead(NODE)
        register.answers_lost = 1
        register.held = asyncio.Event()
        await room.rebinding.everybody(AGAIN)
        await room.settle()
        peer.send(Disconnect())
        await room.settle()
        register.held.set()
        await room.settle()
        assert await nodes(register, "phone") == [None]


async def test_a_store_that_gives_no_answer_is_asked_again_until_it_does() -> None:
    async with a_dead_room("d1", "d2") as (room, register):
        register.answers_lost = 3
        room.store.faults["arrive"] = [Unavailable(), Unavailable()]
        await room.rebinding.everybody(AGAIN)
        await room.settle()
        await room.settle()
        assert await nodes(register, "d1", "d2") == [AGAIN, AGAIN]
        assert [state for _, state in await states(register)] == ["moved", "moved"]
        assert room.parts.counters.connections == 2


@pytest.mark.parametrize(
    ("arrival", "code"),
    [
        (None, "app_deleted"),
        (Arrival(99, False, 0, 0), "device_deleted"),
        (Arrival(0, False, 0, wall_clock() + 86_400_000), "banned"),
    ],
)
async def test_who_was_to_be_sent_away_while_nobody_could_tell_the_room_is_sent_away(
    arrival: Arrival | None, code: str
) -> None:
    async with a_dead_room("d1", "d2") as (room, register):
        room.store.arrivals["d1"] = arrival
        await room.rebinding.everybody(AGAIN)
        await room.settle()
        await room.settle()
        assert room.parts.counters.closed == {code: 1}
        assert await nodes(register, "d1", "d2") == [None, AGAIN]


async def test_one_that_the_store_will_not_bind_comes_back_by_itself_and_the_others_stay() -> None:
    async with a_dead_room("d1", "d2", "d3") as (room, register):
        register.broken = {"d2"}
        await room.rebinding.everybody(AGAIN)
        await room.settle()
        await room.settle()
        assert await nodes(register, "d1", "d3") == [AGAIN, AGAIN]
        assert room.parts.counters.closed == {"session_forgotten": 1}


async def test_many_are_bound_in_steps_one_after_the_other() -> None:
    devices = [f"d{number}" for number in range(450)]
    register = LateRegister()
    async with RunningRoom(register=register) as room:
        room.parts.noted.departures = room.departures
        for device in devices:
            room.connect(device)
        await room.settle()
        await room.settle()
        await register.declare_dead(NODE)
        await room.rebinding.everybody(AGAIN)
        for _ in range(5):
            await room.settle()
        assert register.batches == [200, 200, 50]
        assert set(await nodes(register, *devices)) == {AGAIN}


async def test_a_new_name_that_dies_at_once_is_told_of_and_all_go_to_the_next() -> None:
    async with a_dead_room("d1", "d2") as (room, register):
        register.held = asyncio.Event()
        await room.rebinding.everybody(AGAIN)
        await register.declare_dead(AGAIN)
        register.held.set()
        await room.settle()
        await room.rebinding.everybody("n1-third")
        await room.settle()
        assert room.fenced == [AGAIN]
        assert room.left == [NODE, AGAIN]
        assert await nodes(register, "d1", "d2") == ["n1-third", "n1-third"]


async def test_a_client_that_reconnects_meanwhile_keeps_its_new_connection() -> None:
    async with a_dead_room("phone") as (room, register):
        register.held = asyncio.Event()
        await room.rebinding.everybody(AGAIN)
        await room.settle()
        room.admission.resume(AGAIN)
        again = room.connect("phone")
        await room.settle()
        register.held.set()
        await room.settle()
        assert not again.over
        (binding,) = await register.locate(APP, ["phone"])
        assert binding is not None
        assert (binding.node, binding.epoch) == (AGAIN, again.session.epoch)


async def test_a_former_name_is_left_when_nobody_is_bound_to_it_any_more() -> None:
    """If the process ends before, others find what is still bound there by the queue of that name."""
    async with a_dead_room("d1", "d2") as (room, register):
        register.held = asyncio.Event()
        await room.rebinding.everybody(AGAIN)
        await room.settle()
        assert room.left == []
        register.held.set()
        await room.settle()
        assert room.left == [NODE]


async def test_a_former_name_without_sessions_is_left_at_once() -> None:
    async with RunningRoom() as room:
        await room.rebinding.everybody(AGAIN)
        assert room.left == [NODE]


async def test_news_of_a_dead_name_is_not_taken_for_news_of_the_one_that_followed_it() -> None:
    async with a_dead_room("d1") as (room, register):
        register.delayed = asyncio.Event()
        await room.rebinding.everybody(AGAIN)
        await room.settle()
        await register.declare_dead(AGAIN)
        await room.rebinding.everybody("n1-third")
        register.delayed.set()
        await room.settle()
        assert room.fenced == [AGAIN]
        assert await nodes(register, "d1") == ["n1-third"]


async def test_who_left_is_not_bound_again_because_something_else_is_tried_again() -> None:
    async with a_dead_room("d1", "d2") as (room, register):
        register.held = asyncio.Event()
        room.store.faults["arrive"] = [Unavailable(), Unavailable()]
        await room.rebinding.everybody(AGAIN)
        await room.settle()
        gone = room.parts.sessions.tenants[APP].sessions["d1"].attachment
        assert gone is not None
        room.parts.sessions.close(gone.session, Gone.LEFT, ReasonCode.SUCCESS, "left")
        await room.settle()
        register.held.set()
        await room.settle()
        await room.settle()
        assert await states(register) == [("d1", "moved"), ("d2", "moved"), ("d1", "offline")]
        assert await nodes(register, "d1", "d2") == [None, AGAIN]
