"""What is published with RETAIN is kept, in order, and answered when it is."""

import pytest
import structlog

from longline.errors import StoreError, Unavailable
from longline.model.pubsub import Publication
from longline.mqtt.packets import (
    MQTT_3_1_1,
    MQTT_5_0,
    Disconnect,
    Pingreq,
    Pingresp,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Subscribe,
    Subscription,
)
from longline.mqtt.properties import Properties, PropertyId, pack_message_properties
from longline.mqtt.reasons import ReasonCode
from longline.room.pubsub.retainer import RETRY, Retainer
from tests.unit.room.fixture import APP, NOW_MS
from tests.unit.room.retaining import RetainingRoom

VERSIONS = pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])


def kept(room: RetainingRoom) -> list[tuple[str, bytes]]:
    return [(item.publication.topic, item.publication.payload) for batch in room.store.kept for item in batch]


async def test_a_publication_is_kept_with_all_that_goes_on_to_subscribers() -> None:
    async with RetainingRoom(topic_alias_maximum=4) as room:
        given: Properties = {PropertyId.CONTENT_TYPE: "text/x", PropertyId.USER_PROPERTY: [("k", "v")]}
        between: Properties = {PropertyId.TOPIC_ALIAS: 1, PropertyId.MESSAGE_EXPIRY_INTERVAL: 60}
        room.client("phone").send(Publish("a/b", b"x", 0, retain=True, properties={**given, **between}))
        await room.settle()
        publication = room.store.retained_messages[APP, "a/b"]
        assert publication == Publication(
            id=publication.id,
            topic="a/b",
            payload=b"x",
            qos=0,
            retain=True,
            properties=pack_message_properties(given),
            at=NOW_MS,
            expires_at=NOW_MS + 60_000,
            sender="phone",
        )
        assert len(publication.id) == 36
        assert room.parts.counters.retained_kept == 1


async def test_what_has_no_retain_flag_leaves_what_is_kept_alone() -> None:
    """[MQTT-3.3.1-8]"""
    async with RetainingRoom() as room:
        before = room.has("a")
        room.client("phone").send(Publish("a", b"x", 1, packet_id=1), Publish("a", b""))
        await room.settle()
        assert room.store.kept == []
        assert room.store.retained_messages == {(APP, "a"): before}


@VERSIONS
async def test_who_subscribes_already_gets_it_at_once_and_without_the_flag(version: int) -> None:
    """[MQTT-3.3.1-12], and [MQTT-3.3.1-9] of 3.1.1"""
    async with RetainingRoom() as room:
        peer = await room.subscriber("listener", "a", version=version)
        await room.settle()
        room.store.hold("keep_retained")
        room.client("phone").send(Publish("a", b"x", 1, retain=True, packet_id=1))
        (got,) = await room.published(peer)
        assert (got.payload, got.qos, got.retain) == (b"x", 1, False)


@pytest.mark.parametrize("retain", [False, True])
async def test_who_wants_the_flag_as_published_gets_it_so(retain: bool) -> None:
    """[MQTT-3.3.1-12], [MQTT-3.3.1-13]; also what waits for the window, and what expires"""
    async with RetainingRoom() as room:
        flagged, plain = room.client("flagged", window=1), room.client("plain", window=1)
        flagged.send(Subscribe(1, [Subscription("#", 1, retain_as_published=True)]))
        plain.send(Subscribe(1, [Subscription("#", 1)]))
        await room.settle()
        expiry: Properties = {PropertyId.MESSAGE_EXPIRY_INTERVAL: 60}
        room.client("sender").send(
            Publish("a", b"1", 1, retain, packet_id=1),
            Publish("a", b"2", 1, retain, packet_id=2, properties=expiry),
            Publish("a", b"3", 0, retain),
        )
        room.parts.wall += 20_000
        got = await room.everything(flagged)
        assert [(packet.payload, packet.retain) for packet in got] == [
            (b"1", retain),
            (b"3", retain),
            (b"2", retain),
        ]
        assert got[2].properties == {PropertyId.MESSAGE_EXPIRY_INTERVAL: 40}
        assert {packet.retain for packet in await room.everything(plain)} == {False}


async def test_an_empty_payload_ends_what_is_kept_and_goes_to_who_subscribes() -> None:
    """[MQTT-3.3.1-6], [MQTT-3.3.1-7]"""
    async with RetainingRoom() as room:
        room.has("a")
        peer = await room.subscriber("listener", "a")
        await room.everything(peer)
        phone = room.client("phone")
        phone.send(Publish("a", b"", 1, retain=True, packet_id=1))
        (got,) = await room.published(peer)
        assert got.payload == b""
        assert phone.unread() == [Puback(1)]
        assert room.store.retained_messages == {}


@VERSIONS
async def test_a_publication_is_acknowledged_once_it_is_committed_and_in_its_turn(version: int) -> None:
    """[MQTT-4.6.0-2]"""
    async with RetainingRoom() as room:
        hold = room.store.hold("keep_retained")
        await room.subscriber("listener", "a")
        phone = room.client("phone", version)
        phone.send(
            Publish("a", b"1", 1, packet_id=1),
            Publish("a", b"2", 1, retain=True, packet_id=2),
            Publish("b", b"3", 1, packet_id=3),
            Publish("b", b"4", 1, retain=True, packet_id=4),
            Pingreq(),
        )
        assert await room.receive(phone) == [Puback(1), Pingresp()]
        assert room.parts.counters.messages_in == 4
        hold.set()
        nobody = ReasonCode.NO_MATCHING_SUBSCRIBERS if version == MQTT_5_0 else 0
        assert await room.receive(phone) == [Puback(2), Puback(3, nobody), Puback(4, nobody)]
        assert phone.connection.owing() == 0


@VERSIONS
async def test_one_with_qos_2_has_its_pubrec_when_it_is_committed(version: int) -> None:
    async with RetainingRoom() as room:
        hold = room.store.hold("keep_retained")
        phone = room.client("phone", version)
        packet = Publish("a", b"1", 2, retain=True, packet_id=1)
        phone.send(packet, packet, Publish("a", b"2", 2, packet_id=2))
        assert await room.receive(phone) == []
        hold.set()
        nobody = ReasonCode.NO_MATCHING_SUBSCRIBERS if version == MQTT_5_0 else 0
        assert await room.receive(phone) == [Pubrec(1, nobody), Pubrec(2, nobody)]
        phone.send(packet, Pubrel(1))
        assert await room.receive(phone) == [Pubrec(1), Pubcomp(1)]
        assert kept(room) == [("a", b"1")]


async def test_one_with_qos_2_that_is_refused_may_have_its_identifier_again() -> None:
    """[MQTT-4.3.3-9]"""
    async with RetainingRoom() as room:
        room.store.unretained["a"] = "quota_exceeded"
        phone = room.client("phone")
        packet = Publish("a", b"1", 2, retain=True, packet_id=1)
        phone.send(packet)
        assert await room.receive(phone) == [Pubrec(1, ReasonCode.QUOTA_EXCEEDED)]
        assert phone.reasons == ["the app has as many retained messages as it may"]
        del room.store.unretained["a"]
        phone.send(packet)
        assert await room.receive(phone) == [Pubrec(1, ReasonCode.NO_MATCHING_SUBSCRIBERS)]


async def test_what_comes_while_the_store_works_is_kept_in_the_order_published() -> None:
    async with RetainingRoom() as room:
        hold = room.store.hold("keep_retained")
        phone = room.client("phone")
        phone.send(Publish("a", b"1", 0, retain=True))
        await room.settle()
        phone.send(Publish("a", b"2", 1, retain=True, packet_id=1), Publish("a", b"3", 0, retain=True))
        hold.set()
        await room.settle()
        assert kept(room) == [("a", b"1"), ("a", b"2"), ("a", b"3")]
        assert room.store.retained_messages[APP, "a"].payload == b"3"


@pytest.mark.parametrize(
    ("code", "reason", "told"),
    [
        ("quota_exceeded", ReasonCode.QUOTA_EXCEEDED, ["retained_quota_exceeded"]),
        ("app_not_found", ReasonCode.UNSPECIFIED_ERROR, []),
        (StoreError.code, ReasonCode.UNSPECIFIED_ERROR, []),
    ],
)
@VERSIONS
async def test_a_refusal_is_in_the_puback_and_reaches_who_subscribes_all_the_same(
    version: int, code: str, reason: int, told: list[str]
) -> None:
    async with RetainingRoom() as room:
        peer = await room.subscriber("listener", "a")
        await room.settle()
        room.store.unretained["a"] = code
        phone = room.client("phone", version)
        phone.send(
            Publish("a", b"1", 1, retain=True, packet_id=1),
            Publish("a", b"2", 0, retain=True),
            Publish("b", b"3", 1, retain=True, packet_id=2),
        )
        nobody = ReasonCode.NO_MATCHING_SUBSCRIBERS
        answers = [Puback(1, reason), Puback(2, nobody)] if version == MQTT_5_0 else [Puback(1), Puback(2)]
        assert await room.receive(phone) == answers
        assert [packet.payload for packet in await room.published(peer)] == [b"1", b"2"]
        assert room.parts.counters.retained_refused == 2
        assert room.parts.counters.retained_kept == 1
        assert room.parts.noted.refusals == told


async def test_a_store_that_cannot_be_reached_is_tried_again_and_nothing_changes_its_place() -> None:
    async with RetainingRoom() as room:
        room.store.faults["keep_retained"] = [Unavailable("no store"), Unavailable("no store")]
        phone = room.client("phone")
        phone.send(Publish("a", b"1", 1, retain=True, packet_id=1))
        await room.settle()
        phone.send(Publish("a", b"2", 1, retain=True, packet_id=2))
        assert await room.receive(phone) == []
        await room.clock.advance(4 * RETRY.first)
        nobody = ReasonCode.NO_MATCHING_SUBSCRIBERS
        assert await room.receive(phone) == [Puback(1, nobody), Puback(2, nobody)]
        assert room.store.retained_messages[APP, "a"].payload == b"2"


async def test_what_nobody_foresaw_in_one_message_costs_the_others_nothing() -> None:
    async with RetainingRoom() as room:
        room.store.poison.add("bad")
        phone = room.client("phone")
        with structlog.testing.capture_logs():
            phone.send(
                *(
                    Publish(topic, b"x", 1, retain=True, packet_id=n)
                    for n, topic in enumerate(("a", "bad", "b"), 1)
                )
            )
            answers = await room.receive(phone)
        nobody = ReasonCode.NO_MATCHING_SUBSCRIBERS
        assert answers == [Puback(1, nobody), Puback(2, ReasonCode.UNSPECIFIED_ERROR), Puback(3, nobody)]
        assert room.parts.faults.counts == {"room.retained": 1}


async def test_when_too_many_wait_for_the_store_qos_0_is_dropped_and_qos_1_is_not_read() -> None:
    async with RetainingRoom(retained_limit=3) as room:
        peer = await room.subscriber("listener", "a", window=100)
        await room.settle()
        hold = room.store.hold("keep_retained")
        phone = room.client("phone")
        phone.send(*(Publish("a", b"%d" % n, 0, retain=True) for n in range(5)))
        await room.settle()
        assert room.parts.counters.retained_lost == 2
        assert len(await room.published(peer)) == 5, "they reach who subscribes all the same"
        phone.send(
            Publish("a", b"5", 1, retain=True, packet_id=1),
            Publish("a", b"6", 1, packet_id=2),
        )
        assert await room.receive(phone) == []
        assert not phone.wire.reading
        assert await room.published(peer) == []
        hold.set()
        assert await room.receive(phone) == [Puback(1), Puback(2)]
        assert phone.wire.reading
        assert [payload for _, payload in kept(room)] == [b"0", b"1", b"2", b"5"]
        assert room.parts.counters.messages_in == 7


async def test_what_waits_for_the_store_is_bounded_in_bytes() -> None:
    room = RetainingRoom(max_packet_size=1 << 20)
    parts = room.parts
    retainer = Retainer(room.store.retained, parts.counters, parts.turn, parts.faults, limit_bytes=10_000)
    phone = room.client("phone")
    for _ in range(20):
        retainer.keep(phone.connection, phone.session, Publish("a", b"x" * 1000, 0, retain=True), None, "i")
    assert retainer.waiting() == 8
    assert parts.counters.retained_lost == 12


async def test_a_publisher_that_goes_has_published_all_the_same() -> None:
    async with RetainingRoom() as room:
        hold = room.store.hold("keep_retained")
        phone = room.client("phone")
        phone.send(Publish("a", b"1", 1, retain=True, packet_id=1))
        await room.settle()
        phone.wire.abort()
        hold.set()
        await room.settle()
        assert kept(room) == [("a", b"1")]


async def test_a_disconnect_waits_for_the_answer_that_is_owed() -> None:
    """[MQTT-4.3.2-4]"""
    async with RetainingRoom() as room:
        hold = room.store.hold("keep_retained")
        phone = room.client("phone")
        phone.send(Publish("a", b"1", 1, retain=True, packet_id=1), Disconnect())
        assert await room.receive(phone) == []
        hold.set()
        assert await room.receive(phone) == [Puback(1, ReasonCode.NO_MATCHING_SUBSCRIBERS)]
        assert phone.over


async def test_a_publication_with_very_many_subscribers_is_answered_when_it_is_kept_and_all_have_it() -> None:
    for first in ("kept", "reached"):
        async with RetainingRoom(turn_budget=2) as room:
            peers = [await room.subscriber(f"d{n}", "a") for n in range(9)]
            await room.settle()
            hold = room.store.hold("keep_retained")
            phone = room.client("phone")
            phone.send(Publish("a", b"x", 1, retain=True, packet_id=1), Publish("a", b"y", 1, packet_id=2))
            if first == "kept":
                hold.set()
                assert await room.receive(phone) == [Puback(1), Puback(2)]
            else:
                assert await room.receive(phone) == []
                hold.set()
                assert await room.receive(phone) == [Puback(1), Puback(2)]
            for peer in peers:
                assert [packet.payload for packet in peer.unread() if isinstance(packet, Publish)] == [
                    b"x",
                    b"y",
                ]


async def test_what_is_published_before_a_subscription_in_the_same_room_is_found() -> None:
    """Also with QoS 0, whose publisher does not wait for the store."""
    async with RetainingRoom() as room:
        hold = room.store.hold("keep_retained")
        room.client("phone").send(Publish("a", b"x", 0, retain=True))
        await room.settle()
        peer = room.client("listener")
        peer.send(Subscribe(1, [Subscription("a", 1)]))
        assert await room.published(peer) == []
        assert room.store.found == []
        hold.set()
        (got,) = await room.published(peer)
        assert (got.payload, got.retain) == (b"x", True)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (Publish("b", b"x", 1, packet_id=3), ReasonCode.RECEIVE_MAXIMUM_EXCEEDED),
        (
            Publish("b", b"x", 0, properties={PropertyId.TOPIC_ALIAS: 9}),
            ReasonCode.TOPIC_ALIAS_INVALID,
        ),
        (Publish("", b"x", 0, properties={PropertyId.TOPIC_ALIAS: 1}), ReasonCode.PROTOCOL_ERROR),
    ],
)
async def test_what_is_owed_for_earlier_packets_goes_out_before_a_fault_ends_the_connection(
    wrong: Publish, reason: ReasonCode
) -> None:
    """[MQTT-4.3.2-4]; and nothing behind the fault counts."""
    async with RetainingRoom(receive_maximum=2, topic_alias_maximum=4) as room:
        hold = room.store.hold("keep_retained")
        phone = room.client("phone")
        phone.send(
            Publish("a", b"1", 1, retain=True, packet_id=1),
            Publish("a", b"2", 1, retain=True, packet_id=2),
            wrong,
            Publish("c", b"4", 0),
            Pingreq(),
        )
        assert await room.receive(phone) == []
        assert not phone.over
        hold.set()
        nobody = ReasonCode.NO_MATCHING_SUBSCRIBERS
        assert await room.receive(phone) == [Puback(1, nobody), Puback(2, nobody), Disconnect(reason)]
        assert phone.over
        assert room.parts.counters.messages_in == 2
