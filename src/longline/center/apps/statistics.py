"""The operation on what was counted: messages, what became of them, and devices, by hour and by day."""

from collections.abc import Callable
from typing import Annotated, Final, Literal

from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from longline.center.requests.answers import answer
from longline.center.requests.operations import Operation, for_app
from longline.center.requests.reading import Query
from longline.center.requests.times import moment, rfc3339
from longline.center.service import CenterService
from longline.center.shapes import MomentText, Strict
from longline.delivery.event_views import Time
from longline.errors import ValidationFailed
from longline.model.apps import App
from longline.model.statistics import DAY, HOUR, Counts
from longline.saver.port.statistics import StatisticsStore

MOST: Final = 1000  # rows of an answer
LATEST: Final = {HOUR: 24, DAY: 30}  # how many, unless it is said


class DevicesCounted(Struct, frozen=True):
    """Devices of an hour, or of a day."""

    new: Annotated[int, Meta(description="Registered.")]
    active: Annotated[int, Meta(description="Distinct ones that were connected.")]
    gone: Annotated[int, Meta(description="Deleted or retired.")]


class StatisticsView(Struct, frozen=True):
    """What was counted in an hour, or a day, of UTC."""

    at: Annotated[Time, Meta(description="When it began.")]
    messages: Annotated[int, Meta(description="Accepted.")]
    deliveries: Annotated[int, Meta(description="Acknowledged by devices.")]
    shown: Annotated[int, Meta(description="As devices told on `event/{message_id}/shown`.")]
    opened: Annotated[int, Meta(description="As devices told on `event/{message_id}/opened`.")]
    devices: DevicesCounted


class StatisticsList(Struct, frozen=True):
    """One row for each hour, or each day, the first first."""

    by: Literal["hour", "day"]
    statistics: list[StatisticsView]


class StatisticsQuery(Strict, frozen=True, rename={"from_": "from"}):
    """Of which hours, or days."""

    from_: Annotated[MomentText | UnsetType, Meta(description="The first is the one that this is in.")] = (
        UNSET
    )
    to: Annotated[
        MomentText | UnsetType, Meta(description="The last is the one before this, or that this is in.")
    ] = UNSET
    by: Literal["hour", "day"] = "hour"


def operations(center: CenterService) -> list[Operation]:
    """The row of statistics."""
    handlers = _Handlers(center.saver.counts, center.clock)
    return [
        Operation(
            "GET",
            "/v1/apps/{app}/statistics",
            for_app(center.keys, handlers.read, query=True),
            "apps",
            {200: StatisticsList},
            query=StatisticsQuery,
        )
    ]


class _Handlers:
    def __init__(self, store: StatisticsStore, clock: Callable[[], int]) -> None:
        self._store = store
        self._clock = clock
        self._query = Query(StatisticsQuery)

    async def read(self, request: Request, app: App) -> Response:
        """Count messages, what devices took of them, what applications told, and devices, by hour or by day.

        Hours and days are those of UTC, and there is a row for each from the one that `from` is in to the one
        that `to` is in, the first first; at most 1000. Without `from` it is the latest 24 hours, or 30 days.
        What is kept for how long is a setting; before that all is 0. `active` counts distinct devices, so
        those of a day are not the sum of its hours.
        """
        query = self._query.read(request)
        span = HOUR if query.by == "hour" else DAY
        now = self._clock()
        last = (now if query.to is UNSET else max(moment(query.to, "to") - 1, 0)) // span * span
        if query.from_ is UNSET:
            first = max(0, last - (LATEST[span] - 1) * span)
        else:
            first = moment(query.from_, "from") // span * span
        if first > last:
            raise ValidationFailed("`from` is not before `to`", details=[("from", "earlier than `to`")])
        if (last - first) // span >= MOST:
            rule = f"at most {MOST} rows: a shorter time, or by day"
            raise ValidationFailed("that is too long a time", details=[("from", rule)])
        found = await self._store.read(app.number, first, last + span, by_day=span == DAY, now=now)
        counted = {each.at: each for each in found}
        rows = [_view(counted.get(at) or Counts(at)) for at in range(first, last + span, span)]
        return answer(StatisticsList(query.by, rows))


def _view(counts: Counts) -> StatisticsView:
    devices = DevicesCounted(counts.new, counts.active, counts.gone)
    return StatisticsView(
        rfc3339(counts.at), counts.messages, counts.deliveries, counts.shown, counts.opened, devices
    )
