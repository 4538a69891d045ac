"""Operations on devices: registration, profiles, presence, tokens, kicking."""

from collections.abc import Callable, Collection, Sequence
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from longline.center.devices.device_profiles import (
    BatchDevice,
    DeviceBatch,
    NewProfile,
    ProfileChange,
    RawDeviceBatch,
    changed_profile,
    new_profile,
)
from longline.center.devices.device_views import (
    DeviceDetail,
    DeviceList,
    DeviceStatusList,
    DeviceView,
    device_view,
    is_parked,
    state_view,
    status_view,
)
from longline.center.devices.tokens import DeviceToken, TokenRequest, device_token
from longline.center.errors.responses import ErrorInfo, error_answer
from longline.center.requests.answers import answer
from longline.center.requests.audit_entries import note
from longline.center.requests.locks import Locks
from longline.center.requests.long_lists import ROW, Rows
from longline.center.requests.operations import AppOperations, Operation
from longline.center.requests.paging import after_name, after_ordinal, cursor_after
from longline.center.requests.reading import Body, Query, read_bytes
from longline.center.rooms import Rooms
from longline.center.service import CenterService
from longline.center.shapes import DeviceNames, Label, PageQuery, Strict
from longline.delivery.headcounts import Headcounts
from longline.delivery.limits import LimitsOfApps
from longline.errors import Conflict, DeviceNotFound, LonglineError, TooManyDevices
from longline.flow.turns import Lanes
from longline.model.apps import App
from longline.model.commands import CloseReason, Vouched
from longline.model.devices import (
    Device,
    Profile,
    check_device_name,
    check_device_names,
)
from longline.register.port import Register
from longline.saver.port.devices import DeviceStore, Registration
from longline.saver.port.inboxes import InboxStore
from longline.saver.port.parking import ParkingStore, Release
from longline.saver.port.visits import VisitStore
from longline.settings import CenterSettings

_ATTEMPTS = 5  # to change a device that others change too
MAX_BAN = 315_360_000  # seconds

BanSeconds = Annotated[
    int,
    Meta(ge=0, le=MAX_BAN, description="Refuse the device for so long. 0 lifts a ban. Absent: no change."),
]


class DeviceResult(Struct, frozen=True):
    """One device of a batch: its name when it is registered, or why it is not."""

    device: str | UnsetType = UNSET
    error: ErrorInfo | UnsetType = UNSET


class DeviceResults(Struct, frozen=True):
    """One result a device, in the order of the request."""

    results: list[DeviceResult]


class DeviceQuery(PageQuery, frozen=True):
    """Which devices, and which page of them."""

    tag: Label | UnsetType = UNSET
    alias: Label | UnsetType = UNSET
    online: bool | UnsetType = UNSET
    parked: bool | UnsetType = UNSET
    prefix: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=128,
                description="How its name begins. Devices are in the order of their names then.",
                examples=["phone-"],
            ),
        ]
        | UnsetType
    ) = UNSET


class StatusRequest(Strict, frozen=True):
    """Devices to look up."""

    devices: DeviceNames


class KickQuery(Strict, frozen=True):
    """Whether to keep the device out."""

    ban_seconds: BanSeconds | UnsetType = UNSET


def operations(center: CenterService) -> list[Operation]:
    """The rows of devices."""
    handlers = _Handlers(
        center.saver.devices,
        center.saver.inboxes,
        center.saver.visits,
        center.saver.parking,
        center.register,
        center.rooms,
        center.locks,
        center.rows,
        center.pipeline.turns,
        center.clock,
        center.settings,
        center.limits,
        center.devices,
    )
    every, one = "/v1/apps/{app}/devices", "/v1/apps/{app}/devices/{device}"
    missing = (DeviceNotFound,)

    operation = AppOperations(center.keys, "devices")
    return [
        operation("GET", every, handlers.page, {200: DeviceList}, query=DeviceQuery),
        operation(
            "POST",
            f"{every}:batch",
            handlers.register,
            {200: DeviceResults},
            body=DeviceBatch,
            errors=(TooManyDevices,),
        ),
        operation("POST", f"{every}:status", handlers.presence, {200: DeviceStatusList}, body=StatusRequest),
        operation(
            "PUT",
            one,
            handlers.put,
            {200: DeviceView, 201: DeviceView},
            body=NewProfile,
            errors=(TooManyDevices,),
        ),
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
            "POST",
            f"{one}/token",
            handlers.token,
            {200: DeviceToken},
            body=TokenRequest,
            body_required=False,
            current=True,
        ),
        operation("POST", f"{one}:release", handlers.release, {204: None}, errors=missing),
        operation("DELETE", f"{one}/connection", handlers.kick, {204: None}, query=KickQuery, errors=missing),
    ]


class _Handlers:
    def __init__(
        self,
        devices: DeviceStore,
        inboxes: InboxStore,
        visits: VisitStore,
        parking: ParkingStore,
        register: Register,
        rooms: Rooms,
        locks: Locks,
        rows: Rows,
        turns: Lanes[int],
        clock: Callable[[], int],
        bounds: CenterSettings,
        limits: LimitsOfApps,
        headcounts: Headcounts,
    ) -> None:
        self._bounds = bounds
        self._limits = limits
        self._headcounts = headcounts
        self._devices = devices
        self._inboxes = inboxes
        self._visits = visits
        self._parking = parking
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
        self.status_view = Body(StatusRequest)
        self._token = Body(TokenRequest, default=TokenRequest())

    async def page(self, request: Request, app: App) -> Response:
        """List devices in the order of their registration.

        With `prefix` they are in the order of their names instead. `online` and `parked`, and beside `prefix`
        also `tag` and `alias`, are looked at after a page was read, so with them a page may hold fewer
        devices than `limit`, or none, while `next_cursor` leads on.
        """
        query = self._query.read(request)
        devices = await self._asked(app, query)
        page = devices[: query.limit]
        more = len(devices) > len(page)
        bindings = await self._register.locate(app.number, [device.device for device in page])
        standings = await self._parking.standings(app.number, [device.ordinal for device in page])
        wanted = [
            (device, binding, standing)
            for device, binding, standing in zip(page, bindings, standings, strict=True)
            if _has_labels(device.profile, query)
            and (query.online is UNSET or query.online == (binding is not None))
            and (query.parked is UNSET or query.parked == is_parked(standing))
        ]
        visits = await self._visits.find(app.number, [device.ordinal for device, _, _ in wanted])
        now = self._clock()
        found = [(*one, visit, now) for one, visit in zip(wanted, visits, strict=True)]
        shown = await self._rows.each(app.number, found, state_view)
        if not more:
            return answer(DeviceList(shown, None))
        last = page[-1].ordinal if query.prefix is UNSET else page[-1].device
        return answer(DeviceList(shown, cursor_after(last)))

    async def _asked(self, app: App, query: DeviceQuery) -> Sequence[Device]:
        """A page of devices, and one more."""
        cursor = None if query.cursor is UNSET else query.cursor
        if query.prefix is not UNSET:
            return await self._devices.named(app.number, query.prefix, after_name(cursor), query.limit + 1)
        return await self._devices.list(
            app.number,
            tag=None if query.tag is UNSET else query.tag,
            alias=None if query.alias is UNSET else query.alias,
            after=after_ordinal(cursor),
            limit=query.limit + 1,
        )

    async def register(self, request: Request, app: App) -> Response:
        """Register many devices, or replace what is known of them.

        One result for each, in order: its name, or the error for which it was left out. The others are
        stored.
        """
        body = await read_bytes(request)
        asked = self._batch.decode(body).devices
        read = await self._rows.each(app.number, asked, self._registration, _size)
        batch = [each for each in read if isinstance(each, Registration)]
        refused: Collection[str] = ()
        if batch:
            async with self._turns.turn(app.number, len(batch)):
                refused = await self._put(app, batch)
        results = [
            TooManyDevices() if isinstance(each, Registration) and each.device in refused else each
            for each in read
        ]
        return answer(DeviceResults([_result(each) for each in results]))

    async def _put(self, app: App, batch: Sequence[Registration]) -> Collection[str]:
        """Stores devices; the names of those that are too many for the app, and were not stored."""
        most = self._limits.of(app).devices
        with await self._headcounts.adding(app.number, most, [each.device for each in batch]) as refused:
            some = [each for each in batch if each.device not in refused] if refused else batch
            if some:
                await self._devices.put(app.number, some, self._clock())
        return refused

    def _registration(self, raw: msgspec.Raw) -> Registration | LonglineError:
        """A device of a batch, or what is wrong with it."""
        try:
            asked = self._batch_item.decode(raw)
            check_device_name(asked.device)
            return Registration(asked.device, new_profile(asked, self._bounds))
        except LonglineError as error:
            return error

    async def presence(self, request: Request, app: App) -> Response:
        """Say for each device whether it is connected, and since when.

        A device that does not exist is not connected: one that comes for the first time is bound a moment
        before it exists, and a push to it or to all would miss it until then.
        """
        names = (await self.status_view.read(request)).devices
        check_device_names(names, "devices")
        bindings = await self._register.locate(app.number, names)
        bound = [name for name, binding in zip(names, bindings, strict=True) if binding is not None]
        known = {
            device.device for device in await self._devices.find(app.number, bound) if device is not None
        }
        found = [
            (name, binding if name in known else None) for name, binding in zip(names, bindings, strict=True)
        ]
        return answer(DeviceStatusList(await self._rows.each(app.number, found, status_view)))

    async def put(self, request: Request, app: App) -> Response:
        """Register a device, or replace what is known of it.

        201 when it is new, 200 when it was there.
        """
        name = request.path_params["device"]
        check_device_name(name)
        profile = new_profile(await self._profile.read(request), self._bounds)
        async with self._locks.of(app.app, name):
            (known,) = await self._devices.find(app.number, [name])
            most = 0 if known is not None else self._limits.of(app).devices
            with await self._headcounts.adding(app.number, most, [name]) as refused:
                if refused:
                    raise TooManyDevices
                (device,) = await self._devices.put(app.number, [Registration(name, profile)], self._clock())
        return answer(device_view(device), 201 if known is None else 200)

    async def patch(self, request: Request, app: App) -> Response:
        """Change what is known of a device.

        Lists are replaced. Attributes are merged key by key. null deletes a key, the time zone or the
        platform. What others change at the same moment stays; 409 `conflict` when they do so again and again.
        """
        change = await self._change.read(request)
        async with self._locks.of(app.app, request.path_params["device"]):
            for _ in range(_ATTEMPTS):
                device = await self._find(request, app)
                profile = changed_profile(device.profile, change, self._bounds)
                if await self._devices.update(app.number, device, profile):
                    break
            else:
                raise Conflict(retry_after=1.0)
        return answer(device_view(msgspec.structs.replace(device, profile=profile)))

    async def get(self, request: Request, app: App) -> Response:
        """Show a device, where it is or was connected, and how many messages wait for it."""
        device = await self._find(request, app)
        now = self._clock()
        (binding,) = await self._register.locate(app.number, [device.device])
        (visit,) = await self._visits.find(app.number, [device.ordinal])
        (pending,) = await self._inboxes.count(app.number, [device.ordinal], now)
        (standing,) = await self._parking.standings(app.number, [device.ordinal])
        state = state_view((device, binding, standing, visit, now))
        return answer(DeviceDetail(**msgspec.structs.asdict(state), pending=pending))

    async def delete(self, request: Request, app: App) -> Response:
        """Forget a device and end its connection.

        What waits for it is dropped as `device_deleted`. A later CONNECT with a valid token registers it
        again.
        """
        name = request.path_params["device"]
        if not await self._devices.delete(app.number, name, self._clock()):
            raise DeviceNotFound
        self._headcounts.forget(app.number)
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
        if query.ban_seconds is not UNSET:
            note(request, detail=f"ban_seconds {query.ban_seconds}")
        reason = CloseReason.KICKED
        if query.ban_seconds is not UNSET:
            until = self._clock() + query.ban_seconds * 1000 if query.ban_seconds else 0
            if not await self._devices.ban(app.number, device.device, until):
                raise DeviceNotFound
            reason = CloseReason.BANNED if until else CloseReason.KICKED
        await self._rooms.end_connection(app, device.device, reason)
        return Response(status_code=204)

    async def release(self, request: Request, app: App) -> Response:
        """Have a device that was parked sent pushes again.

        Also 204 when it was not. It is parked again when it goes on to acknowledge nothing.
        """
        device = await self._find(request, app)
        await self._parking.release([Release(app.number, device.ordinal)])
        (binding,) = await self._register.locate(app.number, [device.device])
        if binding is not None:
            await self._rooms.tell(binding.node, Vouched(app.number, device.device))
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


def _has_labels(profile: Profile, query: DeviceQuery) -> bool:
    return (query.tag is UNSET or query.tag in profile.tags) and (
        query.alias is UNSET or query.alias in profile.aliases
    )
