"""One row of the API: an address, whose key reaches it, what it takes and what it answers.

What a key may do there stands in `gate/scopes.py`.
"""

import functools
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from longline.center.gate.auth import Keys
from longline.center.gate.sharing import TICKET, Ticket
from longline.center.requests.audit_entries import recorded
from longline.center.requests.reading import Query
from longline.center.shapes import Strict
from longline.errors import AppNotFound, LonglineError
from longline.model.apps import App

Endpoint = Callable[[Request], Awaitable[Response]]
AppHandler = Callable[[Request, App], Awaitable[Response]]


class _NoQuery(Strict, frozen=True):
    """What an operation takes that has no parameters: one that is not heeded would be taken for granted."""


_NO_QUERY: Final = Query(_NoQuery)


class Operation(NamedTuple):
    """An endpoint with what `openapi/document.py` tells of it; the handler's docstring is the description.

    `subject` is what it is one of; `api.py` says it, so that clients' `devices_register` depends on no file's
    name. `answers`: the type of the body by status, None for an answer without a JSON body. `errors`: what it
    may raise beyond what every operation of its kind may. `idempotent`: it heeds an Idempotency-Key,
    `conditional`: it heeds If-Match, and answers with an ETag.
    """

    method: str
    path: str
    endpoint: Endpoint
    tag: str
    answers: Mapping[int, type[msgspec.Struct] | None]
    body: type[msgspec.Struct] | None = None
    body_required: bool = True
    query: type[msgspec.Struct] | None = None
    errors: tuple[type[LonglineError], ...] = ()
    idempotent: bool = False
    public: bool = False
    conditional: bool = False
    subject: str = ""

    @property
    def id(self) -> str:
        """What clients know it by: `devices_register`."""
        return f"{self.subject}_{self.endpoint.__name__}"


def for_app(keys: Keys, handler: AppHandler, *, query: bool = False, current: bool = False) -> Endpoint:
    """An endpoint below `/v1/apps/{app}`: the handler gets the app, once the caller may reach it.

    Unless it reads a `query` by itself, the caller may not give any. `current`: the handler goes by what the
    app itself is and has, so it gets it as it is stored now. Others get what is remembered of it: it is for
    their stores, which refuse an app that is gone.
    """

    @functools.wraps(handler)
    async def endpoint(request: Request) -> Response:
        authorization, name = request.headers.get("authorization"), request.path_params["app"]
        ticket: Ticket = request.scope[TICKET]
        app = ticket.app = await keys.app(authorization, name, ticket, current=current)
        if not query:
            _NO_QUERY.read(request)

        async def work() -> Response:
            try:
                return await handler(request, app)
            except AppNotFound:
                # Remembered from before it was deleted, through another center, and made again?
                present = await keys.app(authorization, name, ticket, current=True)
                if present.number == app.number:
                    raise
                return await handler(request, present)

        return await recorded(request, work)

    return endpoint


def for_admin(keys: Keys, handler: Endpoint, *, query: bool = False) -> Endpoint:
    """An endpoint for keys that reach all apps, `query` as above."""

    @functools.wraps(handler)
    async def endpoint(request: Request) -> Response:
        await keys.admin(request.headers.get("authorization"), request.scope[TICKET])
        if not query:
            _NO_QUERY.read(request)
        return await recorded(request, lambda: handler(request))

    return endpoint


def for_any(keys: Keys, handler: Endpoint) -> Endpoint:
    """An endpoint for every good key; the caller may not give any query."""

    @functools.wraps(handler)
    async def endpoint(request: Request) -> Response:
        await keys.anyone(request.headers.get("authorization"), request.scope[TICKET])
        _NO_QUERY.read(request)
        return await handler(request)

    return endpoint


class AppOperations:
    """Makes the operations of one tag, all of them below `/v1/apps/{app}`."""

    def __init__(self, keys: Keys, tag: str) -> None:
        self._keys = keys
        self._tag = tag

    def __call__(
        self,
        method: str,
        path: str,
        handler: AppHandler,
        answers: Mapping[int, type[msgspec.Struct] | None],
        *,
        body: type[msgspec.Struct] | None = None,
        body_required: bool = True,
        query: type[msgspec.Struct] | None = None,
        errors: tuple[type[LonglineError], ...] = (),
        idempotent: bool = False,
        current: bool = False,
    ) -> Operation:
        endpoint = for_app(self._keys, handler, query=query is not None, current=current)
        return Operation(
            method,
            path,
            endpoint,
            self._tag,
            answers,
            body,
            body_required,
            query,
            errors,
            idempotent=idempotent,
        )
