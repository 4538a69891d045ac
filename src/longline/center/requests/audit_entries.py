"""The audit log's entries, as requests make them.

An entry is stored before the change is begun and again, with what became of it, before that is answered. So
there is no change without an entry, whatever dies in the middle, and an entry that cannot be stored refuses
the change. Only if the second one cannot be stored is the answer given all the same: the change is made, and
the entry that there is says that its outcome is not known.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from longline.center.counters import CenterCounters
from longline.center.gate.scopes import Rule
from longline.center.gate.sharing import TICKET, Ticket
from longline.delivery.ids import MessageIds
from longline.errors import LonglineError
from longline.model.apps import valid_app_name
from longline.model.trail import MAX_TEXT, TrailEntry
from longline.saver.port.trail import TrailStore
from longline.telemetry.logs import without_secrets

RECORD: Final = "longline.record"  # in an ASGI scope: the request's `Record`
REQUEST_ID: Final = "X-Request-ID"

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")

_log = structlog.get_logger("longline.center")


class Record:
    """What a request tells the audit log besides its address; `app` where that does not have one."""

    __slots__ = ("app", "detail", "recorder", "route", "subject")

    def __init__(self, recorder: "Recorder", route: str) -> None:
        self.recorder = recorder
        self.route = route
        self.app = ""
        self.subject = ""
        self.detail = ""


def note(request: Request, *, app: str = "", subject: str = "", detail: str = "") -> None:
    """Says what a request changes, where the address does not, and to what: nothing secret."""
    record: Record | None = request.scope.get(RECORD)
    if record is not None:
        record.app = app or record.app
        record.subject = subject or record.subject
        record.detail = detail or record.detail


async def recorded(request: Request, work: Callable[[], Awaitable[Response]]) -> Response:
    """Does the work of a request; with an entry in the audit log where that keeps such."""
    record: Record | None = request.scope.get(RECORD)
    return await (work() if record is None else record.recorder.carry_out(request, record, work))


class Recorder:
    """One for a center. `clock` gives ms since the Unix epoch."""

    def __init__(self, store: TrailStore, counters: CenterCounters, clock: Callable[[], int]) -> None:
        self._store = store
        self._counters = counters
        self._clock = clock
        self._ids = MessageIds()

    def record(self, method: str, path: str, rule: Rule) -> Callable[[], Record] | None:
        """What makes the records of an operation; None where nothing of it is kept."""
        return (lambda: Record(self, f"{method} {path}")) if rule.kept else None

    async def carry_out(
        self, request: Request, record: Record, work: Callable[[], Awaitable[Response]]
    ) -> Response:
        """Does the work between two entries."""
        params = dict(request.path_params)
        if valid_app_name(params.get("app", "")):
            record.app = params.pop("app")
        record.subject = " ".join(map(str, params.values()))
        begun = self._begun(request, record)
        await self._store.put(begun)
        self._counters.changes_begun += 1
        try:
            response = await work()
        except LonglineError as error:
            await self._end(begun, record, error.status, error.code)
            raise
        except ClientDisconnect:  # what it has done until then, nobody was told
            raise
        except Exception:
            await self._end(begun, record, 500, LonglineError.code)
            raise
        await self._end(begun, record, response.status_code, "")
        response.headers[REQUEST_ID] = begun.request_id
        return response

    def _begun(self, request: Request, record: Record) -> TrailEntry:
        ticket: Ticket = request.scope[TICKET]
        key = ticket.caller.key
        assert key is not None, "only who was let in changes anything"
        now = self._clock()
        id = self._ids.make(now)
        given = request.headers.get(REQUEST_ID, "")
        return TrailEntry(
            id=id,
            at=now,
            key_id=key.id,
            key_name=_bounded(key.name),
            address=request.client.host if request.client else "",
            request_id=_bounded(given) if _REQUEST_ID.fullmatch(given) else id,
            route=record.route,
            app=_bounded(record.app),
            subject=_bounded(record.subject),
        )

    async def _end(self, begun: TrailEntry, record: Record, status: int, code: str) -> None:
        ended = msgspec.structs.replace(
            begun,
            app=_bounded(record.app),
            subject=_bounded(record.subject),
            detail=_bounded(record.detail),
            status=status,
            code=code,
        )
        _log.info(
            "api_change",
            by=ended.key_id,
            name=ended.key_name,
            peer=ended.address,
            request=ended.request_id,
            route=ended.route,
            app=ended.app,
            subject=ended.subject,
            status=status,
            code=code,
        )
        try:
            await self._store.put(ended)
        except LonglineError as error:
            self._counters.changes_unended += 1
            _log.warning("audit_not_ended", request=ended.request_id, code=error.code, error=error.message)


def _bounded(text: str) -> str:
    return without_secrets(text)[:MAX_TEXT]
