"""Operations on schedules: messages that are sent again and again."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Raw, Struct
from starlette.requests import Request
from starlette.responses import Response

from longline.center.messages.drafts import draft_of
from longline.center.messages.message_shapes import MessageBody
from longline.center.messages.statuses import FiringView, firing_views
from longline.center.requests.answers import answer
from longline.center.requests.audit_entries import note
from longline.center.requests.idempotency import digest_of, idempotency_key, marked
from longline.center.requests.long_lists import ROW, Rows
from longline.center.requests.operations import AppOperations, Operation
from longline.center.requests.paging import after_name, cursor_after
from longline.center.requests.reading import Body, Query, read_bytes
from longline.center.requests.times import rfc3339
from longline.center.service import CenterService
from longline.center.shapes import AnyJson, Cursor, PageQuery, Strict
from longline.delivery.calendar import MAX_CRON
from longline.delivery.draft import Draft
from longline.delivery.event_views import Time
from longline.delivery.plans import Schedule
from longline.delivery.timetable import Timetable, coming
from longline.errors import (
    AudienceTooComplex,
    AudienceTooLarge,
    Conflict,
    IdempotencyMismatch,
    InvalidCron,
    InvalidTimezone,
    NotSupported,
    PayloadEmpty,
    PayloadTooLarge,
    QuotaExceeded,
    ReplyInvalid,
    ScheduleNotFound,
    ValidationFailed,
)
from longline.model.apps import App
from longline.saver.bundle import Durability

NEXT = 5  # times that are told of a schedule
ROWS = 20  # that looking for them is worth

CronText = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_CRON,
        description="Minute, hour, day of month, month, day of week, as cron has them.",
        examples=["0 9 * * 1-5"],
    ),
]

ZoneName = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        description="IANA name of the time zone that the expression means, or `device`: each device's own.",
        examples=["Europe/Berlin"],
    ),
]


class ScheduleView(Struct, frozen=True):
    """A message that is sent again and again."""

    schedule_id: Annotated[
        str, Meta(description="A UUIDv7.", examples=["019c2b3e-8f00-7c11-9d3e-5a1f0c6b7e22"])
    ]
    message: AnyJson
    cron: str
    timezone: str
    paused: bool
    created_at: Time
    next: Annotated[
        list[str],
        Meta(
            description="The next times: RFC 3339, UTC; for the devices' own time zones local, without an "
            "offset. None while it is paused.",
            examples=[["2026-02-02T08:00:00.000Z"]],
        ),
    ]
    firings: Annotated[list[FiringView], Meta(description="The latest, the last one last.")]


class ScheduleList(Struct, frozen=True):
    """A page of schedules, in the order in which they were made."""

    schedules: list[ScheduleView]
    next_cursor: Cursor


class NewSchedule(Strict, frozen=True):
    """A message, and when to send it again and again."""

    message: MessageBody
    cron: CronText
    timezone: ZoneName = "UTC"


class RawSchedule(Strict, frozen=True):
    """A `NewSchedule` whose message is kept as it was written."""

    message: Raw
    cron: CronText
    timezone: ZoneName = "UTC"


def operations(center: CenterService) -> list[Operation]:
    """The rows of schedules."""
    handlers = _Handlers(center.timetable, center.rows, lambda: center.saver.durability(), center.clock)
    every, one = "/v1/apps/{app}/schedules", "/v1/apps/{app}/schedules/{id}"
    missing = (ScheduleNotFound,)

    operation = AppOperations(center.keys, "schedules")
    return [
        operation("GET", every, handlers.page, {200: ScheduleList}, query=PageQuery),
        operation(
            "POST",
            every,
            handlers.create,
            {201: ScheduleView},
            body=NewSchedule,
            errors=(
                *(InvalidCron, InvalidTimezone, NotSupported, ReplyInvalid),
                *(PayloadEmpty, PayloadTooLarge, QuotaExceeded, IdempotencyMismatch, ScheduleNotFound),
                *(AudienceTooComplex, AudienceTooLarge),
            ),
            idempotent=True,
        ),
        operation("GET", one, handlers.get, {200: ScheduleView}, errors=missing),
        operation("DELETE", one, handlers.delete, {204: None}, errors=missing),
        operation("POST", f"{one}:pause", handlers.pause, {200: ScheduleView}, errors=(*missing, Conflict)),
        operation("POST", f"{one}:resume", handlers.resume, {200: ScheduleView}, errors=(*missing, Conflict)),
    ]


class _Handlers:
    def __init__(
        self,
        timetable: Timetable,
        rows: Rows,
        durability: Callable[[], Durability],
        clock: Callable[[], int],
    ) -> None:
        self._timetable = timetable
        self._rows = rows
        self._durability = durability
        self._clock = clock
        self._body = Body(RawSchedule)
        self._message = Body(MessageBody)
        self._page = Query(PageQuery)

    async def create(self, request: Request, app: App) -> Response:
        """Make a schedule.

        At each time that the expression describes, the message is sent as if it had just been asked for. In a
        time zone that changes its clocks, a time that there is twice is one, and for one that there is not it
        is sent when it would have been over; an expression for every hour or minute goes by the time that
        passes. Times at which no part of the server could send are made up for by one message.
        """
        key = idempotency_key(request)
        body = await read_bytes(request)
        asked = self._body.decode(body)
        now = self._clock()
        draft = self._draft(asked.message)
        made = await self._timetable.schedule(
            app,
            draft,
            bytes(asked.message),
            asked.cron,
            asked.timezone,
            now,
            key=key,
            digest=b"" if key is None else digest_of(request, body),
        )
        note(request, subject=made.id, detail=f"{asked.cron} {asked.timezone}")
        shown = answer(_view(made.id, made.schedule, now), 201)
        return marked(shown, self._durability(), replayed=made.replayed)

    def _draft(self, raw: msgspec.Raw) -> Draft:
        """The message, which is sent when the schedule says."""
        try:
            draft = draft_of(self._message.decode(raw))
            if draft.send_at is not None:
                text = "a schedule says when its message is sent"
                raise ValidationFailed(text, details=[("options.send_at", text)])
        except ValidationFailed as error:
            details = [(f"message.{field}", text) for field, text in error.details]
            raise type(error)(error.message, details=details) from None
        return draft

    async def page(self, request: Request, app: App) -> Response:
        """List schedules, in the order in which they were made.

        A page of large messages may be short while there are more.
        """
        query = self._page.read(request)
        after = after_name(None if query.cursor is UNSET else query.cursor)
        page, more = await self._timetable.schedules(app, after, query.limit)
        now = self._clock()
        views = await self._rows.each(app.number, page, lambda row: _view(*row, now), _size)
        return answer(ScheduleList(views, cursor_after(page[-1][0]) if more else None))

    async def get(self, request: Request, app: App) -> Response:
        """Show a schedule, with its next times and what it has sent lately."""
        id = request.path_params["id"]
        return answer(_view(id, await self._timetable.schedule_of(app, id), self._clock()))

    async def delete(self, request: Request, app: App) -> Response:
        """Delete a schedule. What it has sent stays sent."""
        await self._timetable.unschedule(app, request.path_params["id"])
        return Response(status_code=204)

    async def pause(self, request: Request, app: App) -> Response:
        """Have a schedule send nothing until it is resumed."""
        return await self._pause(request, app, paused=True)

    async def resume(self, request: Request, app: App) -> Response:
        """Have a schedule go on with its next time from now."""
        return await self._pause(request, app, paused=False)

    async def _pause(self, request: Request, app: App, *, paused: bool) -> Response:
        id, now = request.path_params["id"], self._clock()
        return answer(_view(id, await self._timetable.pause(app, id, now, paused=paused), now))


def _size(row: tuple[str, Schedule]) -> int:
    """How many rows a schedule is worth."""
    return ROWS + len(row[1].asked) // ROW


def _view(id: str, schedule: Schedule, now: int) -> ScheduleView:
    return ScheduleView(
        schedule_id=id,
        message=msgspec.Raw(schedule.asked),
        cron=schedule.cron,
        timezone=schedule.timezone,
        paused=schedule.paused,
        created_at=rfc3339(schedule.created_at),
        next=[
            at.isoformat() if isinstance(at, datetime) else rfc3339(at) for at in coming(schedule, now, NEXT)
        ],
        firings=firing_views(schedule.firings),
    )
