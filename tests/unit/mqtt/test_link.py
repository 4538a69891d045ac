"""The link: both tables enumerated, every fault and every good-bye."""

import sys

import pytest

from longline.mqtt.codec import Decoder, LocalProtocolError, PublishFrame, encode
from longline.mqtt.link import MAY_ARRIVE, MAY_SEND, Link, Phase, Role
from longline.mqtt.packets import (
    AUTH,
    CONNACK,
    DISCONNECT,
    Auth,
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
)
from longline.mqtt.properties import Properties
from longline.mqtt.properties import PropertyId as P
from longline.mqtt.reasons import ReasonCode as R
from longline.mqtt.shared_output import SharedOutput

KIB = 1024
METHOD: Properties = {P.AUTHENTICATION_METHOD: "m"}


def connect(version: int, authenticating: bool = False) -> Connect:
    return Connect(version, "d", properties={**METHOD} if authenticating else None)


def one_of_each(version: int, authenticating: bool) -> dict[int, Packet]:
    """A legal packet of every kind."""
    step = R.CONTINUE_AUTHENTICATION
    packets: list[Packet] = [
        connect(version, authenticating),
        Connack(),
        Publish("t", b"x"),
        Puback(1),
        Pubrec(1),
        Pubrel(1),
        Pubcomp(1),
        Subscribe(1, [Subscription("t")]),
        Suback(1, [0]),
        Unsubscribe(1, ["t"]),
        Unsuback(1, [0] if version == 5 else []),
        Pingreq(),
        Pingresp(),
        Disconnect(),
        Auth(step, {**METHOD}),
    ]
    return {packet.kind: packet for packet in packets}


def link_in(role: Role, phase: Phase, version: int = 5, authenticating: bool = False) -> Link:
    """A link that came to this phase by the ordinary way; its output is taken."""
    link = Link(role, 64 * KIB, KIB)
    if phase is not Phase.FRESH:
        hello = connect(version, authenticating)
        if role is Role.SERVER:
            assert link.receive(encode(hello, version), 1.0) == [hello]
        else:
            link.send(hello)
    if phase in (Phase.OPEN, Phase.CLOSING, Phase.CLOSED):
        if role is Role.SERVER:
            link.send(Connack())
        else:
            assert link.receive(encode(Connack(), version), 1.0) == [Connack()]
    if phase is Phase.CLOSING:
        link.close()
    if phase is Phase.CLOSED:
        link.closed()
    link.take_output()
    assert link.phase is phase
    return link


def expected(table: set[int], sender: Role, phase: Phase, version: int, authenticating: bool) -> set[int]:
    """The theory, once more and otherwise: what remains of a row."""
    if version == 4:
        table = table - {AUTH} - ({DISCONNECT} if sender is Role.SERVER else set())
    elif not authenticating:
        table = table - {AUTH}
    elif sender is Role.CLIENT and phase is Phase.CONNECTING:
        table = table & {AUTH, DISCONNECT}
    return table


CASES = [
    (role, phase, version, authenticating, kind)
    for role in Role
    for phase in Phase
    for version, authenticating in ((4, False), (5, False), (5, True))
    for kind in range(1, 16)
]


def case_name(value: object) -> str:
    return value.name.lower() if isinstance(value, Role | Phase) else str(value)


@pytest.mark.parametrize(("role", "phase", "version", "authenticating", "kind"), CASES, ids=case_name)
def test_a_packet_may_be_sent_exactly_when_the_table_says_so(
    role: Role, phase: Phase, version: int, authenticating: bool, kind: int
) -> None:
    link = link_in(role, phase, version, authenticating)
    packet = one_of_each(version, authenticating)[kind]
    if kind in expected(set(MAY_SEND[role][phase]), role, phase, version, authenticating):
        link.send(packet)
        assert link.take_output() == [encode(packet, version)]
    else:
        with pytest.raises(LocalProtocolError):
            link.send(packet)
        assert link.take_output() == []
        assert link.phase is phase


@pytest.mark.parametrize(("role", "phase", "version", "authenticating", "kind"), CASES, ids=case_name)
def test_a_packet_may_arrive_exactly_when_the_table_says_so(
    role: Role, phase: Phase, version: int, authenticating: bool, kind: int
) -> None:
    link = link_in(role, phase, version, authenticating)
    peer = Role.CLIENT if role is Role.SERVER else Role.SERVER
    packet = one_of_each(version, authenticating)[kind]
    try:
        raw = encode(packet, version)
    except LocalProtocolError:  # AUTH has no form in 3.1.1, and yet its bytes can arrive
        raw = b"\xf0\0"
    packets = link.receive(raw, 2.0)
    waits = role is Role.SERVER and phase is Phase.CONNECTING and not authenticating
    if kind in expected(set(MAY_ARRIVE[role][phase]), peer, phase, version, authenticating) and not waits:
        assert packets == [packet]
        assert link.fault is None
    elif waits:
        assert packets == []
        assert link.held == len(raw)
        assert link.fault is None
    elif phase in (Phase.CLOSING, Phase.CLOSED):
        assert packets == []
        assert link.fault is None
        assert link.phase is phase
    else:
        assert packets == []
        assert link.fault is not None
        assert link.fault.reason in (R.PROTOCOL_ERROR, R.MALFORMED_PACKET)
        assert link.left
        assert link.phase is phase


def test_the_tables_have_a_row_for_every_role_and_phase() -> None:
    for table in (MAY_ARRIVE, MAY_SEND):
        assert set(table) == set(Role)
        for rows in table.values():
            assert set(rows) == set(Phase)


def test_what_one_end_may_send_the_other_may_receive() -> None:
    """Only behind CONNECT do they differ: the client may say it, the server does not hear it yet."""
    for phase in Phase:
        assert MAY_SEND[Role.SERVER][phase] == MAY_ARRIVE[Role.CLIENT][phase]
        if phase is not Phase.CONNECTING:
            assert MAY_SEND[Role.CLIENT][phase] == MAY_ARRIVE[Role.SERVER][phase]
    assert MAY_ARRIVE[Role.SERVER][Phase.CONNECTING] < MAY_SEND[Role.CLIENT][Phase.CONNECTING]


@pytest.mark.parametrize("version", [4, 5])
def test_two_links_talk(version: int) -> None:
    client, server = Link(Role.CLIENT, 64 * KIB), Link(Role.SERVER, 64 * KIB, KIB)
    hello = Connect(version, "d", keep_alive=60)
    client.send(hello)
    assert server.receive(b"".join(client.take_output()), 1.0) == [hello]
    assert (client.phase, server.phase) == (Phase.CONNECTING, Phase.CONNECTING)
    assert (client.version, server.version) == (version, version)
    server.send(Connack())
    assert server.resume() == []
    assert client.receive(b"".join(server.take_output()), 2.0) == [Connack()]
    assert (client.phase, server.phase) == (Phase.OPEN, Phase.OPEN)
    message = Publish("t", b"x", 1, packet_id=3)
    server.send_publish(PublishFrame("t", b"x", 1, False, None, version).with_id(3), SharedOutput())
    assert client.receive(b"".join(server.take_output()), 3.0) == [message]
    client.send(Puback(3))
    client.send(Disconnect())
    assert client.phase is Phase.CLOSING
    assert server.receive(b"".join(client.take_output()), 4.0) == [Puback(3), Disconnect()]
    assert server.left
    assert server.fault is None
    server.close()
    assert server.over
    assert server.take_output() == []
    assert (client.last_heard, server.last_heard) == (3.0, 4.0)
    for link in (client, server):
        link.closed()
        assert link.phase is Phase.CLOSED


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("cut", range(22))
def test_what_a_client_says_behind_its_connect_waits_for_connack(version: int, cut: int) -> None:
    """However it is cut, only CONNECT is read before the answer, and all the rest after it."""
    hello, message, ping = Connect(version, "d"), Publish("t", b"x"), Pingreq()
    raw = b"".join(encode(packet, version) for packet in (hello, message, ping))
    server = Link(Role.SERVER, 64 * KIB, KIB)
    before = server.receive(raw[:cut], 1.0) + server.receive(raw[cut:-1], 1.0)
    assert before == [hello]
    assert server.phase is Phase.CONNECTING
    server.send(Connack())
    assert server.resume() == [message]
    assert server.receive(raw[-1:], 1.0) == [ping]
    assert server.held == 0


def test_what_a_refused_client_said_is_never_read() -> None:
    """[MQTT-3.1.4-6]"""
    server = Link(Role.SERVER, 64 * KIB, KIB)
    server.receive(encode(Connect(5, "d"), 5) + encode(Publish("t", b"x"), 5), 1.0)
    assert server.held
    server.send(Connack(False, R.NOT_AUTHORIZED))
    assert server.phase is Phase.CLOSING
    assert server.resume() == []
    assert server.held == 0


def test_bad_bytes_behind_a_connect_are_judged_only_after_connack() -> None:
    server = Link(Role.SERVER, 64 * KIB, KIB)
    assert server.receive(encode(Connect(5, "d"), 5) + b"\x00\x00", 1.0) == [Connect(5, "d")]
    assert server.fault is None
    server.send(Connack())
    server.take_output()
    assert server.resume() == []
    assert server.fault is not None
    server.close(server.fault.reason)
    assert server.take_output() == [b"\xe0\x01\x81"]


def test_a_packet_may_grow_large_only_once_the_client_is_let_in() -> None:
    server = Link(Role.SERVER, 64 * KIB, 64)
    server.receive(encode(Connect(5, "d" * 100), 5), 1.0)
    assert server.fault is not None
    assert server.fault.reason == R.PACKET_TOO_LARGE
    server = Link(Role.SERVER, 64 * KIB, 64)
    server.receive(encode(Connect(5, "d"), 5), 1.0)
    server.send(Connack())
    message = Publish("t", bytes(1000))
    assert server.receive(encode(message, 5), 1.0) == [message]


def test_authentication_goes_back_and_forth_before_connack() -> None:
    client, server = Link(Role.CLIENT, KIB), Link(Role.SERVER, KIB)
    hello, step = connect(5, True), Auth(R.CONTINUE_AUTHENTICATION, {**METHOD})
    client.send(hello)
    assert server.receive(b"".join(client.take_output()), 1.0) == [hello]
    server.send(step)
    assert client.receive(b"".join(server.take_output()), 1.0) == [step]
    client.send(step)
    with pytest.raises(LocalProtocolError):
        client.send(Pingreq())  # [MQTT-3.1.2-30]
    assert server.receive(b"".join(client.take_output()), 1.0) == [step]
    server.send(Connack(properties={**METHOD}))
    client.receive(b"".join(server.take_output()), 1.0)
    again = Auth(R.REAUTHENTICATE, {**METHOD})
    client.send(again)  # [MQTT-4.12.1-1]
    assert server.receive(b"".join(client.take_output()), 1.0) == [again]


def test_an_authenticating_client_may_give_up_behind_its_connect() -> None:
    server = Link(Role.SERVER, KIB)
    raw = encode(connect(5, True), 5) + encode(Disconnect(), 5)
    assert server.receive(raw, 1.0) == [connect(5, True), Disconnect()]
    server.close()
    assert server.phase is Phase.CLOSING
    assert server.output is None


@pytest.mark.parametrize(
    ("raw", "answer"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", []),  # who does not speak MQTT is not answered
        (b"\xc0\0", []),
        (b"\x10\x0c\0\4NOPE\4\2\0\0\0\0", []),
        (b"\x10\x0c\0\4MQTT\3\2\0\0\0\0", [b"\x20\2\0\1"]),  # 3.1.1 says "unacceptable protocol version"
        (b"\x10\x0f\0\6MQIsdp\4\2\0\0\0\1a", [b"\x20\2\0\1"]),
        (b"\x10\x0e\0\6MQIsdp\3\2\0\0\0\0", [b"\x20\2\0\2"]),
        (b"\x10\x0c\0\4MQTT\6\2\0\0\0\0", [b"\x20\2\0\1"]),  # [MQTT-3.1.2-2]
        (b"\x10\x0c\0\4MQTT\4\0\0\0\0\0", [b"\x20\2\0\2"]),
        (b"\x10\x0c\0\4MQTT\4\3\0\0\0\0", []),  # 3.1.1 has no word for a malformed packet
        (b"\x10\x0d\0\4MQTT\5\3\0\0\0\0\0", [b"\x20\3\0\x81\0"]),
        (b"\x10\x0d\0\4MQTT\5\2\0\0\3\x21\0", [b"\x20\3\0\x81\0"]),
    ],
)
def test_a_bad_beginning_is_answered_as_far_as_the_version_can(raw: bytes, answer: list[bytes]) -> None:
    server = Link(Role.SERVER, KIB)
    assert server.receive(raw, 1.0) == []
    assert server.fault is not None
    server.close(server.fault.reason)
    assert server.phase is Phase.CLOSING
    assert server.take_output() == answer
    assert server.receive(encode(Connect(5, "d"), 5), 2.0) == []


@pytest.mark.parametrize(
    ("role", "version"), [(role, version) for role in Role for version in (4, 5)], ids=case_name
)
def test_a_fault_on_an_open_link_is_answered_in_version_5(role: Role, version: int) -> None:
    link = link_in(role, Phase.OPEN, version)
    good = encode(Publish("t", b"x"), version)
    assert link.receive(good + b"\x36\x00" + good, 2.0) == [Publish("t", b"x")]
    assert link.fault is not None
    assert link.fault.code == "malformed_packet"
    link.close(link.fault.reason)
    assert link.take_output() == ([b"\xe0\x01\x81"] if version == 5 else [])
    assert link.phase is Phase.CLOSING


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("last", [b"\xe0\x00", b"\x00\x00"])
def test_what_came_before_the_peers_last_word_may_still_be_answered(version: int, last: bytes) -> None:
    """[MQTT-4.3.2-4], [MQTT-3.12.4-1]: packets are read ahead of being dealt with."""
    server = link_in(Role.SERVER, Phase.OPEN, version)
    raw = encode(Publish("t", b"x", 1, packet_id=7), version) + encode(Pingreq(), version) + last
    assert server.receive(raw, 2.0)[:2] == [Publish("t", b"x", 1, packet_id=7), Pingreq()]
    assert server.left
    assert server.receive(raw, 3.0) == []  # nothing more is read
    assert server.last_heard == 2.0
    server.send(Puback(7))
    server.send(Pingresp())
    server.close(R.MALFORMED_PACKET)
    told = [b"\xe0\x01\x81"] if version == 5 and server.fault is not None else []
    assert server.take_output() == [encode(Puback(7), version), encode(Pingresp(), version), *told]


def test_who_was_told_to_go_while_its_last_word_waited_is_told_why() -> None:
    server = link_in(Role.SERVER, Phase.OPEN)
    assert server.receive(b"\x00\x00", 2.0) == []
    server.close(R.SESSION_TAKEN_OVER)
    assert server.take_output() == [b"\xe0\x01\x8e"]


def test_a_link_whose_peer_has_hung_up_says_nothing_more() -> None:
    server = link_in(Role.SERVER, Phase.OPEN)
    server.hung_up()
    assert server.over
    assert server.output is None
    assert server.receive(encode(Pingreq(), 5), 3.0) == []


@pytest.mark.parametrize("cut", range(1, 12))
def test_only_a_whole_packet_tells_a_server_that_its_peer_is_alive(cut: int) -> None:
    """[MQTT-3.1.2-22] speaks of packets: whoever sends one byte a minute is silent."""
    server = link_in(Role.SERVER, Phase.OPEN)
    raw = encode(Publish("topic", b"abc"), 5)
    assert len(raw) == 13
    server.receive(raw[:cut], 5.0)
    assert server.last_heard == 1.0
    server.receive(raw[cut:], 6.0)
    assert server.last_heard == 6.0


def test_any_byte_tells_a_client_that_its_server_is_alive() -> None:
    client = link_in(Role.CLIENT, Phase.OPEN)
    client.receive(encode(Publish("topic", b"abc"), 5)[:4], 5.0)
    assert client.last_heard == 5.0


# --- the receiver's Maximum Packet Size -----------------------------------------------------------------

EXPLAINED: Properties = {P.REASON_STRING: "because"}
MOVED: Properties = {P.SERVER_REFERENCE: "b:1883", P.USER_PROPERTY: [("after-ms", "1")]}

SHRINKING: list[tuple[Packet, list[Packet]]] = [
    # what is to be said, and what is said instead where it does not fit, each less than the one before
    (Puback(1, 0x10, EXPLAINED), [Puback(1, 0x10), Puback(1)]),
    (Pubrec(1, 0x97, EXPLAINED), [Pubrec(1, 0x97)]),
    (Pubrel(1, 0x92, EXPLAINED), [Pubrel(1, 0x92)]),
    (Pubcomp(1, 0x92, EXPLAINED), [Pubcomp(1, 0x92)]),
    (Suback(1, [0, 0x87], EXPLAINED), [Suback(1, [0, 0x87])]),
    (Unsuback(1, [0, 0x11], EXPLAINED), [Unsuback(1, [0, 0x11])]),
    (Pingresp(), []),
    (
        Connack(False, 0, {P.RECEIVE_MAXIMUM: 5, **EXPLAINED}),
        [Connack(False, 0, {P.RECEIVE_MAXIMUM: 5})],  # and never without what it has to say
    ),
    (
        Connack(False, 0x9C, MOVED),
        [Connack(False, 0x9C, {P.SERVER_REFERENCE: "b:1883"}), Connack(False, 0x9C)],
    ),
    (
        Disconnect(0x9C, MOVED),
        [Disconnect(0x9C, {P.SERVER_REFERENCE: "b:1883"}), Disconnect(0x9C)],
    ),
]


@pytest.mark.parametrize(
    ("packet", "instead"), SHRINKING, ids=lambda value: type(value).__name__ if value else ""
)
def test_no_packet_is_a_byte_larger_than_its_receiver_takes(packet: Packet, instead: list[Packet]) -> None:
    """[MQTT-3.1.2-24]; and each is sent that is not."""
    forms = [encode(form, 5) for form in (packet, *instead)]
    for at_most in range(1, len(forms[0]) + 2):
        phase = Phase.CONNECTING if packet.kind == CONNACK else Phase.OPEN
        link = link_in(Role.SERVER, phase)
        fitting = [form for form in forms if len(form) <= at_most]
        assert link.send(packet, at_most) == bool(fitting)
        assert link.take_output() == fitting[:1]
        if not fitting:
            assert link.phase is phase


@pytest.mark.parametrize("phase", [Phase.CONNECTING, Phase.OPEN])
def test_a_last_word_that_is_too_large_is_not_said(phase: Phase) -> None:
    size = 5 if phase is Phase.CONNECTING else 3
    for at_most in (size, size - 1):
        link = link_in(Role.SERVER, phase)
        link.close(R.USE_ANOTHER_SERVER, MOVED, at_most)
        assert link.phase is Phase.CLOSING
        assert [len(data) for data in link.take_output()] == ([size] if at_most == size else [])


def test_packets_behind_one_that_may_not_come_are_dropped() -> None:
    server = link_in(Role.SERVER, Phase.OPEN)
    raw = b"".join(encode(packet, 5) for packet in (Pingreq(), connect(5), Pingreq()))
    assert server.receive(raw, 2.0) == [Pingreq()]
    assert server.fault is not None
    assert server.fault.reason == R.PROTOCOL_ERROR  # [MQTT-3.1.0-2]
    server.close(server.fault.reason)
    assert server.take_output() == [b"\xe0\x01\x82"]


def test_what_follows_a_good_bye_is_not_read_not_even_to_complain() -> None:
    server = link_in(Role.SERVER, Phase.OPEN)
    raw = encode(Disconnect(), 5)
    assert server.receive(raw + b"\x00nonsense", 2.0) == [Disconnect()]
    assert server.fault is None
    assert server.take_output() == []
    server = link_in(Role.SERVER, Phase.OPEN)
    assert server.receive(raw + raw, 2.0) == [Disconnect()]


def test_a_refused_client_knows_that_the_link_is_over() -> None:
    client = link_in(Role.CLIENT, Phase.CONNECTING)
    refusal = Connack(False, R.NOT_AUTHORIZED)
    assert client.receive(encode(refusal, 5), 1.0) == [refusal]
    assert client.over
    assert client.fault is None


V4, V5 = 4, 5


@pytest.mark.parametrize(
    ("role", "phase", "version", "reason", "said"),
    [
        (Role.SERVER, Phase.FRESH, V5, R.SERVER_SHUTTING_DOWN, []),
        (Role.SERVER, Phase.CONNECTING, V5, R.BANNED, [Connack(False, R.BANNED)]),
        (Role.SERVER, Phase.CONNECTING, V5, R.SERVER_SHUTTING_DOWN, [Connack(False, R.SERVER_UNAVAILABLE)]),
        (Role.SERVER, Phase.CONNECTING, V5, R.SESSION_TAKEN_OVER, []),
        (Role.SERVER, Phase.CONNECTING, V5, R.SUCCESS, []),  # that would let the client in
        (Role.SERVER, Phase.CONNECTING, V4, R.BANNED, [Connack(False, R.NOT_AUTHORIZED)]),
        (Role.SERVER, Phase.CONNECTING, V4, R.SUCCESS, []),
        (Role.SERVER, Phase.CONNECTING, V4, R.KEEP_ALIVE_TIMEOUT, []),
        (Role.SERVER, Phase.OPEN, V5, R.SERVER_SHUTTING_DOWN, [Disconnect(R.SERVER_SHUTTING_DOWN)]),
        (Role.SERVER, Phase.OPEN, V5, R.BANNED, []),  # DISCONNECT has no such reason
        (Role.SERVER, Phase.OPEN, V4, R.SERVER_SHUTTING_DOWN, []),
        (Role.CLIENT, Phase.FRESH, V5, R.SUCCESS, []),
        (Role.CLIENT, Phase.CONNECTING, V5, R.SUCCESS, [Disconnect()]),
        (Role.CLIENT, Phase.OPEN, V5, R.DISCONNECT_WITH_WILL_MESSAGE, [Disconnect(4)]),
        (Role.CLIENT, Phase.OPEN, V4, R.SUCCESS, [Disconnect()]),
        (Role.CLIENT, Phase.OPEN, V4, R.UNSPECIFIED_ERROR, []),  # the will shall be published
    ],
    ids=case_name,
)
def test_a_link_says_good_bye_as_far_as_it_can(
    role: Role, phase: Phase, version: int, reason: R, said: list[Packet]
) -> None:
    link = link_in(role, phase, version)
    link.close(reason)
    assert link.phase is Phase.CLOSING
    assert link.take_output() == [encode(packet, version) for packet in said]
    link.close(R.SERVER_BUSY)
    assert link.take_output() == []


def test_a_good_bye_can_say_where_to_go() -> None:
    server = link_in(Role.SERVER, Phase.OPEN)
    server.close(R.USE_ANOTHER_SERVER, {P.SERVER_REFERENCE: "b:1883"})
    (raw,) = server.take_output()
    (packet,) = Decoder(KIB, 5, False).feed(raw)
    assert packet == Disconnect(R.USE_ANOTHER_SERVER, {P.SERVER_REFERENCE: "b:1883"})


def test_a_packet_that_cannot_be_written_changes_nothing() -> None:
    client = Link(Role.CLIENT, KIB)
    with pytest.raises(LocalProtocolError):
        client.send(Connect(4, "", False))
    assert (client.phase, client.version, client.output) == (Phase.FRESH, 0, None)


def test_an_encoded_publish_is_sent_only_when_it_may_be() -> None:
    server = link_in(Role.SERVER, Phase.CONNECTING)
    with pytest.raises(LocalProtocolError, match="CONNECTING"):
        server.send_publish(encode(Publish("t", b""), 5), SharedOutput())
    assert server.output is None


def test_output_is_taken_once_and_in_order() -> None:
    server = link_in(Role.SERVER, Phase.OPEN)
    assert server.output is None
    server.send(Pingresp())
    server.send(Puback(1))
    assert server.output == [encode(Pingresp(), 5), encode(Puback(1), 5)]
    assert len(server.take_output()) == 2
    assert server.output is None


def test_a_closed_link_holds_nothing() -> None:
    server = link_in(Role.SERVER, Phase.OPEN)
    server.receive(b"\x30\x7f\0", 2.0)
    server.send(Pingresp())
    server.closed()
    assert (server.held, server.output, server.phase) == (0, None, Phase.CLOSED)
    server.close()
    assert server.phase is Phase.CLOSED


def test_an_idle_link_is_small() -> None:
    """One object without a dictionary; the node has a million of them."""
    link = link_in(Role.SERVER, Phase.OPEN)
    assert not hasattr(link, "__dict__")
    assert sys.getsizeof(link) <= 160


@pytest.mark.parametrize("ahead", [1, 2, 7, 100])
@pytest.mark.parametrize("last", [b"", b"\xe0\x00", b"\x00", b"\x30\x03\x00"])
def test_reading_a_few_packets_at_a_time_changes_nothing_of_what_arrives(ahead: int, last: bytes) -> None:
    """Whatever ends it: nothing, a good-bye, what is malformed, or a part of a packet."""
    data = b"".join(encode(Publish("a", b"%d" % number), 5) for number in range(20)) + last + b"\xc0\x00"
    whole = link_in(Role.SERVER, Phase.OPEN)
    wanted = whole.receive(data, 0.0)
    assert not whole.more
    link = link_in(Role.SERVER, Phase.OPEN)
    found = link.receive(data, 0.0, ahead)
    while link.more:
        assert link.fault is None
        further = link.resume(ahead)
        assert len(further) <= ahead
        found += further
    assert found == wanted
    assert (link.left, link.held, link.phase) == (whole.left, whole.held, whole.phase)
    assert (link.fault is None) == (whole.fault is None)
