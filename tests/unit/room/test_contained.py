"""One item's fault stays its own: the others go on, and it is counted, and logged once."""

import asyncio
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import cast

import pytest
from structlog.testing import capture_logs

from longline.bus.port import Bus
from longline.model.apps import App
from longline.model.commands import Cancelled, Close, CloseReason, Command, Forward, Routes
from longline.model.devices import Binding
from longline.mqtt.packets import (
    Connack,
    Connect,
    Pingreq,
    Pingresp,
    Publish,
    Subscribe,
    Subscription,
)
from longline.mqtt.reasons import ReasonCode
from longline.register.memory import MemoryRegister
from longline.register.port import Bind, Bound, Unbind
from longline.room.counters import RoomCounters
from longline.room.life.takeovers import Takeovers
from longline.room.life.tokens import TokenHolder, by_secret
from longline.room.pubsub.relay import Owed, Relay, RouteCounters
from longline.room.push import commands
from longline.room.push.pushes import Pushes
from longline.room.session.session import Session
from longline.room.wire.ticker import SLICE, Ticker
from longline.saver.port.inboxes import Arrival, Arrive
from longline.telemetry.faults import Faults
from longline.testing.clock import settle
from tests.unit.room.fixture import FakeTransport, Peer, RoomFixture
from tests.unit.room.running import NODE, RunningRoom, Store
from tests.unit.room.test_admission import topics, unicast


class Planted(Exception):
    """What nobody foresaw."""


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[str]]:
    """The places whose faults were logged."""
    places: list[str] = []
    with capture_logs() as logs:
        yield places
        places += [entry["place"] for entry in logs if entry["event"] == "fault"]
        assert len(places) == len(set(places)), "each kind is logged once"


def boom() -> None:
    raise Planted


def break_writes(peer: Peer) -> None:
    """The transport fails as no transport does."""

    def write(data: object) -> None:
        raise Planted

    peer.wire.write = write  # type: ignore[method-assign]


# --- the turn ------------------------------------------------------------------------------------------


def test_a_flush_that_fails_costs_its_own_connection_and_no_other() -> None:
    room = RoomFixture()
    peers = [room.client(name) for name in "abc"]
    for _ in range(2):
        break_writes(peers[0])
        for peer in peers:
            peer.send(Pingreq())
        assert [peer.receive() for peer in peers[1:]] == [[Pingresp()], [Pingresp()]]
        assert peers[0].over
        assert peers[0].wire.aborted
        peers[0] = room.client("a")
    assert room.faults.counts == {"room.turn": 2}


def test_what_goes_on_in_a_later_turn_does_so_whatever_another_raises() -> None:
    room = RoomFixture()
    done: list[str] = []
    room.turn.later(boom)
    room.turn.later(lambda: done.append("b"))

    def bad() -> bool:
        boom()
        return True

    def good() -> bool:
        done.append("d")
        return len(done) < 3

    room.turn.slice(bad)
    room.turn.slice(good)
    room.turns.settle()
    assert done == ["b", "d", "d"]
    assert room.faults.counts == {"room.turn": 2}


def test_a_turn_follows_as_long_as_something_is_left_whatever_the_first_raised() -> None:
    room = RoomFixture(turn_writes=1)
    peers = [room.client(name) for name in "abc"]
    break_writes(peers[0])
    for peer in peers:
        peer.send(Pingreq())
    room.turns.turn()
    assert peers[2].unread() == []
    assert peers[2].receive() == [Pingresp()]
    assert peers[1].receive() == [Pingresp()]


def test_a_packet_that_we_fail_at_ends_its_connection_and_no_other() -> None:
    room = RoomFixture()
    other = room.client("other")
    peer = room.peer()
    room.noted.admission = lambda client, packet: boom()
    peer.send(Connect(5, "phone"))
    assert peer.over
    other.send(Pingreq())
    assert other.receive() == [Pingresp()]
    assert room.faults.counts == {"room.packets": 1}


def test_a_packet_that_we_fail_at_ends_a_connection_that_is_lost_already() -> None:
    room = RoomFixture(turn_budget=1)
    sender = room.client("sender")
    sender.send(*(Publish("t", b"x") for _ in range(4)))
    sender.wire.abort()
    room.fanout.clock = boom  # type: ignore[assignment]
    listener = room.client("listener")
    listener.send(Subscribe(1, [Subscription("t", 0)]))
    assert sender.over
    assert room.counters.connections == 1
    assert [session.device for session in room.noted.gone] == ["sender"]


def test_a_subscriber_that_cannot_be_written_to_costs_the_others_nothing() -> None:
    room = RoomFixture(outbox_bytes=100)
    peers = [room.client(name) for name in "abc"]
    for peer in peers:
        peer.send(Subscribe(1, [Subscription("t", 0)]))
        peer.receive()
    break_writes(peers[1])
    sender = room.client("sender")
    sender.send(Publish("t", b"x" * 80), Publish("t", b"y" * 80))  # the second does not fit beside the first
    for peer in (peers[0], peers[2]):
        assert [packet.payload[:1] for packet in peer.receive() if isinstance(packet, Publish)] == [
            b"x",
            b"y",
        ]
    assert room.faults.counts["room.fanout"] == 1
    assert not sender.over


# --- time ----------------------------------------------------------------------------------------------


async def test_a_deadline_that_we_fail_at_keeps_no_other_from_coming() -> None:
    room = RoomFixture(connect_timeout=1)
    room.services.report = lambda code, peer, message: boom() if peer == "192.0.2.9" else None
    bad, good = room.peer(address=("192.0.2.9", 1)), room.peer()
    seconds: list[int] = []
    clock = Ticker(room.wheel, room.faults, lambda: seconds.append(1))
    for _ in range(3):
        await clock.tick()
    assert good.over
    assert not bad.over
    assert len(seconds) == 3
    assert room.faults.counts == {"room.clock": 1}


async def test_of_very_many_whose_time_is_up_together_others_do_not_wait_for_all() -> None:
    room = RoomFixture(connect_timeout=1)
    peers = [room.peer() for _ in range(3 * SLICE)]
    ended: list[int] = []

    async def look() -> None:
        while True:
            ended.append(sum(peer.connection.ended for peer in peers))
            await asyncio.sleep(0)

    looking = asyncio.create_task(look(), name="look")
    clock = Ticker(room.wheel, room.faults, lambda: None)
    for _ in range(2):
        await clock.tick()
    looking.cancel()
    assert max(after - before for before, after in pairwise(ended)) <= SLICE < ended[-1]
    assert all(peer.over for peer in peers)


# --- commands ------------------------------------------------------------------------------------------


async def test_a_command_that_we_fail_at_holds_up_no_other() -> None:
    async with RunningRoom() as room:
        peer = await room.client("phone")
        room.routes.changed = lambda command: boom()  # type: ignore[method-assign]
        await room.bus.send(NODE, [Routes("b"), unicast("phone", 1), Routes("b"), Cancelled(7, "m")])
        await room.settle()
        assert topics(peer.unread()) == ["push/m1"]
        await room.bus.send(NODE, [unicast("phone", 2)])
        await room.settle()
        assert topics(peer.unread()) == ["push/m2"]
        assert room.parts.faults.counts == {"room.commands": 2}


# --- how clients come and go ---------------------------------------------------------------------------


class OneDeviceFails(Store):
    """A store that chokes on one device."""

    async def arrive(self, batch: Sequence[Arrive]) -> list[Arrival | None]:
        if any(arrive.device == "bad" for arrive in batch):
            raise Planted
        return await super().arrive(batch)


class OneBindFails(MemoryRegister):
    async def bind(self, batch: Sequence[Bind]) -> list[Bound]:
        if any(bind.device == "bad" for bind in batch):
            raise Planted
        return await super().bind(batch)

    async def unbind(self, batch: Sequence[Unbind]) -> list[bool]:
        if any(unbind.device == "gone" for unbind in batch):
            raise Planted
        return await super().unbind(batch)


async def let_in_but_one(room: RunningRoom) -> None:
    peers = [room.connect(name) for name in ("a", "bad", "b")]
    await room.settle()
    answers = [packet for peer in peers for packet in peer.unread() if isinstance(packet, Connack)]
    assert [connack.reason for connack in answers] == [0, ReasonCode.SERVER_UNAVAILABLE, 0]
    assert peers[1].over
    await room.settle()
    assert room.parts.faults.counts == {"room.admission": 1}
    assert room.parts.counters.sessions == 2


async def test_a_token_that_we_fail_at_refuses_its_caller_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def verify(app: App, token: bytes | None, now: int) -> TokenHolder:
        if token == b"bad":
            raise Planted
        return by_secret(app, token, now)

    monkeypatch.setattr("longline.room.life.authority.by_secret", verify)
    async with RunningRoom() as room:
        peers = [room.connect("a"), room.connect("bad", password=b"bad"), room.connect("b")]
        await room.settle()
        answers = [packet for peer in peers for packet in peer.unread() if isinstance(packet, Connack)]
        assert [connack.reason for connack in answers] == [0, ReasonCode.SERVER_UNAVAILABLE, 0]
        assert room.parts.faults.counts == {"room.admission": 1}


async def test_a_device_that_cannot_be_bound_keeps_nobody_else_out() -> None:
    async with RunningRoom(register=OneBindFails()) as room:
        await let_in_but_one(room)


async def test_a_device_that_the_store_chokes_on_keeps_nobody_else_out() -> None:
    async with RunningRoom(store=OneDeviceFails()) as room:
        await let_in_but_one(room)
        assert set(room.parts.sessions.tenants[7].sessions) == {"a", "b"}


async def test_a_departure_that_we_fail_at_keeps_no_other_in_the_table() -> None:
    async with RunningRoom(register=OneBindFails()) as room:
        sessions = [(await room.client(name)).session for name in ("a", "gone", "b")]
        for session in sessions:
            room.departures.add(session)
        await room.departures.finished()
        assert await room.register.count(7) == 1
        assert room.parts.faults.counts == {"room.departures": 1}


class OneNodeFails:
    """The part of a bus that is used."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Command]] = []

    async def send(self, node: str, commands: Sequence[Command]) -> None:
        if node == "bad":
            raise Planted
        self.sent += [(node, command) for command in commands]


async def test_a_takeover_that_cannot_be_told_holds_up_no_other() -> None:
    bus, faults = OneNodeFails(), Faults()
    takeovers = Takeovers(cast(Bus, bus), RoomCounters(), faults)
    task = asyncio.create_task(takeovers.run())
    for node in ("a", "bad", "b"):
        takeovers.add(7, "d", Binding(node, 1, 0))
    await settle()
    assert {
        ("a", Close(7, "d", 1, CloseReason.TAKEN_OVER)),
        ("b", Close(7, "d", 1, CloseReason.TAKEN_OVER)),
    } == set(bus.sent)
    assert takeovers.waiting() == 0
    assert faults.counts == {"room.takeovers": 1}
    task.cancel()


async def test_a_message_that_cannot_be_relayed_is_given_up_and_its_publisher_goes_on() -> None:
    room, bus, faults = RoomFixture(), OneNodeFails(), Faults()
    relay = Relay(
        cast(Bus, bus),
        RouteCounters(),
        faults,
        limit=3,
        failed=lambda node, message: None,
        known=lambda name: True,
        sleep=asyncio.sleep,
    )
    publisher = room.client("p")
    publisher.connection.extras.backlog = []
    task = asyncio.create_task(relay.run())
    for number, node in enumerate(("a", "bad", "b"), 1):
        packet = Publish("t", b"x", 1, packet_id=number)
        owed = Owed(publisher.connection, publisher.connection.owe(packet), True)
        relay.put([node], Forward(7, "t", b"x", 1, b""), owed)
    await settle()
    assert [node for node, _ in bus.sent] == ["a", "b"]
    assert len(publisher.receive()) == 3  # its PUBACKs
    assert publisher.connection.backlog is None
    assert (relay.full(["a", "bad", "b"]), relay.waiting()) == ([], 0)
    assert faults.counts == {"room.relay": 1}
    task.cancel()


def test_a_connection_whose_end_we_fail_at_is_counted_out_all_the_same() -> None:
    room = RoomFixture()
    peer, other = room.client("phone"), room.client("other")
    departed = room.noted.gone
    room.noted.gone = cast(list[object], None)  # type: ignore[assignment]
    peer.wire.abort()
    assert peer.over
    room.noted.gone = departed
    assert room.counters.connections == 1
    assert room.counters.sessions == 1
    assert room.sessions.find(7, "phone") is None
    assert isinstance(other.wire, FakeTransport)
    assert room.faults.counts == {"room.sessions": 1}


# --- what is done for many sessions ----------------------------------------------------------------------


async def test_a_second_passes_whatever_is_done_each_second_raises() -> None:
    room = RoomFixture(connect_timeout=1)
    faults = Faults()
    ticker = Ticker(room.wheel, faults, boom)
    room.peer()
    await ticker.tick()
    await ticker.tick()
    assert faults.counts == {"room.clock": 2}


async def test_what_the_bus_had_taken_when_it_failed_is_found_out_in_other_ways(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(commands, "RETRY_AFTER", 0.0)
    async with RunningRoom() as room:
        receive = room.bus.receive

        async def once(node: str) -> list[Command]:
            monkeypatch.setattr(room.bus, "receive", receive)
            await receive(node)
            raise Planted

        monkeypatch.setattr(room.bus, "receive", once)
        await room.bus.send(NODE, [Close(7, "nobody", 1, CloseReason.KICKED)])
        await room.bus.send(NODE, [Close(7, "nobody", 1, CloseReason.KICKED)])
        await room.settle()
        assert room.parts.faults.counts == {"room.commands": 1}
        assert room.parts.counters.resyncs == 1


async def test_a_session_that_cannot_look_into_the_log_keeps_no_other_from_it() -> None:
    async with RunningRoom() as room:
        for name in "abc":
            await room.client(name)
        looked: list[str] = []

        class Some:
            def lost(self, session: Session) -> None:
                if session.device == "a":
                    raise Planted
                looked.append(session.device)

        room.broadcasts._pushes = cast(Pushes, Some())
        room.broadcasts._left[7] = {0: 1}
        room.broadcasts._wake.set()
        await room.settle()
        assert looked == ["b", "c"]
        assert room.parts.faults.counts == {"room.broadcasts": 1}
