"""Operations on the limits of an app."""

from collections.abc import Callable
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from longline.center.apps.changes import AppChanges
from longline.center.requests.answers import answer
from longline.center.requests.operations import AppOperations, Operation
from longline.center.requests.reading import Body
from longline.center.service import CenterService
from longline.center.shapes import AnyJson, Strict
from longline.errors import Conflict
from longline.model.apps import App
from longline.model.limits import BOUNDS, AppLimits, Limits


class LimitsInForce(Struct, frozen=True, kw_only=True):
    """The limits that hold: the app's own, and the defaults where it has none. 0 is without limit."""

    messages_per_second: int
    deliveries_per_second: int
    devices: int
    connections: int
    sessions: int
    groups: int
    requests: int
    inbox_messages: int
    inbox_bytes: int
    retained_messages: int
    retained_bytes: int
    waiting_messages: int
    schedules: int
    ledger_retention: int
    retire_after: int


class LimitsInfo(Struct, frozen=True, kw_only=True):
    """The limits of an app's own, null where the default holds, and those in force."""

    messages_per_second: int | None
    deliveries_per_second: int | None
    devices: int | None
    connections: int | None
    sessions: int | None
    groups: int | None
    requests: int | None
    inbox_messages: int | None
    inbox_bytes: int | None
    retained_messages: int | None
    retained_bytes: int | None
    waiting_messages: int | None
    schedules: int | None
    ledger_retention: int | None
    retire_after: int | None
    in_force: LimitsInForce


def _limit(name: str, means: str) -> Meta:
    low, high = BOUNDS[name]
    return Meta(ge=low, le=high, description=means)


class LimitsBody(Strict, frozen=True, kw_only=True):
    """All limits of the app's own. Null, or absent: the default, which the settings say; 0: without limit."""

    messages_per_second: (
        Annotated[
            int,
            _limit("messages_per_second", "Messages taken in, over all processes; a second's worth at once."),
        ]
        | None
    ) = None
    deliveries_per_second: (
        Annotated[
            int,
            _limit(
                "deliveries_per_second", "Deliveries of messages to everyone, tags and groups, in all rooms."
            ),
        ]
        | None
    ) = None
    devices: Annotated[int, _limit("devices", "Registered devices.")] | None = None
    connections: Annotated[int, _limit("connections", "Devices that are connected, in all rooms.")] | None = (
        None
    )
    sessions: Annotated[int, _limit("sessions", "MQTT sessions that outlive their connections.")] | None = (
        None
    )
    groups: Annotated[int, _limit("groups", "Groups.")] | None = None
    requests: Annotated[int, _limit("requests", "Requests under way at once, at each process.")] | None = None
    inbox_messages: Annotated[int, _limit("inbox_messages", "Messages that wait for a device.")] | None = None
    inbox_bytes: (
        Annotated[
            int,
            _limit("inbox_bytes", "What the payloads that wait for a device may add up to, about."),
        ]
        | None
    ) = None
    retained_messages: Annotated[int, _limit("retained_messages", "Retained messages.")] | None = None
    retained_bytes: Annotated[int, _limit("retained_bytes", "What they may add up to.")] | None = None
    waiting_messages: (
        Annotated[
            int,
            _limit("waiting_messages", "Messages with a `send_at` that wait for their time."),
        ]
        | None
    ) = None
    schedules: Annotated[int, _limit("schedules", "Schedules.")] | None = None
    ledger_retention: (
        Annotated[
            int,
            _limit("ledger_retention", "Seconds for which a ledger is kept after its message's end."),
        ]
        | None
    ) = None
    retire_after: (
        Annotated[int, _limit("retire_after", "Seconds that a device may be away until it is retired.")]
        | None
    ) = None
    in_force: Annotated[
        dict[str, AnyJson] | UnsetType,
        Meta(description="Not heeded: so that what `GET` answers can be put again."),
    ] = UNSET


def operations(center: CenterService) -> list[Operation]:
    """The rows of limits."""
    handlers = _Handlers(center.app_changes, lambda: center.limits.defaults)
    path = "/v1/apps/{app}/limits"
    operation = AppOperations(center.keys, "apps")
    return [
        operation("GET", path, handlers.limits, {200: LimitsInfo}, current=True),
        operation("PUT", path, handlers.put_limits, {200: LimitsInfo}, body=LimitsBody, errors=(Conflict,)),
    ]


class _Handlers:
    def __init__(self, changes: AppChanges, defaults: Callable[[], Limits]) -> None:
        self._changes = changes
        self._defaults = defaults
        self._body = Body(LimitsBody)

    async def limits(self, request: Request, app: App) -> Response:
        """Show an app's limits: its own, and all that are in force."""
        return answer(self._view(app.limits))

    async def put_limits(self, request: Request, app: App) -> Response:
        """Replace an app's limits.

        What is null or absent is the default. They hold for what comes from now on, in rooms when these have
        heard of them and at other centers within five seconds; what is there already stays, though it be
        more. Whom they bound must not lift them, so an app's own keys do not do.
        """
        asked = await self._body.read(request)
        limits = AppLimits(**{name: getattr(asked, name) for name in AppLimits.__struct_fields__})

        def change(current: App) -> App:
            return msgspec.structs.replace(current, limits=limits)

        await self._changes.make(app, change)
        return answer(self._view(limits))

    def _view(self, own: AppLimits) -> LimitsInfo:
        in_force = LimitsInForce(**msgspec.structs.asdict(self._defaults().with_own(own)))
        return LimitsInfo(**msgspec.structs.asdict(own), in_force=in_force)
