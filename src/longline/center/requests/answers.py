"""How an answer is written."""

import msgspec
from msgspec import Struct
from starlette.responses import Response

_encode = msgspec.json.Encoder().encode


def answer(body: Struct, status: int = 200) -> Response:
    """The body as the JSON of a response."""
    return Response(_encode(body), status, media_type="application/json")
