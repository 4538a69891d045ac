"""Reading a request: its JSON body and its query, into the types of its subject.

Both are strict: unknown names and wrong types are refused, nothing is guessed. Bodies are decoded by one
prepared msgspec decoder a type, straight from the bytes, whatever their Content-Type says.
"""

import asyncio
from typing import Generic, TypeVar

import msgspec
from starlette.requests import Request

from longline.center.errors.validation import from_malformed, from_validation
from longline.center.gate.sharing import TICKET, Ticket
from longline.errors import BadRequest, Overloaded

BODY_DEADLINE = 30.0  # seconds; a body that trickles in holds one of `center.max_requests`

Model = TypeVar("Model")

_EXACT = 1 << 53  # up to here every float that is whole is one integer
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_anything = msgspec.json.Decoder()


async def read_bytes(request: Request) -> bytes:
    """The whole body; `BadRequest` when it does not arrive in time. Its size is bounded by the gate.

    `Overloaded` when it has not arrived and others need its place.
    """
    ticket: Ticket = request.scope[TICKET]
    try:
        async with asyncio.timeout(BODY_DEADLINE) as deadline:
            with ticket.idle(lambda: deadline.reschedule(0.0)):
                return await request.body()
    except TimeoutError:
        if ticket.gave_way:
            raise Overloaded("others need its place", retry_after=ticket.retry_after) from None
        raise BadRequest(f"the body did not arrive within {BODY_DEADLINE:.0f} s") from None


class Body(Generic[Model]):
    """A request's JSON body of one type. With `default`, no body at all means that value.

    An integer may be written as 60.0, which JSON Schema takes for one (RFC 8259 knows numbers only).
    """

    __slots__ = ("_decoder", "default", "model")

    def __init__(self, model: type[Model], default: Model | None = None) -> None:
        self.model = model
        self.default = default
        self._decoder = msgspec.json.Decoder(model)

    async def read(self, request: Request) -> Model:
        """Reads and decodes; `BadRequest` for what is not JSON, `ValidationFailed` for what does not fit."""
        return self.decode(await read_bytes(request))

    def decode(self, data: bytes | msgspec.Raw) -> Model:
        if isinstance(data, bytes):
            if not data:
                if self.default is not None:
                    return self.default
                raise BadRequest("the request has no body; JSON was expected")
            check_utf8(data)
        try:
            return self._decoder.decode(data)
        except msgspec.ValidationError as error:
            if "Expected `int`" in str(error) and "got `float`" in str(error):
                return self._decode_whole(data)
            raise from_validation(error, self.model) from None
        except (msgspec.DecodeError, RecursionError) as error:
            raise from_malformed(error) from None

    def _decode_whole(self, data: bytes | msgspec.Raw) -> Model:
        try:
            return self._decoder.decode(_whole(data))
        except msgspec.ValidationError as error:
            raise from_validation(error, self.model) from None
        except (msgspec.DecodeError, RecursionError) as error:  # behind what did not fit
            raise from_malformed(error) from None


def _whole(data: bytes | msgspec.Raw) -> bytes:
    """The same object with integers for numbers such as 60.0. What devices get stays as it was written."""
    fields = _fields.decode(data)
    for name, value in fields.items():
        if name != "payload":
            fields[name] = msgspec.Raw(msgspec.json.encode(_integers(_anything.decode(value))))
    return msgspec.json.encode(fields)


def _integers(value: object) -> object:
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) <= _EXACT else value
    if isinstance(value, dict):
        return {key: _integers(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_integers(inner) for inner in value]
    return value


def check_utf8(data: bytes) -> None:
    """`BadRequest` unless the bytes are UTF-8 (RFC 8259, section 8.1).

    msgspec does not look into what it passes through raw, and raw payloads reach devices.
    """
    if not data.isascii():
        try:
            data.decode()
        except UnicodeDecodeError as error:
            raise BadRequest(f"the JSON is not UTF-8: {error.reason} at byte {error.start}") from None


class Query(Generic[Model]):
    """A request's query parameters, as the fields of one type."""

    __slots__ = ("_none_given", "model")

    def __init__(self, model: type[Model]) -> None:
        self.model = model
        self._none_given: Model | None = None  # what no parameters mean, where that may be: no model changes

    def read(self, request: Request) -> Model:
        if not request.scope["query_string"]:  # as with most requests
            if self._none_given is None:
                self._none_given = self._converted({})
            return self._none_given
        parameters = dict(request.query_params)
        if len(parameters) != len(request.query_params.multi_items()):
            raise BadRequest("a query parameter is given more than once")
        return self._converted(parameters)

    def _converted(self, parameters: dict[str, str]) -> Model:
        try:
            # Not strict about types: in a query everything is text, and `limit=10` means a number.
            return msgspec.convert(parameters, self.model, strict=False)
        except msgspec.ValidationError as error:
            raise from_validation(error, self.model) from None
