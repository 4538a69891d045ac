"""`Center`: what an app server does through the HTTP API, one method a call.

async with Center("http://127.0.0.1:8080", server_key) as center:
    accepted = await center.send("news", {"title": "Goal!"}, devices=["d1"], ttl=3600)
    status = await center.wait("news", accepted.message_id, within=30)
    print(status.ledger.acked)

Durations are timedeltas, or numbers of seconds; times are datetimes.
"""

import asyncio
import random as random_module
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Literal, Self, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from longline.errors import LonglineError
from longline.model.devices import JsonObject
from longline.sdk.answers import (
    Accepted,
    AppInfo,
    AppKeys,
    Audience,
    Delivery,
    DeviceInfo,
    DeviceStatus,
    DeviceToken,
    MessageAccepted,
    MessageStatus,
    Priority,
    Push,
)
from longline.sdk.backoff import Random
from longline.sdk.http import Answer, ErrorBody, Http, Sleep, error_of
from longline.sdk.times import Duration, seconds, whole_seconds
from longline.sdk.trust import File, trust

Value = TypeVar("Value")


class _AppList(msgspec.Struct):
    apps: list[AppInfo]
    next_cursor: str | None = None


class _DeviceList(msgspec.Struct):
    devices: list[DeviceInfo]
    next_cursor: str | None = None


class _DeviceStatusList(msgspec.Struct):
    devices: list[DeviceStatus]


class _DeliveryList(msgspec.Struct):
    deliveries: list[Delivery]
    next_cursor: str | None = None


class _BatchItem(msgspec.Struct):
    message_id: str | None = None
    device: str | None = None
    status: Accepted = "accepted"
    targeted: int | None = None
    error: ErrorBody | None = None


class _Batch(msgspec.Struct):
    results: list[_BatchItem]


class Center:
    """A client of one Longline server's HTTP API; safe to share by all tasks of a loop.

    `key` is the admin key, or an app's server key, which reaches only that app; white space around it, such
    as the newline at the end of a file, is no part of it. `timeout` is for each try. Calls that can be
    repeated without harm are, up to `retries` times, with back-off, full jitter and a budget shared by all
    calls. At most `max_connections` requests are on the wire at once; further ones wait their turn. A server
    of https is verified by the authorities in the PEM file `ca` alone; without one, by the system's.

    Every method raises the class of `longline.errors` whose code the server answered: `NoTarget`,
    `Unauthorized`, `RateLimited` with `retry_after` in seconds, and so on; `Unavailable` when the server
    cannot be reached. ValueError for a URL that is none, for what cannot be a key, which is not repeated, and
    for a file that cannot be read.
    """

    # What a test puts in their place, in a subclass.
    _random: Random = random_module.random
    _sleep: Sleep = staticmethod(asyncio.sleep)
    _transport: httpx.AsyncBaseTransport | None = None

    def __init__(
        self,
        url: str,
        key: str,
        *,
        timeout: Duration = 10.0,
        retries: int = 3,
        max_connections: int = 20,
        ca: File | None = None,
    ) -> None:
        self._http = Http(
            url,
            key,
            timeout=seconds(timeout),
            retries=retries,
            max_connections=max_connections,
            random=self._random,
            sleep=self._sleep,
            transport=self._transport,
            trusted=None if ca is None else trust(ca),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the pooled connections."""
        await self._http.close()

    # --- apps ------------------------------------------------------------------------------------

    async def create_app(
        self,
        app: str,
        *,
        name: str | None = None,
        pubsub: bool | None = None,
        client_certificates: bool | None = None,
    ) -> AppKeys:
        """Makes an app. `pubsub` lets its devices use plain MQTT topics; `client_certificates` lets them show
        a certificate of TLS instead of a token. Raises `AppExists`.
        """
        body = _given(app=app, name=name, pubsub=pubsub, client_certificates=client_certificates)
        return await self._http.call("POST", "/v1/apps", AppKeys, body=body, safe=False)

    async def apps(self) -> AsyncIterator[AppInfo]:
        """All apps, page by page."""
        cursor: str | None = None
        while True:
            page = await self._http.call("GET", "/v1/apps", _AppList, params=_given(cursor=cursor), safe=True)
            for app in page.apps:
                yield app
            cursor = page.next_cursor
            if cursor is None:
                return

    async def app(self, app: str) -> AppInfo:
        return await self._http.call("GET", _app(app), AppInfo, safe=True)

    async def update_app(
        self,
        app: str,
        *,
        name: str | None = None,
        pubsub: bool | None = None,
        client_certificates: bool | None = None,
    ) -> AppInfo:
        """Changes what is given and leaves the rest."""
        body = _given(name=name, pubsub=pubsub, client_certificates=client_certificates)
        return await self._http.call("PATCH", _app(app), AppInfo, body=body, safe=False)

    async def delete_app(self, app: str) -> None:
        """Deletes the app with its devices and messages."""
        await self._http.call("DELETE", _app(app), object, safe=False)

    async def rotate_keys(
        self,
        app: str,
        *,
        server_key: bool = True,
        device_secret: bool = False,
        disconnect: bool = False,
    ) -> AppKeys:
        """Replaces the server key, the secret that device tokens are signed with, or both.

        What is replaced stops working at once: without the old secret no device gets in with an old token.
        Connections that exist stay, unless `disconnect` ends them.
        """
        body = {"server_key": server_key, "device_secret": device_secret, "disconnect": disconnect}
        return await self._http.call("POST", f"{_app(app)}/keys:rotate", AppKeys, body=body, safe=False)

    # --- devices ---------------------------------------------------------------------------------

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
        return await self._http.call("PUT", _device(app, device), DeviceInfo, body=body, safe=True)

    async def patch_device(self, app: str, device: str, changes: Mapping[str, object]) -> DeviceInfo:
        """Merges `changes`, an object of the fields of `put_device`; the rest stays."""
        path = _device(app, device)
        return await self._http.call("PATCH", path, DeviceInfo, body=dict(changes), safe=False)

    async def device(self, app: str, device: str) -> DeviceInfo:
        return await self._http.call("GET", _device(app, device), DeviceInfo, safe=True)

    async def delete_device(self, app: str, device: str) -> None:
        """Forgets the device; what waits for it is dropped in the ledgers."""
        await self._http.call("DELETE", _device(app, device), object, safe=False)

    async def register_batch(
        self, app: str, devices: Sequence[Mapping[str, object]]
    ) -> list[LonglineError | None]:
        """Registers or replaces up to 1000 devices, each `{"device": "d1", "tags": […], …}`.

        One result for each, in order: None when it is registered, or the error that refused it.
        """
        body = {"devices": [dict(device) for device in devices]}
        batch = await self._http.call("POST", f"{_app(app)}/devices:batch", _Batch, body=body, safe=True)
        return [None if item.error is None else error_of(item.error) for item in batch.results]

    async def devices(
        self,
        app: str,
        *,
        tag: str | None = None,
        alias: str | None = None,
        online: bool | None = None,
        page_size: int | None = None,
    ) -> AsyncIterator[DeviceInfo]:
        """The app's devices that match, page by page."""
        wanted = None if online is None else str(online).lower()
        cursor: str | None = None
        while True:
            params: dict[str, str | int] = _given(
                tag=tag, alias=alias, online=wanted, limit=page_size, cursor=cursor
            )
            page = await self._http.call("GET", f"{_app(app)}/devices", _DeviceList, params=params, safe=True)
            for device in page.devices:
                yield device
            cursor = page.next_cursor
            if cursor is None:
                return

    async def status(self, app: str, devices: Sequence[str]) -> list[DeviceStatus]:
        """Online or not, and since when, for up to 1000 devices."""
        path = f"{_app(app)}/devices:status"
        body = {"devices": list(devices)}
        return (await self._http.call("POST", path, _DeviceStatusList, body=body, safe=True)).devices

    async def token(self, app: str, device: str, *, expires_in: Duration | None = None) -> DeviceToken:
        """What the device needs to connect; valid for `expires_in`, or until the keys are rotated."""
        body = _given(expires_in=None if expires_in is None else whole_seconds(expires_in))
        return await self._http.call(
            "POST", f"{_device(app, device)}/token", DeviceToken, body=body, safe=True
        )

    async def kick(self, app: str, device: str, *, ban: Duration | None = None) -> None:
        """Closes the device's connection, and keeps it out for as long as `ban`; with 0 a ban is lifted, with
        None it stays as it is.
        """
        path = f"{_device(app, device)}/connection"
        params = _given(ban_seconds=None if ban is None else whole_seconds(ban))
        await self._http.call("DELETE", path, object, params=params, safe=False)

    # --- messages --------------------------------------------------------------------------------

    async def send(
        self,
        app: str,
        payload: object,
        *,
        devices: Sequence[str] | None = None,
        everyone: bool = False,
        audience: Audience | None = None,
        ttl: Duration | None = None,
        qos: Literal[0, 1] | None = None,
        priority: Priority | None = None,
        collapse_key: str | None = None,
        online_only: bool | None = None,
        send_at: datetime | None = None,
        spread_over: Duration | None = None,
        idempotency_key: str | None = None,
    ) -> MessageAccepted:
        """Pushes to `devices`, to `everyone`, or to an `audience` of the contract; see `Push` for the rest.

        When this returns, the server has the push on disk. The call carries an Idempotency-Key, its own
        unless one is given, so that its retries never push twice; give one to keep that promise across
        a restart of the caller.
        """
        push = Push(
            payload=payload,
            devices=devices,
            everyone=everyone,
            audience=audience,
            ttl=ttl,
            qos=qos,
            priority=priority,
            collapse_key=collapse_key,
            online_only=online_only,
            send_at=send_at,
            spread_over=spread_over,
        )
        return await self._keyed(f"{_app(app)}/messages", MessageAccepted, push.body(), idempotency_key)

    async def send_batch(
        self, app: str, pushes: Iterable[Push], *, idempotency_key: str | None = None
    ) -> list[MessageAccepted | LonglineError]:
        """Makes up to 1000 pushes in one request; one result for each, in order."""
        body: JsonObject = {"messages": [push.body() for push in pushes]}
        batch = await self._keyed(f"{_app(app)}/messages:batch", _Batch, body, idempotency_key)
        return [_outcome(item) for item in batch.results]

    async def message(self, app: str, message_id: str) -> MessageStatus:
        """Where the push stands, with its ledger. Raises `MessageNotFound`."""
        return await self._http.call("GET", _message(app, message_id), MessageStatus, safe=True)

    async def deliveries(self, app: str, message_id: str) -> AsyncIterator[Delivery]:
        """The message's ledger device by device, page by page."""
        path = f"{_message(app, message_id)}/deliveries"
        cursor: str | None = None
        while True:
            page = await self._http.call("GET", path, _DeliveryList, params=_given(cursor=cursor), safe=True)
            for delivery in page.deliveries:
                yield delivery
            cursor = page.next_cursor
            if cursor is None:
                return

    async def cancel(self, app: str, message_id: str) -> MessageStatus:
        """Takes back what is not yet delivered; where the push stands after that."""
        return await self._http.call("DELETE", _message(app, message_id), MessageStatus, safe=False)

    async def wait(self, app: str, message_id: str, *, within: Duration) -> MessageStatus:
        """Follows the ledger until nothing is pending; TimeoutError when that takes longer than `within`."""
        pause = 0.02
        async with asyncio.timeout(seconds(within)):
            while True:
                status = await self.message(app, message_id)
                if status.ledger.pending == 0:
                    return status
                await self._sleep(pause)
                pause = min(pause * 1.5, 1.0)

    async def _keyed(self, path: str, answer: type[Answer], body: JsonObject, key: str | None) -> Answer:
        headers = {"Idempotency-Key": key or str(uuid.uuid4())}
        return await self._http.call("POST", path, answer, body=body, headers=headers, safe=True)


def _outcome(item: _BatchItem) -> MessageAccepted | LonglineError:
    if item.error is not None:
        return error_of(item.error)
    if item.message_id is None:
        raise LonglineError("a result of the batch is neither a message nor an error")
    return MessageAccepted(message_id=item.message_id, status=item.status, targeted=item.targeted)


def _given(**values: Value | None) -> dict[str, Value]:
    return {name: value for name, value in values.items() if value is not None}


def _app(app: str) -> str:
    return f"/v1/apps/{quote(app, safe='')}"


def _device(app: str, device: str) -> str:
    return f"{_app(app)}/devices/{quote(device, safe='')}"


def _message(app: str, message_id: str) -> str:
    return f"{_app(app)}/messages/{quote(message_id, safe='')}"
