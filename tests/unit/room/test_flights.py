"""Pushes with QoS 2, as a room deals with them: in a connection, and across those of a kept session."""

import asyncio
import random
from collections.abc import Sequence

import msgspec
import pytest

from longline.errors import Unavailable
from longline.model.commands import Unicast
from longline.model.ledger import State
from longline.model.messages import Message
from longline.mqtt.packets import (
    MQTT_3_1_1,
    MQTT_5_0,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
)
from longline.mqtt.properties import Properties, PropertyId
from longline.mqtt.reasons import ReasonCode
from longline.saver.port.flights import BeginFlights, Flight
from longline.saver.port.inboxes import Arrival, Arrive, Fetch, Page, PendingPush, Receipt
from longline.saver.port.sessions import KeptSession, OpenSession
from tests.unit.room.fixture import APP, NOW_MS, Peer, a_message
from tests.unit.room.running import RunningRoom, Store, a_token
from tests.unit.room.test_admission import unicast

VERSIONS = pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])
PHONE = 1  # its ordinal
FOREVER = NOW_MS * 2


def a_push(n: int, qos: int = 2, *, online_only: bool = False) -> Message:
    message = a_message(n, payload=b"%d" % n, qos=qos)
    return msgspec.structs.replace(message, expires_at=FOREVER, online_only=online_only)


class Waiting(Store):
    """A store with a device's inbox and its sessions, which outlive the rooms that are above it."""

    def __init__(self) -> None:
        super().__init__()
        self.inbox: dict[int, Message] = {}  # by position
        self.sent: set[int] = set()
        self.became: dict[int, tuple[State, str | None]] = {}
        self.arrivals["phone"] = Arrival(PHONE, False, 0, 0)

    async def arrive(self, batch: Sequence[Arrive]) -> list[Arrival | None]:
        return [
            None
            if arrival is None
            else msgspec.structs.replace(
                arrival,
                pending=bool(self.inbox),
                session=(APP, arrival.ordinal) in self.kept_sessions.there,
                standing=self.noted_silent.there.get((APP, arrival.ordinal)),
            )
            for arrival in await super().arrive(batch)
        ]

    async def fetch(self, batch: Sequence[Fetch]) -> list[Page]:
        self.fetched.append(list(batch))
        await self._enter("fetch")
        return [self._waits(item) for item in batch]

    def _waits(self, item: Fetch) -> Page:
        found = [n for n in sorted(self.inbox) if n > item.inbox_after]
        return Page(
            tuple([PendingPush(self.inbox[n], n, False, n in self.sent) for n in found[: item.limit]]),
            0,
            len(found) <= item.limit,
        )

    async def settle(self, batch: Sequence[Receipt]) -> None:
        await super().settle(batch)
        for receipt in batch:
            if receipt.state is State.PENDING:
                self.sent.add(receipt.position)
            elif receipt.state is State.ACKED or receipt.position in self.inbox:
                self.became[receipt.position] = (receipt.state, receipt.reason)
                self.inbox.pop(receipt.position, None)

    @property
    def identifiers(self) -> dict[int, tuple[int, bool]]:
        """What the device's session has: each with its push, and whether that is released."""
        session = self.kept_sessions.there[APP, PHONE]
        return {n: (flight.position, flight.released) for n, flight in session.flights.items()}


class Above(RunningRoom):
    """A room above such a store."""

    def __init__(self, store: Waiting, *, limit: int = 100) -> None:
        super().__init__(store=store, limit=limit)
        self.waiting = store
        # What one room has of sessions, the next one finds.
        for name in ("there", "faults", "holds", "calls"):
            setattr(self.kept, name, getattr(store.kept_sessions, name))
        self.parts.noted.departures = self.departures
        self.parts.noted.receipts = self.receipts

    async def phone(
        self,
        version: int = MQTT_5_0,
        *,
        clean: bool = False,
        expiry: int = 100,
        properties: Properties | None = None,
    ) -> tuple[Peer, list[Packet]]:
        """The device connects; what it gets at once behind CONNACK."""
        told: Properties = {**(properties or {}), PropertyId.SESSION_EXPIRY_INTERVAL: expiry}
        peer = self.parts.peer(version)
        known = told if version == MQTT_5_0 else None
        peer.send(Connect(version, "phone", clean, 0, "news", a_token("phone"), None, known))
        await self.settle()
        connack, *packets = peer.unread()
        assert isinstance(connack, Connack)
        assert connack.reason == 0
        return peer, packets

    async def push(self, n: int, qos: int = 2, *, online_only: bool = False) -> None:
        message = a_push(n, qos, online_only=online_only)
        if not online_only:
            self.waiting.inbox[n] = message
        command = unicast("phone", n, ordinal=PHONE)
        assert isinstance(command, Unicast)
        await self.bus.send("n1", [msgspec.structs.replace(command, message=message)])
        await self.settle()

    async def says(self, peer: Peer, *packets: Packet) -> list[Packet]:
        """What the server answers."""
        peer.send(*packets)
        await self.settle()
        return peer.unread()

    async def breaks(self, peer: Peer) -> None:
        peer.wire.abort()
        await self.settle()


def published(packets: Sequence[Packet]) -> list[tuple[str, int, bool]]:
    """Of what came, the messages: id, packet identifier, DUP."""
    return [
        (packet.topic.removeprefix("push/"), packet.packet_id, packet.dup)
        for packet in packets
        if isinstance(packet, Publish)
    ]


# --- in one connection ----------------------------------------------------------------------------------


@VERSIONS
@pytest.mark.parametrize("kept", [False, True])
async def test_a_push_is_acknowledged_in_two_steps_and_settled_by_the_first(version: int, kept: bool) -> None:
    async with Above(Waiting()) as room:
        phone, _ = await room.phone(version, clean=not kept, expiry=100 if kept else 0)
        await room.push(1)
        (packet,) = phone.unread()
        assert isinstance(packet, Publish)
        assert (packet.topic, packet.payload, packet.qos, packet.dup) == ("push/m1", b"1", 2, False)
        assert room.waiting.became == {}
        assert await room.says(phone, Pubrec(packet.packet_id)) == [Pubrel(packet.packet_id)]
        assert room.waiting.became == {1: (State.ACKED, None)}
        assert phone.session.window.free() == phone.session.window.size - 1
        assert await room.says(phone, Pubcomp(packet.packet_id)) == []
        assert phone.session.window.free() == phone.session.window.size
        assert ("begin" in room.kept.calls) is kept
        assert room.parts.counters.pushes_acked == 1


@pytest.mark.parametrize("kept", [False, True])
async def test_a_push_that_is_refused_is_dropped(kept: bool) -> None:
    async with Above(Waiting()) as room:
        phone, _ = await room.phone(clean=not kept, expiry=100 if kept else 0)
        await room.push(1)
        ((_, packet_id, _),) = published(phone.unread())
        assert await room.says(phone, Pubrec(packet_id, ReasonCode.QUOTA_EXCEEDED)) == []
        assert room.waiting.became == {1: (State.DROPPED, "refused_by_client")}
        assert phone.session.window.free() == phone.session.window.size
        if kept:
            assert room.waiting.identifiers == {}


async def test_pubrec_that_comes_twice_is_answered_twice_and_counted_once() -> None:
    async with Above(Waiting()) as room:
        phone, _ = await room.phone()
        await room.push(1)
        ((_, packet_id, _),) = published(phone.unread())
        for _ in range(2):
            assert await room.says(phone, Pubrec(packet_id)) == [Pubrel(packet_id)]
        assert room.parts.counters.pushes_acked == 1


@pytest.mark.parametrize("answer", [Puback, Pubcomp])
async def test_an_answer_of_another_kind_is_an_error(answer: type[Puback] | type[Pubcomp]) -> None:
    async with Above(Waiting()) as room:
        phone, _ = await room.phone()
        await room.push(1)
        ((_, packet_id, _),) = published(phone.unread())
        (goodbye,) = await room.says(phone, answer(packet_id))
        assert isinstance(goodbye, Disconnect)
        assert goodbye.reason == ReasonCode.PROTOCOL_ERROR
        assert room.waiting.inbox.keys() == {1}


async def test_nothing_is_written_before_the_store_has_its_identifier() -> None:
    async with Above(Waiting()) as room:
        phone, _ = await room.phone()
        begin, held = room.kept.begin, asyncio.Event()

        async def later(batch):  # type: ignore[no-untyped-def]
            await held.wait()
            return await begin(batch)

        room.kept.begin = later  # type: ignore[method-assign]
        await room.push(1)
        await room.push(2, 1)
        assert phone.unread() == []
        held.set()
        await room.settle()
        assert [name for name, _, _ in published(phone.unread())] == ["m1", "m2"]


async def test_a_store_that_does_not_answer_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Above(Waiting()) as room:
        phone, _ = await room.phone()
        room.kept.faults["begin"] = [Unavailable(), Unavailable()]
        await room.push(1)
        await room.until(lambda: phone.session.window.inflight and len(phone.session.window.inflight))
        assert [name for name, _, _ in published(phone.unread())] == ["m1"]


async def test_order_holds_among_pushes_of_every_qos() -> None:
    async with Above(Waiting()) as room:
        phone, _ = await room.phone(properties={PropertyId.RECEIVE_MAXIMUM: 3})
        got: list[str] = []
        for n in range(1, 31):
            await room.push(n, n % 3)
        for _ in range(100):
            packets = phone.unread()
            got += [name for name, _, _ in published(packets)]
            for packet in packets:
                if isinstance(packet, Publish) and packet.qos:
                    phone.send(Puback(packet.packet_id) if packet.qos == 1 else Pubrec(packet.packet_id))
                elif isinstance(packet, Pubrel):
                    phone.send(Pubcomp(packet.packet_id))
            await room.settle()
        assert got == [f"m{n}" for n in range(1, 31)]
        assert room.waiting.identifiers == {}


@pytest.mark.parametrize("kept", [False, True])
async def test_what_is_only_for_who_is_connected_comes_with_qos_2_too(kept: bool) -> None:
    async with Above(Waiting()) as room:
        phone, _ = await room.phone(clean=not kept, expiry=100 if kept else 0)
        await room.push(1, online_only=True)
        ((name, packet_id, _),) = published(phone.unread())
        assert name == "m1"
        assert await room.says(phone, Pubrec(packet_id)) == [Pubrel(packet_id)]
        await room.says(phone, Pubcomp(packet_id))
        assert room.waiting.became == {1: (State.ACKED, None)}
        if kept:
            assert room.waiting.identifiers == {}


async def test_what_is_only_for_who_is_connected_is_dropped_where_something_newer_was_written() -> None:
    async with Above(Waiting()) as room:
        phone, _ = await room.phone()
        begin, held = room.kept.begin, asyncio.Event()

        async def later(batch):  # type: ignore[no-untyped-def]
            await held.wait()
            return await begin(batch)

        room.kept.begin = later  # type: ignore[method-assign]
        await room.push(1, online_only=True)
        await room.push(2, 1)
        assert [name for name, _, _ in published(phone.unread())] == ["m2"]
        held.set()
        await room.settle()
        assert phone.unread() == []
        assert room.parts.noted.drops == [("phone", 1, False, "busy")]
        assert room.waiting.identifiers == {}


# --- across connections ---------------------------------------------------------------------------------


async def test_without_a_session_that_is_kept_it_comes_again_as_new() -> None:
    """The message id is what tells the device."""
    async with Above(Waiting()) as room:
        phone, _ = await room.phone(clean=True, expiry=0)
        await room.push(1)
        await room.breaks(phone)
        _, packets = await room.phone(clean=True, expiry=0)
        assert [(name, dup) for name, _, dup in published(packets)] == [("m1", False)]


@VERSIONS
async def test_what_was_not_answered_comes_again_under_its_identifier_and_marked(version: int) -> None:
    async with Above(Waiting()) as room:
        phone, _ = await room.phone(version)
        for n in (1, 2, 3):
            await room.push(n)
        first = published(phone.unread())
        await room.breaks(phone)
        _, packets = await room.phone(version)
        assert published(packets) == [(name, packet_id, True) for name, packet_id, _ in first]


@VERSIONS
async def test_what_the_device_has_is_not_sent_again_but_released_again(version: int) -> None:
    async with Above(Waiting()) as room:
        phone, _ = await room.phone(version)
        await room.push(1)
        ((_, packet_id, _),) = published(phone.unread())
        await room.says(phone, Pubrec(packet_id))
        await room.breaks(phone)
        phone, packets = await room.phone(version)
        assert packets == [Pubrel(packet_id)]
        await room.says(phone, Pubcomp(packet_id))
        assert room.waiting.identifiers == {}
        await room.breaks(phone)
        _, packets = await room.phone(version)
        assert packets == []


async def test_what_the_device_has_is_settled_also_where_the_room_has_died_before_it_was() -> None:
    store = Waiting()
    async with Above(store) as room:
        phone, _ = await room.phone()
        await room.push(1)
        ((_, packet_id, _),) = published(phone.unread())
        store.hold("settle")
        assert await room.says(phone, Pubrec(packet_id)) == [Pubrel(packet_id)]
        assert await room.says(phone, Pubcomp(packet_id)) == []
        assert store.identifiers == {packet_id: (1, True)}  # until its receipt is stored
    del store.holds["settle"]
    assert store.inbox.keys() == {1}
    async with Above(store) as room:
        phone, packets = await room.phone()
        assert packets == [Pubrel(packet_id)]
        assert store.became == {1: (State.ACKED, None)}
        await room.says(phone, Pubcomp(packet_id, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND))
        assert store.identifiers == {}


async def test_what_is_over_meanwhile_is_released_without_being_sent() -> None:
    async with Above(Waiting()) as room:
        phone, _ = await room.phone()
        await room.push(1)
        await room.push(2)
        first, second = [packet_id for _, packet_id, _ in published(phone.unread())]
        await room.breaks(phone)
        del room.waiting.inbox[1]  # cancelled
        phone, packets = await room.phone()
        assert published(packets) == [("m2", second, True)]
        assert Pubrel(first) in packets
        await room.says(phone, Pubcomp(first))
        assert room.waiting.identifiers == {second: (2, False)}


async def test_what_is_over_meanwhile_is_released_also_where_nothing_waits() -> None:
    async with Above(Waiting()) as room:
        phone, _ = await room.phone()
        await room.push(1)
        ((_, packet_id, _),) = published(phone.unread())
        await room.breaks(phone)
        room.waiting.inbox.clear()
        _, packets = await room.phone()
        assert packets == [Pubrel(packet_id)]


async def test_an_identifier_of_before_goes_to_nothing_else() -> None:
    async with Above(Waiting()) as room:
        phone, _ = await room.phone()
        await room.push(1)
        ((_, packet_id, _),) = published(phone.unread())
        await room.breaks(phone)
        hold = room.waiting.hold("fetch")
        phone, _ = await room.phone()
        taken = {phone.session.window.identify(None) for _ in range(20)}
        assert packet_id not in taken
        hold.set()


async def test_a_read_that_ends_after_its_connection_takes_no_identifier_that_the_client_holds() -> None:
    """The session is still this connection's in the store, but its packet identifiers are gone with it."""
    store, receiver = Waiting(), Receiver()
    async with Above(store) as room:
        phone, _ = await room.phone()
        await room.push(1)
        await room.push(2)
        for packet in phone.unread():
            answer = receiver.takes(packet)
            assert answer is not None
            phone.send(answer)
        hold = store.hold("fetch")
        await room.push(3)
        await room.breaks(phone)  # with PUBREL on its way
        held = store.identifiers
        assert held == {packet_id: (n, True) for n, packet_id in enumerate(sorted(receiver.held), 1)}
        del store.holds["fetch"]
        hold.set()
        await room.settle()
        assert store.identifiers == held
        phone, packets = await room.phone()
        for packet in packets:
            receiver.takes(packet)
        assert receiver.taken == ["m1", "m2", "m3"]


async def test_a_push_has_one_identifier_also_where_the_store_has_it_and_its_answer_is_lost() -> None:
    store = Waiting()
    async with Above(store) as room:
        phone, _ = await room.phone()
        begin, lost = room.kept.begin, [True, True]

        async def begin_and_fail(batch: Sequence[BeginFlights]) -> list[bool]:
            answers = await begin(batch)
            if lost:
                lost.pop()
                raise Unavailable
            return answers

        room.kept.begin = begin_and_fail  # type: ignore[method-assign]
        await room.push(1)
        await room.until(lambda: not lost and phone.session.window.free() < phone.session.window.size)
        ((name, packet_id, _),) = published(phone.unread())
        assert name == "m1"
        assert store.identifiers == {packet_id: (1, False)}
        await room.breaks(phone)
        phone, packets = await room.phone()
        assert published(packets) == [("m1", packet_id, True)]


async def test_what_nobody_can_read_leaves_no_identifier_where_the_stores_answer_is_lost() -> None:
    store = Waiting()
    async with Above(store) as room:
        phone, _ = await room.phone()
        begin = room.kept.begin

        async def begin_and_fail(batch: Sequence[BeginFlights]) -> list[bool]:
            await begin(batch)
            raise Unavailable

        room.kept.begin = begin_and_fail  # type: ignore[method-assign]
        await room.push(1, online_only=True)
        assert phone.unread() == []
        assert room.parts.noted.drops == [("phone", 1, False, "busy")]
        assert store.identifiers == {}


async def test_what_another_room_began_after_our_look_at_the_inbox_is_sent_and_not_taken_for_over() -> None:
    store = Waiting()
    async with Above(store) as room:
        phone, _ = await room.phone()
        await room.breaks(phone)
        open = room.kept.open

        async def begin_and_open(batch: Sequence[OpenSession]) -> list[KeptSession | None]:
            store.inbox[1] = a_push(1)
            store.kept_sessions.there[APP, PHONE].flights[7] = Flight(7, 1, False, "m1")
            return await open(batch)

        room.kept.open = begin_and_open  # type: ignore[method-assign]
        _, packets = await room.phone()
        assert published(packets) == [("m1", 7, True)]
        assert store.identifiers == {7: (1, False)}


async def test_a_clean_start_sends_what_waits_as_new() -> None:
    async with Above(Waiting()) as room:
        phone, _ = await room.phone()
        await room.push(1)
        await room.breaks(phone)
        _, packets = await room.phone(clean=True)
        assert [(name, dup) for name, _, dup in published(packets)] == [("m1", False)]


async def test_one_that_was_taken_over_begins_nothing_more() -> None:
    store = Waiting()
    async with Above(store) as room:
        phone, _ = await room.phone()
        store.kept_sessions.there[APP, PHONE].epoch += 1  # it is at another room by now
        await room.push(1)
        assert phone.unread() == []
        assert store.identifiers == {}


class Receiver:
    """A client as the standard has it: it delivers a message when its identifier is not in use [4.3.3-10]."""

    def __init__(self) -> None:
        self.held: set[int] = set()
        self.taken: list[str] = []

    def takes(self, packet: Packet) -> Packet | None:
        """Its answer to what came."""
        if isinstance(packet, Publish) and packet.qos == 2:
            if packet.packet_id not in self.held:
                self.held.add(packet.packet_id)
                self.taken.append(packet.topic.removeprefix("push/"))
            return Pubrec(packet.packet_id)
        if isinstance(packet, Pubrel):
            self.held.discard(packet.packet_id)
            return Pubcomp(packet.packet_id)
        return None


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_breaks_whenever_each_push_is_taken_once_and_in_order(seed: int) -> None:
    """Connections break with packets under way in either direction, rooms die with whatever they had not
    stored, and identifiers come round again."""
    chance = random.Random(seed)
    store, receiver, pushed = Waiting(), Receiver(), 0
    for _ in range(6):
        async with Above(store) as room:
            store.holds.clear()
            if chance.random() < 0.3:
                store.hold("settle")  # what this room hears it forgets
            for _ in range(4):
                phone, packets = await room.phone()
                hears = says = True  # as long as the connection carries anything
                for _ in range(chance.randrange(8)):
                    if chance.random() < 0.5 and pushed < 60:
                        pushed += 1
                        await room.push(pushed)
                    packets += phone.unread()
                    for packet in packets:
                        hears = hears and chance.random() < 0.9
                        answer = receiver.takes(packet) if hears else None
                        says = says and chance.random() < 0.9
                        if answer is not None and says:
                            phone.send(answer)
                    packets = []
                    if chance.random() < 0.7:
                        await room.settle()
                await room.breaks(phone)
    store.holds.clear()
    async with Above(store) as room:
        phone, packets = await room.phone()
        for _ in range(50):
            for packet in packets:
                answer = receiver.takes(packet)
                if answer is not None:
                    phone.send(answer)
            await room.settle()
            packets = phone.unread()
        assert room.parts.faults.counts == {}
    assert receiver.taken == [f"m{n}" for n in range(1, pushed + 1)]
    assert store.inbox == {}
    assert store.identifiers == {}
    assert receiver.held == set()
