"""The operation on the audit log: who changed what."""

from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response

from longline.center.answers import answer
from longline.center.keys.shapes import AuditQuery, ChangeList, ChangeView
from longline.center.requests.operations import Operation, for_admin
from longline.center.requests.paging import after_message, cursor_after
from longline.center.requests.reading import Query
from longline.center.requests.times import moment, rfc3339
from longline.center.service import CenterService
from longline.delivery.ids import least_id
from longline.model.trail import TrailEntry
from longline.saver.port.trail import TrailStore


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
