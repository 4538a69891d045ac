"""Devices, their shadows, calls and connections."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Literal

import msgspec

from longline.errors import LonglineError
from longline.model.devices import JsonObject
from longline.sdk.answers import (
    CallAnswer,
    ConnectionInfo,
    DeviceInfo,
    DeviceMessage,
    DeviceShadow,
    DeviceStatus,
    DeviceSubscription,
    DeviceToken,
)
from longline.sdk.calls.http import Http
from longline.sdk.http import ErrorBody, error_of
from longline.sdk.paths import app_path, device_path, given
from longline.sdk.times import Duration, whole_seconds

ANSWER_AFTER = 10.0  # s that the server may take besides the time that a device has to answer


class _DeviceList(msgspec.Struct):
    devices: list[DeviceInfo]
    next_cursor: str | None = None


class _CallAnswer(msgspec.Struct):
    at: datetime
    payload: str = ""
    payload_base64: bytes = b""


class _DeviceStatusList(msgspec.Struct):
    devices: list[DeviceStatus]


class _SubscriptionList(msgspec.Struct):
    kept: bool
    subscriptions: list[DeviceSubscription]


class _ConnectionList(msgspec.Struct):
    connections: list[ConnectionInfo]
    next_cursor: str | None = None


class _DeviceMessageList(msgspec.Struct):
    messages: list[DeviceMessage]
    next_cursor: str | None = None


class _Registered(msgspec.Struct):
    error: ErrorBody | None = None


class _Registrations(msgspec.Struct):
    results: list[_Registered]


class DeviceCalls:
    """A part of `Center`."""

    _http: Http

    async def put_device(
        self,
        app: str,
        device: str,
        *,
        aliases: Sequence[str] = (),
        tags: Sequence[str] = (),
        attributes: Mapping[str, object] | None = None,
        timezone: str | None = None,
        platform: str | None = None,
    ) -> DeviceInfo:
        """Registers the device, or replaces all that was known of it."""
        body: JsonObject = {
            "aliases": list(aliases),
            "tags": list(tags),
            "attributes": dict(attributes or {}),
            "timezone": timezone,
            "platform": platform,
        }
        return await self._http.call("PUT", device_path(app, device), DeviceInfo, body=body, safe=True)

    async def patch_device(self, app: str, device: str, changes: Mapping[str, object]) -> DeviceInfo:
        """Merges `changes`, an object of the fields of `put_device`; the rest stays."""
        path = device_path(app, device)
        return await self._http.call("PATCH", path, DeviceInfo, body=dict(changes), safe=False)

    async def device(self, app: str, device: str) -> DeviceInfo:
        return await self._http.call("GET", device_path(app, device), DeviceInfo, safe=True)

    async def delete_device(self, app: str, device: str) -> None:
        """Forgets the device; what waits for it is dropped in the ledgers."""
        await self._http.call("DELETE", device_path(app, device), object, safe=False)

    async def shadow(self, app: str, device: str) -> DeviceShadow:
        """What is desired of the device, and what it reports."""
        return await self._http.call("GET", f"{device_path(app, device)}/shadow", DeviceShadow, safe=True)

    async def patch_shadow(
        self,
        app: str,
        device: str,
        *,
        desired: Mapping[str, object] | None = None,
        reported: Mapping[str, object] | None = None,
        version: int | None = None,
    ) -> DeviceShadow:
        """Merges what is given (RFC 7396): None for a name removes it. The device is told what is desired.

        Raises `Conflict` unless the shadow has this `version`, where one is given.
        """
        given = {"desired": desired, "reported": reported}
        body = {name: dict(document) for name, document in given.items() if document is not None}
        headers = {} if version is None else {"If-Match": f'"{version}"'}
        path = f"{device_path(app, device)}/shadow"
        return await self._http.call("PATCH", path, DeviceShadow, body=body, headers=headers, safe=False)

    async def call(self, app: str, device: str, payload: object, *, within: Duration = 10.0) -> CallAnswer:
        """Sends a command to a device, and waits for its answer, for 60 seconds at most.

        `payload` as in `send`. Raises `DeviceOffline` when the device is not connected, and `NoAnswer` when
        it did not answer in time, though it may have carried the command out. It is never sent twice.
        """
        patience = whole_seconds(within)
        body: JsonObject = {"timeout": patience}
        if isinstance(payload, bytes):
            body["payload_base64"] = payload
        else:
            body["payload"] = payload
        path = f"{device_path(app, device)}:call"
        answer = await self._http.call(
            "POST", path, _CallAnswer, body=body, safe=False, within=patience + ANSWER_AFTER
        )
        return CallAnswer(payload=answer.payload_base64 or answer.payload.encode(), at=answer.at)

    async def register_batch(
        self, app: str, devices: Sequence[Mapping[str, object]]
    ) -> list[LonglineError | None]:
        """Registers or replaces up to 1000 devices, each `{"device": "d1", "tags": […], …}`.

        One result for each, in order: None when it is registered, or the error that refused it.
        """
        body = {"devices": [dict(device) for device in devices]}
        batch = await self._http.call(
            "POST", f"{app_path(app)}/devices:batch", _Registrations, body=body, safe=True
        )
        return [None if item.error is None else error_of(item.error) for item in batch.results]

    async def devices(
        self,
        app: str,
        *,
        tag: str | None = None,
        alias: str | None = None,
        online: bool | None = None,
        parked: bool | None = None,
        prefix: str | None = None,
        page_size: int | None = None,
    ) -> AsyncIterator[DeviceInfo]:
        """The app's devices that match, page by page. With a `prefix` of names, in the order of names."""
        wanted, silent = [None if flag is None else str(flag).lower() for flag in (online, parked)]
        params: dict[str, str | int] = given(
            tag=tag, alias=alias, online=wanted, parked=silent, prefix=prefix, limit=page_size
        )
        async for page in self._http.pages(f"{app_path(app)}/devices", _DeviceList, params):
            for device in page.devices:
                yield device

    async def device_messages(
        self,
        app: str,
        device: str,
        *,
        state: Literal["pending", "acked", "expired", "collapsed", "dropped"] | None = None,
        page_size: int | None = None,
    ) -> AsyncIterator[DeviceMessage]:
        """The pushes for a device, the latest first, with what became of each: all, or those in one state.

        Raises `DeviceNotFound`.
        """
        path = f"{device_path(app, device)}/messages"
        async for page in self._http.pages(path, _DeviceMessageList, given(state=state, limit=page_size)):
            for message in page.messages:
                yield message

    async def subscriptions(self, app: str, device: str) -> list[DeviceSubscription] | None:
        """What the device is subscribed to; None where its session is not kept, or there is none.

        Raises `DeviceNotFound`.
        """
        path = f"{device_path(app, device)}/subscriptions"
        found = await self._http.call("GET", path, _SubscriptionList, safe=True)
        return found.subscriptions if found.kept else None

    async def connections(
        self, app: str, device: str, *, page_size: int | None = None
    ) -> AsyncIterator[ConnectionInfo]:
        """The connections that the device had of late, the latest first. Raises `DeviceNotFound`."""
        path = f"{device_path(app, device)}/connections"
        async for page in self._http.pages(path, _ConnectionList, given(limit=page_size)):
            for connection in page.connections:
                yield connection

    async def status(self, app: str, devices: Sequence[str]) -> list[DeviceStatus]:
        """Online or not, and since when, for up to 1000 devices."""
        path = f"{app_path(app)}/devices:status"
        body = {"devices": list(devices)}
        return (await self._http.call("POST", path, _DeviceStatusList, body=body, safe=True)).devices

    async def token(self, app: str, device: str, *, expires_in: Duration | None = None) -> DeviceToken:
        """What the device needs to connect; valid for `expires_in`, or until the keys are rotated."""
        body = given(expires_in=None if expires_in is None else whole_seconds(expires_in))
        return await self._http.call(
            "POST", f"{device_path(app, device)}/token", DeviceToken, body=body, safe=True
        )

    async def kick(self, app: str, device: str, *, ban: Duration | None = None) -> None:
        """Closes the device's connection, and keeps it out for as long as `ban`; with 0 a ban is lifted, with
        None it stays as it is.
        """
        path = f"{device_path(app, device)}/connection"
        params = given(ban_seconds=None if ban is None else whole_seconds(ban))
        await self._http.call("DELETE", path, object, params=params, safe=False)

    async def release_device(self, app: str, device: str) -> None:
        """Has a device that was parked, for acknowledging nothing, sent pushes again."""
        await self._http.call("POST", f"{device_path(app, device)}:release", object, safe=True)
