"""What the API tells of webhooks, and how a target of one knows who calls."""

import base64
import hmac
import secrets
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Literal

import msgspec

from longline.errors import BadSignature
from longline.sdk.answers import EventType, UpstreamEvent
from longline.sdk.times import Duration, seconds

SECRET_BYTES = 32
SECRET_PREFIX = "whsec_"

if TYPE_CHECKING:
    State = Literal["active", "failing", "gone"]
    Circuit = Literal["closed", "open", "half_open"]
    Reason = Literal["refused", "unanswered"]
else:
    State = Circuit = Reason = str  # whatever a later version says


class DeadCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Events that the target never took: how many are kept, are to be sent once more, and were dropped."""

    events: int = 0
    replaying: int = 0
    dropped: int = 0


class WebhookStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How a webhook fares. `state`: `active`, `failing`, or `gone` when the target wants no more."""

    state: State
    circuit: Circuit = "closed"
    failures: int = 0
    failing_since: datetime | None = None
    next_try_at: datetime | None = None
    last_success_at: datetime | None = None
    last_failure_at: datetime | None = None
    last_error: str | None = None
    lag_seconds: float = 0.0
    taken: int = 0
    gaps: int = 0
    dead: DeadCounts = DeadCounts()


class WebhookInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Where an app's events are sent; the secret is shown to nobody."""

    url: str
    events: tuple[EventType, ...]
    created_at: datetime
    status: WebhookStatus
    former_secret_until: datetime | None = None


class DeadUpstreamEvent(UpstreamEvent, frozen=True, kw_only=True):
    """An event that the target never took: it `refused` it, or left it `unanswered`, as `reason` says."""

    reason: Reason
    error: str
    given_up_at: datetime
    replaying: bool = False


def new_webhook_secret() -> str:
    """A secret for `Center.put_webhook`: to be kept where the target can read it."""
    return f"{SECRET_PREFIX}{base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()}"


class _Call(msgspec.Struct):
    events: list[UpstreamEvent]


def verify_webhook(
    body: bytes,
    headers: Mapping[str, str],
    secret: str | Sequence[str],
    *,
    tolerance: Duration = 300.0,
) -> list[UpstreamEvent]:
    """The events of a call that a server of Longline has made to a webhook's target; each device's in order.

    `body` as it came, to the byte; `headers` by their names, in whatever case; `secret`: that of the webhook,
    or several while it is being replaced. Raises `BadSignature` for what was not signed with one of them, or
    by a clock that is more than `tolerance` away: a target answers it with 401. It is the scheme of Standard
    Webhooks, https://www.standardwebhooks.com.
    """
    found = {name.lower(): value for name, value in headers.items()}
    try:
        id, at, signatures = (found[f"webhook-{name}"] for name in ("id", "timestamp", "signature"))
    except KeyError as error:
        raise BadSignature(f"the header {error} is missing") from None
    if not (at.isascii() and at.isdigit() and len(at) <= 15):
        raise BadSignature("webhook-timestamp is no time")
    if abs(time.time() - int(at)) > seconds(tolerance):
        raise BadSignature("the call was signed too long ago, or by a clock that is wrong")
    signed = f"{id}.{at}.".encode() + body
    for each in (secret,) if isinstance(secret, str) else secret:
        expected = base64.b64encode(hmac.digest(_key(each), signed, "sha256"))
        for signature in signatures.split():
            version, _, value = signature.partition(",")
            if version == "v1" and hmac.compare_digest(expected, value.encode()):
                return _events(body)
    raise BadSignature("no signature fits")


def _key(secret: str) -> bytes:
    try:
        return base64.b64decode(secret.strip().removeprefix(SECRET_PREFIX), validate=True)
    except ValueError:
        raise ValueError("a secret of webhooks is whsec_ and base64") from None


def _events(body: bytes) -> list[UpstreamEvent]:
    try:
        return msgspec.json.decode(body, type=_Call).events
    except msgspec.MsgspecError as error:
        raise ValueError(f"the call is signed, and is not what a webhook gets: {error}") from None
