"""The operation on a device's subscriptions, as far as they are kept in the store."""

from collections.abc import Callable
from typing import Annotated

from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from longline.center.requests.answers import answer
from longline.center.requests.operations import Operation, for_app
from longline.center.service import CenterService
from longline.errors import DeviceNotFound
from longline.model.apps import App
from longline.model.pubsub import Filter
from longline.saver.port.devices import DeviceStore
from longline.saver.port.sessions import SessionStore


class SubscriptionView(Struct, frozen=True):
    """A topic filter of a session, with its options in MQTT."""

    filter: Annotated[str, Meta(examples=["home/+/door"])]
    qos: int
    no_local: bool
    retain_as_published: bool
    identifier: Annotated[int | None, Meta(description="That the client gave it; null: none.")]
    shared: Annotated[bool, Meta(description="Whether it is that of a group, `$share/{name}/…`.")]


class SubscriptionList(Struct, frozen=True):
    """What a device is subscribed to, by the bytes of its filters: all of it."""

    kept: Annotated[
        bool,
        Meta(
            description="Whether its session is kept in the store. Of one that ends with its connection only "
            "its node knows the subscriptions, and the list is empty."
        ),
    ]
    subscriptions: list[SubscriptionView]


def operations(center: CenterService) -> list[Operation]:
    """The row of subscriptions."""
    handlers = _Handlers(center.saver.devices, center.saver.sessions, center.clock)
    return [
        Operation(
            "GET",
            "/v1/apps/{app}/devices/{device}/subscriptions",
            for_app(center.keys, handlers.of_device),
            "devices",
            {200: SubscriptionList},
            errors=(DeviceNotFound,),
        )
    ]


class _Handlers:
    def __init__(self, devices: DeviceStore, sessions: SessionStore, clock: Callable[[], int]) -> None:
        self._devices = devices
        self._sessions = sessions
        self._clock = clock

    async def of_device(self, request: Request, app: App) -> Response:
        """Show which topic filters a device is subscribed to.

        All of them: a session has at most `room.max_subscriptions`. They are known while its MQTT session is
        kept, connected or not. Subscriptions of a session that ends with its connection are in the memory of
        its node alone: then `kept` is false, and the list empty. The platform's own topics, `push/#` say,
        need no subscription.
        """
        (device,) = await self._devices.find(app.number, [request.path_params["device"]])
        if device is None:
            raise DeviceNotFound
        filters = await self._sessions.filters(app.number, device.ordinal, self._clock())
        return answer(SubscriptionList(filters is not None, [_view(each) for each in filters or ()]))


def _view(filter: Filter) -> SubscriptionView:
    return SubscriptionView(
        filter.filter,
        filter.qos,
        filter.no_local,
        filter.as_published,
        filter.identifier or None,
        filter.shared,
    )
