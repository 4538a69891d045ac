"""What every request passes first: admission, the body's limit, and the turning of errors into answers.

A plain ASGI layer, because each of these must hold before anything is read or built for a request.
"""

import random
import time
from collections.abc import Callable

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from longline.center.counters import CenterCounters
from longline.center.errors import error_response
from longline.errors import BadRequest, BodyTooLarge, LonglineError, Overloaded
from longline.settings import CenterSettings
from longline.telemetry.logs import OncePerPeer

# Probes and figures are answered whatever the load: an overloaded node that looks dead gets restarted.
ALWAYS_ADMITTED = frozenset({"/healthz", "/readyz", "/metrics"})

SPREAD = 3.0  # s over which refused callers are told to come back

_log = structlog.get_logger("longline.center")

_HEADERS = [
    (b"cache-control", b"no-store"),  # answers hold keys and states, which are nobody else's
    (b"x-content-type-options", b"nosniff"),
]


class Gate:
    """Admits at most `max_requests` at once, and bodies of at most `max_body` bytes, as `settings` say now.

    Every error is counted by its code, and logged the first time for each code and peer.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: Callable[[], CenterSettings],
        counters: CenterCounters,
        faults: OncePerPeer,
    ) -> None:
        self._app = app
        self._settings = settings
        self._counters = counters
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            # The router answers lifespan events, and closes a WebSocket, of which the API has none.
            await self._app(scope, receive, send)
            return
        counters = self._counters
        started = False

        async def answer(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                counters.answers.add(str(message["status"]))
                message["headers"].extend(_HEADERS)
            await send(message)

        counters.requests_running += 1
        try:
            too_many = counters.requests_running > self._settings().max_requests
            if too_many and scope["path"] not in ALWAYS_ADMITTED:
                # Not all at the same moment again.
                raise Overloaded("too many requests at once", retry_after=SPREAD * random.random())
            await self._app(scope, self._limited(scope, receive), answer)
        except ClientDisconnect:
            return  # nobody is left to answer
        except Exception as error:
            if started:
                raise  # half an answer cannot be taken back: the server closes the connection
            await error_response(self._known(error, scope))(scope, receive, answer)
        finally:
            counters.requests_running -= 1

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        """The body's source, which raises `BodyTooLarge` once more than `max_body` bytes came."""
        length = _content_length(scope)
        limit = self._settings().max_body
        if length is not None:
            if length > limit:
                raise BodyTooLarge(f"the body has {length} bytes, over the limit of {limit}")
            return receive  # the HTTP parser sees to it that no more comes
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                raise BodyTooLarge(f"the body is over the limit of {limit} bytes")
            return message

        return counted

    def _known(self, error: Exception, scope: Scope) -> LonglineError:
        """The error as the caller is told it; counted, and logged if it is news."""
        if isinstance(error, LonglineError) and error.status != 500:
            known = error
            peer = scope["client"][0] if scope.get("client") else ""
            if self._faults.first(error.code, peer, time.monotonic()):
                _log.info(
                    "request_refused", code=error.code, error=error.message, peer=peer, path=scope["path"]
                )
        else:
            # Ours is the fault, and only the log may know what it is.
            known = LonglineError("the server failed to answer this request")
            _log.error("request_failed", method=scope["method"], path=scope["path"], exc_info=error)
        self._counters.errors.add(known.code)
        return known


def _content_length(scope: Scope) -> int | None:
    for name, value in scope["headers"]:
        if name == b"content-length":
            try:
                return int(value)
            except ValueError:
                raise BadRequest("the Content-Length header is not a number") from None
    return None
