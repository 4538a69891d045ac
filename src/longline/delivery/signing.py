"""Signatures of webhooks, as Standard Webhooks has them (its specification, "Signature scheme").

What is signed is `id.timestamp.body`, by HMAC-SHA256; a header has a signature for each secret that is good.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

PREFIX: Final = "whsec_"
LEAST_SECRET: Final = 24  # bytes
LONGEST_SECRET: Final = 64


def signing_key(secret: str) -> bytes:
    """The bytes of a secret; `ValueError`, which says nothing of it, when it is none."""
    if not secret.startswith(PREFIX):
        raise ValueError(f"a secret begins with {PREFIX}")
    text = secret.removeprefix(PREFIX)
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not LEAST_SECRET <= len(key) <= LONGEST_SECRET or base64.b64encode(key).decode() != text:
        raise ValueError(f"base64 of {LEAST_SECRET} to {LONGEST_SECRET} bytes is wanted behind {PREFIX}")
    return key


def signatures(secrets: Sequence[str], id: str, timestamp: int, body: bytes) -> str:
    """The header `webhook-signature` of a call at this moment, in s."""
    signed = b"%b.%d.%b" % (id.encode(), timestamp, body)
    made = [hmac.digest(signing_key(secret), signed, hashlib.sha256) for secret in secrets]
    return " ".join(f"v1,{base64.b64encode(each).decode()}" for each in made)
