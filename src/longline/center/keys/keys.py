"""Operations on named keys, of an app and of all apps.

Nobody makes a key that may do more than his own, or that lives longer. The admin key, which the configuration
or the data folder has, is none of them: it cannot be deleted here, and so always works.
"""

from collections.abc import Callable
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from longline.center.gate.auth import digest
from longline.center.gate.named_keys import NamedKeys, new_key_text
from longline.center.gate.scopes import MISSING
from longline.center.gate.sharing import TICKET, GoodKey, Ticket
from longline.center.keys.shapes import End, MadeBy
from longline.center.requests.answers import answer
from longline.center.requests.audit_entries import note
from longline.center.requests.operations import AppOperations, Operation, for_admin
from longline.center.requests.paging import after_message, cursor_after
from longline.center.requests.reading import Body, Query
from longline.center.requests.times import moment, rfc3339
from longline.center.service import CenterService
from longline.center.shapes import Cursor, DisplayName, MomentText, PageQuery, Strict
from longline.delivery.event_views import Time
from longline.delivery.ids import MessageIds
from longline.errors import Forbidden, KeyNotFound, QuotaExceeded, ValidationFailed
from longline.model.apps import App
from longline.model.keys import OF_AN_APP, SCOPES, ApiKey, AppScope, Scope
from longline.saver.port.keys import KeyStore
from longline.settings import CenterSettings

KeyId = Annotated[
    str,
    Meta(
        description="A UUIDv7. It may be shown, and stands in logs.",
        examples=["019c2b3e-8f00-7c11-9d3e-5a1f0c6b7e23"],
    ),
]

EndAsked = Annotated[
    MomentText | UnsetType,
    Meta(description="When it ends. Absent: when the key does that makes it, which may be never."),
]

_NO_MORE = "no more than the key may that makes it."


class NewKey(Strict, frozen=True):
    """A key that is to reach all apps: what for, what it may do, and until when."""

    name: DisplayName
    scopes: Annotated[
        list[Scope], Meta(min_length=1, max_length=len(SCOPES), description="What it may do, " + _NO_MORE)
    ]
    expires_at: EndAsked = UNSET


class NewAppKey(Strict, frozen=True):
    """A key of an app that is to be made: what for, what it may do, and until when."""

    name: DisplayName
    scopes: Annotated[
        list[AppScope],
        Meta(min_length=1, max_length=len(OF_AN_APP), description="What it may do, " + _NO_MORE),
    ]
    expires_at: EndAsked = UNSET


class KeyInfo(Struct, frozen=True):
    """A named key, without its text."""

    key_id: KeyId
    name: str
    scopes: list[str]
    created_at: Time
    created_by: MadeBy
    expires_at: End
    last_used_at: Annotated[
        Time | None, Meta(description="When it was used last, to the minute; null: never.")
    ]


class MadeKey(Struct, frozen=True):
    """A new key. Its text, `key`, is shown here and never again: only its hash is kept."""

    key_id: KeyId
    key: Annotated[str, Meta(description="`lln_`, its id, and 256 random bits.")]
    name: str
    scopes: list[str]
    created_at: Time
    created_by: MadeBy
    expires_at: End


class KeyList(Struct, frozen=True):
    """A page of keys, in the order in which they were made."""

    keys: list[KeyInfo]
    next_cursor: Cursor


def operations(center: CenterService) -> list[Operation]:
    """The rows of named keys."""
    handlers = _Handlers(center.saver.keys, center.named_keys, lambda: center.settings, center.clock)
    keys, missing = center.keys, (KeyNotFound,)
    of_app, of_all = "/v1/apps/{app}/keys", "/v1/keys"
    operation = AppOperations(keys, "keys")
    return [
        operation("GET", of_app, handlers.page_of_app, {200: KeyList}, query=PageQuery),
        operation(
            "POST", of_app, handlers.create_for_app, {201: MadeKey}, body=NewAppKey, errors=(QuotaExceeded,)
        ),
        operation("DELETE", f"{of_app}/{{key}}", handlers.delete_of_app, {204: None}, errors=missing),
        Operation(
            "GET", of_all, for_admin(keys, handlers.page, query=True), "keys", {200: KeyList}, query=PageQuery
        ),
        Operation(
            "POST",
            of_all,
            for_admin(keys, handlers.create),
            "keys",
            {201: MadeKey},
            body=NewKey,
            errors=(QuotaExceeded,),
        ),
        Operation(
            "DELETE",
            f"{of_all}/{{key}}",
            for_admin(keys, handlers.delete),
            "keys",
            {204: None},
            errors=missing,
        ),
    ]


class _Handlers:
    def __init__(
        self,
        store: KeyStore,
        named: NamedKeys,
        settings: Callable[[], CenterSettings],
        clock: Callable[[], int],
    ) -> None:
        self._store = store
        self._named = named
        self._settings = settings
        self._clock = clock
        self._ids = MessageIds()
        self._new = Body(NewKey)
        self._new_of_app = Body(NewAppKey)
        self._page = Query(PageQuery)

    async def page_of_app(self, request: Request, app: App) -> Response:
        """List an app's named keys, in the order in which they were made."""
        return await self._list(request, app.number)

    async def create_for_app(self, request: Request, app: App) -> Response:
        """Make a named key for an app.

        It reaches this app alone. Its text is in this answer and nowhere else: the server keeps only its
        hash. 403 where it was to do more than the key that makes it, or to live longer.
        """
        return await self._create(request, await self._new_of_app.read(request), app.number, app.app)

    async def delete_of_app(self, request: Request, app: App) -> Response:
        """Delete a named key of an app.

        It stops working at once, in other processes within a second; so do requests that wait and streams.
        """
        return await self._delete(request, app.number)

    async def page(self, request: Request) -> Response:
        """List the named keys that reach all apps, in the order in which they were made."""
        return await self._list(request, 0)

    async def create(self, request: Request) -> Response:
        """Make a named key that reaches all apps.

        Its text is in this answer and nowhere else: the server keeps only its hash. 403 where it was to do
        more than the key that makes it, or to live longer.
        """
        return await self._create(request, await self._new.read(request), 0, "")

    async def delete(self, request: Request) -> Response:
        """Delete a named key that reaches all apps.

        It stops working at once, in other processes within a second; so do requests that wait and streams.
        The admin key is not among them.
        """
        return await self._delete(request, 0)

    async def _list(self, request: Request, number: int) -> Response:
        query = self._page.read(request)
        after = after_message(None if query.cursor is UNSET else query.cursor) or ""
        found = await self._store.list(number, after, query.limit + 1)
        shown = found[: query.limit]
        more = len(found) > len(shown)
        return answer(KeyList([_view(key) for key in shown], cursor_after(shown[-1].id) if more else None))

    async def _create(self, request: Request, asked: NewKey | NewAppKey, number: int, app: str) -> Response:
        now = self._clock()
        ticket: Ticket = request.scope[TICKET]
        maker = ticket.caller.key
        if maker is None:
            raise Forbidden
        scopes = tuple([scope for scope in SCOPES if scope in asked.scopes])
        for scope in scopes:
            if scope not in maker.scopes:
                raise MISSING[scope](f"a key without the scope `{scope}` cannot make one that has it")
        ends_at = maker.expires_at if asked.expires_at is UNSET else _end(asked.expires_at, maker, now)
        id = self._ids.make(now)
        text = new_key_text(id)
        key = ApiKey(
            id=id,
            number=number,
            app=app,
            name=asked.name,
            hash=digest(text),
            scopes=scopes,
            created_at=now,
            created_by=maker.id,
            expires_at=ends_at,
        )
        note(request, subject=id, detail=f"{asked.name}: {' '.join(scopes)}")
        await self._store.create(key, self._settings().named_keys, now)
        view = _view(key)
        made = MadeKey(id, text, view.name, view.scopes, view.created_at, view.created_by, view.expires_at)
        return answer(made, 201)

    async def _delete(self, request: Request, number: int) -> Response:
        id = request.path_params["key"]
        if not await self._store.delete(number, id):
            raise KeyNotFound
        self._named.forget(id)
        return Response(status_code=204)


def _end(text: str, maker: GoodKey, now: int) -> int:
    """When a key is to end that was asked for by this one."""
    ends_at = moment(text, "expires_at")
    if ends_at <= now:
        details = [("expires_at", "a time to come")]
        raise ValidationFailed("a field's value is not allowed", details=details)
    if maker.expires_at and ends_at > maker.expires_at:
        raise Forbidden("a key cannot make one that lives longer than itself")
    return ends_at


def _view(key: ApiKey) -> KeyInfo:
    return KeyInfo(
        key.id,
        key.name,
        list(key.scopes),
        rfc3339(key.created_at),
        key.created_by,
        rfc3339(key.expires_at) if key.expires_at else None,
        rfc3339(key.used_at) if key.used_at else None,
    )
