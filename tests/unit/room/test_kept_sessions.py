"""Sessions that outlive their connections, as a room deals with them, above a store that a test sees into."""

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import msgspec
import pytest

from longline.errors import TopicTooCostly, Unavailable
from longline.model.commands import Close, CloseReason, Filled, Forward, Resync, SessionsKept
from longline.model.devices import Binding
from longline.model.pubsub import Filter, Publication
from longline.mqtt.packets import (
    MQTT_3_1_1,
    MQTT_5_0,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
    Will,
)
from longline.mqtt.properties import Properties, PropertyId
from longline.mqtt.reasons import ReasonCode
from longline.room.session.inflight import QUEUED
from longline.saver.port.inboxes import Arrival, Arrive
from longline.saver.port.queues import Queued, QueueEntry, Step
from tests.fakes.sessions import FakeSessions
from tests.unit.room.fixture import APP, MAX_EXPIRY, Peer
from tests.unit.room.running import NODE, RunningRoom, Store, a_token

VERSIONS = pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])
NOBODY = ReasonCode.NO_MATCHING_SUBSCRIBERS


class KeepingStore(Store):
    """A store that says of each device whether it has a session of it."""

    in_store: FakeSessions

    async def arrive(self, batch: Sequence[Arrive]) -> list[Arrival | None]:
        return [
            None
            if arrival is None
            else msgspec.structs.replace(arrival, session=(APP, arrival.ordinal) in self.in_store.there)
            for arrival in await super().arrive(batch)
        ]


class KeepingRoom:
    """A running room; what it does is looked at by what its clients get and its store has."""

    def __init__(self) -> None:
        self.store = KeepingStore()
        self.room = RunningRoom(store=self.store)
        self.kept = self.store.in_store = self.room.kept
        self.room.parts.noted.departures = self.room.departures

    async def __aenter__(self) -> Self:
        await self.room.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.room.__aexit__(kind, error, trace)
        assert self.room.parts.faults.counts == {}

    async def connect(
        self,
        device: str,
        version: int = MQTT_5_0,
        *,
        clean: bool = False,
        expiry: int = 100,
        will: Will | None = None,
        properties: Properties | None = None,
    ) -> tuple[Peer, list[Packet]]:
        """A client, and what it got."""
        told = {**(properties or {}), PropertyId.SESSION_EXPIRY_INTERVAL: expiry}
        peer = self.room.parts.peer(version)
        peer.send(
            Connect(
                version,
                device,
                clean,
                0,
                "news",
                a_token(device),
                will,
                told if version == MQTT_5_0 else None,
            )
        )
        return peer, await self.received(peer)

    async def received(self, peer: Peer) -> list[Packet]:
        await self.room.settle()
        return peer.unread()

    async def client(self, device: str, version: int = MQTT_5_0, **options: bool | int | Will) -> Peer:
        peer, packets = await self.connect(device, version, **options)  # type: ignore[arg-type]
        assert isinstance(packets[0], Connack)
        assert packets[0].reason == 0, packets
        return peer

    async def subscriber(self, device: str, *filters: str, qos: int = 2, version: int = MQTT_5_0) -> Peer:
        peer = await self.client(device, version)
        peer.send(Subscribe(1, [Subscription(filter, qos) for filter in filters]))
        assert Suback(1, [qos] * len(filters)) in await self.received(peer)
        return peer

    async def lose(self, peer: Peer) -> None:
        """The connection breaks."""
        peer.wire.abort()
        await self.room.settle()

    async def publish(
        self, peer: Peer, topic: str, payload: bytes = b"x", qos: int = 1, id: int = 1
    ) -> Puback | Pubrec:
        """The answer to a publication."""
        peer.send(Publish(topic, payload, qos, packet_id=id))
        answers = [p for p in await self.received(peer) if isinstance(p, (Puback, Pubrec))]
        assert len(answers) == 1, answers
        return answers[0]

    def called(self) -> list[str]:
        """What the store was asked since the last look."""
        calls, self.kept.calls = self.kept.calls, []
        return calls


def messages(packets: Sequence[Packet]) -> list[Publish]:
    return [packet for packet in packets if isinstance(packet, Publish)]


# --- who comes to the store at all ---


@VERSIONS
async def test_who_keeps_nothing_never_costs_a_call(version: int) -> None:
    """But for one that asks whether the app has such sessions, when its first client comes."""
    async with KeepingRoom() as room:
        peers = [await room.client(f"d{n}", version, clean=True, expiry=0) for n in range(3)]
        for peer in peers:
            peer.send(Subscribe(1, [Subscription("a", 2)]))
        assert (await room.publish(peers[0], "a", qos=1)).reason == 0
        assert (await room.publish(peers[0], "a", qos=2, id=2)).reason == 0
        for peer in peers:
            await room.lose(peer)
        assert room.called() == ["wanted"]
        assert peers[0].connection.session is None


async def test_an_app_is_asked_about_once_for_as_long_as_nobody_says_otherwise() -> None:
    async with KeepingRoom() as room:
        for _ in range(3):
            peer = await room.client("d", clean=True, expiry=0)
            peer.send(Disconnect())
            await room.room.settle()
        assert room.called() == ["wanted"]
        await room.room.bus.send(NODE, [SessionsKept(APP, "other", 7)])
        peer = await room.client("d", clean=True, expiry=0)
        assert (await room.publish(peer, "a")).reason == NOBODY
        assert room.called() == ["publish"]


async def test_rooms_are_told_of_many_apps_side_by_side() -> None:
    """What one app's news takes to another room and back is not paid for each app again."""
    async with KeepingRoom() as room:
        bus, hearing = room.room.bus, room.room.parts.hearing
        await bus.open("other")
        announcing = asyncio.create_task(room.room.parts.kept_apps.announce([3, 4, 5]))
        await room.room.settle()
        told = [command for command in await bus.receive("other") if isinstance(command, SessionsKept)]
        assert {command.app for command in told} == {3, 4, 5}
        hearing.heard("other", [command.asks for command in told])
        await announcing


async def test_a_client_is_not_let_in_while_nobody_knows_what_its_app_has() -> None:
    async with KeepingRoom() as room:
        room.kept.faults["wanted"] = [Unavailable()]
        _, packets = await room.connect("d", clean=True, expiry=0)
        assert packets == [Connack(False, ReasonCode.SERVER_UNAVAILABLE)]
        await room.client("d", clean=True, expiry=0)


async def test_a_clean_start_ends_what_was_kept_and_asks_for_nothing_more() -> None:
    async with KeepingRoom() as room:
        await room.lose(await room.subscriber("d", "a"))
        assert (APP, 0) in room.kept.there
        peer, packets = await room.connect("d", clean=True, expiry=0)
        assert isinstance(packets[0], Connack)
        assert not packets[0].session_present
        await room.lose(peer)
        assert room.kept.there == {}
        room.called()
        await room.client("d", clean=True, expiry=0)
        assert room.called() == []


# --- subscriptions ---


@VERSIONS
async def test_a_subscription_is_answered_once_it_is_committed_and_all_rooms_know(version: int) -> None:
    async with KeepingRoom() as room:
        await room.room.bus.open("other")
        peer = await room.client("d", version)
        room.kept.faults["subscribe"] = [Unavailable()]
        peer.send(Subscribe(1, [Subscription("a", 1), Subscription("push/x", 1)]), Pingreq())
        packets = await room.received(peer)
        assert packets[0] == Pingresp(), "nobody is kept waiting by what is tried again"
        await room.room.until(lambda: room.kept.there[APP, 0].filters)
        await room.room.settle()
        assert room.kept.there[APP, 0].filters == {"a": Filter("a", 1)}
        [told] = await room.room.bus.receive("other")
        assert told == SessionsKept(APP, NODE, 1)
        assert packets[1:] + peer.unread() == [], "the other room was told, and has not heard yet"
        room.room.parts.hearing.heard("other", (1,))
        await room.room.settle()
        assert peer.unread() == [Suback(1, [1, 1])]
        peer.send(Unsubscribe(2, ["a", "b"]))
        nothing = ReasonCode.NO_SUBSCRIPTION_EXISTED if version == MQTT_5_0 else 0
        expected = Unsuback(2, [0, nothing] if version == MQTT_5_0 else [])
        assert await room.received(peer) == [expected]
        assert room.kept.there[APP, 0].filters == {}


async def test_what_a_session_had_is_in_force_with_connack() -> None:
    async with KeepingRoom() as room:
        first = await room.client("d")
        options = Subscription("a/+", 0, no_local=True, retain_as_published=True)
        first.send(
            Subscribe(1, [options, Subscription("b", 0)], {PropertyId.SUBSCRIPTION_IDENTIFIER: [9]}),
        )
        await room.received(first)
        await room.lose(first)
        assert room.room.parts.sessions.tenants == {}  # nothing of it is left in the room
        publisher = await room.client("p", clean=True, expiry=0)
        second, packets = await room.connect("d")
        assert isinstance(packets[0], Connack)
        assert packets[0].session_present
        publisher.send(Publish("a/b", b"1"), Publish("b", b"2"))
        got = messages(await room.received(second))
        assert [(m.payload, m.properties) for m in got] == [
            (b"1", {PropertyId.SUBSCRIPTION_IDENTIFIER: [9]}),
            (b"2", {PropertyId.SUBSCRIPTION_IDENTIFIER: [9]}),
        ]
        second.send(Publish("a/b", b"3"))
        assert messages(await room.received(second)) == []


# --- messages ---


@VERSIONS
async def test_a_message_goes_through_the_queue_of_who_is_connected_and_comes_once(version: int) -> None:
    async with KeepingRoom() as room:
        peer = await room.subscriber("d", "a", version=version)
        publisher = await room.client("p", clean=True, expiry=0)
        room.called()
        for qos in (1, 2):
            assert (await room.publish(publisher, "a", b"%d" % qos, qos, qos)).reason == 0
        publisher.send(Publish("a", b"0", 0))
        got = messages(await room.received(peer))
        assert [(m.payload, m.qos, m.dup) for m in got] == [
            (b"1", 1, False),
            (b"2", 2, False),
            (b"0", 0, False),
        ]
        assert [m.packet_id for m in got[:2]] == [QUEUED + 1, QUEUED + 2]
        peer.send(Puback(QUEUED + 1), Pubrec(QUEUED + 2))
        assert await room.received(peer) == [Pubrel(QUEUED + 2)]
        assert room.kept.there[APP, 0].released == {2}
        peer.send(Pubcomp(QUEUED + 2))
        await room.received(peer)
        assert room.kept.there[APP, 0].queue == {}
        assert room.kept.there[APP, 0].released == set()


async def test_who_has_no_session_that_is_kept_gets_it_without_waiting_for_the_store() -> None:
    async with KeepingRoom() as room:
        await room.subscriber("d", "a")
        other = await room.client("o", clean=True, expiry=0)
        other.send(Subscribe(1, [Subscription("a", 1)]))
        publisher = await room.client("p", clean=True, expiry=0)
        await room.received(other)
        room.kept.faults["publish"] = [Unavailable()]
        publisher.send(Publish("a", b"x", 1, packet_id=1))
        assert [m.payload for m in messages(await room.received(other))] == [b"x"]
        assert publisher.unread() == []
        await room.room.until(lambda: room.kept.there[APP, 0].queue)
        assert await room.received(publisher) == [Puback(1)]
        assert messages(await room.received(other)) == []


@pytest.mark.parametrize(
    ("topic", "reason"),
    [("full", ReasonCode.QUOTA_EXCEEDED), ("dear", ReasonCode.QUOTA_EXCEEDED), ("none", NOBODY)],
)
async def test_a_publisher_is_told_when_no_queue_has_its_message(topic: str, reason: int) -> None:
    async with KeepingRoom() as room:
        await room.subscriber("d", "full", "dear")
        room.kept.full = {"full"}
        room.kept.declines = {"dear": TopicTooCostly.code}
        publisher = await room.client("p", clean=True, expiry=0)
        for qos in (1, 2):
            assert (await room.publish(publisher, topic, qos=qos, id=qos)).reason == reason
        other = await room.client("o", clean=True, expiry=0)
        other.send(Subscribe(1, [Subscription("#", 1)]))
        await room.received(other)
        refused = topic == "dear"
        assert (await room.publish(publisher, topic, id=3)).reason == (reason if refused else 0)


async def test_a_message_from_a_room_that_knows_of_no_queues_comes_directly() -> None:
    async with KeepingRoom() as room:
        peer = await room.subscriber("d", "a")
        tenant = room.room.parts.sessions.tenants[APP]
        for queued in (False, True):
            forward = Forward(APP, "a", b"%d" % queued, 1, queued=queued)
            packet = Publish("a", forward.payload, 1)
            room.room.parts.fanout.distribute(tenant, packet, lambda reason: None, "", queued)
        assert [(m.payload, m.packet_id) for m in messages(await room.received(peer))] == [(b"0", 1)]


async def test_what_comes_to_a_kept_session_directly_has_qos_1_at_most() -> None:
    """Its identifier ends with the connection, and the client would remember it with QoS 2."""
    async with KeepingRoom() as room:
        peer = await room.subscriber("d", "a")
        tenant = room.room.parts.sessions.tenants[APP]
        room.room.parts.fanout.distribute(tenant, Publish("a", b"x", 2), lambda reason: None, "", False)
        assert [(m.payload, m.qos) for m in messages(await room.received(peer))] == [(b"x", 1)]


async def test_no_more_is_read_than_the_client_takes_and_more_when_it_has_room() -> None:
    async with KeepingRoom() as room:
        await room.lose(await room.subscriber("d", "a"))
        publisher = await room.client("p", clean=True, expiry=0)
        for number in range(9):
            await room.publish(publisher, "a", b"%d" % number)
        peer, packets = await room.connect("d", properties={PropertyId.RECEIVE_MAXIMUM: 2})
        seen: list[int] = []
        while got := messages(packets):
            assert len(got) <= 2
            seen += [int(m.payload) for m in got]
            peer.send(*(Puback(m.packet_id) for m in got))
            packets = await room.received(peer)
        assert seen == list(range(9))
        assert room.kept.there[APP, 0].queue == {}


@pytest.mark.parametrize("takeovers", [1, 3])
async def test_who_is_back_while_the_queue_is_read_for_the_connection_before_gets_all_of_it(
    takeovers: int,
) -> None:
    """Each connection is a session of its own here, and asks for itself, whatever was read for another."""
    async with KeepingRoom() as room:
        await room.lose(await room.subscriber("d", "a"))
        publisher = await room.client("p", clean=True, expiry=0)
        await room.publish(publisher, "a", b"1")
        hold = room.kept.holds["read"] = asyncio.Event()
        before = await room.client("d")
        clients = [await room.client("d") for _ in range(takeovers)]  # while the first reads
        await room.publish(publisher, "a", b"2", id=2)
        hold.set()
        got = messages(await room.received(clients[-1]))
        assert [message.payload for message in got] == [b"1", b"2"]
        assert messages(await room.received(before)) == []


async def test_an_identifier_that_is_in_use_is_waited_for() -> None:
    async with KeepingRoom() as room:
        await room.lose(await room.subscriber("d", "a"))
        stored = room.kept.there[APP, 0]
        for place in (1, 2, QUEUED + 1, QUEUED + 2):
            publication = Publication(f"{place:036}", "a", b"%d" % place, 1)
            stored.queue[place] = QueueEntry(place, publication, 1, False)
        stored.latest = QUEUED + 2
        peer, packets = await room.connect("d")
        assert [int(m.payload) for m in messages(packets)] == [1, 2]
        peer.send(Puback(QUEUED + 2))
        assert messages(await room.received(peer)) == []
        peer.send(Puback(QUEUED + 1))
        got = messages(await room.received(peer))
        assert [(int(m.payload), m.packet_id) for m in got] == [
            (QUEUED + 1, QUEUED + 1),
            (QUEUED + 2, QUEUED + 2),
        ]


async def test_what_an_earlier_connection_was_sent_is_marked_and_keeps_its_identifier() -> None:
    async with KeepingRoom() as room:
        first = await room.subscriber("d", "a")
        publisher = await room.client("p", clean=True, expiry=0)
        await room.publish(publisher, "a", b"1")
        await room.publish(publisher, "a", b"2", 2, 2)
        await room.lose(first)
        await room.publish(publisher, "a", b"3")
        assert room.kept.there[APP, 0].sent == 2
        _, packets = await room.connect("d")
        got = [(m.payload, m.dup, m.packet_id) for m in messages(packets)]
        assert got == [(b"1", True, QUEUED + 1), (b"2", True, QUEUED + 2), (b"3", False, QUEUED + 3)]


async def test_what_is_acknowledged_before_it_is_noted_costs_no_note() -> None:
    async with KeepingRoom() as room:
        peer = await room.subscriber("d", "a")
        publisher = await room.client("p", clean=True, expiry=0)
        hold = room.kept.holds["settle"] = asyncio.Event()
        for number in (1, 2):
            await room.publish(publisher, "a", b"%d" % number)
            await room.received(peer)
        peer.send(Puback(QUEUED + 1), Puback(QUEUED + 2))
        await room.received(peer)
        hold.set()
        await room.room.settle()
        steps = [(settle.place, settle.step) for settle in room.kept.settled]
        assert steps == [(1, Step.SENT), (1, Step.SETTLED), (2, Step.SETTLED)]


async def test_a_note_that_the_store_does_not_take_is_made_again() -> None:
    async with KeepingRoom() as room:
        peer = await room.subscriber("d", "a")
        publisher = await room.client("p", clean=True, expiry=0)
        room.kept.faults["settle"] = [Unavailable()]
        await room.publish(publisher, "a", b"1")
        await room.received(peer)
        await room.room.until(lambda: room.kept.there[APP, 0].sent == 1)


async def test_pubrel_is_sent_when_the_store_knows_and_again_to_the_next_connection() -> None:
    async with KeepingRoom() as room:
        first = await room.subscriber("d", "a")
        publisher = await room.client("p", clean=True, expiry=0)
        await room.publish(publisher, "a", b"1", 2)
        await room.received(first)
        room.kept.faults["settle"] = [Unavailable()]
        first.send(Pubrec(QUEUED + 1))
        assert await room.received(first) == []
        await room.room.until(lambda: room.kept.there[APP, 0].released)
        assert await room.received(first) == [Pubrel(QUEUED + 1)]
        await room.lose(first)
        second, packets = await room.connect("d")
        assert packets[1:] == [Pubrel(QUEUED + 1)]
        second.send(Pubcomp(QUEUED + 1))
        await room.received(second)
        assert room.kept.there[APP, 0].released == set()


async def test_a_message_of_another_qos_is_answered_wrongly() -> None:
    async with KeepingRoom() as room:
        peer = await room.subscriber("d", "a")
        publisher = await room.client("p", clean=True, expiry=0)
        await room.publish(publisher, "a", b"1", 2)
        await room.received(peer)
        peer.send(Puback(QUEUED + 1))
        assert await room.received(peer) == [Disconnect(ReasonCode.PROTOCOL_ERROR)]


async def test_a_message_that_the_client_refuses_is_over() -> None:
    async with KeepingRoom() as room:
        peer = await room.subscriber("d", "a")
        publisher = await room.client("p", clean=True, expiry=0)
        await room.publish(publisher, "a", b"1", 2)
        await room.received(peer)
        peer.send(Pubrec(QUEUED + 1, ReasonCode.QUOTA_EXCEEDED))
        assert await room.received(peer) == []
        assert room.kept.there[APP, 0].queue == {}


@VERSIONS
async def test_what_comes_with_qos_2_is_known_to_the_next_connection_until_it_is_released(
    version: int,
) -> None:
    async with KeepingRoom() as room:
        await room.subscriber("d", "a")
        first = await room.client("p", version)
        assert await room.publish(first, "a", b"1", 2, 7) == Pubrec(7)
        await room.lose(first)
        second = await room.client("p", version)
        assert await room.publish(second, "a", b"1", 2, 7) == Pubrec(7)
        assert len(room.kept.there[APP, 0].queue) == 1
        room.kept.faults["complete"] = [Unavailable()]
        second.send(Pubrel(7), Disconnect())
        assert await room.received(second) == []
        await room.room.until(lambda: not room.kept.there[APP, 1].received)
        assert await room.received(second) == [Pubcomp(7)]
        assert second.over


async def test_news_are_for_who_is_here_and_harm_nobody_else() -> None:
    async with KeepingRoom() as room:
        peer = await room.subscriber("d", "a")
        await room.client("clean", clean=True, expiry=0)
        stored = room.kept.there[APP, 0]
        stored.queue[1] = QueueEntry(1, Publication("0" * 36, "a", b"1", 1), 1, False)
        stored.latest = 1
        await room.room.bus.send(NODE, [Filled(APP, ("nobody", "clean", "d")), Filled(99, ("d",))])
        assert [m.payload for m in messages(await room.received(peer))] == [b"1"]
        await room.room.bus.send(NODE, [Filled(APP, ("d",))])
        assert messages(await room.received(peer)) == []


# --- ends ---


@pytest.mark.parametrize(
    ("said", "will", "expires_in"),
    [
        (None, True, None),
        (Disconnect(), False, None),
        (Disconnect(ReasonCode.DISCONNECT_WITH_WILL_MESSAGE), True, None),
        (Disconnect(0, {PropertyId.SESSION_EXPIRY_INTERVAL: 5}), False, 5),
        (Disconnect(0, {PropertyId.SESSION_EXPIRY_INTERVAL: 10**9}), False, MAX_EXPIRY),
    ],
)
async def test_the_store_is_told_how_a_client_goes(
    said: Disconnect | None, will: bool, expires_in: int | None
) -> None:
    async with KeepingRoom() as room:
        peer = await room.client("d", will=Will("w", b"gone"))
        if said is None:
            await room.lose(peer)
        else:
            peer.send(said)
            await room.room.settle()
        [closed] = room.kept.closed
        assert (closed.will, closed.expires_in) == (will, expires_in)


async def test_a_client_that_comes_right_back_finds_what_it_said_at_its_end() -> None:
    """Its end reaches the store before its next beginning."""
    async with KeepingRoom() as room:
        peer = await room.client("d", will=Will("w", b"gone"))
        room.kept.faults["close"] = [Unavailable(), Unavailable()]
        room.called()
        peer.send(Disconnect(0, {PropertyId.SESSION_EXPIRY_INTERVAL: 0}))
        other, packets = await room.connect("d")
        await room.room.until(lambda: "open" in room.kept.calls)
        packets += await room.received(other)
        assert isinstance(packets[0], Connack)
        assert not packets[0].session_present
        calls = room.called()
        assert calls.index("open") > [n for n, call in enumerate(calls) if call == "close"][2]


async def test_one_that_is_taken_over_while_the_store_opens_it_leaves_nothing_behind() -> None:
    async with KeepingRoom() as room:
        hold = room.store.hold("arrive")
        first = room.room.parts.peer()
        first.send(
            Connect(
                MQTT_5_0, "d", False, 0, "news", a_token("d"), None, {PropertyId.SESSION_EXPIRY_INTERVAL: 9}
            )
        )
        await room.room.settle()
        [binding] = await room.room.register.locate(APP, ["d"])
        assert binding is not None
        await room.room.bus.send(NODE, [Close(APP, "d", binding.epoch, CloseReason.TAKEN_OVER)])
        await room.room.settle()
        hold.set()
        await room.room.settle()
        assert first.over
        assert room.kept.there == {}


async def test_a_session_that_another_connection_has_by_now_lets_nobody_in() -> None:
    async with KeepingRoom() as room:
        await room.lose(await room.client("d"))
        room.kept.there[APP, 0].epoch += 10**9
        _, packets = await room.connect("d")
        assert packets == [Connack(False, ReasonCode.SERVER_UNAVAILABLE)]


# --- another name ---


async def test_sessions_go_on_under_another_name_of_the_node() -> None:
    async with KeepingRoom() as room:
        peer = await room.subscriber("d", "a")
        before = room.kept.there[APP, 0].epoch
        await room.room.rebinding.everybody("n2")
        await room.room.until(lambda: not room.room.rebinding.waiting())
        assert room.kept.there[APP, 0].epoch > before
        peer.send(Subscribe(2, [Subscription("b", 1)]))
        assert Suback(2, [1]) in await room.received(peer)
        await room.lose(peer)
        assert not room.kept.there[APP, 0].connected


async def test_a_session_that_is_over_by_then_does_not_go_on() -> None:
    async with KeepingRoom() as room:
        peer = await room.subscriber("d", "a")
        del room.kept.there[APP, 0]
        await room.room.rebinding.everybody("n2")
        await room.room.until(lambda: not room.room.rebinding.waiting())
        await room.room.settle()
        assert peer.over


# --- what others are told, and what is too much ---


async def test_a_room_elsewhere_is_told_once_for_all_that_waits_and_again_when_the_bus_fails() -> None:
    async with KeepingRoom() as room:
        bus, sent = room.room.bus, list[tuple[str, Filled]]()
        failing = [True]

        async def send(node: str, commands: Sequence[Filled]) -> None:
            if failing:
                failing.pop()
                raise Unavailable
            sent.extend((node, command) for command in commands)

        bus.send = send  # type: ignore[method-assign, assignment]
        here, there = Binding(NODE, 1, 1), Binding("other", 2, 1)
        queued = [Queued("a", 1, there), Queued("b", 2, there), Queued("c", 3, here), Queued("d", 4, None)]
        room.room.parts.news.add(APP, queued)
        room.room.parts.news.add(APP, queued)
        await room.room.until(lambda: sent)
        assert sent == [("other", Filled(APP, ("a", "b")))]
        await room.room.until(lambda: not room.room.parts.news.waiting())


async def test_after_commands_were_lost_every_queue_is_read_and_apps_are_asked_about_again() -> None:
    async with KeepingRoom() as room:
        peer = await room.subscriber("d", "a")
        await room.client("p", clean=True, expiry=0)
        tenant = room.room.parts.sessions.tenants[APP]
        stored = room.kept.there[APP, 0]
        stored.queue[1] = QueueEntry(1, Publication("0" * 36, "a", b"1", 1), 1, False)
        stored.latest = 1
        tenant.queues = False
        room.called()
        await room.room.bus.send(NODE, [Resync()])
        assert [m.payload for m in messages(await room.received(peer))] == [b"1"]
        assert tenant.queues
        assert "wanted" in room.called()


async def test_what_cannot_be_found_out_counts_as_a_yes() -> None:
    async with KeepingRoom() as room:
        await room.client("p", clean=True, expiry=0)
        room.kept.faults["wanted"] = [Unavailable()]
        await room.room.bus.send(NODE, [Resync()])
        await room.room.until(lambda: room.room.parts.sessions.tenants[APP].queues)


async def test_who_publishes_more_than_the_store_takes_waits_and_loses_nothing() -> None:
    async with KeepingRoom() as room:
        parts = room.room.parts
        peer = await room.subscriber("d", "a")
        publisher = await room.client("p", clean=True, expiry=0)
        hold = room.kept.holds["publish"] = asyncio.Event()
        parts.deposits._limit = 3
        publisher.send(*(Publish("a", b"%d" % n, 1, packet_id=n) for n in range(1, 9)), Pingreq())
        assert await room.received(publisher) == []
        assert parts.deposits.waiting() == 3
        hold.set()
        got: list[int] = []
        while packets := messages(await room.received(peer)):
            got += [int(m.payload) for m in packets]
            peer.send(*(Puback(m.packet_id) for m in packets))
        assert got == list(range(1, 9))
        answers = publisher.unread()
        assert [a.packet_id for a in answers if isinstance(a, Puback)] == list(range(1, 9))
        assert Pingresp() in answers
