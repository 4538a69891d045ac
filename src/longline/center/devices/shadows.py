"""Operations on shadows: what is desired of a device, and what it reports."""

import re
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from longline.center.requests.operations import Operation, for_app
from longline.center.requests.reading import Body
from longline.center.service import CenterService
from longline.center.shapes import AnyJson, Strict
from longline.delivery.shadows import ShadowPatch, Shadows
from longline.errors import BadRequest, Conflict, DeviceNotFound, LonglineError, ShadowTooLarge
from longline.model.apps import App
from longline.model.devices import Device, JsonObject
from longline.saver.port.devices import DeviceStore
from longline.saver.port.shadows import Shadow, ShadowStore

_VERSION = re.compile(r'"?(\d{1,18})"?')  # as in `ETag`, or without the quotes

_encode = msgspec.json.Encoder().encode


class ShadowView(Struct, frozen=True):
    """What is desired of a device, and what it reports: JSON objects. `version` rises with each change."""

    desired: Annotated[msgspec.Raw, Meta(extra_json_schema={"type": "object"}, examples=[{"on": True}])]
    reported: Annotated[msgspec.Raw, Meta(extra_json_schema={"type": "object"}, examples=[{"on": False}])]
    version: int


class ShadowBody(Strict, frozen=True):
    """What to change of a shadow: each document is merged with what is given (RFC 7396); null empties it."""

    desired: Annotated[
        dict[str, AnyJson] | UnsetType | None, Meta(description="What the device should be like.")
    ] = UNSET
    reported: Annotated[
        dict[str, AnyJson] | UnsetType | None, Meta(description="What it says that it is like.")
    ] = UNSET


def operations(center: CenterService) -> list[Operation]:
    """The rows of shadows."""
    handlers = _Handlers(center.saver.devices, center.saver.shadows, center.shadows)
    path = "/v1/apps/{app}/devices/{device}/shadow"
    answers = {200: ShadowView}
    return [
        Operation(
            "GET", path, for_app(center.keys, handlers.get), "devices", answers, errors=(DeviceNotFound,)
        ),
        Operation(
            "PATCH",
            path,
            for_app(center.keys, handlers.patch),
            "devices",
            answers,
            ShadowBody,
            errors=(DeviceNotFound, Conflict, ShadowTooLarge),
            conditional=True,
        ),
    ]


class _Handlers:
    def __init__(self, devices: DeviceStore, store: ShadowStore, shadows: Shadows) -> None:
        self._devices = devices
        self._store = store
        self._shadows = shadows
        self._body = Body(ShadowBody)

    async def get(self, request: Request, app: App) -> Response:
        """Show the shadow of a device: what is desired of it, and what it reports.

        One of which nothing was said has two empty objects and version 0.
        """
        device = await self._find(request, app)
        (shadow,) = await self._store.find(app.number, [device.ordinal])
        if shadow is None:
            raise DeviceNotFound
        return _answer(shadow)

    async def patch(self, request: Request, app: App) -> Response:
        """Change the shadow of a device, by JSON Merge Patch (RFC 7396).

        Objects are merged, null removes, all else replaces. The version rises by one with each change. With
        `If-Match` nothing is changed unless the shadow has that version: 409 `conflict`. The device is sent
        `shadow/desired` at once when it is connected, else when it comes.
        """
        version = _wanted(request)
        body = await self._body.read(request)
        patch: JsonObject = {}
        for name in ("desired", "reported"):
            document = getattr(body, name)
            if document is not msgspec.UNSET:
                patch[name] = document
        device = await self._find(request, app)
        (result,) = await self._shadows.change(
            [ShadowPatch(app.number, device.device, device.ordinal, patch, version)]
        )
        if isinstance(result, LonglineError):
            raise result
        return _answer(result)

    async def _find(self, request: Request, app: App) -> Device:
        (device,) = await self._devices.find(app.number, [request.path_params["device"]])
        if device is None:
            raise DeviceNotFound
        return device


def _wanted(request: Request) -> int | None:
    """The version in `If-Match` (RFC 9110, section 13.1.1); None where any is good."""
    given = request.headers.get("if-match")
    if given is None or given.strip() == "*":
        return None
    version = _VERSION.fullmatch(given.strip())
    if version is None:
        raise BadRequest("If-Match takes the version of a shadow")
    return int(version[1])


def _answer(shadow: Shadow) -> Response:
    view = ShadowView(msgspec.Raw(shadow.desired), msgspec.Raw(shadow.reported), shadow.version)
    headers = {"ETag": f'"{shadow.version}"'}
    return Response(_encode(view), media_type="application/json", headers=headers)
