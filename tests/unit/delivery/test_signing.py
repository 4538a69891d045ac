"""Signatures that another implementation of Standard Webhooks takes."""

import base64
import time

import pytest
from standardwebhooks.webhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from longline.delivery.signing import signatures, signing_key

SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
OTHER = "whsec_" + base64.b64encode(bytes(range(64))).decode()


def headers(*secrets: str, body: bytes) -> dict[str, str]:
    now = int(time.time())
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(now),
        "webhook-signature": signatures(secrets, "msg_1", now, body),
    }


@pytest.mark.parametrize("secret", [SECRET, OTHER])
@pytest.mark.parametrize("body", [b"{}", '{"events":["é"]}'.encode()])
def test_what_is_signed_is_verified_by_others(secret: str, body: bytes) -> None:
    assert Verifier(secret).verify(body, headers(secret, body=body)) is not None
    with pytest.raises(WebhookVerificationError):
        Verifier(secret).verify(body + b" ", headers(secret, body=body))


def test_each_of_two_secrets_is_enough() -> None:
    """A third is not."""
    told = headers(SECRET, OTHER, body=b"{}")
    for secret in (SECRET, OTHER):
        Verifier(secret).verify(b"{}", told)
    with pytest.raises(WebhookVerificationError):
        Verifier("whsec_" + base64.b64encode(bytes(32)).decode()).verify(b"{}", told)


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        SECRET.removeprefix("whsec_"),
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
        SECRET + "=",
        SECRET + "\n",
        "whsec_" + "é" * 40,
    ],
)
def test_what_is_no_secret_is_refused_without_a_word_of_it(secret: str) -> None:
    with pytest.raises(ValueError, match="whsec_") as refused:
        signing_key(secret)
    rest = secret.removeprefix("whsec_")
    assert not rest or rest not in str(refused.value)
