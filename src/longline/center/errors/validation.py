"""What msgspec's complaints about a body or a query mean to its caller."""

import re
from typing import Any

import msgspec

from longline.center.errors.expected import fields_at, words_at
from longline.center.shapes import PATTERNS_IN_WORDS
from longline.errors import BadRequest, LonglineError, NotSupported, ValidationFailed

# Forms of an audience that the contract knows and this version does not do. Their absence from the
# schemas makes msgspec refuse them as unknown; here that refusal gets its honest name.
_LATER_AUDIENCES = frozenset({"group"})
_WHERE = re.compile(r" - at `(key in )?\$(?P<path>[^`]*)`$")
_UNKNOWN_FIELD = re.compile(r"Object contains unknown field `(?P<field>.*)`", re.DOTALL)
_PATTERN = re.compile(r"Expected `str` matching regex (?P<pattern>'.*')", re.DOTALL)
_WORD = re.compile(r"Invalid enum value (?P<word>.*)", re.DOTALL)
_IN_WORDS = {repr(pattern): words for pattern, words in PATTERNS_IN_WORDS.items()}
_MISSING_FIELD = re.compile(r"Object missing required field `(?P<field>.*)`", re.DOTALL)


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
