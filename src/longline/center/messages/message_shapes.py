"""Messages as callers send them, and what sending is answered."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from longline.center.errors.responses import ErrorInfo
from longline.center.messages.audience_shapes import AudienceBody
from longline.center.messages.payloads import PayloadBytes
from longline.center.messages.statuses import Delivery
from longline.center.shapes import Cursor, MessageId, ShortText, Strict
from longline.model.audience import MAX_NAMES
from longline.model.messages import MAX_COLLAPSE_KEY, MAX_SPREAD, MAX_TTL

Ttl = Annotated[
    int,
    Meta(
        ge=0,
        le=MAX_TTL,
        description="Seconds for which an offline device may come for it. 0: only who is connected now.",
        examples=[86400],
    ),
]


class MessageAccepted(Struct, frozen=True):
    """The message is stored. `targeted` counts its devices, also those that do not exist."""

    message_id: MessageId
    status: Literal["accepted"]
    targeted: int | None


class MessageReach(Struct, frozen=True):
    """What a message would do that was only checked. `targeted` as in its 202; `online`: of these, how many
    are connected now."""

    targeted: int
    online: int


class MessageResult(Struct, frozen=True, gc=False):
    """One message of a batch: its id when it is stored, or why it is not."""

    message_id: MessageId | UnsetType = UNSET
    error: ErrorInfo | UnsetType = UNSET


class MessageResults(Struct, frozen=True):
    """One result a message, in the order of the request."""

    results: list[MessageResult]


class DeliveryList(Struct, frozen=True):
    """A page of deliveries. A message that is sent later has none before its time."""

    deliveries: list[Delivery]
    next_cursor: Cursor


class SendQuery(Strict, frozen=True):
    """Whether to send a message, or only to check it."""

    validate: Annotated[bool, Meta(description="Only check it: nothing is stored or sent.")] = False


class Options(Strict, frozen=True):
    """How a message is delivered."""

    ttl: Ttl | UnsetType = UNSET
    qos: Annotated[int, Meta(ge=0, le=2, description="MQTT quality of service.")] = 1
    priority: Literal["normal", "high"] = "normal"
    collapse_key: Annotated[
        Annotated[str, Meta(min_length=1, max_length=MAX_COLLAPSE_KEY)] | None,
        Meta(description="A newer message of the same key replaces an older one that still waits."),
    ] = None
    label: Annotated[
        ShortText | None,
        Meta(description="A word of the sender's, by which it finds its messages again.", examples=["goals"]),
    ] = None
    online_only: Annotated[bool, Meta(description="Only who is connected now gets it.")] = False
    send_at: Annotated[
        str | None,
        Meta(
            description="When to send it, at most a year ahead. With an offset one moment; without one local "
            "time in each device's own time zone, UTC where it has none. `ttl` counts from then, and who is "
            "in the audience is seen then.",
            examples=["2026-12-24T18:00:00+01:00", "2026-12-24T18:00:00"],
        ),
    ] = None
    spread_over: Annotated[
        int,
        Meta(
            ge=0,
            le=MAX_SPREAD,
            description="Seconds over which a message to everyone, or to tags and attributes, is written to "
            "who is connected, evenly. Without effect on a list of devices.",
        ),
    ] = 0


class MessageBody(Strict, frozen=True):
    """A message to push: an audience, and exactly one of `payload` and `payload_base64`."""

    audience: AudienceBody
    payload: Annotated[
        Raw | UnsetType,
        Meta(
            description='Any JSON value but "", up to 256 KiB. A string is delivered as its text.',
            extra_json_schema={"not": {"const": ""}},
            examples=[{"title": "Goal!", "score": "2:1"}],
        ),
    ] = UNSET
    payload_base64: PayloadBytes = UNSET
    options: Options = Options()


class MessageBatch(Strict, frozen=True):
    """Messages to push."""

    messages: Annotated[list[MessageBody], Meta(min_length=1, max_length=MAX_NAMES)]


class RawMessageBatch(Strict, frozen=True):
    """A `MessageBatch` of which some messages may be wrong."""

    messages: Annotated[list[Raw], Meta(min_length=1, max_length=MAX_NAMES)]
