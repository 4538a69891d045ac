"""Reason codes and what 3.1.1 can say of them."""

import pytest

from longline.mqtt import reasons
from longline.mqtt.reasons import ReasonCode, reason_name, reason_of_return_code, return_code


@pytest.mark.parametrize("code", range(6))
def test_a_return_code_means_a_reason_and_back(code: int) -> None:
    reason = reason_of_return_code(code)
    assert reason is not None
    assert return_code(reason) == code


@pytest.mark.parametrize("code", [6, 0x80, 255])
def test_a_reserved_return_code_means_nothing(code: int) -> None:
    assert reason_of_return_code(code) is None


def test_3_1_1_has_no_word_for_a_malformed_packet() -> None:
    assert return_code(ReasonCode.MALFORMED_PACKET) is None
    assert return_code(ReasonCode.PACKET_TOO_LARGE) is None


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (ReasonCode.BANNED, 5),
        (ReasonCode.SERVER_BUSY, 3),
        (ReasonCode.SERVER_MOVED, 3),
        (ReasonCode.SUCCESS, 0),
    ],
)
def test_a_finer_reason_is_told_by_the_nearest_return_code(reason: ReasonCode, code: int) -> None:
    assert return_code(reason) == code


def test_names_are_fit_for_logs_and_counters() -> None:
    assert reason_name(0x95) == "packet_too_large"
    assert reason_name(0x42) == "reason_0x42"


def test_every_reason_of_every_packet_is_a_reason_code() -> None:
    known = {int(reason) for reason in ReasonCode}
    for legal in (
        reasons.CONNACK_REASONS,
        *reasons.ACKNOWLEDGEMENT_REASONS.values(),
        reasons.SUBACK_REASONS,
        reasons.SUBACK_REASONS_V4,
        reasons.UNSUBACK_REASONS,
        reasons.DISCONNECT_REASONS,
        reasons.AUTH_REASONS_OF_CLIENT,
        reasons.AUTH_REASONS_OF_SERVER,
    ):
        assert legal <= known
