"""What devices may not do, and the words in which each version is told."""

import itertools

import pytest

from longline.mqtt.packets import (
    MQTT_3_1,
    MQTT_3_1_1,
    MQTT_5_0,
    PUBLISH,
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
    Unsubscribe,
)
from longline.mqtt.properties import Properties, PropertyId
from longline.mqtt.reasons import ReasonCode
from tests.unit.room.fixture import APP, Peer, RoomFixture

VERSIONS = pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])
FAILURE = ReasonCode.UNSPECIFIED_ERROR  # all that a SUBACK of 3.1.1 knows


def assert_closed(peer: Peer, reason: ReasonCode, code: str) -> None:
    assert peer.receive() == ([Disconnect(reason)] if peer.version == MQTT_5_0 else [])
    assert peer.over
    assert peer.room.counters.closed == {code: 1}
    assert peer.room.counters.refused == {code: 1}


RESERVED = ["push/1", "push", "up/alarm", "group/g", "event/m/shown", "$SYS/x", "$link/attach"]


@pytest.mark.parametrize("topic", RESERVED)
@pytest.mark.parametrize("retain", [False, True])
def test_a_platform_topic_is_refused_in_the_puback_of_mqtt_5(topic: str, retain: bool) -> None:
    room = RoomFixture()
    peer = room.client("phone")
    peer.send(Publish(topic, b"x", 1, retain, packet_id=4))
    assert peer.receive() == [Puback(4, ReasonCode.NOT_AUTHORIZED)]
    assert not peer.over
    assert room.noted.refusals == ["topic_reserved"]
    assert room.retainer.waiting() == 0


REFUSED = [
    *((topic, "topic_reserved") for topic in RESERVED),
    ("a/b/c/d/e/f/g/h/i", "topic_too_deep"),
]


@pytest.mark.parametrize(("topic", "code"), REFUSED)
@pytest.mark.parametrize("retain", [False, True])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_3_1_1_client_whose_publication_is_refused_is_answered_and_stays_for_its_pushes(
    topic: str, code: str, retain: bool, qos: int
) -> None:
    """[MQTT-3.3.5-2] 3.1.1 has no word for no; and who is cut off for it comes back to do the same again."""
    room = RoomFixture()
    listener = room.client("listener")
    listener.send(Subscribe(1, [Subscription("#")]))
    listener.receive()
    peer = room.client("phone", MQTT_3_1_1)
    peer.send(Publish(topic, b"x", qos, retain=retain, packet_id=4 if qos else 0))
    assert peer.receive() == {0: [], 1: [Puback(4)], 2: [Pubrec(4)]}[qos]
    assert not peer.over
    assert room.noted.refusals == [code]
    assert listener.receive() == []
    assert room.retainer.waiting() == 0
    room.offer(peer, 1)
    assert [packet.kind for packet in peer.receive()] == [PUBLISH]


def test_the_exchange_of_a_refused_publication_with_qos_2_comes_to_its_end() -> None:
    room = RoomFixture()
    peer = room.client("phone", MQTT_3_1_1)
    peer.send(Publish("up/x", b"x", 2, packet_id=4), Pubrel(4))
    assert peer.receive() == [Pubrec(4), Pubcomp(4)]
    assert not peer.over
    assert room.counters.refused == {"topic_reserved": 1}


def test_a_refused_publication_with_qos_0_has_no_answer_and_is_counted() -> None:
    room = RoomFixture()
    peer = room.client("phone")
    peer.send(Publish("up/x", b"x"), Publish("up/x", b"x"))
    assert peer.receive() == []
    assert not peer.over
    assert room.counters.refused == {"topic_reserved": 2}
    assert room.noted.refusals == ["topic_reserved"]


@pytest.mark.parametrize("topic", ["pushes", "upper/x", "a/push", "events/x", "grou", "a$"])
def test_topics_that_only_look_like_the_platforms_are_free(topic: str) -> None:
    room = RoomFixture()
    peer = room.client("phone")
    peer.send(Subscribe(1, [Subscription(topic, 0)]), Publish(topic, b"x"))
    assert peer.receive() == [Suback(1, [0]), Publish(topic, b"x")]


def test_without_pubsub_an_app_has_only_what_is_the_platforms() -> None:
    room = RoomFixture(pubsub=False)
    peer = room.client("phone")
    peer.send(
        Publish("a", b"x", 1, packet_id=4), Subscribe(1, [Subscription("a", 1), Subscription("push/#", 1)])
    )
    assert peer.receive() == [Puback(4, ReasonCode.NOT_AUTHORIZED), Suback(1, [ReasonCode.NOT_AUTHORIZED, 1])]


def test_a_topic_with_too_many_levels_is_refused() -> None:
    peer = RoomFixture(max_topic_levels=3).client("phone")
    peer.send(Publish("a/b/c", b"x", 1, packet_id=1), Publish("a/b/c/d", b"x", 1, packet_id=2))
    assert peer.receive() == [
        Puback(1, ReasonCode.NO_MATCHING_SUBSCRIBERS),
        Puback(2, ReasonCode.TOPIC_NAME_INVALID),
    ]


REFUSALS: list[Packet] = [
    Publish("up/x", b"x", 1, packet_id=1),
    Publish("up/x", b"x", 2, packet_id=1),
    Subscribe(1, [Subscription("a"), Subscription("up/x"), Subscription("$SYS/#")]),
    Publish("a", b"x", properties={PropertyId.TOPIC_ALIAS: 9}),  # DISCONNECT
]
WORDS = PropertyId.REQUEST_PROBLEM_INFORMATION


@pytest.mark.parametrize("refused", REFUSALS)
@pytest.mark.parametrize(
    ("version", "asked", "told"),
    [
        (MQTT_5_0, {}, True),
        (MQTT_5_0, {WORDS: 1}, True),
        (MQTT_5_0, {WORDS: 0}, False),
        (MQTT_3_1_1, {}, False),
    ],
)
def test_a_client_is_told_why_in_words_where_it_wants_them(
    version: int, asked: Properties, told: bool, refused: Packet
) -> None:
    """[MQTT-3.1.2-29]"""
    room = RoomFixture()
    peer = room.client("phone", version, properties=asked)
    peer.send(refused)
    peer.receive()
    assert len(peer.reasons) == told
    assert all("x" not in reason.split() for reason in peer.reasons)  # and nothing that it said itself


@pytest.mark.parametrize("asked", [0, 1])
def test_who_is_not_let_in_is_told_why_in_words_where_it_wants_them(asked: int) -> None:
    room = RoomFixture()
    peer = room.peer()
    peer.send(Connect(MQTT_5_0, "phone", properties={WORDS: asked}))
    peer.connection.refuse(ReasonCode.BANNED, "banned", "because")
    assert peer.receive() == [Connack(False, ReasonCode.BANNED)]
    assert peer.reasons == ["because"][:asked]


def test_words_that_do_not_fit_are_left_out() -> None:
    """[MQTT-3.4.2-2], [MQTT-3.14.2-3] and their like"""
    room = RoomFixture()
    peer = room.client("phone", properties={PropertyId.MAXIMUM_PACKET_SIZE: 20})
    peer.send(*REFUSALS)
    refused = ReasonCode.NOT_AUTHORIZED
    assert peer.receive() == [
        Puback(1, refused),
        Pubrec(1, refused),
        Suback(1, [0, refused, refused]),
        Disconnect(ReasonCode.TOPIC_ALIAS_INVALID),
    ]
    assert peer.reasons == []


PLAIN_TEXT: Properties = {PropertyId.PAYLOAD_FORMAT_INDICATOR: 1}


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_payload_that_is_not_the_text_it_says_it_is_goes_to_nobody(qos: int) -> None:
    """Section 3.3.2.3.2"""
    room = RoomFixture()
    listener = room.client("listener")
    listener.send(Subscribe(1, [Subscription("a", 0)]))
    listener.receive()
    peer = room.client("phone")
    good, bad = "grüße".encode(), b"\xff\xfe"
    for packet_id, payload in enumerate((good, bad), 1):
        peer.send(Publish("a", payload, qos, packet_id=packet_id if qos else 0, properties={**PLAIN_TEXT}))
    told = ReasonCode.PAYLOAD_FORMAT_INVALID
    answers = {0: [], 1: [Puback(1), Puback(2, told)], 2: [Pubrec(1), Pubrec(2, told)]}
    assert peer.receive() == answers[qos]
    # [MQTT-3.3.2-4]
    assert listener.receive() == [Publish("a", good, properties={**PLAIN_TEXT})]
    assert room.counters.refused == {"payload_format_invalid": 1}


# --- topic aliases -------------------------------------------------------------------------------------


def test_a_topic_alias_stands_for_its_topic_until_it_is_given_another() -> None:
    """Section 3.3.2.3.4"""
    room = RoomFixture(topic_alias_maximum=2)
    peer = room.client("phone")
    peer.send(Subscribe(1, [Subscription("#")]))
    peer.receive()

    def publish(topic: str, alias: int, payload: bytes) -> Publish:
        return Publish(topic, payload, properties={PropertyId.TOPIC_ALIAS: alias})

    peer.send(publish("a", 1, b"1"), publish("b", 2, b"2"), publish("", 1, b"3"), publish("c", 1, b"4"))
    peer.send(publish("", 1, b"5"), publish("", 2, b"6"))
    got = [(packet.topic, packet.payload) for packet in peer.receive() if isinstance(packet, Publish)]
    assert got == [("a", b"1"), ("b", b"2"), ("a", b"3"), ("c", b"4"), ("c", b"5"), ("b", b"6")]


def test_a_topic_alias_does_not_lead_round_a_reserved_topic() -> None:
    peer = RoomFixture(topic_alias_maximum=2).client("phone")
    for topic in ("up/x", ""):
        peer.send(Publish(topic, b"x", 1, packet_id=1, properties={PropertyId.TOPIC_ALIAS: 1}))
        assert peer.receive() == [Puback(1, ReasonCode.NOT_AUTHORIZED)]


@pytest.mark.parametrize(("maximum", "alias", "topic"), [(0, 1, "a"), (2, 3, "a"), (2, 3, "")])
def test_an_alias_that_was_not_offered_closes_the_connection(maximum: int, alias: int, topic: str) -> None:
    """[MQTT-3.2.2-17], [MQTT-3.3.2-9]"""
    peer = RoomFixture(topic_alias_maximum=maximum).client("phone")
    peer.send(Publish(topic, b"x", properties={PropertyId.TOPIC_ALIAS: alias}))
    assert_closed(peer, ReasonCode.TOPIC_ALIAS_INVALID, "topic_alias_invalid")


def test_an_alias_that_was_not_defined_is_a_protocol_error() -> None:
    """Section 3.3.2.3.4"""
    peer = RoomFixture(topic_alias_maximum=2).client("phone")
    peer.send(Publish("", b"x", properties={PropertyId.TOPIC_ALIAS: 1}))
    assert_closed(peer, ReasonCode.PROTOCOL_ERROR, "topic_alias_unknown")


def test_the_topics_of_aliases_are_bounded_together() -> None:
    """However many there may be [MQTT-3.3.2-12], each could be of 64 KiB."""
    room = RoomFixture(topic_alias_maximum=100, max_packet_size=1 << 17)
    peer = room.client("phone")
    for alias in range(1, 7):
        topic = "é" * 5000
        peer.send(Publish(topic, b"x", properties={PropertyId.TOPIC_ALIAS: alias}))
    peer.send(*(Publish("a", b"x", properties={PropertyId.TOPIC_ALIAS: alias}) for alias in range(1, 7)))
    assert peer.receive() == []
    for alias in range(1, 8):
        peer.send(Publish("b" * 10_000, b"x", properties={PropertyId.TOPIC_ALIAS: alias}))
    assert_closed(peer, ReasonCode.QUOTA_EXCEEDED, "topic_aliases_too_long")


# --- subscribing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filter", "reason"),
    [
        ("$SYS/#", ReasonCode.NOT_AUTHORIZED),
        ("$link/reply", ReasonCode.NOT_AUTHORIZED),
        ("up/x", ReasonCode.NOT_AUTHORIZED),
        ("event/+/shown", ReasonCode.NOT_AUTHORIZED),
        ("a/b/c/d/e/f/g/h/i", ReasonCode.TOPIC_FILTER_INVALID),
    ],
)
@pytest.mark.parametrize("version", [MQTT_3_1, MQTT_3_1_1, MQTT_5_0])
def test_a_filter_is_refused_by_itself_and_the_others_of_the_packet_are_granted(
    version: int, filter: str, reason: ReasonCode
) -> None:
    room = RoomFixture(max_topic_levels=8)
    peer = room.client("phone", version)
    peer.send(Subscribe(1, [Subscription("a", 1), Subscription(filter, 1), Subscription("b", 0)]))
    told = {MQTT_5_0: reason, MQTT_3_1_1: FAILURE, MQTT_3_1: 0}[version]
    assert peer.receive() == [Suback(1, [1, told, 0])]
    assert set(peer.session.subscriptions or ()) == {"a", "b"}
    assert not peer.over
    assert len(room.noted.refusals) == 1


@VERSIONS
def test_a_session_has_a_bounded_number_of_filters(version: int) -> None:
    room = RoomFixture(max_subscriptions=2)
    peer = room.client("phone", version)
    peer.send(Subscribe(1, [Subscription(name) for name in ("a", "b", "c", "a")]))
    told = ReasonCode.QUOTA_EXCEEDED if version == MQTT_5_0 else FAILURE
    assert peer.receive() == [Suback(1, [0, 0, told, 0])]
    assert peer.session.tenant.subscriptions.size == 2


@VERSIONS
def test_the_filters_of_a_session_are_bounded_in_their_length_together(version: int) -> None:
    room = RoomFixture(max_subscriptions=100, max_filter_bytes=1000)
    peer = room.client("phone", version)
    told = ReasonCode.QUOTA_EXCEEDED if version == MQTT_5_0 else FAILURE
    long, other, accented = "a" * 600, "b" * 600, "é" * 200
    peer.send(Subscribe(1, [Subscription(name) for name in (long, other, long, accented, "c")]))
    assert peer.receive() == [Suback(1, [0, told, 0, 0, told])]
    assert room.noted.refusals == ["filters_too_long"]
    peer.send(Unsubscribe(2, [long]), Subscribe(3, [Subscription(other)]))
    assert peer.receive()[-1] == Suback(3, [0])


def test_what_a_device_gets_anyway_it_may_ask_for() -> None:
    peer = RoomFixture(max_subscriptions=0).client("phone")
    peer.send(Subscribe(1, [Subscription("push/#", 1), Subscription("push/+", 0)]))
    assert peer.receive() == [Suback(1, [1, 0])]
    assert peer.session.subscriptions is None


@pytest.mark.parametrize("filter", ["$share/x", "$share/g/a", "$share/", "$share/+/a"])
def test_in_3_1_1_nothing_is_shared(filter: str) -> None:
    """There `$share` is a first level like others: nobody shares `a`, and nobody publishes below it."""
    room = RoomFixture()
    peer = room.client("phone", MQTT_3_1_1)
    peer.send(Subscribe(1, [Subscription(filter, 1)]))
    assert peer.receive() == [Suback(1, [1])]
    assert set(peer.session.subscriptions or ()) == {filter}
    sender = room.client("sender")
    sender.send(Publish("a", b"x"), Publish("$share/g/a", b"x", 1, packet_id=1))
    assert sender.receive() == [Puback(1, ReasonCode.NOT_AUTHORIZED)]
    assert peer.receive() == []


def test_other_properties_of_subscribe_are_welcome() -> None:
    peer = RoomFixture().client("phone")
    peer.send(Subscribe(1, [Subscription("a")], {PropertyId.USER_PROPERTY: [("k", "v")]}))
    assert peer.receive() == [Suback(1, [0])]


def a_deep_app(room: RoomFixture, *, depth: int = 7) -> None:
    """Clients with filters of every kind of level."""
    filters = ["/".join(levels) for levels in itertools.product("a+", repeat=depth)]
    for number in range(0, len(filters), 16):
        peer = room.client(f"deep-{number}")
        peer.send(Subscribe(1, [Subscription(name) for name in filters[number : number + 16]]))
        assert peer.receive() == [Suback(1, [0] * 16)]


@pytest.mark.parametrize("qos", [0, 1, 2])
@VERSIONS
def test_a_topic_that_is_too_costly_to_match_is_refused_and_reaches_nobody(version: int, qos: int) -> None:
    room = RoomFixture(max_subscriptions=16, match_limit=200)
    a_deep_app(room)
    witness = room.client("witness")
    witness.send(Subscribe(1, [Subscription("#")]))
    witness.receive()
    peer = room.client("phone", version)
    costly = "a/a/a/a/a/a/a"
    peer.send(Publish(costly, b"x", qos, packet_id=4 if qos else 0), Publish("b", b"y"))
    reason = ReasonCode.QUOTA_EXCEEDED if version == MQTT_5_0 else 0
    assert peer.receive() == {0: [], 1: [Puback(4, reason)], 2: [Pubrec(4, reason)]}[qos]
    assert witness.receive() == [Publish("b", b"y")]
    assert room.noted.refusals == ["topic_too_costly"]
    assert not peer.over


def test_looking_for_nobody_is_work_of_the_turn_too() -> None:
    room = RoomFixture(max_subscriptions=16, match_limit=200, turn_budget=1000)
    a_deep_app(room)
    peer = room.client("phone")
    witness = room.client("witness")
    peer.send(*(Publish(f"a/a/a/a/a/a/a/{number}", b"x", 1, packet_id=number) for number in range(1, 21)))
    assert 0 < room.counters.refused["topic_too_costly"] < 20
    witness.send(Pingreq())
    room.turns.turn()
    assert witness.unread() == [Pingresp()]  # before all of those are done
    assert room.counters.refused["topic_too_costly"] < 20
    assert len(peer.receive()) == 20


@VERSIONS
def test_an_app_whose_index_is_full_gets_no_more_filters_but_those_that_it_has(version: int) -> None:
    room = RoomFixture(max_index_levels=5, max_topic_levels=8)
    peer = room.client("phone", version)
    peer.send(Subscribe(1, [Subscription("a/b/c/+"), Subscription("x/y/z"), Subscription("t")]))
    refused = ReasonCode.QUOTA_EXCEEDED if version == MQTT_5_0 else FAILURE
    assert peer.receive() == [Suback(1, [0, 0, refused])]
    assert room.noted.refusals == ["topic_index_full"]
    other = room.client("tablet", version)
    other.send(Subscribe(1, [Subscription("a/b/c/+")]))
    assert other.receive() == [Suback(1, [0])]
    peer.send(Unsubscribe(2, ["x/y/z"]), Subscribe(3, [Subscription("t")]))
    assert peer.receive()[-1] == Suback(3, [0])


def test_filters_of_shared_subscriptions_count_in_the_index_of_their_app() -> None:
    room = RoomFixture(max_index_levels=5, max_topic_levels=8)
    peer = room.client("phone")
    wanted = ("$share/g/a/b/c/+", "$share/g/x/+", "$share/g/t", "t", "$share/g/a/b/c/+")
    peer.send(Subscribe(1, [Subscription(filter) for filter in wanted]))
    quota = ReasonCode.QUOTA_EXCEEDED
    assert peer.receive() == [Suback(1, [0, quota, 0, quota, 0])]


@VERSIONS
def test_who_publishes_faster_than_it_may_is_not_read_from_until_the_next_second(version: int) -> None:
    room = RoomFixture(publish_rate=3)
    listener = room.client("listener")
    listener.send(Subscribe(1, [Subscription("a")]))
    listener.receive()
    peer = room.client("phone", version)
    peer.send(*(Publish("a", b"%d" % number, number % 2, packet_id=number % 2) for number in range(8)))
    assert len(listener.receive()) == 3
    assert not peer.wire.reading
    assert room.counters.publishers_slowed == 1
    room.tick()
    assert len(listener.receive()) == 3
    room.tick()
    assert [packet.payload for packet in listener.receive() if isinstance(packet, Publish)] == [b"6", b"7"]
    assert peer.wire.reading
    assert not peer.over


def test_what_a_fast_publisher_sent_before_it_was_lost_is_taken_and_does_not_outlive_it() -> None:
    room = RoomFixture(publish_rate=1)
    listener = room.client("listener")
    listener.send(Subscribe(1, [Subscription("a")]))
    listener.receive()
    peer = room.client("phone")
    peer.send(*(Publish("a", b"x") for _ in range(50)))
    peer.wire.abort()
    room.turns.settle()
    room.tick()
    assert len(listener.receive()) == 50
    assert peer.over
    assert room.sessions.find(APP, "phone") is None


@pytest.mark.parametrize("kind", ["coming", "going"])
def test_filters_that_come_and_go_in_masses_hold_up_no_ping(kind: str) -> None:
    room = RoomFixture(max_subscriptions=100, turn_budget=1000, max_packet_size=1 << 20)
    names = [f"{number}/a/b/c/+" for number in range(100)]
    peer, witness = room.client("phone"), room.client("witness")
    wanted: list[Packet] = [Subscribe(1, [Subscription(name) for name in names]), Unsubscribe(2, names)]
    peer.send(*(wanted if kind == "coming" else wanted[1:]) * 20)
    done = len(peer.unread())
    assert peer.connection.backlog is not None
    witness.send(Pingreq())
    room.turns.turn()
    assert witness.unread() == [Pingresp()]
    assert done + len(peer.unread()) < 20
    assert len(peer.receive()) > 10
