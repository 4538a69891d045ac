"""What requests of the HTTP API have in common: URLs, keys, and the errors that answers stand for."""

import re
import ssl
from typing import TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies

import httpx
import msgspec

from longline import errors

Answer = TypeVar("Answer")

_KEY = re.compile(r"[!-~]{1,512}")


class _FieldFault(msgspec.Struct):
    field: str = ""
    message: str = ""


class ErrorBody(msgspec.Struct):
    """The inside of `{"error": {…}}`."""

    code: str = ""
    message: str = ""
    details: list[_FieldFault] = []


class _ErrorAnswer(msgspec.Struct):
    error: ErrorBody


# Those of the tree itself: what a server or an application in this process derived from them is its own, and
# may be made of other things than a message.
_BY_CODE: dict[str, type[errors.LonglineError]] = {
    kind.code: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.LonglineError)
}
# A proxy before the server answers without our codes, and a newer server with ones we do not know:
# the status still says which kind of failure it is.
_BY_STATUS: dict[int, type[errors.LonglineError]] = {
    400: errors.BadRequest,
    401: errors.Unauthorized,
    403: errors.Forbidden,
    404: errors.NotFound,
    405: errors.MethodNotAllowed,
    413: errors.BodyTooLarge,
    422: errors.ValidationFailed,
    429: errors.RateLimited,
    502: errors.Unavailable,
    503: errors.Unavailable,
    504: errors.Unavailable,
}


def error_of(body: ErrorBody, *, status: int = 0, retry_after: float | None = None) -> errors.LonglineError:
    """The error that the API named, as an instance of the class with that code."""
    kind = _BY_CODE.get(body.code) or _BY_STATUS.get(status, errors.LonglineError)
    message = body.message or (f"the answer was {status}, and not in Longline's words" if status else "")
    if body.code and kind.code != body.code:
        message = f"{body.code}: {message}"
    details = [(fault.field, fault.message) for fault in body.details]
    return kind(message, details=details, retry_after=retry_after)


def error_in(response: httpx.Response, content: bytes) -> errors.LonglineError:
    """The error that an answer with this content stands for."""
    try:
        body = msgspec.json.decode(content, type=_ErrorAnswer).error
    except msgspec.MsgspecError:
        body = ErrorBody()
    retry_after: float | None = None
    value = response.headers.get("retry-after", "")
    # [RFC 9110, 10.2.3] also allows a date; our server never sends one, and a proxy's is not worth a parser.
    if value.isascii() and value.isdigit():
        retry_after = float(value)
    return error_of(body, status=response.status_code, retry_after=retry_after)


def checked_key(key: str) -> str:
    """A key, without the newline of the file that it was read from; ValueError for what no header may carry.

    The message does not repeat it: what an HTTP library says of a header that it refuses, does.
    """
    key = key.strip()
    if not _KEY.fullmatch(key):
        raise ValueError("a key is 1 to 512 visible ASCII characters")
    return key


def checked_url(url: str) -> httpx.URL:
    """A URL of HTTP; ValueError for what is none, and for a password in it, which errors would repeat."""
    try:
        checked = httpx.URL(url)
    except httpx.InvalidURL:
        raise ValueError("that is no URL") from None
    if checked.userinfo:
        raise ValueError("a URL with a user name or a password is not taken: the key goes by itself")
    if checked.scheme not in ("http", "https") or not checked.host:
        raise ValueError(f"{url!r} is no URL of HTTP, such as http://127.0.0.1:8080")
    return checked


def trusted_by(url: str, trusted: ssl.SSLContext | None) -> ssl.SSLContext | bool:
    """Whom a client of this URL believes: those given, or the system's authorities. Where it will never ask,
    nobody: to read all authorities takes a while, and memory.
    """
    if trusted is not None:
        return trusted
    if urlsplit(url).scheme == "http" and (is_loopback(url) or not getproxies()):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return True


def is_loopback(url: str) -> bool:
    """Whether a URL names this host."""
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def reason_of(error: httpx.RequestError) -> str:
    """Why there was no answer, for a person."""
    said = str(error)
    # OpenSSL's words for a peer that answers a handshake with something else.
    if "WRONG_VERSION_NUMBER" in said:
        return "no TLS is spoken there; is it http:// and not https://?"
    return said or type(error).__name__


def decoded(response: httpx.Response, answer: type[Answer]) -> Answer:
    """What an answer holds; `LonglineError` for what the API does not promise."""
    # An answer without a body (204) decodes as null, which only `object` and optional types accept.
    try:
        return msgspec.json.decode(response.content or b"null", type=answer)
    except msgspec.MsgspecError as error:
        raise errors.LonglineError(
            f"the answer of {response.url} is not what the API promises: {error}"
        ) from error
