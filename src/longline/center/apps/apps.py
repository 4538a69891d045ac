"""Operations on apps: who they are, and their keys."""

from collections.abc import Callable
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from longline.center.apps.changes import AppChanges
from longline.center.gate.auth import digest, new_device_secret, new_server_key
from longline.center.gate.sharing import TICKET
from longline.center.requests.answers import answer
from longline.center.requests.audit_entries import note
from longline.center.requests.operations import Operation, for_admin, for_app
from longline.center.requests.paging import after_name, cursor_after
from longline.center.requests.reading import Body, Query
from longline.center.requests.times import rfc3339
from longline.center.rooms import Rooms
from longline.center.service import CenterService
from longline.center.shapes import MAX_GRACE, AppName, Cursor, DisplayName, PageQuery, Strict
from longline.delivery.event_views import Time
from longline.errors import AppExists, AppNotFound, Conflict, Forbidden, ValidationFailed
from longline.model.access import FormerKey, FormerSecret
from longline.model.apps import App
from longline.model.commands import CloseReason
from longline.saver.port.apps import AppStore


class AppInfo(Struct, frozen=True):
    """An app, without its secrets."""

    app: str
    name: str
    pubsub: bool
    client_certificates: bool
    end_at_expiry: bool
    created_at: Time


class AppList(Struct, frozen=True):
    """A page of apps, by name."""

    apps: list[AppInfo]
    next_cursor: Cursor


class AppKeys(Struct, frozen=True):
    """An app's secrets. The server key is shown here and never again: only its hash is kept."""

    app: str
    server_key: Annotated[str | None, Meta(description="null when it was not made now.")]
    device_secret: Annotated[str, Meta(description="Signs device tokens (HS256).")]


class NewApp(Strict, frozen=True):
    """An app to create."""

    app: AppName
    name: Annotated[DisplayName | UnsetType, Meta(description="For people; the app's name unless given.")] = (
        UNSET
    )
    pubsub: Annotated[bool, Meta(description="Whether devices may use plain MQTT topics.")] = False
    client_certificates: Annotated[
        bool, Meta(description="Whether a TLS client certificate stands in for a device's token.")
    ] = False


class AppChange(Strict, frozen=True):
    """What to change of an app; the rest stays."""

    name: DisplayName | UnsetType = UNSET
    pubsub: bool | UnsetType = UNSET
    client_certificates: bool | UnsetType = UNSET
    end_at_expiry: (
        Annotated[
            bool,
            Meta(
                description="Whether a connection ends when the token or certificate does that it was let in "
                "with; of those made from now on."
            ),
        ]
        | UnsetType
    ) = UNSET


class Rotation(Strict, frozen=True):
    """Which of the app's secrets to replace, at least one, and whether its devices' connections end."""

    server_key: bool = True
    device_secret: bool = False
    disconnect: bool = False
    grace_seconds: Annotated[
        int, Meta(ge=0, le=MAX_GRACE, description="For so long the former ones are good, too.")
    ] = 0


def operations(center: CenterService) -> list[Operation]:
    """The rows of apps and keys."""
    keys = center.keys
    handlers = _Handlers(center.saver.apps, center.app_changes, center.rooms, center.clock)
    one = "/v1/apps/{app}"
    return [
        Operation(
            "POST",
            "/v1/apps",
            for_admin(keys, handlers.create),
            "apps",
            {201: AppKeys},
            body=NewApp,
            errors=(AppExists,),
        ),
        Operation(
            "GET",
            "/v1/apps",
            for_admin(keys, handlers.page, query=True),
            "apps",
            {200: AppList},
            query=PageQuery,
        ),
        Operation("GET", one, for_app(keys, handlers.get, current=True), "apps", {200: AppInfo}),
        Operation(
            "PATCH",
            one,
            for_app(keys, handlers.change),
            "apps",
            {200: AppInfo},
            body=AppChange,
            errors=(Conflict,),
        ),
        Operation(
            "DELETE", one, for_admin(keys, handlers.delete), "apps", {204: None}, errors=(AppNotFound,)
        ),
        Operation(
            "POST",
            f"{one}/keys:rotate",
            for_app(keys, handlers.rotate),
            "apps",
            {200: AppKeys},
            body=Rotation,
            body_required=False,
            errors=(Conflict,),
        ),
    ]


class _Handlers:
    def __init__(
        self, apps: AppStore, app_changes: AppChanges, rooms: Rooms, clock: Callable[[], int]
    ) -> None:
        self._apps = apps
        self._app_changes = app_changes
        self._rooms = rooms
        self._clock = clock
        self._new = Body(NewApp)
        self._changes = Body(AppChange)
        self._rotation = Body(Rotation, default=Rotation())
        self._query = Query(PageQuery)

    async def create(self, request: Request) -> Response:
        """Create an app.

        The server key is in this answer and nowhere else: the server keeps only its hash. Needs a key that
        reaches all apps.
        """
        asked = await self._new.read(request)
        note(request, app=asked.app)
        key = new_server_key(asked.app)
        app = await self._apps.create(
            App(
                app=asked.app,
                number=0,
                name=asked.app if asked.name is UNSET else asked.name,
                server_key_hash=digest(key),
                device_secret=new_device_secret(),
                pubsub=asked.pubsub,
                client_certificates=asked.client_certificates,
                created_at=self._clock(),
            )
        )
        await self._rooms.app_changed(app)  # an app of this name may have been here before
        return answer(AppKeys(app.app, key, app.device_secret), 201)

    async def page(self, request: Request) -> Response:
        """List apps by name.

        Needs a key that reaches all apps.
        """
        query = self._query.read(request)
        after = after_name(None if query.cursor is UNSET else query.cursor)
        apps = await self._apps.list(after, query.limit + 1)
        shown = apps[: query.limit]
        more = len(apps) > len(shown)
        return answer(AppList([_view(app) for app in shown], cursor_after(shown[-1].app) if more else None))

    async def get(self, request: Request, app: App) -> Response:
        """Show an app."""
        return answer(_view(app))

    async def change(self, request: Request, app: App) -> Response:
        """Change an app's display name, whether its devices may use plain MQTT topics, whether a TLS client
        certificate stands in for their tokens, and whether a connection ends when what let it in does.
        """
        asked = await self._changes.read(request)
        given = {
            "name": asked.name,
            "pubsub": asked.pubsub,
            "client_certificates": asked.client_certificates,
        }
        fields: dict[str, object] = {key: value for key, value in given.items() if value is not UNSET}

        def change(current: App) -> App:
            access = current.access
            if asked.end_at_expiry is not UNSET:
                access = msgspec.structs.replace(access, end_at_expiry=asked.end_at_expiry)
            return msgspec.structs.replace(current, access=access, **fields)

        return answer(_view(await self._app_changes.make(app, change)))

    async def delete(self, request: Request) -> Response:
        """Delete an app with its devices and messages.

        Its devices are disconnected. Needs a key that reaches all apps.
        """
        app = await self._apps.find(request.path_params["app"])
        if app is None:
            raise AppNotFound
        await self._apps.delete(app.number)
        await self._rooms.app_changed(app, CloseReason.APP_DELETED)
        return Response(status_code=204)

    async def rotate(self, request: Request, app: App) -> Response:
        """Replace the app's server key, its device secret, or both.

        The old one stops working at once, or after `grace_seconds`, until which both are good. Without a
        body, the server key is replaced. A new device secret makes every token made before worthless at its
        device's next CONNECT; connections that exist stay, unless `disconnect` ends them: then only those
        come back that have a token made with a secret that is good.
        """
        asked = await self._rotation.read(request)
        if not (asked.server_key or asked.device_secret):
            raise ValidationFailed("nothing to rotate", details=[("server_key", "this or device_secret")])
        maker = request.scope[TICKET].caller.key
        if asked.server_key and maker is not None and maker.expires_at:
            raise Forbidden("a key that ends cannot make one that does not")
        replaced = [name for name in ("server_key", "device_secret") if getattr(asked, name)]
        note(request, detail=" ".join(replaced))
        key = new_server_key(app.app) if asked.server_key else None
        secret = new_device_secret() if asked.device_secret else None
        until = self._clock() + 1000 * asked.grace_seconds if asked.grace_seconds else 0

        def change(current: App) -> App:
            access = current.access
            if key is not None:
                former = FormerKey(current.server_key_hash, until) if until else None
                access = msgspec.structs.replace(access, former_server_key=former)
                current = msgspec.structs.replace(current, server_key_hash=digest(key))
            if secret is not None:
                old = FormerSecret(current.device_secret, until) if until else None
                access = msgspec.structs.replace(access, former_device_secret=old)
                current = msgspec.structs.replace(current, device_secret=secret)
            return msgspec.structs.replace(current, access=access)

        changed = await self._app_changes.make(app, change, disconnect=asked.disconnect)
        return answer(AppKeys(app.app, key, changed.device_secret))


def _view(app: App) -> AppInfo:
    return AppInfo(
        app=app.app,
        name=app.name,
        pubsub=app.pubsub,
        client_certificates=app.client_certificates,
        end_at_expiry=app.access.end_at_expiry,
        created_at=rfc3339(app.created_at),
    )
