"""Rules of an app on live connections: what they deny is refused, and what they deny by now is taken away.

The property is that of `test_acl.py`, by every way that a message takes through a room.
"""

from collections.abc import Iterable

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from longline.model.access import AclRule, AppAccess
from longline.model.apps import App
from longline.mqtt.packets import (
    MQTT_3_1_1,
    MQTT_5_0,
    Packet,
    Puback,
    Publish,
    Suback,
    Subscribe,
    Subscription,
)
from longline.room.pubsub.sifting import SLICE
from longline.testing.clock import settle
from tests.unit.room.fixture import APP, Peer, RoomFixture
from tests.unit.room.retaining import RetainingRoom
from tests.unit.room.running import an_app
from tests.unit.room.test_acl import expression

NOT_AUTHORIZED = 0x87
WAYS = ("subscribe", "publish", "retained", "changed", "waiting")


def ruled(*rules: tuple[str, str]) -> App:
    access = AppAccess(rules=tuple(AclRule(allow, filter) for allow, filter in rules))  # type: ignore[arg-type]
    return msgspec.structs.replace(an_app(number=APP), access=access)


def rule(room: RoomFixture, *rules: tuple[str, str]) -> None:
    """These are the app's rules from now on; nobody has gone through its sessions yet."""
    room.sessions.rule(room.sessions.enter(APP, "news", True), ruled(*rules))


def subscribe(peer: Peer, *filters: str, qos: int = 0) -> list[int]:
    peer.send(Subscribe(1, [Subscription(filter, qos) for filter in filters]))
    (suback,) = [packet for packet in peer.receive() if isinstance(packet, Suback)]
    return [int(reason) for reason in suback.reasons]


def delivered(packets: Iterable[Packet]) -> list[str]:
    return [packet.topic for packet in packets if isinstance(packet, Publish)]


# --- what is refused ---


def test_a_subscription_that_no_rule_covers_is_refused_and_the_others_are_not() -> None:
    room = RoomFixture()
    peer = room.client("phone")
    rule(room, ("subscribe", "home/{device}/#"))
    asked = ("home/phone/a", "home/phone/#", "home/+/a", "home/tablet/a", "#", "push/#")
    assert subscribe(peer, *asked) == [0, 0, NOT_AUTHORIZED, NOT_AUTHORIZED, NOT_AUTHORIZED, 0]
    assert peer.session.subscriptions is not None
    assert set(peer.session.subscriptions) == {"home/phone/a", "home/phone/#"}
    assert room.noted.refusals == ["acl_denied"]


def test_a_client_of_an_older_version_is_told_that_it_failed() -> None:
    room = RoomFixture()
    peer = room.client("phone", MQTT_3_1_1)
    rule(room, ("subscribe", "a"))
    assert subscribe(peer, "b", "a") == [0x80, 0]


def test_a_publication_that_no_rule_allows_reaches_nobody_and_is_answered_so() -> None:
    for version in (MQTT_3_1_1, MQTT_5_0):
        room = RoomFixture()
        reader, writer = room.client("reader"), room.client("writer", version)
        rule(room, ("both", "chat/#"))
        assert subscribe(reader, "chat/#") == [0]
        writer.send(Publish("home/x", b"1", 1, packet_id=1), Publish("chat/x", b"2", 1, packet_id=2))
        first, second = writer.receive()
        assert first == Puback(1, NOT_AUTHORIZED if version == MQTT_5_0 else 0)
        assert second == Puback(2, 0)
        assert delivered(reader.receive()) == ["chat/x"]
        assert room.noted.refusals == ["acl_denied"]


# --- what is taken away ---


def test_new_rules_take_away_what_they_do_not_allow_and_leave_the_rest() -> None:
    room = RoomFixture()
    peer, writer = room.client("phone"), room.client("writer")
    assert subscribe(peer, "a/#", "b/#") == [0, 0]
    rule(room, ("subscribe", "a/#"), ("publish", "#"))
    writer.receive()
    assert peer.session.subscriptions is not None
    assert set(peer.session.subscriptions) == {"a/#"}
    assert not peer.session.tenant.sifting
    writer.send(Publish("a/x", b"1"), Publish("b/x", b"2"))
    assert delivered(peer.receive()) == ["a/x"]
    rule(room)  # no rules any more: everything is allowed, and nothing comes back by itself
    assert subscribe(peer, "b/#") == [0]


def test_before_anybody_was_looked_at_nothing_is_delivered_that_the_rules_deny() -> None:
    room = RoomFixture()
    peer, writer = room.client("phone"), room.client("writer")
    assert subscribe(peer, "a", "b") == [0, 0]
    rule(room, ("subscribe", "a"), ("publish", "#"))
    writer.send(Publish("a", b"1"), Publish("b", b"2"))  # in this very turn
    assert peer.session.subscriptions is not None
    assert set(peer.session.subscriptions) == {"a", "b"}
    assert delivered(peer.receive()) == ["a"]
    assert room.counters.messages_dropped_denied == 1


def test_a_group_gives_nothing_to_a_member_that_the_rules_deny_it_but_to_another() -> None:
    room = RoomFixture()
    phone, tablet, writer = (room.client(name) for name in ("phone", "tablet", "writer"))
    for peer in (phone, tablet):
        assert subscribe(peer, "$share/g/own/+") == [0]
    rule(room, ("subscribe", "own/{device}"), ("publish", "#"))
    writer.send(*(Publish("own/tablet", b"%d" % n) for n in range(4)))  # in this very turn
    assert delivered(phone.receive()) == []
    assert delivered(tablet.receive()) == ["own/tablet"] * 4


def test_messages_that_wait_for_a_window_are_dropped_with_their_subscription() -> None:
    room = RoomFixture(session_queue=10)
    peer, writer = room.client("phone", window=1), room.client("writer")
    assert subscribe(peer, "a", "b", qos=1) == [1, 1]
    for number, topic in enumerate("abab", 1):
        writer.send(Publish(topic, b"x", 1, packet_id=number))
    (first,) = [packet for packet in peer.receive() if isinstance(packet, Publish)]
    assert peer.session.queue is not None
    assert len(peer.session.queue) == 3
    rule(room, ("both", "a"))
    room.turns.settle()
    assert len(peer.session.queue) == 1
    peer.send(Puback(first.packet_id))
    (last,) = [packet for packet in peer.receive() if isinstance(packet, Publish)]
    assert (first.topic, last.topic) == ("a", "a")
    assert peer.session.queue is None
    assert room.counters.messages_dropped_denied == 2


def test_nor_is_one_sent_that_waits_while_nobody_has_gone_through_the_sessions() -> None:
    room = RoomFixture(session_queue=10)
    peer, writer = room.client("phone", window=1), room.client("writer")
    assert subscribe(peer, "b", qos=1) == [1]
    for number in (1, 2):
        writer.send(Publish("b", b"x", 1, packet_id=number))
    (first,) = [packet for packet in peer.receive() if isinstance(packet, Publish)]
    rule(room, ("both", "a"))
    peer.send(Puback(first.packet_id))  # in this very turn
    assert delivered(peer.receive()) == []
    assert peer.session.queue is None


async def test_a_message_that_waits_for_what_is_retained_goes_by_the_rules_of_then() -> None:
    async with RetainingRoom() as room:
        room.has("b/x")
        hold = room.store.hold("find_retained")
        peer, writer = room.client("phone"), room.client("writer")
        peer.send(Subscribe(1, [Subscription("b/#", 0)]))
        await room.settle()
        writer.send(Publish("b/x", b"live"))
        await room.settle()
        rule(room.parts, ("subscribe", "a"))
        await room.settle()
        hold.set()
        assert delivered(await room.receive(peer)) == []


async def test_what_was_read_of_the_retained_goes_by_the_rules_of_then() -> None:
    """The store answers before anybody has gone through the sessions."""
    async with RetainingRoom() as room:
        room.has("b/x")
        hold = room.store.hold("find_retained")
        peer = room.client("phone")
        peer.send(Subscribe(1, [Subscription("b/#", 0)]))
        await room.settle()
        rule(room.parts, ("subscribe", "a"))
        hold.set()
        await settle()  # the tasks, and no turn of the room
        assert room.parts.counters.messages_dropped_denied == 1
        assert delivered(await room.receive(peer)) == []
        assert room.parts.counters.retained_sent == 0


def test_very_many_subscriptions_are_gone_through_in_slices() -> None:
    """Others are served between them; a second change begins anew."""
    room = RoomFixture(max_subscriptions=2 * SLICE, turn_budget=10**6)
    peers = [room.client(name) for name in ("one", "two", "three")]
    for peer in peers:
        subscribe(peer, *(f"b/{number}" for number in range(SLICE)), "a")
    rule(room, ("subscribe", "a"))
    turns = 0
    while peers[0].session.tenant.sifting:
        room.turns.turn()
        turns += 1
    assert turns > 3
    assert [peer.session.subscriptions for peer in peers] == [{"a": 0}] * 3
    rule(room, ("subscribe", "b/#"))
    rule(room, ("subscribe", "a"))
    room.turns.settle()
    assert [peer.session.subscriptions for peer in peers] == [{"a": 0}] * 3


def test_a_message_under_way_to_many_reaches_none_that_may_not_have_it_by_then() -> None:
    room = RoomFixture(turn_budget=2)
    peers = [room.client(f"d{number}") for number in range(9)]
    writer = room.client("writer")
    for peer in peers:
        subscribe(peer, "b")
    writer.send(Publish("b", b"x", 1, packet_id=1))  # more subscribers than a turn may serve
    rule(room, ("subscribe", "a"))
    room.turns.settle()
    assert [delivered(peer.unread()) for peer in peers] == [[]] * 9


# --- all of it ---

LEVEL = st.sampled_from(["a", "b", "+", "{device}", "dev"])
TAILS = st.sampled_from(["", "/#"])
FILTERS = st.builds(
    lambda levels, tail: "/".join(levels) + tail, st.lists(LEVEL, min_size=1, max_size=2), TAILS
)
RULES = st.lists(
    st.tuples(st.sampled_from(["publish", "subscribe", "both"]), FILTERS), min_size=1, max_size=4
)
ASKED = st.lists(FILTERS.map(lambda text: text.replace("{device}", "b")), min_size=1, max_size=4, unique=True)
TOPICS = ["/".join(names) for names in [("a",), ("b",), ("dev",), ("z",)]] + [
    f"{one}/{two}" for one in ("a", "b", "dev", "z") for two in ("a", "b", "dev", "z")
]


def may(rules: Iterable[tuple[str, str]], device: str, way: str) -> set[str]:
    return {
        topic
        for allow, filter in rules
        if allow in (way, "both")
        for topic in TOPICS
        if expression(filter.replace("{device}", device)).fullmatch(topic)
    }


@settings(max_examples=150, deadline=None)
@given(
    before=RULES,
    after=RULES,
    asked=ASKED,
    device=st.sampled_from(["dev", "a", "b"]),
    qos=st.sampled_from([0, 1]),
)
async def test_by_no_way_does_a_message_leak(
    before: list[tuple[str, str]], after: list[tuple[str, str]], asked: list[str], device: str, qos: int
) -> None:
    """Live, retained, held in a queue, and granted before the rules changed: leaks 0."""
    async with RetainingRoom(session_queue=100, max_subscriptions=100, receive_maximum=1000) as room:
        for topic in TOPICS:
            room.has(topic)
        peer, writer = room.client(device, window=2), room.client("writer", MQTT_5_0)
        rule(room.parts, *before)
        peer.send(Subscribe(1, [Subscription(filter, qos) for filter in asked]))
        retained = delivered(await room.everything(peer))
        assert set(retained) <= may(before, device, "subscribe"), "leak: retained"

        for number, topic in enumerate(TOPICS, 1):
            writer.send(Publish(topic, b"live", 1, packet_id=number))
        await room.settle()
        if qos == 0:  # all of it is there by now
            live = set(delivered(peer.unread()))
            assert live <= may(before, device, "subscribe") & may(before, "writer", "publish"), "leak: live"
        else:
            peer.unread()  # the first two; the others wait
        rule(room.parts, *after)
        for number, topic in enumerate(TOPICS, 1):
            writer.send(Publish(topic, b"later", 1, packet_id=100 + number))
        rest = set(delivered(await drained(room, peer)))
        assert rest <= may(after, device, "subscribe"), "leak: granted before the rules changed, or waiting"
        assert not room.parts.faults.counts


async def drained(room: RetainingRoom, peer: Peer) -> list[Packet]:
    """All that a client gets that acknowledges whatever is in flight."""
    found: list[Packet] = []
    window = peer.session.window
    while True:
        found += await room.receive(peer)
        inflight = window.inflight
        ids = [packet_id for packet_id in range(1, 300) if inflight is not None and packet_id in inflight]
        if not ids:
            return found
        peer.send(*(Puback(packet_id) for packet_id in ids))
