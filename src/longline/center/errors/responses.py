"""How an error is told over HTTP: its JSON, its headers, and what msgspec's complaints mean to a caller."""

import math
import re
from collections.abc import Iterable
from typing import Any

import msgspec
from starlette.responses import Response

from longline.center.errors.expected import fields_at, words_at
from longline.center.errors.quota_headers import quota_of, tell_quota
from longline.center.schemas import PATTERNS_IN_WORDS
from longline.errors import (
    BadRequest,
    Forbidden,
    LonglineError,
    MessageRateExceeded,
    MethodNotAllowed,
    NotSupported,
    Unauthorized,
    ValidationFailed,
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

# Forms of an audience that the contract knows and this version does not do. Their absence from the
# schemas makes msgspec refuse them as unknown; here that refusal gets its honest name.
_LATER_AUDIENCES = frozenset({"group"})

_WHERE = re.compile(r" - at `(key in )?\$(?P<path>[^`]*)`$")
_UNKNOWN_FIELD = re.compile(r"Object contains unknown field `(?P<field>.*)`", re.DOTALL)
_PATTERN = re.compile(r"Expected `str` matching regex (?P<pattern>'.*')", re.DOTALL)
_WORD = re.compile(r"Invalid enum value (?P<word>.*)", re.DOTALL)
_IN_WORDS = {repr(pattern): words for pattern, words in PATTERNS_IN_WORDS.items()}
_MISSING_FIELD = re.compile(r"Object missing required field `(?P<field>.*)`", re.DOTALL)


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


def from_validation(error: msgspec.ValidationError, model: Any) -> LonglineError:
    """A well-formed value that does not fit its schema, that of `model`."""
    text = str(error)
    where = _WHERE.search(text)
    reason = text[: where.start()] if where else text
    field = _dotted(where["path"]) if where else ""
    unknown = _UNKNOWN_FIELD.fullmatch(reason)
    if unknown:
        name = unknown["field"]
        inner = f"{field}.{name}" if field else name
        if field.rpartition(".")[2] == "audience" and name in _LATER_AUDIENCES:
            return NotSupported(
                f"this version does not do audiences by {name!r}", details=[(inner, "not supported")]
            )
        known = f"unknown field; known are {', '.join(fields_at(model, field)) or 'none'}"
        return ValidationFailed("the request has an unknown field", details=[(inner, known)])
    missing = _MISSING_FIELD.fullmatch(reason)
    if missing:
        inner = f"{field}.{missing['field']}" if field else missing["field"]
        return ValidationFailed("the request lacks a field", details=[(inner, "required")])
    word = _WORD.fullmatch(reason)
    words = words_at(model, field) if word else ()
    if word and words:
        reason = f"{word['word']} is none of {', '.join(words)}"
    pattern = _PATTERN.fullmatch(reason)
    if pattern:
        reason = _IN_WORDS.get(pattern["pattern"], "text of another form wanted")
    return ValidationFailed("a field's value is not allowed", details=[(field or "body", reason)])


def from_malformed(error: Exception) -> BadRequest:
    """What is not JSON at all (RFC 8259), or nested too deeply to be read."""
    if isinstance(error, RecursionError):
        return BadRequest("the JSON is nested too deeply")
    return BadRequest(f"malformed JSON: {error}")


def _dotted(path: str) -> str:
    """`.messages[3].options` as `messages.3.options`."""
    return path.replace("[...]", ".*").replace("[", ".").replace("]", "").lstrip(".")
