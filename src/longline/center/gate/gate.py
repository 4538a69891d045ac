"""What every request passes first: admission, the body's limit, and the turning of errors into answers.

A plain ASGI layer, because each of these must hold before anything is read or built for a request.
"""

import random
import time
from collections.abc import Callable

import structlog
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from longline.center.counters import CenterCounters
from longline.center.errors.responses import error_response
from longline.center.gate.addresses import check_address
from longline.center.gate.auth import Keys
from longline.center.gate.bodies import bounded, has_body, header
from longline.center.gate.console_sessions import ConsoleSessions
from longline.center.gate.sharing import TICKET, KeyHolder, Pools, Ticket, of_network
from longline.errors import LonglineError
from longline.model.apps import App
from longline.model.networks import network_of
from longline.settings import CenterSettings
from longline.telemetry.faults import Faults
from longline.telemetry.logs import OncePerPeer
from longline.telemetry.traffic import Traffic

# Probes and figures are answered whatever the load: an overloaded node that looks dead gets restarted.
ALWAYS_ADMITTED = frozenset({"/healthz", "/readyz", "/metrics"})

SPREAD = 3.0  # s over which refused callers are told to come back

_log = structlog.get_logger("longline.center")

_HEADERS = [
    (b"cache-control", b"no-store"),  # answers hold keys and states, which are nobody else's
    (b"x-content-type-options", b"nosniff"),
]


class Gate:
    """Gives each request its place among all (`sharing`), and takes bodies of at most `max_body` bytes.

    Every error is counted by its code, and logged the first time for each code and peer; what nobody foresaw
    is noted as a fault.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: Callable[[], CenterSettings],
        sharing: Pools,
        keys: Keys,
        sessions: ConsoleSessions,
        counters: CenterCounters,
        traffic: Traffic,
        refusals: OncePerPeer,
        faults: Faults,
    ) -> None:
        self._app = app
        self._settings = settings
        self._sharing = sharing
        self._keys = keys
        self._sessions = sessions
        self._counters = counters
        self._traffic = traffic
        self._refusals = refusals
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            # The router answers lifespan events, and closes a WebSocket, of which the API has none.
            await self._app(scope, receive, send)
            return
        counters = self._counters
        ticket: Ticket | None = None
        started = False

        async def answer(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                took = time.perf_counter() - began
                if ticket is not None and not ticket.waited:
                    counters.request_seconds.observe(took)
                if ticket is not None and ticket.app is not None:
                    self._count(ticket.app, message["status"], None if ticket.waited else took)
                counters.answers.add(str(message["status"]))
                message["headers"].extend(_HEADERS)
            await send(message)

        began = time.perf_counter()
        counters.requests_running += 1
        try:
            if scope["path"] not in ALWAYS_ADMITTED:
                check_address(scope)
                ticket = scope[TICKET] = await self._ticket(scope)
            await self._app(scope, bounded(scope, receive, self._settings().max_body, ticket), answer)
        except ClientDisconnect:
            return  # nobody is left to answer
        except Exception as error:
            # No name here for what is told: it is that error, whose traceback has this frame.
            response = self._refusal(self._known(error, scope), scope)
            if not started:
                await response(scope, receive, answer)
        finally:
            counters.requests_running -= 1
            if ticket is not None:
                ticket.leave()

    def _count(self, app: App, status: int, took: float | None) -> None:
        """Counts an answer to who may reach the app; `took` in seconds, None for one that has waited."""
        traffic = self._traffic.of(app.number, app.app)
        if took is not None:
            traffic.requests += 1
            traffic.seconds += took
        if status >= 500:
            traffic.errors += 1
        elif status >= 400:
            traffic.refused += 1

    async def _ticket(self, scope: Scope) -> Ticket:
        authorization = header(scope, b"authorization")
        if authorization is None:
            authorization = await self._sessions.recognise(scope)
        caller = self._keys.recognised(authorization)
        if caller is None:
            caller = KeyHolder(of_network(network_of(_peer(scope))))
        # Not all at the same moment again.
        return Ticket(self._sharing, caller, SPREAD * random.random())

    def _refusal(self, error: LonglineError, scope: Scope) -> Response:
        response = error_response(error)
        if error.status in (413, 429, 503) and has_body(scope):
            # The rest of the body may be on its way: closing is the only way not to receive it.
            response.headers["Connection"] = "close"
        return response

    def _known(self, error: Exception, scope: Scope) -> LonglineError:
        """The error as the caller is told it; counted, and logged if it is news."""
        if isinstance(error, LonglineError) and error.status != 500:
            known = error
            peer = _peer(scope)
            if self._refusals.first(error.code, peer, time.monotonic()):
                _log.info(
                    "request_refused", code=error.code, error=error.message, peer=peer, path=scope["path"]
                )
        else:
            # Ours is the fault, and only the log may know what it is.
            known = LonglineError("the server failed to answer this request")
            self._faults.note("center.request", error)
        self._counters.errors.add(known.code)
        return known


def _peer(scope: Scope) -> str:
    return scope["client"][0] if scope.get("client") else ""
