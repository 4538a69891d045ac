"""What devices tell their app servers, from the packet to the answer, above a store that a test sees into."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import msgspec
import pytest
import pytest_asyncio

from longline.delivery.replies import MAX_BYTES, ReplyAddress, reply_address
from longline.errors import LonglineError, ReplyInvalid, StoreError, Unavailable
from longline.model.events import RECEIPT, UPSTREAM, Event
from longline.mqtt.packets import MQTT_3_1_1, MQTT_5_0, Puback, Publish, Pubrec
from longline.mqtt.properties import Properties, PropertyId
from longline.mqtt.reasons import ReasonCode
from longline.room.platform.handlers import Platform
from longline.room.platform.receipts import AppReceipts
from longline.room.platform.upstream import UpstreamMessages
from longline.room.platform.writer import EventWriter
from longline.room.session.session import Persistence
from longline.saver.port.events import EventPage
from longline.saver.port.queues import Declined, Published, QueuePublication
from longline.testing.clock import settle
from tests.unit.room.fixture import APP, NOW_MS, Peer, RoomFixture

MESSAGE = "01890a5d-ac96-774b-bcce-b302099a8057"
LIMIT = 10


class Store:
    """Keeps events, unless it is told to fail."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.once: list[QueuePublication] = []
        self.failures: list[LonglineError | Exception] = []
        self.poison: set[bytes] = set()
        self.declines: list[str] = []
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()

    async def append(self, batch: Sequence[Event]) -> None:
        await self.may_go_on.wait()
        if self.failures:
            raise self.failures.pop(0)
        if self.poison & {event.payload for event in batch}:
            raise StoreError("this one cannot be stored")
        self.events += batch

    async def read(self, app: int, after: str, limit: int) -> EventPage:
        raise AssertionError("nobody reads here")

    async def end(self, app: int) -> str:
        raise AssertionError("nobody reads here")

    async def ends(self, apps: Sequence[int]) -> list[str]:
        raise AssertionError("nobody reads here")

    async def carry(self, limit: int) -> int:
        raise AssertionError("nobody carries anything on here")

    async def publish(self, batch: Sequence[QueuePublication]) -> list[Published | Declined]:
        await self.may_go_on.wait()
        if self.failures:
            raise self.failures.pop(0)
        self.once += batch
        codes = [self.declines.pop(0) if self.declines else "" for _ in batch]
        self.events += [
            item.event for item, code in zip(batch, codes, strict=True) if not code and item.event is not None
        ]
        return [
            Declined(code) if code else Published(item.publication.id)
            for item, code in zip(batch, codes, strict=True)
        ]


async def at_once(seconds: float) -> None:
    await asyncio.sleep(0)


class Room:
    """A room whose writer is at work."""

    def __init__(self) -> None:
        self.store = Store()
        self.parts = RoomFixture(max_packet_size=10_000)
        self.writer = EventWriter(
            self.store,
            self.store,  # type: ignore[arg-type]  # of a `QueueStore` nothing else is asked for
            self.parts.counters,
            self.parts.turn,
            self.parts.faults,
            self.parts.pace,
            limit=LIMIT,
            limit_bytes=100_000,
            sleep=at_once,
        )
        self.parts.services.platform = Platform(
            {
                "up/…": UpstreamMessages(self.writer, lambda: NOW_MS),
                "event/{message_id}/{name}": AppReceipts(self.writer, lambda: NOW_MS),
            },
            again=("up/…",),
        )

    def kept(self, device: str) -> Peer:
        """A client whose session the store keeps."""
        peer = self.parts.client(device)
        session = self.parts.sessions.find(APP, device)
        assert session is not None
        session.kept = Persistence(5)
        session.kept.number, session.kept.durable = 3, True
        return peer

    async def heard(self, peer: Peer) -> list[object]:
        await settle()
        self.parts.turns.settle()
        await settle()
        return list(peer.receive())

    @property
    def payloads(self) -> list[bytes]:
        return [event.payload for event in self.store.events]


@pytest_asyncio.fixture
async def room() -> AsyncIterator[Room]:
    room = Room()
    running = asyncio.create_task(room.writer.run())
    yield room
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_an_event_says_what_was_published(room: Room) -> None:
    peer = room.parts.client("phone")
    peer.send(
        Publish(
            "up/a/b",
            b"\xff",
            1,
            dup=True,
            packet_id=1,
            properties={
                PropertyId.CONTENT_TYPE: "x/y",
                PropertyId.USER_PROPERTY: [("a", "1")],
                PropertyId.RESPONSE_TOPIC: "answers",
                PropertyId.CORRELATION_DATA: b"\x00",
            },
        )
    )
    assert await room.heard(peer) == [Puback(1)]
    (event,) = room.store.events
    assert (event.app, event.kind, event.device, event.at, event.payload) == (
        APP,
        UPSTREAM,
        "phone",
        NOW_MS,
        b"\xff",
    )
    told = msgspec.json.decode(event.data)
    assert (told.pop("id")[14], told.pop("topic"), told.pop("repeated")) == ("7", "up/a/b", True)
    assert reply_address(told.pop("reply_to")) == ReplyAddress(APP, 1, "phone", "answers", b"\x00")
    assert told == {"content_type": "x/y", "user_properties": [["a", "1"]]}
    assert room.parts.counters.upstream_stored == 1


@pytest.mark.parametrize("topic", ["up/n", f"event/{MESSAGE}/shown"])
async def test_an_event_tells_the_name_that_its_device_has_for_it(room: Room, topic: str) -> None:
    """A name that is too long, or empty, is a user property like others."""
    peer = room.parts.client("phone")
    for packet_id, said in enumerate(
        ([("a", "1"), ("send-id", "n1"), ("send-id", "n2")], [("send-id", "x" * 65), ("send-id", "")]), 1
    ):
        properties: Properties = {PropertyId.USER_PROPERTY: [*said]}
        peer.send(Publish(topic, b"", 1, packet_id=packet_id, properties=properties))
    assert await room.heard(peer) == [Puback(1), Puback(2)]
    first, second = (msgspec.json.decode(event.data) for event in room.store.events)
    assert (first["send_id"], second.get("send_id")) == ("n1", None)
    if topic == "up/n":
        assert first["user_properties"] == [["a", "1"], ["send-id", "n2"]]
        assert second["user_properties"] == [["send-id", "x" * 65], ["send-id", ""]]


async def test_a_receipt_says_of_which_message_and_what(room: Room) -> None:
    peer = room.parts.client("phone", MQTT_3_1_1)
    peer.send(Publish(f"event/{MESSAGE.upper()}/shown", b"", 1, packet_id=1))
    assert await room.heard(peer) == [Puback(1)]
    (event,) = room.store.events
    told = msgspec.json.decode(event.data)
    assert (event.kind, told["message_id"], told["name"]) == (RECEIPT, MESSAGE, "shown")


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "grün", "a/b"])
async def test_what_is_no_receipt_is_refused(room: Room, name: str) -> None:
    peer = room.parts.client("phone")
    peer.send(Publish(f"event/{MESSAGE}/{name}", b"", 1, packet_id=1))
    (answer,) = await room.heard(peer)
    assert isinstance(answer, Puback)
    assert answer.reason in (ReasonCode.TOPIC_NAME_INVALID, ReasonCode.NOT_AUTHORIZED)
    assert room.store.events == []


async def test_where_an_answer_goes_has_a_bound(room: Room) -> None:
    peer = room.parts.client("phone")
    properties: Properties = {PropertyId.RESPONSE_TOPIC: "x", PropertyId.CORRELATION_DATA: b"x" * MAX_BYTES}
    peer.send(Publish("up/x", b"", 1, packet_id=1, properties=properties))
    assert await room.heard(peer) == [Puback(1, ReasonCode.QUOTA_EXCEEDED)]
    with pytest.raises(ReplyInvalid):
        reply_address("x")


@pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])
async def test_while_the_store_is_away_nobody_is_answered_and_nothing_is_lost(
    room: Room, version: int
) -> None:
    room.store.failures = [Unavailable("away"), Unavailable("away")]
    peer = room.parts.client("phone", version)
    peer.send(
        Publish("up/1", b"1", 1, packet_id=1), Publish("up/2", b"2", 2, packet_id=2), Publish("up/3", b"3")
    )
    assert await room.heard(peer) == [Puback(1), Pubrec(2)]
    assert room.payloads == [b"1", b"2", b"3"]
    sequences = [event.sequence for event in room.store.events]
    assert sequences == sorted(sequences)


async def test_one_that_cannot_be_stored_takes_no_other_with_it(room: Room) -> None:
    room.store.poison = {b"bad"}
    peer = room.parts.client("phone")
    room.store.may_go_on.clear()
    peer.send(*(Publish("up/x", text, 1, packet_id=n) for n, text in enumerate((b"1", b"bad", b"2"), 1)))
    await settle()
    room.store.may_go_on.set()
    assert await room.heard(peer) == [Puback(1), Puback(2, ReasonCode.UNSPECIFIED_ERROR), Puback(3)]
    assert room.payloads == [b"1", b"2"]
    assert room.parts.counters.upstream_refused == 1
    assert room.parts.faults.counts == {"room.upstream": 1}


async def test_when_too_much_waits_a_client_waits_and_qos_0_is_dropped(room: Room) -> None:
    room.store.may_go_on.clear()
    peer, other = room.parts.client("phone"), room.parts.client("other")
    peer.send(*(Publish("up/x", b"%d" % n, 1, packet_id=n) for n in range(1, LIMIT + 5)))
    other.send(Publish("up/x", b"zero"))
    await settle()
    assert room.writer.waiting() == LIMIT
    assert room.writer.full()
    assert room.parts.counters.upstream_lost == 1
    room.store.may_go_on.set()
    answers = await room.heard(peer)
    while len(answers) < LIMIT + 4:
        answers += await room.heard(peer)
    assert answers == [Puback(n) for n in range(1, LIMIT + 5)]
    assert room.payloads == [b"%d" % n for n in range(1, LIMIT + 5)]


async def test_qos_2_of_a_kept_session_goes_with_its_packet_identifier_and_in_order(room: Room) -> None:
    peer = room.kept("phone")
    peer.send(*(Publish("up/x", b"%d" % n, 2 if n % 3 == 0 else 1, packet_id=n) for n in range(1, 8)))
    answers = await room.heard(peer)
    assert answers == [Pubrec(n) if n % 3 == 0 else Puback(n) for n in range(1, 8)]
    assert room.payloads == [b"%d" % n for n in range(1, 8)]
    received = [item.received for item in room.store.once]
    assert [(each.number, each.epoch, each.packet_id) for each in received if each] == [(3, 5, 3), (3, 5, 6)]
    assert all(not item.event.source for item in room.store.once if item.event)


async def test_one_that_came_under_another_epoch_is_tried_again_under_that_of_now(room: Room) -> None:
    peer = room.kept("phone")
    session = room.parts.sessions.find(APP, "phone")
    assert session is not None
    assert session.kept is not None
    room.store.may_go_on.clear()
    room.store.declines = ["fenced"]
    peer.send(Publish("up/x", b"x", 2, packet_id=1))
    await settle()
    session.kept.epoch = 6
    room.store.may_go_on.set()
    assert await room.heard(peer) == [Pubrec(1)]
    assert [item.received.epoch for item in room.store.once if item.received] == [5, 6]


async def test_one_that_a_room_before_has_taken_goes_to_the_store_again_before_those_behind_it(
    room: Room,
) -> None:
    """That room may have died before it was an event. The store knows it by its packet identifier."""
    peer = room.kept("phone")
    peer.send(Publish("up/x", b"1", 2, packet_id=1))
    assert await room.heard(peer) == [Pubrec(1)]
    peer.send(Publish("up/x", b"1", 2, dup=True, packet_id=1), Publish("up/x", b"2", 1, packet_id=2))
    assert await room.heard(peer) == [Pubrec(1), Puback(2)]
    assert [item.received.packet_id for item in room.store.once if item.received] == [1, 1]


async def test_one_of_a_session_that_another_connection_has_is_not_taken_and_not_answered(room: Room) -> None:
    """With MQTT 3.1.1 a PUBREC would be a yes; its client repeats it to that connection."""
    peer = room.kept("phone")
    room.store.declines = ["fenced"]
    peer.send(Publish("up/x", b"x", 2, packet_id=1))
    assert await room.heard(peer) == []
    assert room.payloads == []
