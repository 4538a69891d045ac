"""What a device does with what it hears, without a socket: time and bytes are the test's."""

from datetime import UTC, datetime

import pytest

from longline import errors
from longline.mqtt.link import Link, Role
from longline.mqtt.packets import (
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
)
from longline.mqtt.properties import Properties, PropertyId
from longline.sdk.handled import Handled
from longline.sdk.heartbeat import LearntHeartbeat
from longline.sdk.message import Message
from longline.sdk.missed import Missed
from longline.sdk.mqtt_client import MAX_SENDS, Answered, Ended, Event, Identity, MqttClient, Opened
from longline.sdk.refusals import Verdict
from longline.sdk.state import DeviceMemory
from longline.testing.links import MAX_PACKET_SIZE, carry


class Room:
    """The server's end of one connection after the other."""

    def __init__(
        self, *, remember: int = 1000, protocol: int = 5, keep_alive: int = 60, session_expiry: int = 0
    ) -> None:
        identity = Identity(
            "news", "d1", protocol=protocol, keep_alive=keep_alive, session_expiry=session_expiry
        )
        state = DeviceMemory()
        state.handled = Handled(remember)
        heartbeat = LearntHeartbeat(fixed=True)
        self.client = MqttClient(identity, self._nothing, self._never, state, heartbeat)
        self.now = 100.0
        self.link = Link(Role.SERVER, MAX_PACKET_SIZE)

    async def _nothing(self, message: Message) -> None:
        raise AssertionError("only the driver acknowledges by itself")

    async def _never(self, message: Message, name: str) -> None:
        raise AssertionError("nobody reports")

    def heard(self) -> list[Packet]:
        """What the device has said since the last time."""
        return carry(self.client.take_output(), self.link, now=self.now)

    def say(self, *packets: Packet) -> list[Event]:
        for packet in packets:
            self.link.send(packet)
        return self.client.feed(b"".join(self.link.take_output()), self.now)

    def let_in(self, *, session_present: bool = False, properties: Properties | None = None) -> list[Event]:
        """A new connection up to its CONNACK; what the device says next is for the test to read."""
        self.client.lost()
        self.link = Link(Role.SERVER, MAX_PACKET_SIZE)
        self.client.connect("the-token", self.now)
        self.heard()
        return self.say(Connack(session_present, 0, properties))


def pushed(events: list[Event]) -> list[Message]:
    return [event for event in events if isinstance(event, Message)]


def push(id: str, *, packet_id: int = 1, dup: bool = False) -> Publish:
    return Publish(f"push/{id}", b"hello", 1 if packet_id else 0, False, dup, packet_id)


def test_connect_says_who_and_how() -> None:
    room = Room(keep_alive=30)
    room.client.connect("the-token", room.now)
    [connect] = room.heard()
    assert isinstance(connect, Connect)
    assert (connect.client_id, connect.username, connect.password) == ("d1", "news", b"the-token")
    assert (connect.version, connect.keep_alive, connect.clean_start) == (5, 30, True)
    assert connect.properties is not None
    assert connect.properties[PropertyId.SESSION_EXPIRY_INTERVAL] == 0
    assert connect.properties[PropertyId.RECEIVE_MAXIMUM] == 100


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "an HTTP server answers there"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "the server broke the protocol"),
    ],
)
def test_a_port_of_another_protocol_is_told_as_such(answer: bytes, words: str) -> None:
    room = Room()
    room.client.connect("the-token", room.now)
    [ended] = room.client.feed(answer, room.now)
    assert isinstance(ended, Ended)
    assert words in str(ended.error)


@pytest.mark.parametrize("protocol", [4, 5])
def test_a_device_that_has_its_session_kept_goes_on_with_it(protocol: int) -> None:
    room = Room(protocol=protocol, session_expiry=3600)
    room.client.connect("the-token", room.now)
    [connect] = room.heard()
    assert isinstance(connect, Connect)
    assert not connect.clean_start
    if protocol == 5:
        assert connect.properties is not None
        assert connect.properties[PropertyId.SESSION_EXPIRY_INTERVAL] == 3600


def test_connect_in_3_1_1_has_no_properties() -> None:
    room = Room(protocol=4)
    room.client.connect("the-token", room.now)
    [connect] = room.heard()
    assert isinstance(connect, Connect)
    assert (connect.version, connect.properties) == (4, None)


def test_a_push_has_the_id_of_its_topic_and_what_its_properties_tell() -> None:
    room = Room()
    assert room.let_in() == [Opened(session_present=False)]
    publish = push("m1")
    publish.properties = {
        PropertyId.CONTENT_TYPE: "application/json",
        PropertyId.USER_PROPERTY: [("message-id", "m1"), ("sent-at", "1767225600000")],
    }
    publish.payload = b'{"goal": 1}'
    [message] = pushed(room.say(publish))
    assert (message.id, message.topic, message.qos) == ("m1", "push/m1", 1)
    assert message.content_type == "application/json"
    assert message.sent_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert message.json() == {"goal": 1}
    assert message.json(dict[str, int]) == {"goal": 1}
    with pytest.raises(ValueError, match="not what was expected"):
        message.json(list[str])
    assert message.text == '{"goal": 1}'
    assert not message.duplicate


@pytest.mark.parametrize("told", ["", "soon", "-1", "1e3", "9" * 15, "9" * 5000])
def test_a_time_that_is_none_is_none(told: str) -> None:
    room = Room()
    room.let_in()
    publish = push("m1")
    publish.properties = {PropertyId.USER_PROPERTY: [("sent-at", told)]}
    [message] = pushed(room.say(publish))
    assert message.sent_at is None


def test_a_payload_that_is_no_json_is_an_error_of_value() -> None:
    room = Room()
    room.let_in()
    publish = push("m1")
    publish.payload = b"{"
    [message] = pushed(room.say(publish))
    with pytest.raises(ValueError, match="m1"):
        message.json()


def test_nothing_is_acknowledged_before_the_consumer_is_done() -> None:
    room = Room()
    room.let_in()
    [message] = pushed(room.say(push("m1", packet_id=7)))
    assert room.heard() == []
    room.client.ack(message, room.now)
    room.client.ack(message, room.now)
    assert room.heard() == [Puback(7)]


def test_qos_0_is_never_acknowledged() -> None:
    room = Room()
    room.let_in()
    [message] = pushed(room.say(push("m1", packet_id=0)))
    room.client.ack(message, room.now)
    assert room.heard() == []


def test_a_copy_of_what_was_handled_is_acknowledged_and_dropped() -> None:
    room = Room()
    room.let_in()
    [message] = pushed(room.say(push("m1", packet_id=7)))
    room.client.ack(message, room.now)
    room.let_in(session_present=True)
    assert pushed(room.say(push("m1", packet_id=9, dup=True))) == []
    assert room.heard() == [Puback(9)]
    assert room.client.statistics.duplicates == 1


def test_a_copy_of_what_was_not_handled_comes_again_with_its_flag() -> None:
    room = Room()
    room.let_in()
    room.say(push("m1", packet_id=7))
    room.let_in(session_present=True)
    [again] = pushed(room.say(push("m1", packet_id=7, dup=True)))
    assert again.duplicate


def test_an_ack_for_a_connection_that_is_gone_is_kept_for_the_copy() -> None:
    room = Room()
    room.let_in()
    [message] = pushed(room.say(push("m1", packet_id=7)))
    room.let_in(session_present=True)
    room.client.ack(message, room.now)
    assert room.heard() == []  # packet identifier 7 may mean something else by now
    assert pushed(room.say(push("m1", packet_id=3, dup=True))) == []
    assert room.heard() == [Puback(3)]


def test_only_so_many_handled_ids_are_remembered() -> None:
    room = Room(remember=2)
    room.let_in()
    for number in (1, 2, 3):
        [message] = pushed(room.say(push(f"m{number}", packet_id=number)))
        room.client.ack(message, room.now)
    assert pushed(room.say(push("m3", packet_id=9))) == []
    assert len(pushed(room.say(push("m1", packet_id=10)))) == 1


def test_a_message_of_a_plain_topic_has_no_id_and_is_never_taken_for_a_copy() -> None:
    room = Room()
    room.let_in()
    forged: Properties = {PropertyId.USER_PROPERTY: [("message-id", "m1")]}
    for packet_id in (1, 2):
        publish = Publish("chat/room", b"hello", 1, False, False, packet_id, forged)
        [message] = pushed(room.say(publish))
        assert message.id is None
        room.client.ack(message, room.now)
    [real] = pushed(room.say(push("m1", packet_id=3)))
    assert real.id == "m1"


def test_a_publish_waits_for_its_puback() -> None:
    room = Room()
    room.let_in()
    call = room.client.publish("up/seen", b"x", 1, room.now)
    assert room.client.pump(room.now) == []
    [publish] = room.heard()
    assert isinstance(publish, Publish)
    assert (publish.topic, publish.qos, publish.dup) == ("up/seen", 1, False)
    assert room.say(Puback(publish.packet_id)) == [Answered(call, None)]
    assert room.client.statistics.published == 1


def test_a_refused_publish_tells_why() -> None:
    room = Room()
    room.let_in()
    call = room.client.publish("up/seen", b"x", 1, room.now)
    room.client.pump(room.now)
    [publish] = room.heard()
    assert isinstance(publish, Publish)
    [answer] = room.say(Puback(publish.packet_id, 0x87))
    assert isinstance(answer, Answered)
    assert answer.call == call
    assert isinstance(answer.error, errors.Forbidden)


@pytest.mark.parametrize("session_present", [True, False])
def test_what_was_not_answered_is_sent_again_in_its_order(session_present: bool) -> None:
    room = Room()
    room.let_in()
    for topic in ("up/1", "up/2"):
        room.client.publish(topic, b"x", 1, room.now)
    room.client.pump(room.now)
    first = room.heard()
    room.client.publish("up/3", b"x", 1, room.now)
    room.let_in(session_present=session_present)
    again = [packet for packet in room.heard() if isinstance(packet, Publish)]
    assert [packet.topic for packet in again] == ["up/1", "up/2", "up/3"]
    assert [packet.dup for packet in again] == [session_present, session_present, False]
    assert [packet.packet_id for packet in first if isinstance(packet, Publish)] == [
        packet.packet_id for packet in again[:2]
    ]
    assert len({packet.packet_id for packet in again}) == 3


def test_the_servers_window_is_never_overrun() -> None:
    room = Room()
    room.let_in(properties={PropertyId.RECEIVE_MAXIMUM: 2})
    for number in range(5):
        room.client.publish(f"up/{number}", b"x", 1, room.now)
    room.client.pump(room.now)
    sent = [packet for packet in room.heard() if isinstance(packet, Publish)]
    assert len(sent) == 2
    room.say(Puback(sent[0].packet_id))
    assert [p.topic for p in room.heard() if isinstance(p, Publish)] == ["up/2"]


def test_a_publish_over_the_servers_packet_size_is_refused_here() -> None:
    room = Room()
    room.let_in(properties={PropertyId.MAXIMUM_PACKET_SIZE: 100})
    call = room.client.publish("up/1", bytes(100), 1, room.now)
    [answer] = room.client.pump(room.now)
    assert isinstance(answer, Answered)
    assert answer.call == call
    assert isinstance(answer.error, errors.PayloadTooLarge)
    assert room.heard() == []


def test_a_publish_that_is_never_answered_is_given_up_after_some_connections() -> None:
    room = Room()
    call = room.client.publish("up/1", b"x", 1, room.now)
    for _ in range(MAX_SENDS):
        assert all(isinstance(event, Opened) for event in room.let_in())
        assert len(room.heard()) == 1
    events = room.let_in()
    answers = [event for event in events if isinstance(event, Answered)]
    assert [answer.call for answer in answers] == [call]
    assert isinstance(answers[0].error, errors.Unavailable)
    assert room.heard() == []


def test_a_publish_nobody_waits_for_is_not_sent_again() -> None:
    room = Room()
    room.let_in()
    call = room.client.publish("up/1", b"x", 1, room.now)
    room.client.pump(room.now)
    room.heard()
    room.client.withdraw(call)
    room.let_in(session_present=True)
    assert room.heard() == []


def test_filters_are_asked_for_on_every_connection() -> None:
    room = Room()
    call = room.client.subscribe("chat/+", 1, room.now)
    for connection in range(2):
        room.let_in()
        [subscribe] = room.heard()
        assert isinstance(subscribe, Subscribe)
        assert subscribe.subscriptions == [Subscription("chat/+", 1)]
        answers = room.say(Suback(subscribe.packet_id, [1]))
        assert answers == ([Answered(call, None)] if connection == 0 else [])


def test_a_refused_filter_is_told_and_not_asked_for_again() -> None:
    room = Room()
    room.let_in()
    call = room.client.subscribe("$share/g/x", 1, room.now)
    [subscribe] = room.heard()
    assert isinstance(subscribe, Subscribe)
    [answer] = room.say(Suback(subscribe.packet_id, [0x9E]))
    assert isinstance(answer, Answered)
    assert answer.call == call
    assert isinstance(answer.error, errors.NotSupported)
    room.let_in()
    assert room.heard() == []


# --- keep alive ------------------------------------------------------------------------------------


def test_a_quiet_link_is_asked_for_a_sign_of_life_and_lives_on_it() -> None:
    room = Room(keep_alive=60)
    room.let_in()
    assert room.client.deadline == 145.0
    room.now = 144.9
    assert room.client.tick(room.now) is None
    assert room.heard() == []
    room.now = 145.0
    assert room.client.tick(room.now) is None
    assert room.heard() == [Pingreq()]
    room.now = 150.0
    assert room.say(Pingresp()) == []
    assert room.client.deadline == 190.0  # what was said last counts, and that was the PINGREQ


def test_a_peer_that_never_answers_is_dead() -> None:
    room = Room(keep_alive=60)
    room.let_in()
    room.client.tick(145.0)
    assert room.client.deadline == 165.0
    assert room.client.tick(164.9) is None
    ended = room.client.tick(165.0)
    assert ended is not None
    assert ended.verdict is Verdict.RETRY
    assert isinstance(ended.error, errors.Unavailable)
    assert not room.client.open


def test_a_device_that_only_talks_notices_a_dead_peer_all_the_same() -> None:
    room = Room(keep_alive=60)
    room.let_in()
    for second in range(101, 145):
        room.client.publish("up/x", b"", 0, float(second))
    room.client.tick(145.0)
    assert room.heard()[-1] == Pingreq()


def test_silence_proves_nothing_while_we_do_not_read() -> None:
    room = Room(keep_alive=60)
    room.let_in()
    room.client.paused = True
    for now in (145.0, 165.0, 185.0, 205.0):
        assert room.client.tick(now) is None
    assert room.heard().count(Pingreq()) >= 2  # but the server still hears that we live


def test_the_servers_keep_alive_overrules_ours() -> None:
    room = Room(keep_alive=60)
    room.let_in(properties={PropertyId.SERVER_KEEP_ALIVE: 20})
    assert room.client.deadline == 115.0


def test_without_a_keep_alive_there_is_no_deadline() -> None:
    room = Room(keep_alive=0)
    room.let_in()
    assert room.client.deadline is None
    assert room.client.tick(1e9) is None


# --- ends ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "verdict", "kind"),
    [
        (0x84, Verdict.STOP, errors.NotSupported),
        (0x85, Verdict.STOP, errors.ValidationFailed),
        (0x86, Verdict.REFRESH, errors.BadToken),
        (0x87, Verdict.REFRESH, errors.BadToken),
        (0x88, Verdict.RETRY, errors.Unavailable),
        (0x89, Verdict.RETRY, errors.Unavailable),
        (0x8A, Verdict.STOP, errors.Banned),
        (0x9F, Verdict.RETRY, errors.Unavailable),
    ],
)
def test_a_refusal_is_judged_by_its_reason(
    reason: int, verdict: Verdict, kind: type[errors.LonglineError]
) -> None:
    room = Room()
    room.client.connect("the-token", room.now)
    room.heard()
    [ended] = room.say(Connack(False, reason, {PropertyId.REASON_STRING: "because"}))
    assert isinstance(ended, Ended)
    assert (ended.verdict, type(ended.error)) == (verdict, kind)
    assert "because" in ended.error.message


@pytest.mark.parametrize("reason", [0x84, 0x85, 0x86, 0x87, 0x88])
def test_the_return_codes_of_3_1_1_are_judged_alike(reason: int) -> None:
    rooms = [Room(protocol=4), Room(protocol=5)]
    verdicts: list[Verdict] = []
    for room in rooms:
        room.client.connect("the-token", room.now)
        room.heard()
        [ended] = room.say(Connack(False, reason))
        assert isinstance(ended, Ended)
        verdicts.append(ended.verdict)
    assert verdicts[0] is verdicts[1]


@pytest.mark.parametrize(
    ("reason", "verdict", "kind"),
    [
        (0x8E, Verdict.STOP, errors.TakenOver),
        (0x8B, Verdict.RETRY, errors.Unavailable),
        (0x98, Verdict.RETRY, errors.Unavailable),
        (0x9C, Verdict.MOVE, errors.Unavailable),
        (0x9D, Verdict.MOVE, errors.Unavailable),
    ],
)
def test_a_disconnect_is_judged_by_its_reason(
    reason: int, verdict: Verdict, kind: type[errors.LonglineError]
) -> None:
    room = Room()
    room.let_in()
    [ended] = room.say(Disconnect(reason))
    assert isinstance(ended, Ended)
    assert (ended.verdict, type(ended.error)) == (verdict, kind)


def test_a_server_that_breaks_the_protocol_is_left() -> None:
    room = Room()
    room.let_in()
    [ended] = room.client.feed(b"\x00\x00", room.now)
    assert isinstance(ended, Ended)
    assert ended.verdict is Verdict.RETRY
    assert not room.client.open


def test_a_message_with_qos_2_is_acknowledged_in_two_steps() -> None:
    room = Room()
    room.let_in()
    [message] = room.say(Publish("push/m-1", b"x", 2, False, False, 1))
    assert isinstance(message, Message)
    assert room.heard() == []
    room.client.ack(message, room.now)
    assert room.heard() == [Pubrec(1)]
    assert room.say(Pubrel(1)) == []
    assert room.heard() == [Pubcomp(1)]


# --- being sent elsewhere ---------------------------------------------------------------------------

THERE: Properties = {
    PropertyId.SERVER_REFERENCE: "10.0.0.2:1884 room-3",
    PropertyId.USER_PROPERTY: [("after-ms", "1500")],
}


@pytest.mark.parametrize("reason", [0x9C, 0x9D])
def test_a_server_that_wants_the_device_elsewhere_says_where_and_when(reason: int) -> None:
    room = Room()
    room.client.port = 1883
    room.let_in()
    [ended] = room.say(Disconnect(reason, THERE))
    assert isinstance(ended, Ended)
    assert ended.verdict is Verdict.MOVE
    assert (ended.endpoints, ended.after) == ((("10.0.0.2", 1884), ("room-3", 1883)), 1.5)


def test_a_server_that_lets_nobody_in_says_where_to_go() -> None:
    room = Room()
    room.client.port = 1883
    room.client.connect("the-token", room.now)
    room.heard()
    [ended] = room.say(Connack(False, 0x9C, THERE))
    assert isinstance(ended, Ended)
    assert (ended.verdict, ended.endpoints[0]) == (Verdict.MOVE, ("10.0.0.2", 1884))


def test_in_3_1_1_it_says_so_by_a_message() -> None:
    room = Room(protocol=4)
    room.let_in()
    notice = b'{"endpoints":[{"host":"10.0.0.2","port":1884}],"after_ms":250}'
    [ended] = room.say(Publish("$link/moved", notice))
    assert isinstance(ended, Ended)
    assert (ended.verdict, ended.endpoints, ended.after) == (Verdict.MOVE, (("10.0.0.2", 1884),), 0.25)


def test_what_the_server_says_to_the_sdk_is_not_for_the_application() -> None:
    room = Room()
    room.let_in()
    assert room.say(Publish("$link/other", b"x"), Publish("$link/other", b"x", 1, packet_id=4)) == []
    assert room.heard() == [Puback(4)]


def test_what_was_missed_is_told_and_acknowledged_and_no_message() -> None:
    room = Room()
    room.let_in()
    room.heard()
    said = b'{"dropped":3,"expired":2,"collapsed":1,"since":"2027-01-15T08:00:00.000Z"}'
    events = room.say(Publish("$link/gap", said, 1, False, False, 7))
    assert events == [Missed(3, 2, 1, datetime(2027, 1, 15, 8, tzinfo=UTC))]
    assert room.client.statistics.gaps == 1
    assert room.heard() == [Puback(7)]
    assert room.say(Publish("$link/gap", b"nobody knows", 1, False, False, 8)) == []
    assert room.heard() == [Puback(8)]
