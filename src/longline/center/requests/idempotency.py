"""Requests that are safe to repeat: their key, what they must be when it comes again, and their answers."""

import hashlib
import re

from starlette.requests import Request
from starlette.responses import Response

from longline.errors import BadRequest
from longline.saver.bundle import Durability

_KEY = re.compile(r"[!-~]{1,255}")


def idempotency_key(request: Request) -> str | None:
    """The key of a request, None for one without; `BadRequest`."""
    key = request.headers.get("idempotency-key")
    if key is not None and _KEY.fullmatch(key) is None:
        raise BadRequest(
            "the Idempotency-Key header is not allowed",
            details=[("Idempotency-Key", "1 to 255 visible ASCII characters")],
        )
    return key


def digest_of(request: Request, body: bytes) -> bytes:
    """What a request must be when its key comes again."""
    what = f"{request.method} {request.scope['path']}\n".encode()
    return hashlib.sha256(what + body).digest()


def marked(response: Response, stored: Durability | None, *, replayed: bool) -> Response:
    """The answer with what it survives that was `stored`, and whether it is a repetition."""
    if stored is not None:
        copies = f";copies={stored.copies}" if stored.copies else ""
        response.headers["Longline-Durability"] = stored.level + copies
    if replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return response
