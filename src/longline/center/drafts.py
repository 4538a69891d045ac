"""From the JSON of a message to the draft that goes into the pipeline."""

import msgspec

from longline.center.errors import from_malformed
from longline.center.schemas import DevicesAudience, MessageBody
from longline.delivery.draft import Draft
from longline.errors import NotSupported, ValidationFailed
from longline.model.audience import Audience, Devices, Everyone

TEXT = "text/plain;charset=utf-8"
JSON = "application/json"
BYTES = "application/octet-stream"

_EVERYONE = Everyone()
_QUOTE = ord('"')
_text = msgspec.json.Decoder(str)


def draft_of(asked: MessageBody) -> Draft:
    """What was asked for; raises what its fields, each right by itself, say wrongly together."""
    options = asked.options
    if options.send_at is not None:
        raise NotSupported("this version does not send later", details=[("options.send_at", "not supported")])
    payload, content_type = _payload(asked)
    return Draft(
        audience=audience_of(asked.audience),
        payload=payload,
        content_type=content_type,
        ttl=None if options.ttl is msgspec.UNSET else options.ttl,
        qos=options.qos,
        priority=options.priority,
        collapse_key=options.collapse_key,
        online_only=options.online_only,
        spread_over=options.spread_over,
    )


def audience_of(asked: str | DevicesAudience) -> Audience:
    """The audience as it was asked for, which the pipeline checks."""
    return Devices(tuple(asked.devices)) if isinstance(asked, DevicesAudience) else _EVERYONE


def _payload(asked: MessageBody) -> tuple[bytes, str]:
    """The bytes that devices get, and their content type."""
    raw, data = asked.payload, asked.payload_base64
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
