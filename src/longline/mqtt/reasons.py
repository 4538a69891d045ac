"""Reason codes of MQTT 5.0 and their nearest words in MQTT 3.1.1.

Inside Longline every outcome is an MQTT 5 reason code; what 3.1.1 can say of it is decided here and nowhere
else.
"""

from enum import IntEnum
from typing import Final


class ReasonCode(IntEnum):
    """The reason codes of MQTT 5.0, section 2.4. From 0x80 on they tell of a failure."""

    SUCCESS = 0x00
    NORMAL_DISCONNECTION = 0x00
    GRANTED_QOS_0 = 0x00
    GRANTED_QOS_1 = 0x01
    GRANTED_QOS_2 = 0x02
    DISCONNECT_WITH_WILL_MESSAGE = 0x04
    NO_MATCHING_SUBSCRIBERS = 0x10
    NO_SUBSCRIPTION_EXISTED = 0x11
    CONTINUE_AUTHENTICATION = 0x18
    REAUTHENTICATE = 0x19
    UNSPECIFIED_ERROR = 0x80
    MALFORMED_PACKET = 0x81
    PROTOCOL_ERROR = 0x82
    IMPLEMENTATION_SPECIFIC_ERROR = 0x83
    UNSUPPORTED_PROTOCOL_VERSION = 0x84
    CLIENT_IDENTIFIER_NOT_VALID = 0x85
    BAD_USER_NAME_OR_PASSWORD = 0x86
    NOT_AUTHORIZED = 0x87
    SERVER_UNAVAILABLE = 0x88
    SERVER_BUSY = 0x89
    BANNED = 0x8A
    SERVER_SHUTTING_DOWN = 0x8B
    BAD_AUTHENTICATION_METHOD = 0x8C
    KEEP_ALIVE_TIMEOUT = 0x8D
    SESSION_TAKEN_OVER = 0x8E
    TOPIC_FILTER_INVALID = 0x8F
    TOPIC_NAME_INVALID = 0x90
    PACKET_IDENTIFIER_IN_USE = 0x91
    PACKET_IDENTIFIER_NOT_FOUND = 0x92
    RECEIVE_MAXIMUM_EXCEEDED = 0x93
    TOPIC_ALIAS_INVALID = 0x94
    PACKET_TOO_LARGE = 0x95
    MESSAGE_RATE_TOO_HIGH = 0x96
    QUOTA_EXCEEDED = 0x97
    ADMINISTRATIVE_ACTION = 0x98
    PAYLOAD_FORMAT_INVALID = 0x99
    RETAIN_NOT_SUPPORTED = 0x9A
    QOS_NOT_SUPPORTED = 0x9B
    USE_ANOTHER_SERVER = 0x9C
    SERVER_MOVED = 0x9D
    SHARED_SUBSCRIPTIONS_NOT_SUPPORTED = 0x9E
    CONNECTION_RATE_EXCEEDED = 0x9F
    MAXIMUM_CONNECT_TIME = 0xA0
    SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED = 0xA1
    WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED = 0xA2


# The reasons each packet may carry: [MQTT-3.2.2-8], [MQTT-3.4.2-1], [MQTT-3.5.2-1], [MQTT-3.6.2-1],
# [MQTT-3.7.2-1], [MQTT-3.9.3-2], [MQTT-3.11.3-2], [MQTT-3.14.2-1], [MQTT-3.15.2-1].
CONNACK_REASONS: Final = frozenset(
    [0x00, *range(0x80, 0x8B), 0x8C, 0x90, 0x95, 0x97, *range(0x99, 0x9E), 0x9F]
)
_PUBACK_REASONS: Final = frozenset([0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99])
_PUBREL_REASONS: Final = frozenset([0x00, 0x92])
# By packet type: PUBACK, PUBREC, PUBREL, PUBCOMP.
ACKNOWLEDGEMENT_REASONS: Final[dict[int, frozenset[int]]] = {
    4: _PUBACK_REASONS,
    5: _PUBACK_REASONS,
    6: _PUBREL_REASONS,
    7: _PUBREL_REASONS,
}
SUBACK_REASONS: Final = frozenset([0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2])
SUBACK_REASONS_V3: Final = frozenset([0x00, 0x01, 0x02])
SUBACK_REASONS_V4: Final = frozenset([0x00, 0x01, 0x02, 0x80])
UNSUBACK_REASONS: Final = frozenset([0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91])
DISCONNECT_REASONS: Final = frozenset(
    [0x00, 0x04, *range(0x80, 0x84), 0x87, 0x89, 0x8B, *range(0x8D, 0x91), *range(0x93, 0xA3)]
)
AUTH_REASONS_OF_CLIENT: Final = frozenset([0x18, 0x19])
AUTH_REASONS_OF_SERVER: Final = frozenset([0x00, 0x18])

# The five refusals of 3.1.1 (its section 3.2.2.3) and the MQTT 5 reasons each of them stands for. The first
# of a row is what a client reads back.
_RETURN_CODES: Final[dict[int, list[ReasonCode]]] = {
    0: [ReasonCode.SUCCESS],
    1: [ReasonCode.UNSUPPORTED_PROTOCOL_VERSION],
    2: [ReasonCode.CLIENT_IDENTIFIER_NOT_VALID],
    3: [
        ReasonCode.SERVER_UNAVAILABLE,
        ReasonCode.UNSPECIFIED_ERROR,
        ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR,
        ReasonCode.SERVER_BUSY,
        ReasonCode.SERVER_SHUTTING_DOWN,
        ReasonCode.QUOTA_EXCEEDED,
        ReasonCode.USE_ANOTHER_SERVER,
        ReasonCode.SERVER_MOVED,
        ReasonCode.CONNECTION_RATE_EXCEEDED,
    ],
    4: [ReasonCode.BAD_USER_NAME_OR_PASSWORD],
    5: [ReasonCode.NOT_AUTHORIZED, ReasonCode.BANNED, ReasonCode.BAD_AUTHENTICATION_METHOD],
}
_TO_RETURN_CODE: Final[dict[int, int]] = {
    int(reason): code for code, reasons in _RETURN_CODES.items() for reason in reasons
}


def return_code(reason: int) -> int | None:
    """The CONNACK return code with which MQTT 3.1.1 says this reason; None when it has no word for it.

    Where there is none, 3.1.1 asks to close the connection without a CONNACK.
    """
    return _TO_RETURN_CODE.get(reason)


def reason_of_return_code(code: int) -> ReasonCode | None:
    """What a CONNACK return code of MQTT 3.1.1 means in MQTT 5; None for a code that 3.1.1 reserves."""
    reasons = _RETURN_CODES.get(code)
    return reasons[0] if reasons is not None else None


def reason_name(reason: int) -> str:
    """The name for logs, metrics and error codes: `packet_too_large`; `reason_0x42` for a stranger."""
    try:
        return ReasonCode(reason).name.lower()
    except ValueError:
        return f"reason_0x{reason:02x}"
