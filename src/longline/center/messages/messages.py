"""Operations on messages: sending, their ledgers, cancelling."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import msgspec
from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response

from longline.center.errors.quota_headers import tell_quota
from longline.center.errors.responses import error_answer
from longline.center.messages.drafts import any_later, draft_of
from longline.center.messages.message_shapes import (
    DeliveryList,
    MessageAccepted,
    MessageBatch,
    MessageBody,
    MessageReach,
    MessageResult,
    MessageResults,
    RawMessageBatch,
    SendQuery,
)
from longline.center.messages.statuses import STATES, Delivery, MessageStatus, later_view, moved, status_view
from longline.center.requests.answers import answer
from longline.center.requests.idempotency import digest_of, idempotency_key, marked
from longline.center.requests.long_lists import ROW, Rows
from longline.center.requests.operations import AppOperations, Operation
from longline.center.requests.paging import after_ordinal, cursor_after
from longline.center.requests.reading import Body, Query, read_bytes
from longline.center.requests.times import rfc3339, rfc3339_or_none
from longline.center.rooms import Rooms
from longline.center.service import CenterService
from longline.center.shapes import PageQuery
from longline.delivery.draft import Draft
from longline.delivery.dry_run import DryRun
from longline.delivery.pipeline import Pipeline
from longline.delivery.plans import LaterMessage
from longline.delivery.timetable import Promised, Result, Taken, Timetable
from longline.errors import (
    AudienceTooComplex,
    AudienceTooLarge,
    GroupNotFound,
    IdempotencyInFlight,
    IdempotencyMismatch,
    InvalidSendAt,
    LonglineError,
    MessageNotFound,
    MessageRateExceeded,
    NoTarget,
    NotSupported,
    PayloadEmpty,
    PayloadTooLarge,
    QuotaExceeded,
    ReplyInvalid,
)
from longline.model.apps import App
from longline.model.commands import Cancelled
from longline.model.ledger import DeliveryRecord, in_words
from longline.saver.bundle import Durability
from longline.saver.port.ledgers import LedgerStore, Status
from longline.saver.port.messages import Accepted, MessageStore
from longline.telemetry.traces import now_ns, parent_of

LOOK_FOR = 0.1  # s: for so long a look at a message waits for what rooms have to say of it
LOOK_EVERY = 0.02  # s
YOUNG = 5000  # ms: a message may be on its way to devices though the ledger does not say so yet


def operations(center: CenterService) -> list[Operation]:
    """The rows of messages."""
    handlers = _Handlers(
        center.pipeline,
        center.dry_run,
        center.timetable,
        center.saver.messages,
        center.saver.ledgers,
        center.rooms,
        center.rows,
        lambda: center.saver.durability(),
        center.clock,
    )
    every, one = "/v1/apps/{app}/messages", "/v1/apps/{app}/messages/{id}"
    sending = (
        IdempotencyInFlight,
        IdempotencyMismatch,
        NotSupported,
        ReplyInvalid,
        AudienceTooComplex,
        AudienceTooLarge,
        InvalidSendAt,
        QuotaExceeded,
        MessageRateExceeded,
    )
    missing = (MessageNotFound,)

    operation = AppOperations(center.keys, "messages")
    return [
        operation(
            "POST",
            every,
            handlers.send,
            {202: MessageAccepted, 200: MessageReach},
            body=MessageBody,
            query=SendQuery,
            errors=(*sending, NoTarget, GroupNotFound, PayloadEmpty, PayloadTooLarge),
            idempotent=True,
        ),
        operation(
            "POST",
            f"{every}:batch",
            handlers.send_batch,
            {202: MessageResults},
            body=MessageBatch,
            errors=sending,
            idempotent=True,
        ),
        operation("GET", one, handlers.status, {200: MessageStatus}, errors=missing),
        operation("DELETE", one, handlers.cancel, {200: MessageStatus}, errors=missing),
        operation(
            "GET",
            f"{one}/deliveries",
            handlers.deliveries,
            {200: DeliveryList},
            query=PageQuery,
            errors=missing,
        ),
    ]


class _Handlers:
    def __init__(
        self,
        pipeline: Pipeline,
        dry_run: DryRun,
        timetable: Timetable,
        messages: MessageStore,
        ledgers: LedgerStore,
        rooms: Rooms,
        rows: Rows,
        durability: Callable[[], Durability],
        clock: Callable[[], int],
    ) -> None:
        self._pipeline = pipeline
        self._dry_run = dry_run
        self._timetable = timetable
        self._messages = messages
        self._ledgers = ledgers
        self._rooms = rooms
        self._rows = rows
        self._durability = durability
        self._clock = clock
        self._query = Query(SendQuery)
        self._message = Body(MessageBody)
        self._batch = Body(RawMessageBatch)
        self._page = Query(PageQuery)

    async def send(self, request: Request, app: App) -> Response:
        """Push a message, or with `validate` see what that would do.

        202 means stored: it survives the crash of any one process, and of the store what the header
        `Longline-Durability` says. `targeted` counts the devices of the audience; those that do not exist are
        in the ledger as dropped, `device_not_found`. With `send_at` it is null: who they are is seen then.
        200 is the answer to `validate=true`: everything was checked, and nothing is stored or sent.
        """
        query = self._query.read(request)
        self._pipeline.circuit.check()
        if query.validate:
            draft = draft_of(self._message.decode(await read_bytes(request)))
            reach = await self._dry_run.run(app, draft, self._clock())
            return answer(MessageReach(reach.devices, reach.online))
        key = idempotency_key(request)
        body = await read_bytes(request)
        sent = await self._send(request, app, [draft_of(self._message.decode(body))], key, body)
        (result,) = sent.results
        if isinstance(result, LonglineError):
            raise result
        targeted = result.targeted if isinstance(result, Accepted) else None
        accepted = answer(MessageAccepted(result.message_id, "accepted", targeted), 202)
        return self._marked(app, sent, accepted)

    async def send_batch(self, request: Request, app: App) -> Response:
        """Push up to 1000 messages in one request.

        One result for each, in order: its id, or the error for which it was left out. The others are stored,
        all of them or, if the request fails, none.
        """
        self._pipeline.circuit.check()
        key = idempotency_key(request)
        body = await read_bytes(request)
        sent = await self._send(request, app, await self._drafts(app, body), key, body)
        results = answer(MessageResults([_result(item) for item in sent.results]), 202)
        return self._marked(app, sent, results)

    async def _drafts(self, app: App, body: bytes) -> list[Draft | LonglineError]:
        """Each message of a batch, or what is wrong with it."""
        asked = self._batch.decode(body).messages
        return await self._rows.each(app.number, asked, self._draft, _size)

    def _draft(self, raw: msgspec.Raw) -> Draft | LonglineError:
        try:
            return draft_of(self._message.decode(raw))
        except LonglineError as error:
            return error

    async def _send(
        self,
        request: Request,
        app: App,
        drafts: Sequence[Draft | LonglineError],
        key: str | None,
        body: bytes,
    ) -> Taken:
        tracer = self._pipeline.tracer
        if tracer is None:
            return await self._taken(request, app, drafts, key, body)
        begin = now_ns()
        taken = await self._taken(request, app, drafts, key, body)
        caller, end = parent_of(request.headers.get("traceparent")), now_ns()
        for result in () if taken.replayed else taken.results:
            if isinstance(result, Accepted) and tracer.traces(result.message_id):
                about: dict[str, str | int] = {"longline.app": app.app}
                about["longline.targeted"] = result.targeted or 0
                tracer.add("accept", result.message_id, begin, end, about, caller=caller)
        return taken

    async def _taken(
        self,
        request: Request,
        app: App,
        drafts: Sequence[Draft | LonglineError],
        key: str | None,
        body: bytes,
    ) -> Taken:
        digest = b"" if key is None else digest_of(request, body)
        if any_later(drafts):
            return await self._timetable.send(app, drafts, self._clock(), key=key, digest=digest)
        return Taken(*await self._pipeline.send(app, drafts, self._clock(), key=key, digest=digest))

    def _marked(self, app: App, sent: Taken, response: Response) -> Response:
        """The answer with what its messages survive from now on, whether it is a repetition, and how the app
        stands."""
        tell_quota(response, self._pipeline.quota(app))
        stored = any(isinstance(result, Accepted | Promised) for result in sent.results)
        return marked(response, self._durability() if stored else None, replayed=sent.replayed)

    async def status(self, request: Request, app: App) -> Response:
        """Show where a message stands, with its ledger."""
        status = await self._find(request, app)
        if isinstance(status, LaterMessage):
            return await self._shown_later(request, app, status)
        ledger = status.ledger
        young = self._clock() - status.message.created_at < YOUNG
        if ledger.pending and (ledger.routed or young) and not moved(ledger):
            # A room may have written it, and wait for the acknowledgement before it says so.
            deadline = time.monotonic() + LOOK_FOR
            while not moved(status.ledger) and (left := deadline - time.monotonic()) > 0:
                # In each round: rooms are told once in a while, and this message may have come just after.
                with suppress(LonglineError, TimeoutError):  # what is known is shown all the same
                    async with asyncio.timeout(left):
                        await self._rooms.look(app)
                await asyncio.sleep(LOOK_EVERY)
                status = await self._status(app, status.message.id) or status
        return answer(status_view(status))

    async def cancel(self, request: Request, app: App) -> Response:
        """Take back what is not yet delivered; the ledger counts it as dropped, `cancelled`.

        What is on its way to a device at this moment may still arrive.
        """
        message_id = request.path_params["id"]
        if not await self._messages.cancel(app.number, message_id, self._clock()):
            return await self._cancel_later(request, app, message_id)
        status = await self._status(app, message_id)
        if status is None:
            raise MessageNotFound
        return await self._taken_back(app, status)

    async def _taken_back(self, app: App, status: Status) -> Response:
        if status.broadcast:  # nodes may be on their way through their devices with it
            await self._rooms.tell_all(Cancelled(app.number, status.message.id))
        return answer(status_view(status))

    async def _cancel_later(self, request: Request, app: App, message_id: str) -> Response:
        """One whose time had not come, at least a moment ago."""
        if not await self._timetable.cancel(
            app, message_id, self._clock()
        ) and not await self._messages.cancel(app.number, message_id, self._clock()):
            raise MessageNotFound
        status = await self._find(request, app)
        if isinstance(status, Status):
            return await self._taken_back(app, status)
        for firing in status.firings:
            if firing.message_id is not None:
                await self._rooms.tell_all(Cancelled(app.number, firing.message_id))
        return await self._shown_later(request, app, status)

    async def _shown_later(self, request: Request, app: App, plan: LaterMessage) -> Response:
        """What there is of a message in the times that it was sent at."""
        ledgers = []
        for firing in plan.firings:
            if firing.message_id is not None:
                status = await self._status(app, firing.message_id)
                if status is not None:
                    ledgers.append(status.ledger)
        return answer(later_view(request.path_params["id"], plan, ledgers))

    async def _status(self, app: App, message_id: str) -> Status | None:
        return await self._ledgers.status(app.number, message_id)

    async def _find(self, request: Request, app: App) -> Status | LaterMessage:
        """A message that has a ledger, or one that has none yet."""
        message_id = request.path_params["id"]
        # Again behind the other: its time may have come in between.
        for _ in range(2):
            status = await self._status(app, message_id) or await self._timetable.find(app, message_id)
            if status is not None:
                return status
        raise MessageNotFound

    async def deliveries(self, request: Request, app: App) -> Response:
        """Show the ledger device by device, in the order of their registration.

        Of a message to everyone, to an expression or to a group it is not known when it was sent and settled.
        """
        query = self._page.read(request)
        after = after_ordinal(None if query.cursor is UNSET else query.cursor)
        rows = await self._ledgers.deliveries(app.number, request.path_params["id"], after, query.limit + 1)
        if rows is None:
            if await self._timetable.find(app, request.path_params["id"]) is None:
                raise MessageNotFound
            rows = []  # not sent yet, or as several messages, which have theirs
        page = rows[: query.limit]
        more = len(rows) > len(page)
        shown = await self._rows.each(app.number, page, _delivery)
        return answer(DeliveryList(shown, cursor_after(page[-1][0]) if more else None))


def _size(raw: msgspec.Raw) -> int:
    """How many rows a message of a batch is worth."""
    return 1 + len(memoryview(raw)) // ROW


def _result(result: Result) -> MessageResult:
    if isinstance(result, LonglineError):
        return MessageResult(error=error_answer(result).error)
    return MessageResult(message_id=result.message_id)


def _delivery(numbered: tuple[int, DeliveryRecord]) -> Delivery:
    _, row = numbered
    return Delivery(
        device=row.device,
        state=STATES[row.state],
        reason=row.reason,
        why=in_words(row.state, row.reason),
        accepted_at=rfc3339(row.accepted_at),
        sent_at=rfc3339_or_none(row.sent_at),
        settled_at=rfc3339_or_none(row.settled_at),
    )
