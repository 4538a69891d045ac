"""The operation that says why one device has a message, or has it not."""

from collections.abc import Callable
from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from longline.center.messages.statuses import STATES, Delivery
from longline.center.requests.answers import answer
from longline.center.requests.operations import Operation, for_app
from longline.center.requests.times import rfc3339, rfc3339_or_none
from longline.center.service import CenterService
from longline.delivery.event_views import Time
from longline.errors import DeliveryNotFound, DeviceNotFound, MessageNotFound
from longline.model.apps import App
from longline.model.devices import Binding, Visit
from longline.model.ledger import State, in_words
from longline.register.port import Register
from longline.saver.port.devices import DeviceStore
from longline.saver.port.ledgers import DeviceRecord, LedgerStore, Status
from longline.saver.port.parking import ParkingStore
from longline.saver.port.visits import VisitStore


class DeliveryTrace(Delivery, frozen=True):
    """A message and one of its devices, and how the device stands now: what it waits for, or why it was not
    there. Of a message to everyone or to an expression, `sent_at` and `settled_at` are not known."""

    online: bool
    room: Annotated[str | None, Meta(description="The node that holds the device's connection now.")]
    since: Annotated[Time | None, Meta(description="Since when it does.")]
    last_seen: Annotated[Time | None, Meta(description="When its connection ended; now, while it has one.")]
    banned_until: Annotated[Time | None, Meta(description="Until when the device is kept out.")]
    parked_since: Annotated[Time | None, Meta(description="Since when it is sent no pushes.")]


def operations(center: CenterService) -> list[Operation]:
    """The row of traces."""
    saver = center.saver
    handlers = _Handlers(
        saver.ledgers, saver.devices, saver.visits, saver.parking, center.register, center.clock
    )
    return [
        Operation(
            "GET",
            "/v1/apps/{app}/messages/{id}/deliveries/{device}",
            for_app(center.keys, handlers.trace),
            "messages",
            {200: DeliveryTrace},
            errors=(MessageNotFound, DeviceNotFound, DeliveryNotFound),
        )
    ]


class _Stands(msgspec.Struct, frozen=True):
    """How a device stands now; times in ms, 0 for what is not."""

    binding: Binding | None
    last_seen: int
    banned_until: int
    parked_since: int


class _Handlers:
    def __init__(
        self,
        ledgers: LedgerStore,
        devices: DeviceStore,
        visits: VisitStore,
        parking: ParkingStore,
        register: Register,
        clock: Callable[[], int],
    ) -> None:
        self._ledgers = ledgers
        self._devices = devices
        self._visits = visits
        self._parking = parking
        self._register = register
        self._clock = clock

    async def trace(self, request: Request, app: App) -> Response:
        """Show what became of a message for one device, and why.

        Also of a message to everyone or to an expression, for which it is not known when it was sent and
        settled. `why` says it in words, by how the device stands now: whether it is connected, banned, or
        parked. 404 `delivery_not_found`: the message was never for it.
        """
        message_id, name = request.path_params["id"], request.path_params["device"]
        status = await self._ledgers.status(app.number, message_id)
        if status is None:
            raise MessageNotFound
        (device,) = await self._devices.find(app.number, [name])
        if device is None:
            raise DeviceNotFound
        row = await self._ledgers.delivery(app.number, message_id, device.ordinal)
        if row is None:
            raise DeliveryNotFound
        stands = await self._stands(app, name, device.ordinal)
        binding = stands.binding
        return answer(
            DeliveryTrace(
                device=name,
                state=STATES[row.state],
                reason=row.reason,
                why=why(row, status, stands),
                accepted_at=rfc3339(row.accepted_at),
                sent_at=rfc3339_or_none(row.sent_at),
                settled_at=rfc3339_or_none(row.settled_at),
                online=binding is not None,
                room=None if binding is None else binding.node,
                since=None if binding is None else rfc3339(binding.since),
                last_seen=_time(stands.last_seen),
                banned_until=_time(stands.banned_until),
                parked_since=_time(stands.parked_since),
            )
        )

    async def _stands(self, app: App, name: str, ordinal: int) -> _Stands:
        now = self._clock()
        (binding,) = await self._register.locate(app.number, [name])
        visit: Visit
        (visit,) = await self._visits.find(app.number, [ordinal])
        (standing,) = await self._parking.standings(app.number, [ordinal])
        return _Stands(
            binding,
            visit.last if binding is None else now,
            visit.banned_until if visit.banned_until > now else 0,
            0 if standing is None else standing.parked_since,
        )


def _time(at: int) -> str | None:
    return rfc3339(at) if at else None


def why(row: DeviceRecord, status: Status, stands: _Stands) -> str:
    """Why a device has a message, or has it not, in a sentence or two."""
    if row.state == State.PENDING:
        return _waits(row, status, stands)
    said = in_words(row.state, row.reason)
    if row.state == State.EXPIRED and row.sent_at is not None:
        said = "It was written to the device's connection, and not acknowledged before its time was over."
    if stands.banned_until and row.state != State.ACKED and row.reason in (None, "offline"):
        said = f"{said} {_banned(stands)}"
    return said


def _banned(stands: _Stands) -> str:
    return f"The device is banned until {rfc3339(stands.banned_until)}: it is not let in before."


def _waits(row: DeviceRecord, status: Status, stands: _Stands) -> str:
    until = f"It waits for the device until {rfc3339(status.message.expires_at)}."
    if stands.banned_until:
        return f"{_banned(stands)} {until}"
    if stands.binding is None:
        if row.sent_at is not None:
            return f"It was written to a connection that ended before it was acknowledged. {until}"
        return f"The device is not connected. {until}"
    if stands.parked_since:
        return (
            f"The device is connected, and has acknowledged nothing for long: since "
            f"{rfc3339(stands.parked_since)} it is sent no pushes (parked). {until}"
        )
    if row.sent_at is not None:
        return f"It was written to the device's connection, and is not acknowledged yet. {until}"
    return f"The device is connected: others go first, or it is on its way at this moment. {until}"
