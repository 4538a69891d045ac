"""How large a request's body may be, and on whose share its bytes are."""

from starlette.types import Message, Receive, Scope

from longline.center.gate.sharing import Ticket
from longline.errors import BadRequest, BodyTooLarge


def bounded(scope: Scope, receive: Receive, limit: int, ticket: Ticket | None) -> Receive:
    """The body's source, of at most `limit` bytes.

    It raises `BodyTooLarge` once more came, and what `Ticket.expect` raises before the first of them is read.
    """
    length = _content_length(scope)
    if length is not None and length > limit:
        raise BodyTooLarge(f"the body has {length} bytes, over the limit of {limit}")
    seen = 0
    expected = False

    async def counted() -> Message:
        nonlocal seen, expected
        if length is not None:  # the HTTP parser sees to it that no more comes
            if ticket is not None and not expected:
                expected = True
                ticket.expect(length)
            return await receive()
        message = await receive()
        size = len(message.get("body", b""))
        seen += size
        if seen > limit:
            raise BodyTooLarge(f"the body is over the limit of {limit} bytes")
        if ticket is not None:
            ticket.expect(size)
        return message

    return counted


def header(scope: Scope, wanted: bytes) -> str | None:
    """The first header of this name, in lower case."""
    for name, value in scope["headers"]:
        if name == wanted:
            return bytes(value).decode("latin-1")
    return None


def _content_length(scope: Scope) -> int | None:
    value = header(scope, b"content-length")
    if value is None:
        return None
    if not (value.isascii() and value.isdigit()):
        raise BadRequest("the Content-Length header is not a number")
    return int(value)


def has_body(scope: Scope) -> bool:
    """Whether there is one, or is to be."""
    return any(name == b"transfer-encoding" for name, _ in scope["headers"]) or bool(_content_length(scope))
