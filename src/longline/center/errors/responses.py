"""How an error is told over HTTP: its JSON, its headers, and what msgspec's complaints mean to a caller."""

import math
from collections.abc import Iterable

import msgspec
from starlette.responses import Response

from longline.center.errors.quota_headers import quota_of, tell_quota
from longline.errors import (
    Forbidden,
    LonglineError,
    MessageRateExceeded,
    MethodNotAllowed,
    Unauthorized,
)


class FieldError(msgspec.Struct, frozen=True):
    """One field that is wrong: its path with dots (`messages.3.options.ttl`), and why."""

    field: str
    message: str


class ErrorInfo(msgspec.Struct, frozen=True):
    """`code` is stable and meant for programs; `message` and `details` are meant for people."""

    code: str
    message: str
    details: list[FieldError]


class ErrorAnswer(msgspec.Struct, frozen=True):
    """What every answer with a status of 400 or more holds."""

    error: ErrorInfo


class WrongMethod(MethodNotAllowed):
    """The address exists, but not for this method; `allowed` are those it exists for."""

    def __init__(self, allowed: Iterable[str]) -> None:
        super().__init__("the address exists, but not for this method")
        self.allowed = sorted(allowed)


_encode = msgspec.json.Encoder().encode


def error_answer(error: LonglineError) -> ErrorAnswer:
    """The error as the JSON that tells it."""
    details = [FieldError(field, message) for field, message in error.details]
    return ErrorAnswer(ErrorInfo(error.code, error.message, details))


def error_response(error: LonglineError) -> Response:
    """The error as an HTTP response, with the headers that its status asks for."""
    response = Response(_encode(error_answer(error)), error.status, media_type="application/json")
    if error.retry_after is not None or error.status in (429, 503):
        response.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after or 1.0)))
    if isinstance(error, Unauthorized):
        response.headers["WWW-Authenticate"] = "Bearer"  # RFC 9110, section 11.6.1
    if isinstance(error, Forbidden) and error.scope:  # RFC 6750, section 3.1
        challenge = f'Bearer error="insufficient_scope", scope="{error.scope}"'
        response.headers["WWW-Authenticate"] = challenge
    if isinstance(error, MessageRateExceeded):
        tell_quota(response, quota_of(error))
    if isinstance(error, WrongMethod):
        response.headers["Allow"] = ", ".join(error.allowed)  # RFC 9110, section 15.5.6
    return response
