"""Operations on devices: registration, profiles, presence, tokens, kicking."""

from collections.abc import Callable, Mapping, Sequence

import msgspec
from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response

from longline.center.answers import (
    DeviceDetail,
    DeviceList,
    DeviceResult,
    DeviceResults,
    DeviceState,
    DeviceStatus,
    DeviceStatusList,
    DeviceToken,
    DeviceView,
    answer,
)
from longline.center.errors import error_answer
from longline.center.locks import Locks
from longline.center.operations import AppHandler, Operation, for_app
from longline.center.paging import after_ordinal, cursor_after
from longline.center.reading import Body, Query, read_bytes
from longline.center.rooms import Rooms
from longline.center.rows import ROW, Rows
from longline.center.schemas import (
    MAX_ATTRIBUTES,
    MAX_ATTRIBUTES_BYTES,
    BatchDevice,
    DeviceBatch,
    DeviceQuery,
    KickQuery,
    NewProfile,
    ProfileChange,
    RawDeviceBatch,
    StatusRequest,
    TokenRequest,
)
from longline.center.service import CenterService
from longline.center.times import rfc3339
from longline.center.tokens import device_token
from longline.errors import Conflict, DeviceNotFound, LonglineError, ValidationFailed
from longline.flow.turns import Lanes
from longline.model.apps import App
from longline.model.commands import CloseReason
from longline.model.devices import (
    Binding,
    Device,
    JsonObject,
    Profile,
    check_device_name,
    check_device_names,
)
from longline.register.port import Register
from longline.saver.port.devices import DeviceStore, Registration
from longline.saver.port.inboxes import InboxStore

_ATTEMPTS = 5  # to change a device that others change too

_encode = msgspec.json.Encoder().encode


def operations(center: CenterService) -> list[Operation]:
    """The rows of devices."""
    handlers = _Handlers(
        center.saver.devices,
        center.saver.inboxes,
        center.register,
        center.rooms,
        center.locks,
        center.rows,
        center.pipeline.turns,
        center.clock,
    )
    every, one = "/v1/apps/{app}/devices", "/v1/apps/{app}/devices/{device}"
    missing = (DeviceNotFound,)

    def operation(
        method: str,
        path: str,
        handler: AppHandler,
        answers: Mapping[int, type[msgspec.Struct] | None],
        *,
        body: type[msgspec.Struct] | None = None,
        body_required: bool = True,
        query: type[msgspec.Struct] | None = None,
        errors: tuple[type[LonglineError], ...] = (),
    ) -> Operation:
        endpoint = for_app(center.keys, handler, query=query is not None)
        return Operation(method, path, endpoint, "devices", answers, body, body_required, query, errors)

    return [
        operation("GET", every, handlers.page, {200: DeviceList}, query=DeviceQuery),
        operation("POST", f"{every}:batch", handlers.register, {200: DeviceResults}, body=DeviceBatch),
        operation("POST", f"{every}:status", handlers.presence, {200: DeviceStatusList}, body=StatusRequest),
        operation("PUT", one, handlers.put, {200: DeviceView, 201: DeviceView}, body=NewProfile),
        operation(
            "PATCH",
            one,
            handlers.patch,
            {200: DeviceView},
            body=ProfileChange,
            errors=(DeviceNotFound, Conflict),
        ),
        operation("GET", one, handlers.get, {200: DeviceDetail}, errors=missing),
        operation("DELETE", one, handlers.delete, {204: None}, errors=missing),
        operation(
            "POST", f"{one}/token", handlers.token, {200: DeviceToken}, body=TokenRequest, body_required=False
        ),
        operation("DELETE", f"{one}/connection", handlers.kick, {204: None}, query=KickQuery, errors=missing),
    ]


class _Handlers:
    def __init__(
        self,
        devices: DeviceStore,
        inboxes: InboxStore,
        register: Register,
        rooms: Rooms,
        locks: Locks,
        rows: Rows,
        turns: Lanes[int],
        clock: Callable[[], int],
    ) -> None:
        self._devices = devices
        self._inboxes = inboxes
        self._register = register
        self._rooms = rooms
        self._locks = locks
        self._rows = rows
        self._turns = turns
        self._clock = clock
        self._query = Query(DeviceQuery)
        self._kick = Query(KickQuery)
        self._profile = Body(NewProfile)
        self._change = Body(ProfileChange)
        self._batch = Body(RawDeviceBatch)
        self._batch_item = Body(BatchDevice)
        self._status = Body(StatusRequest)
        self._token = Body(TokenRequest, default=TokenRequest())

    async def page(self, request: Request, app: App) -> Response:
        """List devices in the order of their registration.

        `online` is looked at after a page was read, so with it a page may hold fewer devices than `limit`,
        or none, while `next_cursor` leads on.
        """
        query = self._query.read(request)
        devices = await self._devices.list(
            app.number,
            tag=None if query.tag is UNSET else query.tag,
            alias=None if query.alias is UNSET else query.alias,
            after=after_ordinal(None if query.cursor is UNSET else query.cursor),
            limit=query.limit + 1,
        )
        page = devices[: query.limit]
        more = len(devices) > len(page)
        bindings = await self._register.locate(app.number, [device.device for device in page])
        found = [
            (device, binding)
            for device, binding in zip(page, bindings, strict=True)
            if query.online is UNSET or query.online == (binding is not None)
        ]
        shown = await self._rows.each(app.number, found, _state)
        return answer(DeviceList(shown, cursor_after(page[-1].ordinal) if more else None))

    async def register(self, request: Request, app: App) -> Response:
        """Register many devices, or replace what is known of them.

        One result for each, in order: its name, or the error for which it was left out. The others are
        stored.
        """
        body = await read_bytes(request)
        asked = self._batch.decode(body).devices
        read = await self._rows.each(app.number, asked, self._registration, _size)
        batch = [each for each in read if isinstance(each, Registration)]
        if batch:
            async with self._turns.turn(app.number, len(batch)):
                await self._devices.put(app.number, batch, self._clock())
        return answer(DeviceResults([_result(each) for each in read]))

    def _registration(self, raw: msgspec.Raw) -> Registration | LonglineError:
        """A device of a batch, or what is wrong with it."""
        try:
            asked = self._batch_item.decode(raw)
            check_device_name(asked.device)
            return Registration(asked.device, _new_profile(asked))
        except LonglineError as error:
            return error

    async def presence(self, request: Request, app: App) -> Response:
        """Say for each device whether it is connected, and since when.

        A device that does not exist is not connected.
        """
        names = (await self._status.read(request)).devices
        check_device_names(names, "devices")
        bindings = await self._register.locate(app.number, names)
        found = list(zip(names, bindings, strict=True))
        return answer(DeviceStatusList(await self._rows.each(app.number, found, _status)))

    async def put(self, request: Request, app: App) -> Response:
        """Register a device, or replace what is known of it.

        201 when it is new, 200 when it was there.
        """
        name = request.path_params["device"]
        check_device_name(name)
        profile = _new_profile(await self._profile.read(request))
        async with self._locks.of(app.app, name):
            (known,) = await self._devices.find(app.number, [name])
            (device,) = await self._devices.put(app.number, [Registration(name, profile)], self._clock())
        return answer(DeviceView(*_known(device)), 201 if known is None else 200)

    async def patch(self, request: Request, app: App) -> Response:
        """Change what is known of a device.

        Lists are replaced. Attributes are merged key by key. null deletes a key, the time zone or the
        platform. What others change at the same moment stays; 409 `conflict` when they do so again and again.
        """
        change = await self._change.read(request)
        async with self._locks.of(app.app, request.path_params["device"]):
            for _ in range(_ATTEMPTS):
                device = await self._find(request, app)
                profile = _merged(device.profile, change)
                if await self._devices.update(app.number, device, profile):
                    break
            else:
                raise Conflict(retry_after=1.0)
        return answer(DeviceView(*_known(msgspec.structs.replace(device, profile=profile))))

    async def get(self, request: Request, app: App) -> Response:
        """Show a device, where it is connected, and how many messages wait for it."""
        device = await self._find(request, app)
        (binding,) = await self._register.locate(app.number, [device.device])
        (pending,) = await self._inboxes.count(app.number, [device.ordinal], self._clock())
        return answer(DeviceDetail(*_known(device), *_place(binding), pending))

    async def delete(self, request: Request, app: App) -> Response:
        """Forget a device and end its connection.

        What waits for it is dropped as `device_deleted`. A later CONNECT with a valid token registers it
        again.
        """
        name = request.path_params["device"]
        if not await self._devices.delete(app.number, name, self._clock()):
            raise DeviceNotFound
        await self._rooms.end_connection(app, name, CloseReason.DEVICE_DELETED)
        return Response(status_code=204)

    async def token(self, request: Request, app: App) -> Response:
        """Make a token with which the device may connect.

        The device need not be registered yet: its first CONNECT does that. Nothing is stored of a token.
        """
        name = request.path_params["device"]
        check_device_name(name)
        asked = await self._token.read(request)
        expires_in = None if asked.expires_in is UNSET else asked.expires_in
        return answer(device_token(app, name, self._clock(), expires_in))

    async def kick(self, request: Request, app: App) -> Response:
        """End a device's connection, and keep it out for a while if asked to.

        Also 204 when the device is not connected. The device may come back at once unless it is banned.
        """
        query = self._kick.read(request)
        device = await self._find(request, app)
        reason = CloseReason.KICKED
        if query.ban_seconds is not UNSET:
            until = self._clock() + query.ban_seconds * 1000 if query.ban_seconds else 0
            if not await self._devices.ban(app.number, device.device, until):
                raise DeviceNotFound
            reason = CloseReason.BANNED if until else CloseReason.KICKED
        await self._rooms.end_connection(app, device.device, reason)
        return Response(status_code=204)

    async def _find(self, request: Request, app: App) -> Device:
        (device,) = await self._devices.find(app.number, [request.path_params["device"]])
        if device is None:
            raise DeviceNotFound
        return device


def _size(raw: msgspec.Raw) -> int:
    """How many rows a device of a batch is worth."""
    return 1 + len(memoryview(raw)) // ROW


def _result(read: Registration | LonglineError) -> DeviceResult:
    if isinstance(read, LonglineError):
        return DeviceResult(error=error_answer(read).error)
    return DeviceResult(device=read.device)


def _status(found: tuple[str, Binding | None]) -> DeviceStatus:
    name, binding = found
    return DeviceStatus(name, binding is not None, None if binding is None else rfc3339(binding.since))


def _state(found: tuple[Device, Binding | None]) -> DeviceState:
    device, binding = found
    return DeviceState(*_known(device), *_place(binding))


_Known = tuple[str, tuple[str, ...], tuple[str, ...], JsonObject, str | None, str | None, str]


def _known(device: Device) -> _Known:
    """The fields of `DeviceView`."""
    profile = device.profile
    return (
        device.device,
        profile.aliases,
        profile.tags,
        profile.attributes,
        profile.timezone,
        profile.platform,
        rfc3339(device.created_at),
    )


def _place(binding: Binding | None) -> tuple[bool, str | None, str | None, int | None]:
    """The fields that `DeviceState` adds to them."""
    if binding is None:
        return False, None, None, None
    return True, binding.node, rfc3339(binding.since), binding.epoch


def _new_profile(asked: NewProfile) -> Profile:
    return Profile(
        aliases=_once(asked.aliases),
        tags=_once(asked.tags),
        attributes=_merged_attributes({}, asked.attributes),
        timezone=asked.timezone,
        platform=asked.platform,
    )


def _merged(profile: Profile, change: ProfileChange) -> Profile:
    return Profile(
        aliases=profile.aliases if change.aliases is UNSET else _once(change.aliases),
        tags=profile.tags if change.tags is UNSET else _once(change.tags),
        attributes=(
            profile.attributes
            if change.attributes is UNSET
            else _merged_attributes(profile.attributes, change.attributes)
        ),
        timezone=profile.timezone if change.timezone is UNSET else change.timezone,
        platform=profile.platform if change.platform is UNSET else change.platform,
    )


def _merged_attributes(known: JsonObject, change: JsonObject) -> JsonObject:
    """RFC 7396 at the first level: null deletes. The result is within its bounds, or `ValidationFailed`."""
    merged = {key: value for key, value in {**known, **change}.items() if value is not None}
    if len(merged) > MAX_ATTRIBUTES or len(_encode(merged)) > MAX_ATTRIBUTES_BYTES:
        limits = f"at most {MAX_ATTRIBUTES} keys and {MAX_ATTRIBUTES_BYTES} bytes of JSON"
        raise ValidationFailed("the attributes are too large", details=[("attributes", limits)])
    return merged


def _once(labels: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(labels))
