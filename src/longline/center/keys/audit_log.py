"""The operation on the audit log: who changed what."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from longline.center.keys.shapes import MadeBy
from longline.center.requests.answers import answer
from longline.center.requests.operations import Operation, for_admin
from longline.center.requests.paging import after_message, cursor_after
from longline.center.requests.reading import Query
from longline.center.requests.times import moment, rfc3339
from longline.center.service import CenterService
from longline.center.shapes import AppName, Cursor, MomentText, PageQuery
from longline.delivery.event_views import Time
from longline.delivery.ids import least_id
from longline.model.trail import TrailEntry
from longline.saver.port.trail import TrailStore


class AuditQuery(PageQuery, frozen=True, rename={"from_": "from"}):
    """Which changes, and which page of them."""

    from_: Annotated[MomentText | UnsetType, Meta(description="Those that were asked for then or later.")] = (
        UNSET
    )
    to: Annotated[MomentText | UnsetType, Meta(description="Those that were asked for before then.")] = UNSET
    app: Annotated[AppName | UnsetType, Meta(description="Those of this app.")] = UNSET


class ChangeView(Struct, frozen=True, omit_defaults=True):
    """A change: who asked for it, and what became of that."""

    at: Time
    key_id: MadeBy
    key_name: str
    address: Annotated[str, Meta(description="Whose connection it was.", examples=["192.0.2.7"])]
    request_id: Annotated[
        str, Meta(description="`X-Request-ID` of the request, or of the answer where the request had none.")
    ]
    method: Annotated[str, Meta(examples=["DELETE"])]
    path: Annotated[
        str,
        Meta(description="With the names of its parameters.", examples=["/v1/apps/{app}/devices/{device}"]),
    ]
    status: Annotated[
        int | None,
        Meta(description="Of the answer; null: it is under way, or nobody knows whether it was made."),
    ]
    app: str | UnsetType = UNSET
    subject: Annotated[
        str | UnsetType, Meta(description="What was changed, such as a device.", examples=["d1"])
    ] = UNSET
    detail: Annotated[str | UnsetType, Meta(description="To what.")] = UNSET
    error: Annotated[str | UnsetType, Meta(description="The code, where it was refused.")] = UNSET


class ChangeList(Struct, frozen=True):
    """A page of changes, the latest first."""

    changes: list[ChangeView]
    next_cursor: Cursor


def operations(center: CenterService) -> list[Operation]:
    """The row of the audit log."""
    handlers = _Handlers(center.saver.trail)
    return [
        Operation(
            "GET",
            "/v1/audit",
            for_admin(center.keys, handlers.page, query=True),
            "operators",
            {200: ChangeList},
            query=AuditQuery,
        )
    ]


class _Handlers:
    def __init__(self, store: TrailStore) -> None:
        self._store = store
        self._query = Query(AuditQuery)

    async def page(self, request: Request) -> Response:
        """List changes that were made through the API, the latest first.

        Who changed what, from where, and with what outcome: apps, keys, rules, limits, settings, schedules,
        drains, rolling restarts, devices and groups that were deleted, devices that were kicked or banned.
        Not messages, nor devices that were registered. It is kept for a time, and only so much of it. Changes
        of an app stay when it is deleted.
        """
        query = self._query.read(request)
        before = after_message(None if query.cursor is UNSET else query.cursor) or ""
        if query.to is not UNSET:
            until = least_id(moment(query.to, "to"))
            before = min(before, until) if before else until
        least = least_id(0 if query.from_ is UNSET else moment(query.from_, "from"))
        app = None if query.app is UNSET else query.app
        found = await self._store.latest(app, least, before, query.limit + 1)
        shown = found[: query.limit]
        more = len(found) > len(shown)
        return answer(
            ChangeList([_view(each) for each in shown], cursor_after(shown[-1].id) if more else None)
        )


def _view(entry: TrailEntry) -> ChangeView:
    method, _, path = entry.route.partition(" ")
    return ChangeView(
        at=rfc3339(entry.at),
        key_id=entry.key_id,
        key_name=entry.key_name,
        address=entry.address,
        request_id=entry.request_id,
        method=method,
        path=path,
        status=entry.status or None,
        app=entry.app or UNSET,
        subject=entry.subject or UNSET,
        detail=entry.detail or UNSET,
        error=entry.code or UNSET,
    )
