"""Commands to devices with their answers."""

from collections.abc import Callable
from contextlib import suppress
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from longline.center.devices.waiting_calls import Callers
from longline.center.gate.auth import Keys
from longline.center.gate.sharing import TICKET, Ticket
from longline.center.messages.payloads import PayloadBytes, payload_of
from longline.center.requests.answers import answer
from longline.center.requests.gone import unless_gone
from longline.center.requests.operations import Operation, for_app
from longline.center.requests.reading import Body
from longline.center.requests.streams import LOOK_AGAIN
from longline.center.requests.times import rfc3339
from longline.center.service import CenterService
from longline.center.shapes import Strict
from longline.delivery.draft import Draft
from longline.delivery.event_views import Time, text_or_base64
from longline.delivery.pipeline import Pipeline
from longline.errors import (
    DeviceNotFound,
    DeviceOffline,
    LonglineError,
    MessageRateExceeded,
    NoAnswer,
    Overloaded,
    PayloadTooLarge,
    Unavailable,
)
from longline.model.apps import App
from longline.model.audience import Devices
from longline.register.port import Register
from longline.saver.port.calls import CallResult, CallStore, DeviceCall
from longline.saver.port.devices import DeviceStore


class CallView(Struct, frozen=True, omit_defaults=True):
    """What a device has answered to a call, and when."""

    at: Time
    payload: Annotated[str | UnsetType, Meta(description="What the device sent, where it is UTF-8.")] = UNSET
    payload_base64: Annotated[str | UnsetType, Meta(description="What it sent, else.")] = UNSET


class CallBody(Strict, frozen=True):
    """A command to a device: exactly one of `payload` and `payload_base64`."""

    payload: Annotated[
        Raw | UnsetType,
        Meta(
            description='Any JSON value but "", up to 256 KiB. A string is delivered as its text.',
            extra_json_schema={"not": {"const": ""}},
            examples=[{"open": "valve"}],
        ),
    ] = UNSET
    payload_base64: PayloadBytes = UNSET
    timeout: Annotated[
        int, Meta(ge=1, le=60, description="Seconds to wait for the answer.", examples=[10])
    ] = 10


def operations(center: CenterService) -> list[Operation]:
    """The row of calls."""
    handlers = _Handlers(
        center.saver.devices,
        center.saver.replies,
        center.callers,
        center.register,
        center.pipeline,
        center.ready,
        center.clock,
        center.keys,
    )
    return [
        Operation(
            "POST",
            "/v1/apps/{app}/devices/{device}:call",
            for_app(center.keys, handlers.call),
            "devices",
            {200: CallView},
            CallBody,
            errors=(DeviceNotFound, DeviceOffline, NoAnswer, PayloadTooLarge, MessageRateExceeded),
        )
    ]


class _Handlers:
    def __init__(
        self,
        devices: DeviceStore,
        store: CallStore,
        callers: Callers,
        register: Register,
        pipeline: Pipeline,
        ready: Callable[[], bool],
        clock: Callable[[], int],
        keys: Keys,
    ) -> None:
        self._keys = keys
        self._devices = devices
        self._store = store
        self._callers = callers
        self._register = register
        self._pipeline = pipeline
        self._ready = ready
        self._clock = clock
        self._body = Body(CallBody)

    async def call(self, request: Request, app: App) -> Response:
        """Send a command to a device, and wait for its answer.

        The device gets a push, which names `reply/{message_id}` as its response topic, and answers by a
        publication there. 409 `offline` when it is not connected; 504 `no_answer` when it did not answer
        within `timeout` seconds, though it may have carried the command out. Nothing is kept for later.
        """
        self._pipeline.circuit.check()
        asked = await self._body.read(request)
        payload, content_type = payload_of(asked.payload, asked.payload_base64)
        name = request.path_params["device"]
        (device,) = await self._devices.find(app.number, [name])
        if device is None:
            raise DeviceNotFound
        draft = Draft(
            audience=Devices((name,)),
            payload=payload,
            content_type=content_type,
            ttl=asked.timeout,
            priority="high",
            online_only=True,
            call=True,
        )
        now = self._clock()
        id = self._pipeline.check(app, draft, now)
        (binding,) = await self._register.locate(app.number, [name])
        if binding is None:
            raise DeviceOffline
        call = DeviceCall(app.number, id, device.ordinal, asked.timeout * 1000)
        try:
            await self._store.open(call)
            sent = await self._pipeline.send(app, [msgspec.structs.replace(draft, id=id)], now)
            if isinstance(sent.results[0], LonglineError):
                raise sent.results[0]
            waiting = self._callers.wait(call, request.scope[TICKET])
            found = await unless_gone(request, waiting, "center.call")
        finally:
            await self._close(call)
        if self._clock() - now >= LOOK_AGAIN * 1000:
            await self._keys.still(request.headers.get("authorization"), app, request.scope[TICKET])
        if found is None:
            raise self._silence(request.scope[TICKET])
        return answer(_view(found))

    def _silence(self, ticket: Ticket) -> LonglineError:
        """Why there is no answer."""
        if ticket.gave_way:
            return Overloaded("others need its place", retry_after=ticket.retry_after)
        return NoAnswer() if self._ready() else Unavailable("this process is about to end")

    async def _close(self, call: DeviceCall) -> None:
        with suppress(LonglineError):  # it ends by itself
            await self._store.close(call)


def _view(found: CallResult) -> CallView:
    return CallView(rfc3339(found.at), *text_or_base64(found.payload))
