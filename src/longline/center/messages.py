"""Operations on messages: sending, their ledgers, cancelling."""

import asyncio
import hashlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import msgspec
from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response

from longline.center.answers import (
    Delivery,
    DeliveryList,
    DeliveryState,
    LedgerView,
    MessageAccepted,
    MessageResult,
    MessageResults,
    MessageStatus,
    answer,
)
from longline.center.drafts import draft_of
from longline.center.errors import error_answer
from longline.center.operations import AppHandler, Operation, for_app
from longline.center.paging import after_ordinal, cursor_after
from longline.center.reading import Body, Query, read_bytes
from longline.center.rooms import Rooms
from longline.center.rows import ROW, Rows
from longline.center.schemas import (
    MessageBatch,
    MessageBody,
    PageQuery,
    RawMessageBatch,
)
from longline.center.service import CenterService
from longline.center.times import rfc3339, rfc3339_or_none
from longline.delivery.draft import Draft
from longline.delivery.pipeline import Pipeline, Sent
from longline.errors import (
    BadRequest,
    IdempotencyInFlight,
    IdempotencyMismatch,
    LonglineError,
    MessageNotFound,
    NoTarget,
    NotSupported,
    PayloadEmpty,
    PayloadTooLarge,
)
from longline.model.apps import App
from longline.model.commands import Cancelled
from longline.model.ledger import DeliveryRecord, Ledger, State
from longline.saver.bundle import Durability
from longline.saver.port.ledgers import LedgerStore, Status
from longline.saver.port.messages import Accepted, MessageStore

LOOK_FOR = 0.1  # s: for so long a look at a message waits for what rooms have to say of it
LOOK_EVERY = 0.02  # s
YOUNG = 5000  # ms: a message may be on its way to devices though the ledger does not say so yet

_IDEMPOTENCY_KEY = re.compile(r"[!-~]{1,255}")
_STATES: dict[State, DeliveryState] = {
    State.PENDING: "pending",
    State.ACKED: "acked",
    State.EXPIRED: "expired",
    State.COLLAPSED: "collapsed",
    State.DROPPED: "dropped",
}


def operations(center: CenterService) -> list[Operation]:
    """The rows of messages."""
    handlers = _Handlers(
        center.pipeline,
        center.saver.messages,
        center.saver.ledgers,
        center.rooms,
        center.rows,
        lambda: center.saver.durability(),
        center.clock,
    )
    every, one = "/v1/apps/{app}/messages", "/v1/apps/{app}/messages/{id}"
    sending = (IdempotencyInFlight, IdempotencyMismatch, NotSupported)
    missing = (MessageNotFound,)

    def operation(
        method: str,
        path: str,
        handler: AppHandler,
        answers: Mapping[int, type[msgspec.Struct] | None],
        *,
        body: type[msgspec.Struct] | None = None,
        query: type[msgspec.Struct] | None = None,
        errors: tuple[type[LonglineError], ...] = (),
        idempotent: bool = False,
    ) -> Operation:
        endpoint = for_app(center.keys, handler, query=query is not None)
        return Operation(
            method, path, endpoint, "messages", answers, body, True, query, errors, idempotent=idempotent
        )

    return [
        operation(
            "POST",
            every,
            handlers.send,
            {202: MessageAccepted},
            body=MessageBody,
            errors=(*sending, NoTarget, PayloadEmpty, PayloadTooLarge),
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
        messages: MessageStore,
        ledgers: LedgerStore,
        rooms: Rooms,
        rows: Rows,
        durability: Callable[[], Durability],
        clock: Callable[[], int],
    ) -> None:
        self._pipeline = pipeline
        self._messages = messages
        self._ledgers = ledgers
        self._rooms = rooms
        self._rows = rows
        self._durability = durability
        self._clock = clock
        self._message = Body(MessageBody)
        self._batch = Body(RawMessageBatch)
        self._page = Query(PageQuery)

    async def send(self, request: Request, app: App) -> Response:
        """Push a message.

        202 means stored: it survives the crash of any one process, and of the store what the header
        `Longline-Durability` says. `targeted` counts the devices of the audience; those that do not exist are
        in the ledger as dropped, `device_not_found`.
        """
        self._pipeline.circuit.check()
        key = _idempotency_key(request)
        body = await read_bytes(request)
        sent = await self._send(request, app, [draft_of(self._message.decode(body))], key, body)
        (result,) = sent.results
        if isinstance(result, LonglineError):
            raise result
        return self._marked(
            sent, answer(MessageAccepted(result.message_id, "accepted", result.targeted), 202)
        )

    async def send_batch(self, request: Request, app: App) -> Response:
        """Push up to 1000 messages in one request.

        One result for each, in order: its id, or the error for which it was left out. The others are stored,
        all of them or, if the request fails, none.
        """
        self._pipeline.circuit.check()
        key = _idempotency_key(request)
        body = await read_bytes(request)
        sent = await self._send(request, app, await self._drafts(app, body), key, body)
        return self._marked(sent, answer(MessageResults([_result(item) for item in sent.results]), 202))

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
    ) -> Sent:
        digest = b""
        if key is not None:
            what = f"{request.method} {request.scope['path']}\n".encode()
            digest = hashlib.sha256(what + body).digest()
        return await self._pipeline.send(app, drafts, self._clock(), key=key, digest=digest)

    def _marked(self, sent: Sent, response: Response) -> Response:
        """The answer with what its messages survive from now on, and whether it is a repetition."""
        if any(isinstance(result, Accepted) for result in sent.results):
            durability = self._durability()
            copies = f";copies={durability.copies}" if durability.copies else ""
            response.headers["Longline-Durability"] = durability.level + copies
        if sent.replayed:
            response.headers["Idempotent-Replayed"] = "true"
        return response

    async def status(self, request: Request, app: App) -> Response:
        """Show where a message stands, with its ledger."""
        status = await self._find(request, app)
        ledger = status.ledger
        young = self._clock() - status.message.created_at < YOUNG
        if ledger.pending and (ledger.routed or young) and not _moved(ledger):
            # A room may have written it, and wait for the acknowledgement before it says so.
            deadline = time.monotonic() + LOOK_FOR
            while not _moved(status.ledger) and (left := deadline - time.monotonic()) > 0:
                # In each round: rooms are told once in a while, and this message may have come just after.
                with suppress(LonglineError, TimeoutError):  # what is known is shown all the same
                    async with asyncio.timeout(left):
                        await self._rooms.look(app)
                await asyncio.sleep(LOOK_EVERY)
                status = await self._find(request, app)
        return answer(_view(status))

    async def cancel(self, request: Request, app: App) -> Response:
        """Take back what is not yet delivered; the ledger counts it as dropped, `cancelled`.

        What is on its way to a device at this moment may still arrive.
        """
        message_id = request.path_params["id"]
        if not await self._messages.cancel(app.number, message_id, self._clock()):
            raise MessageNotFound
        if await self._ledgers.deliveries(app.number, message_id, -1, 1) == []:
            # A broadcast: nodes may be on their way through their devices with it.
            await self._rooms.tell_all(Cancelled(app.number, message_id))
        return answer(_view(await self._find(request, app)))

    async def _find(self, request: Request, app: App) -> Status:
        status = await self._ledgers.status(app.number, request.path_params["id"])
        if status is None:
            raise MessageNotFound
        return status

    async def deliveries(self, request: Request, app: App) -> Response:
        """Show the ledger device by device, in the order of their registration."""
        query = self._page.read(request)
        after = after_ordinal(None if query.cursor is UNSET else query.cursor)
        rows = await self._ledgers.deliveries(app.number, request.path_params["id"], after, query.limit + 1)
        if rows is None:
            raise MessageNotFound
        page = rows[: query.limit]
        more = len(rows) > len(page)
        shown = await self._rows.each(app.number, page, _delivery)
        return answer(DeliveryList(shown, cursor_after(page[-1][0]) if more else None))


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and _IDEMPOTENCY_KEY.fullmatch(key) is None:
        raise BadRequest(
            "the Idempotency-Key header is not allowed",
            details=[("Idempotency-Key", "1 to 255 visible ASCII characters")],
        )
    return key


def _size(raw: msgspec.Raw) -> int:
    """How many rows a message of a batch is worth."""
    return 1 + len(memoryview(raw)) // ROW


def _result(result: Accepted | LonglineError) -> MessageResult:
    if isinstance(result, LonglineError):
        return MessageResult(error=error_answer(result).error)
    return MessageResult(message_id=result.message_id)


def _moved(ledger: Ledger) -> bool:
    """Whether anything of it has come to anybody, or to its end."""
    return bool(ledger.sent or ledger.acked or ledger.expired or ledger.collapsed)


def _view(status: Status) -> MessageStatus:
    ledger = status.ledger
    return MessageStatus(
        message_id=status.message.id,
        status="done" if ledger.pending == 0 else "delivering" if _moved(ledger) else "accepted",
        created_at=rfc3339(status.message.created_at),
        ledger=LedgerView(
            targeted=ledger.targeted,
            pending=ledger.pending,
            acked=ledger.acked,
            expired=ledger.expired,
            collapsed=ledger.collapsed,
            dropped=dict(ledger.dropped),
            routed=ledger.routed,
            sent=ledger.sent,
        ),
    )


def _delivery(numbered: tuple[int, DeliveryRecord]) -> Delivery:
    _, row = numbered
    return Delivery(
        device=row.device,
        state=_STATES[row.state],
        reason=row.reason,
        accepted_at=rfc3339(row.accepted_at),
        sent_at=rfc3339_or_none(row.sent_at),
        settled_at=rfc3339_or_none(row.settled_at),
    )
