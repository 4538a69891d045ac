"""Operations on apps: who they are, and their keys."""

from collections.abc import Callable, Mapping

import msgspec
from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response

from longline.center.answers import AppInfo, AppKeys, AppList, answer
from longline.center.auth import digest, new_device_secret, new_server_key
from longline.center.locks import Locks
from longline.center.operations import Operation, for_admin, for_app
from longline.center.paging import after_name, cursor_after
from longline.center.reading import Body, Query
from longline.center.rooms import Rooms
from longline.center.schemas import AppChange, NewApp, PageQuery, Rotation
from longline.center.service import CenterService
from longline.center.times import rfc3339
from longline.errors import AppExists, AppNotFound, Conflict, ValidationFailed
from longline.model.apps import App
from longline.model.commands import CloseReason
from longline.saver.port.apps import AppStore

_ATTEMPTS = 5  # to change an app that others change too


def operations(center: CenterService) -> list[Operation]:
    """The rows of apps and keys."""
    keys = center.keys
    handlers = _Handlers(center.saver.apps, center.rooms, center.locks, center.clock)
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
        Operation("GET", one, for_app(keys, handlers.get), "apps", {200: AppInfo}),
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
    def __init__(self, apps: AppStore, rooms: Rooms, locks: Locks, clock: Callable[[], int]) -> None:
        self._apps = apps
        self._rooms = rooms
        self._locks = locks
        self._clock = clock
        self._new = Body(NewApp)
        self._changes = Body(AppChange)
        self._rotation = Body(Rotation, default=Rotation())
        self._query = Query(PageQuery)

    async def create(self, request: Request) -> Response:
        """Create an app.

        The server key is in this answer and nowhere else: the server keeps only its hash. Admin key only.
        """
        asked = await self._new.read(request)
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

        Admin key only.
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
        """Change an app's display name, whether its devices may use plain MQTT topics, and whether a TLS
        client certificate stands in for their tokens.
        """
        asked = await self._changes.read(request)
        given = {
            "name": asked.name,
            "pubsub": asked.pubsub,
            "client_certificates": asked.client_certificates,
        }
        changed = await self._replace(app, {key: value for key, value in given.items() if value is not UNSET})
        return answer(_view(changed))

    async def delete(self, request: Request) -> Response:
        """Delete an app with its devices and messages.

        Its devices are disconnected. Admin key only.
        """
        app = await self._apps.find(request.path_params["app"])
        if app is None:
            raise AppNotFound
        await self._apps.delete(app.number)
        await self._rooms.app_changed(app, CloseReason.APP_DELETED)
        return Response(status_code=204)

    async def rotate(self, request: Request, app: App) -> Response:
        """Replace the app's server key, its device secret, or both.

        The old one stops working at once. Without a body, the server key is replaced. A new device secret
        makes every token made before worthless at its device's next CONNECT; connections that exist stay,
        unless `disconnect` ends them: then only those come back that have a token made with the secret in
        force.
        """
        asked = await self._rotation.read(request)
        if not (asked.server_key or asked.device_secret):
            raise ValidationFailed("nothing to rotate", details=[("server_key", "this or device_secret")])
        key = new_server_key(app.app) if asked.server_key else None
        secrets: dict[str, object] = {} if key is None else {"server_key_hash": digest(key)}
        if asked.device_secret:
            secrets["device_secret"] = new_device_secret()
        changed = await self._replace(app, secrets, disconnect=asked.disconnect)
        return answer(AppKeys(app.app, key, changed.device_secret))

    async def _replace(self, app: App, fields: Mapping[str, object], *, disconnect: bool = False) -> App:
        """Replaces fields of the app as it is stored, since the one that authentication found may be old.

        Another center may change the app at the same moment: then the rest of what it wrote stays.
        """
        written: App | None = None
        async with self._locks.of(app.app):
            for _ in range(_ATTEMPTS):
                current = await self._apps.find(app.app)
                if current is None or current.number != app.number:
                    raise AppNotFound
                if current == written:
                    break  # it was done, though the store lost its answer and was asked again
                generation = current.generation + disconnect
                written = msgspec.structs.replace(current, generation=generation, **fields)
                if await self._apps.update(written, current):
                    break
            else:
                raise Conflict(retry_after=1.0)
        await self._rooms.app_changed(written)
        return written


def _view(app: App) -> AppInfo:
    return AppInfo(app.app, app.name, app.pubsub, app.client_certificates, rfc3339(app.created_at))
