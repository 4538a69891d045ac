"""The operation on the connections that a device had."""

from collections.abc import Callable, Sequence
from typing import Annotated

from msgspec import UNSET, Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from longline.center.devices.device_views import ClientView
from longline.center.requests.answers import answer
from longline.center.requests.long_lists import Rows
from longline.center.requests.operations import Operation, for_app
from longline.center.requests.paging import after_event, cursor_after
from longline.center.requests.reading import Query
from longline.center.requests.times import rfc3339, rfc3339_or_none
from longline.center.service import CenterService
from longline.center.shapes import Cursor, PageQuery
from longline.delivery.event_views import Time
from longline.errors import DeviceNotFound
from longline.model.apps import App
from longline.model.commands import CloseReason
from longline.model.devices import Binding, ConnectionRecord, Visit
from longline.register.port import Register
from longline.saver.port.devices import DeviceStore
from longline.saver.port.visits import VisitStore

UNKNOWN = "unknown"  # why a connection ended of which nobody could tell


class ConnectionView(Struct, frozen=True):
    """A connection that a device had, or has."""

    connected_at: Time
    ended_at: Annotated[Time | None, Meta(description="null: it goes on, or the reason is `unknown`.")]
    reason: Annotated[
        str | None,
        Meta(
            description="Why it ended: `disconnected` by the device, `connection_lost`, `taken_over` by its "
            "next one, `kicked`, `node_died`, `unknown`, and others, as `longline_room_closed_total` counts "
            "them. null: it goes on.",
            examples=["connection_lost"],
        ),
    ]
    room: Annotated[str, Meta(description="The node that held it.")]
    epoch: Annotated[int, Meta(description="Rises with every connection of the device.")]
    address: Annotated[str | None, Meta(description="From which it came.", examples=["192.0.2.7"])]
    protocol: Annotated[str | None, Meta(examples=["MQTT 5.0"])]
    client: ClientView | None


class ConnectionList(Struct, frozen=True):
    """A page of a device's connections, the latest first."""

    connections: list[ConnectionView]
    next_cursor: Cursor


def operations(center: CenterService) -> list[Operation]:
    """The row of connections."""
    saver = center.saver
    handlers = _Handlers(saver.devices, saver.visits, center.register, center.rows, center.clock)
    return [
        Operation(
            "GET",
            "/v1/apps/{app}/devices/{device}/connections",
            for_app(center.keys, handlers.of_device, query=True),
            "devices",
            {200: ConnectionList},
            query=PageQuery,
            errors=(DeviceNotFound,),
        )
    ]


class _Handlers:
    def __init__(
        self,
        devices: DeviceStore,
        visits: VisitStore,
        register: Register,
        rows: Rows,
        clock: Callable[[], int],
    ) -> None:
        self._devices = devices
        self._visits = visits
        self._register = register
        self._rows = rows
        self._clock = clock
        self._query = Query(PageQuery)

    async def of_device(self, request: Request, app: App) -> Response:
        """List the connections that a device had of late, the latest first.

        As many as `saver.connections_kept` says, each until `saver.connections_retention` after its end. Of
        one that goes on `ended_at` is null. A CONNECT that is refused for a ban is there, too.
        """
        query = self._query.read(request)
        before = None if query.cursor is UNSET else int(after_event(query.cursor))
        (device,) = await self._devices.find(app.number, [request.path_params["device"]])
        if device is None:
            raise DeviceNotFound
        # The binding first: what ends meanwhile is shown as ended.
        (binding,) = await self._register.locate(app.number, [device.device])
        kept = await self._visits.connections(app.number, device.ordinal, self._clock())
        (visit,) = await self._visits.find(app.number, [device.ordinal])
        found = [each for each in ended(kept, binding, visit) if before is None or each.epoch < before]
        page = found[: query.limit]
        more = len(found) > len(page)
        shown = await self._rows.each(app.number, page, _view)
        return answer(ConnectionList(shown, cursor_after(page[-1].epoch) if more else None))


def ended(kept: Sequence[ConnectionRecord], binding: Binding | None, visit: Visit) -> list[ConnectionRecord]:
    """Connections, the latest first, with the ends that nobody told of, as far as others tell.

    One that another followed was taken over. Whether the latest goes on, the binding tells, and when it was
    over, the visit.
    """
    connections: list[ConnectionRecord] = []
    following: ConnectionRecord | None = None
    for each in kept:
        at, reason = each.ended_at, each.reason
        if not at and following is not None:
            at, reason = following.at, CloseReason.TAKEN_OVER.value
        elif not at and binding is None:
            at, reason = visit.left_at if visit.left_at >= each.at else 0, UNKNOWN
        connections.append(ConnectionRecord(each.epoch, each.at, each.node, each.came, at, reason))
        following = each
    latest = connections[0].at if connections else -1
    if binding is not None and visit.came is not None and visit.came_at > latest:
        # It came while no connections were kept: only the visit tells how.
        connections.insert(0, ConnectionRecord(binding.epoch, visit.came_at, binding.node, visit.came))
    return connections


def _view(each: ConnectionRecord) -> ConnectionView:
    came = each.came
    return ConnectionView(
        rfc3339(each.at),
        rfc3339_or_none(each.ended_at or None),
        each.reason or None,
        each.node,
        each.epoch,
        came.address or None,
        came.protocol or None,
        ClientView(came.client, came.version) if came.client else None,
    )
