"""What callers say of webhooks, and what they are told, as types."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from longline.center.shapes import MAX_GRACE, Cursor, Strict
from longline.delivery.event_views import EventView, Time

EventKind = Literal["upstream", "presence", "receipt", "device"]
KINDS: tuple[EventKind, ...] = ("upstream", "presence", "receipt", "device")
MAX_URL = 2048
MAX_CURSORS = 1000
DAY = 86_400  # s
SecretText = Annotated[str, Meta(max_length=128)]
EventKinds = Annotated[list[EventKind], Meta(min_length=1, max_length=16)]
Cursors = Annotated[list[str], Meta(min_length=1, max_length=MAX_CURSORS)]


class WebhookBody(Strict, frozen=True):
    """Where an app's events are sent."""

    url: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=MAX_URL,
            description="`https`, of the public internet. With `webhooks.private_addresses` also `http`, and "
            "addresses of private networks.",
            extra_json_schema={"format": "uri"},
        ),
    ]
    secret: Annotated[
        SecretText | UnsetType,
        Meta(description="`whsec_` and base64 of 24 to 64 bytes. Absent: the present one stays."),
    ] = UNSET
    events: Annotated[
        EventKinds | UnsetType,
        Meta(description="Types of events. Absent: all."),
    ] = UNSET
    grace_seconds: Annotated[
        int,
        Meta(
            ge=0,
            le=MAX_GRACE,
            description="For how long the secret before a new one signs as well, so that nothing is refused "
            "while the target learns the new one.",
        ),
    ] = DAY


class ReplayRequest(Strict, frozen=True):
    """Which dead events are to be sent once more."""

    cursors: Annotated[Cursors | UnsetType, Meta(description="Theirs. Absent: all that there are now.")] = (
        UNSET
    )


class DeadCounts(Struct, frozen=True):
    """Events that the target never took."""

    events: Annotated[int, Meta(description="How many are kept.")]
    replaying: Annotated[int, Meta(description="How many of them are to be sent once more.")]
    dropped: Annotated[int, Meta(description="How many were not kept: of more than may be, the oldest.")]


class WebhookStatus(Struct, frozen=True):
    """How a webhook fares."""

    state: Annotated[
        Literal["active", "failing", "gone"],
        Meta(
            description="`failing`: the last try failed. `gone`: 410 was answered; PUT begins anew.",
            examples=["active"],
        ),
    ]
    circuit: Annotated[
        Literal["closed", "open", "half_open"],
        Meta(description="Open: so many tries failed that it is left alone; half open: it is tried again."),
    ]
    failures: Annotated[int, Meta(description="Tries that failed, in a row.")]
    failing_since: Time | None
    next_try_at: Annotated[Time | None, Meta(description="When it is tried again; null: when there is more.")]
    last_success_at: Time | None
    last_failure_at: Time | None
    last_error: Annotated[str | None, Meta(description="Why the last try failed, if it did.")]
    lag_seconds: Annotated[float, Meta(description="How long the oldest event waits.")]
    taken: Annotated[int, Meta(description="Events that it took.")]
    gaps: Annotated[int, Meta(description="Batches before which events were removed unread.")]
    dead: DeadCounts


class WebhookInfo(Struct, frozen=True, omit_defaults=True):
    """A webhook, without its secret, which nobody is shown."""

    url: str
    events: list[EventKind]
    created_at: Time
    status: WebhookStatus
    former_secret_until: Annotated[
        Time | UnsetType, Meta(description="Until when the secret before this one signs as well.")
    ] = UNSET


class DeadEventView(EventView, frozen=True, kw_only=True, omit_defaults=True):
    """An event that the target never took."""

    reason: Annotated[
        Literal["refused", "unanswered"],
        Meta(
            description="The target refused it and takes others, or took nothing for too long.",
            examples=["refused"],
        ),
    ]
    error: Annotated[str, Meta(description="What came of the last try.", examples=["it answered 422"])]
    given_up_at: Time
    replaying: Annotated[bool, Meta(description="It is to be sent once more.")] = False


class DeadEventList(Struct, frozen=True):
    """Events that the target never took, oldest first."""

    events: list[DeadEventView]
    next_cursor: Cursor


class ReplayAnswer(Struct, frozen=True):
    """How many dead events are to be sent once more."""

    replaying: int
