"""Commands that come late, twice, out of order or not at all: a device gets each push once, and every push.

Several centers store and send at the same time, the coordinator sends again what seems to have been lost,
and a queue may lose commands, which it says. The store below is a small model of a real one.
"""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from longline.model.commands import Broadcast, Command, Part, Resync, Target, Unicast
from longline.model.devices import Binding
from longline.model.ledger import State
from longline.mqtt.packets import Disconnect, Packet, Puback, Publish
from longline.mqtt.properties import PropertyId
from longline.saver.port.inboxes import Arrival, Arrive, Cursor, Fetch, Page, PendingPush, Receipt
from tests.unit.room.fixture import Peer, a_message
from tests.unit.room.running import NODE, RunningRoom, Store
from tests.unit.room.test_admission import topics, unicast

DEVICE = "phone"
EVERYBODY = BitMap([0]).serialize()


class OneDevice(Store):
    """Keeps what waits for one device."""

    def __init__(self) -> None:
        super().__init__()
        self.pushes: list[tuple[bool, int, int]] = []  # broadcast, position, number
        self.broadcasts: set[int] = set()  # their numbers
        self.settled_pushes: set[tuple[bool, int]] = set()
        self.cursor = 0

    def pending(self, broadcast: bool, after: int) -> list[tuple[bool, int, int]]:
        return [
            push
            for push in self.pushes
            if push[0] == broadcast and push[1] > after and push[:2] not in self.settled_pushes
        ]

    async def arrive(self, batch: Sequence[Arrive]) -> list[Arrival | None]:
        pending = bool(self.pending(False, 0) or self.pending(True, self.cursor))
        return [Arrival(0, pending, self.cursor, 0)]

    async def fetch(self, batch: Sequence[Fetch]) -> list[Page]:
        self.fetched.append(list(batch))
        (asked,) = batch
        waiting = self.pending(False, asked.inbox_after) + self.pending(True, asked.log_after)
        waiting.sort(key=lambda push: push[2])
        page = waiting[: asked.limit]
        complete = len(page) == len(waiting)
        read = [position for broadcast, position, _ in (self.pushes if complete else page) if broadcast]
        await self._enter("fetch")  # the answer is on its way
        return [
            Page(
                tuple(
                    PendingPush(a_message(number), position, broadcast, False)
                    for broadcast, position, number in page
                ),
                max(read, default=asked.log_after),
                complete,
            )
        ]

    async def settle(self, batch: Sequence[Receipt]) -> None:
        await self._enter("settle")
        for receipt in batch:
            if receipt.state != State.PENDING:
                self.settled_pushes.add((receipt.broadcast, receipt.position))

    async def advance(self, batch: Sequence[Cursor]) -> None:
        self.cursor = max(self.cursor, *(cursor.log_after for cursor in batch))


class Story:
    """A device, its room, and what is on its way to it."""

    def __init__(self) -> None:
        self.store = OneDevice()
        self.room = RunningRoom(store=self.store)
        self.room.parts.noted.receipts = self.room.receipts
        self.room.parts.noted.departures = self.room.departures
        self.commands: list[Command] = []  # sent, and not yet with the room
        self.carried: list[Command] = []
        self.lost = False
        self.number = 0
        self.got: list[str] = []
        self.latest = 0  # the latest number of those
        self.unacked: list[int] = []
        self.peer: Peer | None = None

    def store_one(self, broadcast: bool) -> None:
        before = max((position for in_log, position, _ in self.store.pushes if in_log), default=0)
        self.number += 1
        position = 10 * self.number
        self.store.pushes.append((broadcast, position, self.number))
        if broadcast:
            self.store.broadcasts.add(self.number)
        message = a_message(self.number)
        if broadcast:
            self.commands.append(Broadcast(7, message, (Part(position, BitMap([0]).serialize(), before),)))
        else:
            target = Target(DEVICE, 0, position, Binding(NODE, 1, 0), 0, before)
            self.commands.append(Unicast(7, message, (target,)))

    async def connect(self) -> None:
        await self.leave()
        self.got, self.latest = [], 0
        self.peer = self.room.connect(DEVICE, properties={PropertyId.RECEIVE_MAXIMUM: 2})
        await self.room.settle()
        self.look()

    async def leave(self) -> None:
        if self.peer is not None:
            self.look()
            self.peer.send(Disconnect())
            await self.room.settle()
        self.peer, self.unacked = None, []

    def look(self) -> None:
        if self.peer is None:
            return
        packets: list[Packet] = self.peer.unread()
        assert not any(isinstance(packet, Disconnect) for packet in packets)
        for packet in packets:
            if isinstance(packet, Publish):
                number = int(packet.topic.removeprefix("push/m"))
                if number in self.store.broadcasts:
                    assert number > self.latest, "a broadcast came behind what was sent after it"
                self.latest = max(number, self.latest)
                self.got.append(packet.topic)
                self.unacked.append(packet.packet_id)
        assert len(self.got) == len(set(self.got)), "written twice to one connection"

    def acknowledge(self, which: int) -> None:
        self.look()
        if self.peer is not None and self.unacked:
            self.peer.send(Puback(self.unacked.pop(which % len(self.unacked))))

    async def carry(self, command: Command) -> None:
        self.carried.append(command)
        await self.room.bus.send(NODE, [command])

    async def step(self, kind: str, which: int) -> None:
        if kind in ("unicast", "broadcast"):
            self.store_one(kind == "broadcast")
        elif kind == "carry" and self.commands:
            await self.carry(self.commands.pop(which % len(self.commands)))
        elif kind == "carry again" and self.carried:
            await self.room.bus.send(NODE, [self.carried[which % len(self.carried)]])
        elif kind == "lose" and self.commands:
            self.commands.pop(which % len(self.commands))
            self.lost = True
        elif kind == "tell" and self.lost:
            self.lost = False
            await self.room.bus.send(NODE, [Resync()])
        elif kind == "acknowledge":
            self.acknowledge(which)
        elif kind == "come back":
            self.open()
            await self.connect()
        elif kind == "store is slow":
            self.store.hold(("settle", "fetch")[which % 2])
        elif kind == "store answers":
            self.open()
        if which % 3:  # else the next step comes at the same moment
            await self.room.settle()
            self.look()

    def open(self) -> None:
        for hold in self.store.holds.values():
            hold.set()
        self.store.holds.clear()

    async def end(self) -> None:
        """Everything that is on its way arrives, and the device acknowledges what it gets."""
        self.open()
        while self.commands:
            await self.carry(self.commands.pop())
        if self.lost:
            await self.room.bus.send(NODE, [Resync()])
        if self.peer is None:
            await self.connect()
        for _ in range(self.number + 10):
            await self.room.settle()
            self.look()
            while self.unacked:
                self.acknowledge(0)
        await self.room.settle()


STEPS = [
    "unicast", "broadcast", "unicast", "broadcast", "carry", "carry", "carry", "carry again", "lose", "tell",
    "acknowledge", "acknowledge", "acknowledge", "come back", "store is slow", "store answers",
]  # fmt: skip


@settings(max_examples=150)
@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 8)), max_size=40))
def test_whatever_happens_on_the_way_every_push_arrives_once(steps: list[tuple[str, int]]) -> None:
    async def tell_story() -> None:
        story = Story()
        async with story.room:
            await story.connect()
            for kind, which in steps:
                await story.step(kind, which)
            await story.end()
            everything = {(broadcast, position) for broadcast, position, _ in story.store.pushes}
            assert story.store.settled_pushes == everything

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("longline.room.push.inbox.LOOK_EVERY", 0)
        asyncio.run(tell_story())


async def test_a_reading_that_began_behind_a_gap_does_not_hide_it() -> None:
    """The second to fourth push come first; the fourth has to be read, and then the first comes."""
    story = Story()
    async with story.room:
        await story.connect()
        for _ in range(4):
            story.store_one(broadcast=False)
        first, *others = story.commands
        story.commands = []
        for command in others:
            await story.carry(command)
        await story.room.settle()
        story.acknowledge(0)
        story.acknowledge(0)
        await story.room.settle()
        story.look()
        assert story.got == ["push/m2", "push/m3", "push/m4"]
        assert story.room.parts.counters.pushes_late == 0
        await story.carry(first)
        await story.room.settle()
        story.look()
        assert story.got == ["push/m2", "push/m3", "push/m4", "push/m1"]
        assert story.room.parts.counters.pushes_late == 1


async def test_what_is_sent_again_though_it_is_on_its_way_costs_no_read() -> None:
    async with RunningRoom() as room:
        peer = await room.client("phone")
        await room.bus.send(NODE, [unicast("phone", 1), unicast("phone", 1)])
        await room.settle()
        assert topics(peer.unread()) == ["push/m1"]
        assert room.store.fetched == []


@pytest.mark.parametrize("qos", [0, 1])
async def test_an_online_only_push_that_is_sent_again_is_written_once(qos: int) -> None:
    async with RunningRoom() as room:
        peer = await room.client("phone")
        message = a_message(1, qos=qos, online_only=True)
        target = Target("phone", 0, 10, Binding(NODE, 1, 0))
        commands: list[Command] = [
            Unicast(7, message, (target,)),
            Broadcast(7, a_message(2, qos=qos, online_only=True), (Part(20, BitMap([0]).serialize()),)),
        ]
        for _ in range(2):
            await room.bus.send(NODE, commands)
            await room.settle()
            for packet in peer.unread():
                assert isinstance(packet, Publish)
                if qos:
                    peer.send(Puback(packet.packet_id))
        assert room.parts.counters.pushes_sent == 2
        assert room.parts.noted.drops == []
        assert [name for _, name, _ in room.store.finished] == ["m2", "m2"]


@pytest.mark.parametrize("newer", [False, True], ids=["newer in the inbox", "newer online only"])
async def test_an_online_only_push_that_comes_late_is_dropped_and_not_written_behind_newer_ones(
    newer: bool,
) -> None:
    async with RunningRoom() as room:
        peer = await room.client("phone")
        late = unicast("phone", 8, online_only=True)
        await room.bus.send(NODE, [unicast("phone", 9, online_only=newer), late])
        await room.bus.send(NODE, [Broadcast(7, a_message(7, online_only=True), (Part(7, EVERYBODY),))])
        await room.settle()
        assert topics(peer.unread()) == ["push/m9"]
        assert room.parts.noted.drops == [("phone", 8, False, "late"), ("phone", 7, True, "late")]


async def test_an_online_only_push_is_dropped_while_it_is_in_doubt_what_goes_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("longline.room.push.inbox.LOOK", 0)
    async with RunningRoom() as room:
        peer = await room.client("phone")
        await room.bus.send(NODE, [Resync(), unicast("phone", 8, online_only=True)])
        await room.settle()
        assert topics(peer.unread()) == []
        assert room.parts.noted.drops == [("phone", 8, False, "busy")]


# --- lost commands -------------------------------------------------------------------------------------


async def test_after_lost_commands_sessions_are_read_for_a_few_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("longline.room.push.inbox.LOOK", 10)
    monkeypatch.setattr("longline.room.push.inbox.LOOK_EVERY", 3600)
    async with RunningRoom() as room:
        peers = [await room.client(f"d{n}") for n in range(30)]
        await room.bus.send(NODE, [Resync(), Resync()])
        await room.settle()
        assert [len(batch) for batch in room.store.fetched] == [10]
        # Who is sent a push meanwhile does not wait for its turn, and the others' does not change.
        room.store.pages[25] = [Page((PendingPush(a_message(1), 1, False, False),), 0, True)]
        await room.bus.send(NODE, [unicast("d25", 1, ordinal=25)])
        await room.settle()
        assert topics(peers[25].unread()) == ["push/m1"]
        assert [len(batch) for batch in room.store.fetched] == [10, 1]
        assert room.inbox.waiting() == 20
