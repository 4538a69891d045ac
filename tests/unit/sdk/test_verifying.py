"""What a webhook's target believes, and tokens that an app server makes; against other implementations."""

import base64
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import jwt
import pytest
import standardwebhooks

from longline import device_token, errors, new_webhook_secret, verify_webhook

EVENT = {"cursor": "1", "type": "upstream", "device": "d1", "at": "2026-01-31T12:00:00Z", "payload": "hello"}
BODY = json.dumps({"events": [EVENT]}).encode()


def signed(secret: str, body: bytes = BODY, *, ago: float = 0.0) -> dict[str, str]:
    at = datetime.now(UTC) - timedelta(seconds=ago)
    signature = standardwebhooks.Webhook(secret).sign("msg_1", at, body.decode())
    return {
        "Webhook-Id": "msg_1",
        "Webhook-Timestamp": str(int(at.timestamp())),
        "Webhook-Signature": signature,
    }


def test_what_the_server_signed_is_read_as_events() -> None:
    secret = new_webhook_secret()
    (event,) = verify_webhook(BODY, signed(secret), secret)
    assert (event.device, event.data, event.at.tzinfo) == ("d1", b"hello", UTC)


def test_while_a_secret_is_replaced_either_will_do_on_both_sides() -> None:
    old, new = new_webhook_secret(), new_webhook_secret()
    headers = signed(old)
    headers["Webhook-Signature"] += " " + signed(new)["Webhook-Signature"]
    for known in (old, new, [old, new]):
        assert verify_webhook(BODY, headers, known)
    assert verify_webhook(BODY, signed(new), [old, new])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda headers: headers | {"Webhook-Id": "msg_2"},
        lambda headers: headers | {"Webhook-Timestamp": str(int(time.time()) - 1)},
        lambda headers: headers | {"Webhook-Timestamp": "now"},
        lambda headers: headers | {"Webhook-Timestamp": "9" * 5000},
        lambda headers: headers | {"Webhook-Signature": "v1,"},
        lambda headers: headers | {"Webhook-Signature": headers["Webhook-Signature"].replace("v1,", "v2,")},
        lambda headers: headers | {"Webhook-Signature": "v1,Ünicode"},
        lambda headers: {name: value for name, value in headers.items() if name != "Webhook-Signature"},
    ],
)
def test_a_header_that_was_changed_is_seen(spoil: Callable[[dict[str, str]], dict[str, str]]) -> None:
    secret = new_webhook_secret()
    headers = signed(secret, ago=10)
    assert verify_webhook(BODY, headers, secret)
    with pytest.raises(errors.BadSignature):
        verify_webhook(BODY, spoil(headers), secret)


def test_a_body_that_was_changed_and_another_secret_are_seen() -> None:
    secret = new_webhook_secret()
    with pytest.raises(errors.BadSignature):
        verify_webhook(BODY + b" ", signed(secret), secret)
    with pytest.raises(errors.BadSignature):
        verify_webhook(BODY, signed(new_webhook_secret()), secret)


def test_a_call_that_somebody_kept_is_too_old() -> None:
    secret = new_webhook_secret()
    kept = signed(secret, ago=301)
    with pytest.raises(errors.BadSignature):
        verify_webhook(BODY, kept, secret)
    assert verify_webhook(BODY, kept, secret, tolerance=timedelta(minutes=10))


def test_what_is_no_secret_is_our_fault_and_not_the_callers() -> None:
    secret = new_webhook_secret()
    with pytest.raises(ValueError, match="whsec_"):
        verify_webhook(BODY, signed(secret), "not base64!")
    nonsense = b'{"events": 7}'
    with pytest.raises(ValueError, match="signed"):
        verify_webhook(nonsense, signed(secret, nonsense), secret)


def test_a_secret_has_the_form_of_the_standard() -> None:
    secret = new_webhook_secret()
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32


def test_a_device_token_says_who_and_until_when() -> None:
    secret = "s" * 32
    claims = jwt.decode(device_token(secret, "d1", expires_in=timedelta(hours=1)), secret, ["HS256"])
    assert claims["sub"] == "d1"
    assert 3500 < claims["exp"] - time.time() <= 3600
    assert jwt.decode(device_token(secret, "d1"), secret, ["HS256"]) == {"sub": "d1"}
    with pytest.raises(ValueError, match="device"):
        device_token(secret, "a/b")
    with pytest.raises(ValueError, match="secret"):
        device_token("", "d1")
