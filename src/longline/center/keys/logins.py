"""Who has this key: operations of the console's sessions, and of whoever wants to know what a key may do.

Beginning and ending a session is for the console's page alone, so these two are not in the API's document.
"""

from typing import Annotated

from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from longline.center.errors.responses import error_response
from longline.center.gate.auth import Keys
from longline.center.gate.console_sessions import (
    LASTS,
    SESSION,
    ConsoleSession,
    ConsoleSessions,
    check_console,
    set_cookie,
)
from longline.center.gate.sharing import TICKET, KeyHolder, Ticket, of_network
from longline.center.keys.shapes import End, MadeBy
from longline.center.requests.answers import answer
from longline.center.requests.operations import Operation, for_any
from longline.center.requests.reading import Body
from longline.center.requests.times import rfc3339
from longline.center.service import CenterService
from longline.center.shapes import Strict
from longline.errors import LonglineError
from longline.model.keys import SCOPES
from longline.model.networks import network_of

PATH = "/v1/session"


class NewSession(Strict, frozen=True):
    """The key that a session of the console is to stand for."""

    key: Annotated[str, Meta(pattern=r"^[!-~]{1,512}$", description="As in `Authorization: Bearer`.")]

    def __repr__(self) -> str:
        return "NewSession()"


class OwnKeyInfo(Struct, frozen=True):
    """What the key of a request may do; `app` is the only one that it reaches, null: all of them."""

    key_id: MadeBy
    name: str
    app: Annotated[str | None, Meta(examples=["news"])]
    scopes: list[str]
    expires_at: End


def operations(center: CenterService) -> list[Operation]:
    """The row of what a key may do."""
    handlers = _Handlers(center.keys, center.sessions)
    return [Operation("GET", PATH, for_any(center.keys, handlers.show), "keys", {200: OwnKeyInfo})]


def routes(center: CenterService) -> list[Route]:
    """What the console's page begins and ends a session with."""
    handlers = _Handlers(center.keys, center.sessions)
    return [
        Route(PATH, handlers.begin, methods=["POST"]),
        Route(PATH, handlers.end, methods=["DELETE"]),
    ]


class _Handlers:
    def __init__(self, keys: Keys, sessions: ConsoleSessions) -> None:
        self._keys = keys
        self._sessions = sessions
        self._new = Body(NewSession)

    async def show(self, request: Request) -> Response:
        """Show what the key of this request may do.

        `expires_at` is when it, or the console's session, ends.
        """
        ticket: Ticket = request.scope[TICKET]
        session: ConsoleSession | None = request.scope.get(SESSION)
        ends_at = 0 if ticket.caller.key is None else ticket.caller.key.expires_at
        return answer(_view(ticket.caller, ends_at if session is None else session.ends_at))

    async def begin(self, request: Request) -> Response:
        """Put a key that is good into a cookie."""
        secure = check_console(request.scope)
        asked = await self._new.read(request)
        peer = request.client.host if request.client else ""
        caller = await self._keys.introduced(f"Bearer {asked.key}", of_network(network_of(peer)))
        value, session = self._sessions.begin(asked.key, 0 if caller.key is None else caller.key.expires_at)
        response = answer(_view(caller, session.ends_at))
        response.headers["Set-Cookie"] = set_cookie(value, secure=secure, lasts=LASTS)
        return response

    async def end(self, request: Request) -> Response:
        """End the session, and take the cookie away, whatever it is worth."""
        secure = check_console(request.scope)
        try:
            await self._sessions.end(request.scope)
            response = Response(status_code=204)
        except LonglineError as error:  # a copy of the cookie is still good, so this is no success
            response = error_response(error)
        response.headers["Set-Cookie"] = set_cookie("", secure=secure, lasts=0)
        return response


def _view(caller: KeyHolder, ends_at: int) -> OwnKeyInfo:
    key = caller.key
    assert key is not None, "only who was let in is told what he may do"
    return OwnKeyInfo(
        key_id=key.id,
        name=key.name,
        app=None if caller.app is None else caller.app.app,
        scopes=[scope for scope in SCOPES if scope in key.scopes],
        expires_at=rfc3339(ends_at) if ends_at else None,
    )
