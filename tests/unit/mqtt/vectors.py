"""What MQTT looks like on the wire: one table that reads and writes, and one of what must be refused.

A vector says: in this version, from this sender, these bytes are this packet. `GOOD` is read and written;
`LENIENT` holds forms that are legal but longer than those we write, so it is only read; `BAD` tells the
reason code of the answer.
"""

from dataclasses import dataclass

from longline.mqtt.packets import (
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
    Will,
)
from longline.mqtt.properties import PropertyId as P
from longline.mqtt.reasons import ReasonCode as R

CLIENT = True
SERVER = False


@dataclass(frozen=True)
class Good:
    name: str
    version: int
    from_client: bool
    raw: bytes
    packet: Packet


@dataclass(frozen=True)
class Bad:
    name: str
    version: int
    from_client: bool
    raw: bytes
    reason: R


def good(name: str, version: int, sender: bool, raw: str, packet: Packet) -> Good:
    return Good(f"v{version} {name}", version, sender, bytes.fromhex(raw), packet)


def both(name: str, sender: bool, raw: str, packet: Packet) -> list[Good]:
    return [good(name, 4, sender, raw, packet), good(name, 5, sender, raw, packet)]


def text(value: str) -> str:
    """A UTF-8 string of the wire, in hex."""
    raw = value.encode()
    return f"{len(raw):04x}{raw.hex()}"


V3 = "00064d514973647003"
V4 = "00044d51545404"
V5 = "00044d51545405"

GOOD = [
    # --- CONNECT
    good("connect, the least", 4, CLIENT, f"10 0d {V4} 02 0000 {text('a')}", Connect(4, "a")),
    good("connect, the least", 5, CLIENT, f"10 0e {V5} 02 0000 00 {text('a')}", Connect(5, "a")),
    good("connect, the least", 3, CLIENT, f"10 0f {V3} 02 0000 {text('a')}", Connect(3, "a")),
    good(
        "connect, for later",
        3,
        CLIENT,
        f"10 25 {V3} 00 0000 {text('é' + 'a' * 21)}",
        Connect(3, "é" + "a" * 21, False),
    ),
    good(
        "connect, everything",
        3,
        CLIENT,
        f"10 1f {V3} ee ffff {text('id')} {text('w/t')} 0001 78 {text('u')} 0002 00ff",
        Connect(3, "id", True, 65535, "u", b"\x00\xff", Will("w/t", b"x", 1, True)),
    ),
    good("connect, empty id", 4, CLIENT, f"10 0c {V4} 02 003c 0000", Connect(4, "", True, 60)),
    good("connect, empty id for later", 5, CLIENT, f"10 0d {V5} 00 003c 00 0000", Connect(5, "", False, 60)),
    good(
        "connect, everything",
        4,
        CLIENT,
        f"10 1d {V4} ee ffff {text('id')} {text('w/t')} 0001 78 {text('u')} 0002 00ff",
        Connect(4, "id", True, 65535, "u", b"\x00\xff", Will("w/t", b"x", 1, True)),
    ),
    good(
        "connect, everything",
        5,
        CLIENT,
        f"10 5e {V5} f4 0001"
        f" 23 11 0000000a 21 0014 27 00000100 22 0005 19 01 17 00 26 {text('k')} {text('v')}"
        f" 15 {text('m')} 16 0001 ff"
        f" {text('id')}"
        f" 1f 18 00000009 01 01 02 00000008 03 {text('ct')}"
        f" 08 {text('r')} 09 0001 00 26 {text('a')} {text('')}"
        f" {text('w/t')} 0000 {text('u')} 0000",
        Connect(
            5,
            "id",
            False,
            1,
            "u",
            b"",
            Will(
                "w/t",
                b"",
                2,
                True,
                {
                    P.WILL_DELAY_INTERVAL: 9,
                    P.PAYLOAD_FORMAT_INDICATOR: 1,
                    P.MESSAGE_EXPIRY_INTERVAL: 8,
                    P.CONTENT_TYPE: "ct",
                    P.RESPONSE_TOPIC: "r",
                    P.CORRELATION_DATA: b"\0",
                    P.USER_PROPERTY: [("a", "")],
                },
            ),
            {
                P.SESSION_EXPIRY_INTERVAL: 10,
                P.RECEIVE_MAXIMUM: 20,
                P.MAXIMUM_PACKET_SIZE: 256,
                P.TOPIC_ALIAS_MAXIMUM: 5,
                P.REQUEST_RESPONSE_INFORMATION: 1,
                P.REQUEST_PROBLEM_INFORMATION: 0,
                P.USER_PROPERTY: [("k", "v")],
                P.AUTHENTICATION_METHOD: "m",
                P.AUTHENTICATION_DATA: b"\xff",
            },
        ),
    ),
    good(
        "connect, password alone",
        5,
        CLIENT,
        f"10 11 {V5} 42 0000 00 {text('a')} 0001 70",
        Connect(5, "a", password=b"p"),
    ),
    # --- CONNACK
    good("connack", 4, SERVER, "20 02 00 00", Connack()),
    good("connack, present", 4, SERVER, "20 02 01 00", Connack(True)),
    good("connack, version", 4, SERVER, "20 02 00 01", Connack(False, R.UNSUPPORTED_PROTOCOL_VERSION)),
    good("connack, identifier", 4, SERVER, "20 02 00 02", Connack(False, R.CLIENT_IDENTIFIER_NOT_VALID)),
    good("connack, unavailable", 4, SERVER, "20 02 00 03", Connack(False, R.SERVER_UNAVAILABLE)),
    good("connack, password", 4, SERVER, "20 02 00 04", Connack(False, R.BAD_USER_NAME_OR_PASSWORD)),
    good("connack, not authorized", 4, SERVER, "20 02 00 05", Connack(False, R.NOT_AUTHORIZED)),
    good("connack", 5, SERVER, "20 03 00 00 00", Connack()),
    good("connack, present", 5, SERVER, "20 03 01 00 00", Connack(True)),
    good("connack, banned", 5, SERVER, "20 03 00 8a 00", Connack(False, R.BANNED)),
    good(
        "connack, everything",
        5,
        SERVER,
        f"20 42 00 00 3f 11 00000001 21 0002 24 01 25 00 27 00000400 12 {text('x')} 22 0003 1f {text('why')}"
        f" 26 {text('a')} {text('b')} 28 00 29 01 2a 00 13 001e 1a {text('i')} 1c {text('s')}"
        f" 15 {text('m')} 16 0002 0102",
        Connack(
            False,
            0,
            {
                P.SESSION_EXPIRY_INTERVAL: 1,
                P.RECEIVE_MAXIMUM: 2,
                P.MAXIMUM_QOS: 1,
                P.RETAIN_AVAILABLE: 0,
                P.MAXIMUM_PACKET_SIZE: 1024,
                P.ASSIGNED_CLIENT_IDENTIFIER: "x",
                P.TOPIC_ALIAS_MAXIMUM: 3,
                P.REASON_STRING: "why",
                P.USER_PROPERTY: [("a", "b")],
                P.WILDCARD_SUBSCRIPTION_AVAILABLE: 0,
                P.SUBSCRIPTION_IDENTIFIER_AVAILABLE: 1,
                P.SHARED_SUBSCRIPTION_AVAILABLE: 0,
                P.SERVER_KEEP_ALIVE: 30,
                P.RESPONSE_INFORMATION: "i",
                P.SERVER_REFERENCE: "s",
                P.AUTHENTICATION_METHOD: "m",
                P.AUTHENTICATION_DATA: b"\x01\x02",
            },
        ),
    ),
    # --- PUBLISH
    good("publish, QoS 0", 4, CLIENT, f"30 07 {text('a/b')} 6869", Publish("a/b", b"hi")),
    good("publish, QoS 0", 5, CLIENT, f"30 08 {text('a/b')} 00 6869", Publish("a/b", b"hi")),
    good("publish, empty and retained", 4, CLIENT, f"31 05 {text('a/b')}", Publish("a/b", b"", retain=True)),
    good("publish, QoS 1", 4, SERVER, f"32 08 {text('a/b')} 0001 78", Publish("a/b", b"x", 1, packet_id=1)),
    good(
        "publish, QoS 2 again",
        5,
        SERVER,
        f"3d 08 {text('a/b')} ffff 00",
        Publish("a/b", b"", 2, True, True, 0xFFFF),
    ),
    good(
        "publish, byte order mark", 4, CLIENT, f"30 06 {text(chr(0xFEFF) + '/')}", Publish("\ufeff/", b"")
    ),  # [MQTT-1.5.4-3]
    good(
        "publish, everything",
        5,
        SERVER,
        f"32 31 {text('t')} 0007 27 01 01 02 00000001 23 0001 08 {text('r')} 09 0000"
        f" 26 {text('a')} {text('b')} 26 {text('a')} {text('c')} 0b 01 0b 8001 03 {text('')} 70617900",
        Publish(
            "t",
            b"pay\0",
            1,
            packet_id=7,
            properties={
                P.PAYLOAD_FORMAT_INDICATOR: 1,
                P.MESSAGE_EXPIRY_INTERVAL: 1,
                P.TOPIC_ALIAS: 1,
                P.RESPONSE_TOPIC: "r",
                P.CORRELATION_DATA: b"",
                P.USER_PROPERTY: [("a", "b"), ("a", "c")],
                P.SUBSCRIPTION_IDENTIFIER: [1, 128],
                P.CONTENT_TYPE: "",
            },
        ),
    ),
    good(
        "publish, alias alone",
        5,
        CLIENT,
        "30 06 0000 03 230009",
        Publish("", b"", properties={P.TOPIC_ALIAS: 9}),
    ),
    *[
        good(f"publish, {size} bytes", 4, CLIENT, header + text("t") + "00" * size, Publish("t", bytes(size)))
        for size, header in [
            (124, "307f"),
            (125, "308001"),
            (16380, "30ff7f"),
            (16381, "30808001"),
            (2097148, "30ffff7f"),
            (2097149, "3080808001"),
        ]
    ],
    # --- acknowledgements
    *both("puback", CLIENT, "40 02 0001", Puback(1)),
    *both("pubrec", SERVER, "50 02 0100", Pubrec(256)),
    *both("pubrel", CLIENT, "62 02 ffff", Pubrel(65535)),
    *both("pubcomp", SERVER, "70 02 0001", Pubcomp(1)),
    good("puback, reason", 5, CLIENT, "40 03 0001 10", Puback(1, R.NO_MATCHING_SUBSCRIBERS)),
    good("pubrec, reason", 5, CLIENT, "50 03 0001 97", Pubrec(1, R.QUOTA_EXCEEDED)),
    good("pubrel, reason", 5, SERVER, "62 03 0001 92", Pubrel(1, R.PACKET_IDENTIFIER_NOT_FOUND)),
    good(
        "pubcomp, properties",
        5,
        SERVER,
        f"70 09 0001 92 05 1f {text('no')}",
        Pubcomp(1, R.PACKET_IDENTIFIER_NOT_FOUND, {P.REASON_STRING: "no"}),
    ),
    good(
        "puback, success with properties",
        5,
        CLIENT,
        f"40 0b 0001 00 07 26 {text('a')} {text('b')}",
        Puback(1, 0, {P.USER_PROPERTY: [("a", "b")]}),
    ),
    # --- subscriptions
    good(
        "subscribe",
        4,
        CLIENT,
        f"82 0c 0001 {text('a/#')} 01 {text('+')} 02",
        Subscribe(1, [Subscription("a/#", 1), Subscription("+", 2)]),
    ),
    good(
        "subscribe, options",
        5,
        CLIENT,
        f"82 16 0001 00 {text('a')} 2e {text('$share/g/+/#')} 19",
        Subscribe(1, [Subscription("a", 2, True, True, 2), Subscription("$share/g/+/#", 1, False, True, 1)]),
    ),
    good(
        "subscribe, properties",
        5,
        CLIENT,
        f"82 10 0001 09 0b 8002 26 {text('a')} {text('')} {text('a')} 00",
        Subscribe(1, [Subscription("a")], {P.SUBSCRIPTION_IDENTIFIER: [256], P.USER_PROPERTY: [("a", "")]}),
    ),
    good("suback", 4, SERVER, "90 06 0001 00 01 02 80", Suback(1, [0, 1, 2, 0x80])),
    good("suback", 5, SERVER, "90 06 0001 00 02 8f 87", Suback(1, [2, 0x8F, 0x87])),
    good(
        "suback, properties",
        5,
        SERVER,
        f"90 08 0001 04 1f {text('x')} 00",
        Suback(1, [0], {P.REASON_STRING: "x"}),
    ),
    good("unsubscribe", 4, CLIENT, f"a2 08 0001 {text('a')} {text('b')}", Unsubscribe(1, ["a", "b"])),
    good("unsubscribe", 5, CLIENT, f"a2 06 0001 00 {text('#')}", Unsubscribe(1, ["#"])),
    good(
        "unsubscribe, properties",
        5,
        CLIENT,
        f"a2 0b 0001 05 26 {text('')} {text('')} {text('a')}",
        Unsubscribe(1, ["a"], {P.USER_PROPERTY: [("", "")]}),
    ),
    good("unsuback", 4, SERVER, "b0 02 0001", Unsuback(1, [])),
    good("unsuback", 5, SERVER, "b0 05 0001 00 00 11", Unsuback(1, [0, 0x11])),
    good(
        "unsuback, props",
        5,
        SERVER,
        f"b0 08 0001 04 1f {text('x')} 00",
        Unsuback(1, [0], {P.REASON_STRING: "x"}),
    ),
    # --- the connection
    *both("pingreq", CLIENT, "c0 00", Pingreq()),
    *both("pingresp", SERVER, "d0 00", Pingresp()),
    *both("disconnect", CLIENT, "e0 00", Disconnect()),
    good("disconnect, with will", 5, CLIENT, "e0 01 04", Disconnect(R.DISCONNECT_WITH_WILL_MESSAGE)),
    good("disconnect, taken over", 5, SERVER, "e0 01 8e", Disconnect(R.SESSION_TAKEN_OVER)),
    good(
        "disconnect, elsewhere",
        5,
        SERVER,
        f"e0 0d 9c 0b 1c {text('b:1')} 1f {text('go')}",
        Disconnect(R.USE_ANOTHER_SERVER, {P.SERVER_REFERENCE: "b:1", P.REASON_STRING: "go"}),
    ),
    good(
        "disconnect, expiry",
        5,
        CLIENT,
        "e0 07 00 05 11 00000000",
        Disconnect(0, {P.SESSION_EXPIRY_INTERVAL: 0}),
    ),
    good("auth, done", 5, SERVER, "f0 00", Auth()),
    good(
        "auth, step",
        5,
        CLIENT,
        f"f0 0c 18 0a 15 {text('m')} 16 0003 616263",
        Auth(R.CONTINUE_AUTHENTICATION, {P.AUTHENTICATION_METHOD: "m", P.AUTHENTICATION_DATA: b"abc"}),
    ),
    good(
        "auth, again",
        5,
        CLIENT,
        f"f0 06 19 04 15 {text('m')}",
        Auth(R.REAUTHENTICATE, {P.AUTHENTICATION_METHOD: "m"}),
    ),
]

LENIENT = [
    # 3.1.1 has no rule against lengths with more bytes than they need
    good("ping, padded length", 4, CLIENT, "c0 808000", Pingreq()),
    good("message, padded length", 4, CLIENT, f"30 85808000 {text('t')} 7071", Publish("t", b"pq")),
    # 3.1 lets flags stand for a user name and a password that are missing, and bits that are not used be set
    good("connect, no user name", 3, CLIENT, f"10 0f {V3} 82 0000 {text('a')}", Connect(3, "a")),
    good("connect, neither", 3, CLIENT, f"10 0f {V3} c2 0000 {text('a')}", Connect(3, "a")),
    good(
        "connect, no password",
        3,
        CLIENT,
        f"10 12 {V3} c2 0000 {text('a')} {text('u')}",
        Connect(3, "a", username="u"),
    ),
    good("connect, bits of no will", 3, CLIENT, f"10 0f {V3} 3b 0000 {text('a')}", Connect(3, "a")),
    good("puback, success written out", 5, CLIENT, "40 03 0001 00", Puback(1)),
    good("puback, empty properties", 5, CLIENT, "40 04 0001 00 00", Puback(1)),
    good("disconnect, success written out", 5, CLIENT, "e0 01 00", Disconnect()),
    good("disconnect, empty properties", 5, SERVER, "e0 02 8b 00", Disconnect(R.SERVER_SHUTTING_DOWN)),
]


def bad(name: str, version: int, sender: bool, raw: str, reason: R) -> Bad:
    return Bad(f"v{version} {name}", version, sender, bytes.fromhex(raw), reason)


MALFORMED = R.MALFORMED_PACKET
PROTOCOL = R.PROTOCOL_ERROR
BAD_TEXT = {
    "overlong": "c080",
    "cut short": "e282",
    "surrogate": "eda080",  # [MQTT-1.5.4-1]
    "beyond unicode": "f4908080",
    "null": "00",  # [MQTT-1.5.4-2]
}


def connect(level: str, flags: str, rest: str) -> str:
    body = bytes.fromhex(f"00044d515454 {level} {flags} 0000 {rest}")
    return f"10 {len(body):02x} {body.hex()}"


def publish(properties: str, flags: str = "30", sized: bool = True) -> str:
    """A PUBLISH to `t` with these properties, in version 5."""
    inside = bytes.fromhex(properties)
    body = bytes.fromhex(text("t")) + (bytes([len(inside)]) if sized else b"") + inside
    return f"{flags} {len(body):02x} {body.hex()}"


BAD = [
    # --- the fixed header
    bad("type 0", 5, CLIENT, "00 00", MALFORMED),
    *[
        bad(f"flags of type {first >> 4}", 5, CLIENT, f"{first:02x} 00", MALFORMED)  # [MQTT-2.1.3-1]
        for first in (
            0x11,
            0x28,
            0x41,
            0x52,
            0x60,
            0x63,
            0x74,
            0x80,
            0x83,
            0x92,
            0xA0,
            0xB2,
            0xC1,
            0xD8,
            0xE1,
            0xF4,
        )
    ],
    bad("length of five bytes", 4, CLIENT, "30 ffffffff 01", MALFORMED),
    bad("length longer than need be", 5, CLIENT, "c0 8000", MALFORMED),  # [MQTT-1.5.5-1]
    bad("message, length longer than need be", 5, CLIENT, "30 848000 000174 00", MALFORMED),
    bad(
        "connect, length longer than need be",
        0,
        CLIENT,
        f"10 8e00 0004 4d515454 05 02 0000 00 {text('a')}",
        MALFORMED,
    ),
    bad("too large", 4, CLIENT, "30 ffffff7f", R.PACKET_TOO_LARGE),
    # --- CONNECT
    bad("no packet before connect", 0, CLIENT, "c0 00", PROTOCOL),  # [MQTT-3.1.0-1]
    bad("no message before connect", 0, CLIENT, "30 03 000161", PROTOCOL),
    bad(
        "connect, other name",
        0,
        CLIENT,
        "10 0c 0004 4d515458 04 02 0000 0000",
        R.UNSUPPORTED_PROTOCOL_VERSION,
    ),
    bad("connect, no id in 3.1", 0, CLIENT, f"10 0e {V3} 02 0000 0000", R.CLIENT_IDENTIFIER_NOT_VALID),
    bad(
        "connect, long id in 3.1",
        0,
        CLIENT,
        f"10 26 {V3} 02 0000 {text('a' * 24)}",
        R.CLIENT_IDENTIFIER_NOT_VALID,
    ),
    bad("connect, password alone in 3.1", 0, CLIENT, f"10 12 {V3} 42 0000 {text('a')} 0001 70", MALFORMED),
    bad(
        "connect, more than flags say in 3.1", 0, CLIENT, f"10 12 {V3} 02 0000 {text('a')} 0001 70", MALFORMED
    ),
    bad("connect, level 3", 0, CLIENT, connect("03", "02", "0000"), R.UNSUPPORTED_PROTOCOL_VERSION),
    bad("connect, level 6", 0, CLIENT, connect("06", "02", "000000"), R.UNSUPPORTED_PROTOCOL_VERSION),
    bad("connect, another version", 4, CLIENT, connect("05", "02", "000000"), PROTOCOL),
    bad("connect, from a server", 5, SERVER, connect("05", "02", "000000"), PROTOCOL),
    bad("connect, empty", 0, CLIENT, "10 00", MALFORMED),
    bad("connect, reserved flag", 0, CLIENT, connect("04", "03", text("a")), MALFORMED),  # [MQTT-3.1.2-3]
    bad("connect, will QoS 3", 0, CLIENT, connect("04", "1e", text("a")), MALFORMED),  # [MQTT-3.1.2-12]
    bad("connect, QoS without will", 0, CLIENT, connect("04", "0a", text("a")), MALFORMED),  # [MQTT-3.1.2-11]
    bad(
        "connect, retain without will", 0, CLIENT, connect("04", "22", text("a")), MALFORMED
    ),  # [MQTT-3.1.2-13]
    bad("connect, password alone", 0, CLIENT, connect("04", "42", text("a") + text("p")), MALFORMED),
    bad("connect, id for later", 0, CLIENT, connect("04", "00", "0000"), R.CLIENT_IDENTIFIER_NOT_VALID),
    bad("connect, no id", 0, CLIENT, connect("04", "02", ""), MALFORMED),  # [MQTT-3.1.3-3]
    bad("connect, no will", 0, CLIENT, connect("04", "06", text("a")), MALFORMED),  # [MQTT-3.1.2-9]
    bad("connect, no user name", 0, CLIENT, connect("04", "82", text("a")), MALFORMED),  # [MQTT-3.1.2-17]
    bad("connect, no password", 0, CLIENT, connect("04", "c2", text("a") + text("u")), MALFORMED),
    bad("connect, more than flags say", 0, CLIENT, connect("04", "02", text("a") + text("u")), MALFORMED),
    bad(
        "connect, will to all",
        0,
        CLIENT,
        connect("04", "06", text("a") + text("#") + "0000"),
        MALFORMED,
    ),
    bad("connect, will to none", 0, CLIENT, connect("04", "06", text("a") + "0000 0000"), MALFORMED),
    bad("connect, receive maximum 0", 0, CLIENT, connect("05", "02", "03 210000" + text("a")), PROTOCOL),
    bad("connect, packet size 0", 0, CLIENT, connect("05", "02", "05 2700000000" + text("a")), PROTOCOL),
    bad("connect, problem information 2", 0, CLIENT, connect("05", "02", "02 1702" + text("a")), PROTOCOL),
    bad(
        "connect, expiry twice",
        0,
        CLIENT,
        connect("05", "02", "0a 1100000000 1100000000" + text("a")),
        PROTOCOL,
    ),
    bad("connect, data without method", 0, CLIENT, connect("05", "02", "04 16 000161" + text("a")), PROTOCOL),
    bad("connect, property of connack", 0, CLIENT, connect("05", "02", "03 130000" + text("a")), MALFORMED),
    bad(
        "connect, will delay outside", 0, CLIENT, connect("05", "02", "05 1800000000" + text("a")), MALFORMED
    ),
    bad("connect, user name", 0, CLIENT, connect("05", "82", "00" + text("a") + "0001 ff"), MALFORMED),
    # --- CONNACK
    bad("connack, reserved flag", 5, SERVER, "20 03 02 00 00", MALFORMED),  # [MQTT-3.2.2-1]
    bad("connack, refused and present", 5, SERVER, "20 03 01 87 00", PROTOCOL),  # [MQTT-3.2.2-6]
    bad("connack, strange reason", 5, SERVER, "20 03 00 8e 00", PROTOCOL),  # [MQTT-3.2.2-8]
    bad("connack, reserved code", 4, SERVER, "20 02 00 06", PROTOCOL),
    bad("connack, long", 4, SERVER, "20 03 00 00 00", MALFORMED),
    bad("connack, maximum QoS 2", 5, SERVER, "20 05 00 00 02 2402", PROTOCOL),
    bad("connack, data without method", 5, SERVER, "20 06 00 00 03 160000", PROTOCOL),
    # --- PUBLISH
    bad("publish, empty", 4, CLIENT, "30 00", MALFORMED),
    bad("publish, topic too long", 4, CLIENT, "30 03 0002 61", MALFORMED),
    bad("publish, QoS 3", 4, CLIENT, f"36 05 {text('t')} 0001", MALFORMED),  # [MQTT-3.3.1-4]
    bad("publish, duplicate of QoS 0", 4, CLIENT, f"38 03 {text('t')}", PROTOCOL),  # [MQTT-3.3.1-2]
    bad("publish, no identifier", 4, CLIENT, f"32 04 {text('t')} 00", MALFORMED),
    bad("publish, identifier 0", 4, CLIENT, f"32 05 {text('t')} 0000", PROTOCOL),  # [MQTT-2.2.1-3]
    bad("publish, plus", 4, CLIENT, f"30 05 {text('a/+')}", MALFORMED),  # [MQTT-3.3.2-2]
    bad("publish, hash", 5, CLIENT, f"30 04 {text('#')} 00", MALFORMED),
    bad("publish, no topic", 4, CLIENT, "30 02 0000", PROTOCOL),  # [MQTT-4.7.3-1]
    bad("publish, neither topic nor alias", 5, CLIENT, "30 03 0000 00", PROTOCOL),
    bad("publish, no properties", 5, CLIENT, f"30 03 {text('t')}", MALFORMED),  # [MQTT-2.2.2-1]
    bad("publish, properties too long", 5, CLIENT, publish("09 00 01", sized=False), MALFORMED),
    bad("publish, property cut by its length", 5, CLIENT, publish("02 02 00000000", sized=False), MALFORMED),
    bad("publish, alias 0", 5, CLIENT, publish("23 0000"), R.TOPIC_ALIAS_INVALID),  # [MQTT-3.3.2-8]
    bad("publish, alias twice", 5, CLIENT, publish("23 0001 23 0001"), PROTOCOL),
    bad("publish, format 2", 5, CLIENT, publish("01 02"), PROTOCOL),
    bad("publish, answer to all", 5, CLIENT, publish("08 000123"), MALFORMED),  # [MQTT-3.3.2-14]
    bad("publish, answer to none", 5, CLIENT, publish("08 0000"), MALFORMED),
    bad("publish, subscription of a client", 5, CLIENT, publish("0b 01"), PROTOCOL),  # [MQTT-3.3.4-6]
    bad("publish, subscription 0", 5, SERVER, publish("0b 00"), PROTOCOL),
    bad("publish, subscription of five bytes", 5, SERVER, publish("0b 8080808001"), MALFORMED),
    bad(
        "publish, subscription longer than need be", 5, SERVER, publish("0b 8100"), MALFORMED
    ),  # [MQTT-1.5.5-1]
    bad("publish, unknown property", 5, CLIENT, publish("7f 00"), MALFORMED),
    bad("publish, huge property", 5, CLIENT, publish("ff7f 00"), MALFORMED),
    bad("publish, property of connect", 5, CLIENT, publish("21 0001"), MALFORMED),
    bad("publish, user property without value", 5, CLIENT, publish("26 000161"), MALFORMED),
    *[
        bad(
            f"publish, topic {what}",
            4,
            CLIENT,
            f"30 {len(raw) // 2 + 2:02x} 00{len(raw) // 2:02x} {raw}",
            MALFORMED,
        )
        for what, raw in BAD_TEXT.items()
    ],
    *[
        bad(f"publish, content type {what}", 5, CLIENT, publish(f"03 00{len(raw) // 2:02x} {raw}"), MALFORMED)
        for what, raw in BAD_TEXT.items()
    ],
    *[
        bad(
            f"publish, user property {what}",
            5,
            CLIENT,
            publish(f"26 0000 00{len(raw) // 2:02x} {raw}"),
            MALFORMED,
        )
        for what, raw in BAD_TEXT.items()  # [MQTT-1.5.7-1]
    ],
    # --- acknowledgements
    *[
        bad(f"type {first >> 4}, identifier 0", 4, CLIENT, f"{first:02x} 02 0000", PROTOCOL)
        for first in (0x40, 0x50, 0x62, 0x70)
    ],
    *[
        bad(f"type {first >> 4}, strange reason", 5, CLIENT, f"{first:02x} 03 0001 01", PROTOCOL)
        for first in (0x40, 0x50, 0x62, 0x70)  # [MQTT-3.4.2-1] and its like
    ],
    bad("puback, short", 4, CLIENT, "40 01 00", MALFORMED),
    bad("puback, long", 4, CLIENT, "40 03 0001 00", MALFORMED),
    bad("puback, longer than its properties", 5, CLIENT, "40 05 0001 00 00 00", MALFORMED),
    bad("puback, property of publish", 5, CLIENT, "40 07 0001 00 03 230001", MALFORMED),
    # --- subscriptions
    bad("subscribe, no filter", 4, CLIENT, "82 02 0001", PROTOCOL),  # [MQTT-3.8.3-2]
    bad("subscribe, identifier 0", 4, CLIENT, f"82 06 0000 {text('a')} 00", PROTOCOL),
    bad("subscribe, no options", 4, CLIENT, f"82 05 0001 {text('a')}", MALFORMED),
    bad("subscribe, QoS 3", 4, CLIENT, f"82 06 0001 {text('a')} 03", PROTOCOL),
    bad("subscribe, options of version 5", 4, CLIENT, f"82 06 0001 {text('a')} 04", MALFORMED),
    bad(
        "subscribe, reserved option", 5, CLIENT, f"82 07 0001 00 {text('a')} 40", MALFORMED
    ),  # [MQTT-3.8.3-5]
    bad("subscribe, retain handling 3", 5, CLIENT, f"82 07 0001 00 {text('a')} 30", PROTOCOL),
    bad("subscribe, shared and no local", 5, CLIENT, f"82 10 0001 00 {text('$share/g/a')} 04", PROTOCOL),
    bad("subscribe, empty filter", 4, CLIENT, "82 05 0001 0000 00", MALFORMED),  # [MQTT-4.7.3-1]
    bad("subscribe, bad filter", 4, CLIENT, f"82 07 0001 {text('a#')} 00", MALFORMED),
    bad(
        "subscribe, share without filter",
        5,
        CLIENT,
        f"82 0e 0001 00 {text('$share/g')} 00",
        MALFORMED,
    ),
    bad("subscribe, null in filter", 4, CLIENT, "82 06 0001 0001 00 00", MALFORMED),
    bad("subscribe, subscription 0", 5, CLIENT, f"82 09 0001 02 0b00 {text('a')} 00", PROTOCOL),
    bad("subscribe, subscription twice", 5, CLIENT, f"82 0b 0001 04 0b01 0b02 {text('a')} 00", PROTOCOL),
    bad("suback, no reason", 4, SERVER, "90 02 0001", PROTOCOL),
    bad("suback, reason of version 5", 4, SERVER, "90 03 0001 87", PROTOCOL),
    bad("suback, strange reason", 5, SERVER, "90 04 0001 00 03", PROTOCOL),  # [MQTT-3.9.3-2]
    bad("unsubscribe, no filter", 5, CLIENT, "a2 03 0001 00", PROTOCOL),  # [MQTT-3.10.3-2]
    bad("unsubscribe, bad filter", 4, CLIENT, f"a2 06 0001 {text('+a')}", MALFORMED),
    bad("unsuback, long", 4, SERVER, "b0 03 0001 00", MALFORMED),
    bad("unsuback, no reason", 5, SERVER, "b0 03 0001 00", PROTOCOL),
    bad("unsuback, strange reason", 5, SERVER, "b0 04 0001 00 01", PROTOCOL),  # [MQTT-3.11.3-2]
    # --- the connection
    bad("pingreq, long", 4, CLIENT, "c0 01 00", MALFORMED),
    bad("pingresp, long", 5, SERVER, "d0 01 00", MALFORMED),
    bad("disconnect, long", 4, CLIENT, "e0 01 00", MALFORMED),
    bad("disconnect, strange reason", 5, CLIENT, "e0 01 01", PROTOCOL),  # [MQTT-3.14.2-1]
    bad("disconnect, expiry of a server", 5, SERVER, "e0 07 00 05 1100000000", PROTOCOL),  # [MQTT-3.14.2-2]
    bad("auth in 3.1.1", 4, CLIENT, "f0 00", MALFORMED),
    bad("auth, done says a client", 5, CLIENT, "f0 00", PROTOCOL),  # [MQTT-3.15.2-1]
    bad("auth, again says a server", 5, SERVER, f"f0 06 19 04 15 {text('m')}", PROTOCOL),
    bad("auth, no method", 5, CLIENT, "f0 02 18 00", PROTOCOL),
    bad("auth, other property", 5, CLIENT, "f0 05 18 03 230001", MALFORMED),
]
