"""What devices get, as callers write it: as JSON, or in base64."""

from typing import Annotated

import msgspec
from msgspec import Meta, UnsetType

from longline.center.errors.validation import from_malformed
from longline.errors import ValidationFailed

TEXT = "text/plain;charset=utf-8"
JSON = "application/json"
BYTES = "application/octet-stream"

_BASE64 = r"^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"  # RFC 4648, section 4

PayloadBytes = Annotated[
    bytes | UnsetType,
    Meta(
        description="Bytes to deliver as they are (standard alphabet, padded).",
        extra_json_schema={"minLength": 4, "pattern": _BASE64},
    ),
]

_QUOTE = ord('"')
_text = msgspec.json.Decoder(str)


def payload_of(raw: msgspec.Raw | UnsetType, data: bytes | UnsetType) -> tuple[bytes, str]:
    """The bytes that devices get, and their content type."""
    if isinstance(raw, msgspec.Raw):
        if data is not msgspec.UNSET:
            raise ValidationFailed(
                "a message has either a payload or a payload_base64",
                details=[("payload_base64", "not together with payload")],
            )
        # The sender's own bytes: not encoded again, so numbers and key order stay as they were. Copied out of
        # the request's body, which is then free.
        payload = bytes(raw)
        if payload[0] != _QUOTE:
            return payload, JSON
        try:
            return _text.decode(payload).encode(), TEXT
        except msgspec.DecodeError as error:  # half a surrogate pair
            raise from_malformed(error) from None
    if data is msgspec.UNSET:
        raise ValidationFailed("the message has no payload", details=[("payload", "required")])
    return data, BYTES
