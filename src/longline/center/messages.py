"""Operations on messages: sending, their ledgers, cancelling, and counting an audience beforehand."""

import hashlib
import re
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response

from longline.center.answers import (
    Delivery,
    DeliveryList,
    DeliveryState,
    Estimate,
    LedgerView,
    MessageAccepted,
    MessageResult,
    MessageResults,
    MessageView,
    answer,
)
from longline.center.errors import error_answer, error_response
from longline.center.operations import AppHandler, Operation, for_app
from longline.center.paging import after_ordinal, cursor_after
from longline.center.reading import Body, Query, read_bytes
from longline.center.schemas import (
    EstimateRequest,
    MessageBatch,
    MessageBody,
    PageQuery,
    RawMessageBatch,
)
from longline.center.sending import audience_of
from longline.center.service import Center
from longline.center.times import rfc3339, rfc3339_or_none
from longline.errors import (
    AppNotFound,
    BadRequest,
    IdempotencyInFlight,
    IdempotencyMismatch,
    LonglineError,
    MessageNotFound,
    NoTarget,
    NotSupported,
    PayloadEmpty,
    PayloadTooLarge,
    ValidationFailed,
)
from longline.model.apps import App
from longline.model.audience import Everyone
from longline.model.commands import Cancelled
from longline.model.ledger import DeliveryRecord, State
from longline.model.messages import Envelope
from longline.saver.port.ledgers import Status
from longline.saver.port.messages import Accepted, Outcome, Refused

_IDEMPOTENCY_KEY = re.compile(r"[!-~]{1,255}")
_REFUSALS: dict[str, type[LonglineError]] = {NoTarget.code: NoTarget}  # what one message of several may be
_STATES: dict[State, DeliveryState] = {
    State.PENDING: "pending",
    State.ACKED: "acked",
    State.EXPIRED: "expired",
    State.COLLAPSED: "collapsed",
    State.DROPPED: "dropped",
}


def operations(center: Center) -> list[Operation]:
    """The rows of messages."""
    routes = _Messages(center)
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
        endpoint = for_app(center.keys, handler)
        return Operation(
            method, path, endpoint, "messages", answers, body, True, query, errors, idempotent=idempotent
        )

    return [
        operation(
            "POST",
            every,
            routes.send,
            {202: MessageAccepted},
            body=MessageBody,
            errors=(*sending, NoTarget, PayloadEmpty, PayloadTooLarge),
            idempotent=True,
        ),
        operation(
            "POST",
            f"{every}:batch",
            routes.send_batch,
            {202: MessageResults},
            body=MessageBatch,
            errors=sending,
            idempotent=True,
        ),
        operation("GET", one, routes.status, {200: MessageView}, errors=missing),
        operation("DELETE", one, routes.cancel, {200: MessageView}, errors=missing),
        operation(
            "GET",
            f"{one}/deliveries",
            routes.deliveries,
            {200: DeliveryList},
            query=PageQuery,
            errors=missing,
        ),
        operation(
            "POST",
            "/v1/apps/{app}/audiences:estimate",
            routes.estimate,
            {200: Estimate},
            body=EstimateRequest,
            errors=(NotSupported,),
        ),
    ]


class _Messages:
    def __init__(self, center: Center) -> None:
        self._center = center
        self._message = Body(MessageBody)
        self._batch = Body(MessageBatch)
        self._raw_batch = Body(RawMessageBatch)
        self._estimate = Body(EstimateRequest)
        self._page = Query(PageQuery)

    async def send(self, request: Request, app: App) -> Response:
        """Push a message.

        202 means stored: it survives the crash of any one process, and of the store what the header
        `Longline-Durability` says. `targeted` counts the devices of the audience; those that do not exist are
        in the ledger as dropped, `device_not_found`.
        """
        self._center.sender.circuit.check()
        key = _idempotency_key(request)
        body = await read_bytes(request)
        now = self._center.clock()
        envelope = self._center.sender.compose(app, self._message.decode(body), now)
        outcome = await self._submit(request, app, [envelope], now, key, body)
        (result,) = outcome.results
        if isinstance(result, Accepted):
            accepted = MessageAccepted(result.message_id, "accepted", result.targeted)
            return _marked(outcome, self._durable(answer(accepted, 202)))
        refusal = _refusal(result)
        self._center.counters.errors.add(refusal.code)
        return _marked(outcome, error_response(refusal))

    async def send_batch(self, request: Request, app: App) -> Response:
        """Push up to 1000 messages in one request.

        One result for each, in order: its id, or the error for which it was left out. The others are stored,
        all of them or, if the request fails, none.
        """
        self._center.sender.circuit.check()
        key = _idempotency_key(request)
        body = await read_bytes(request)
        now = self._center.clock()
        slots = self.composed(app, body, now)
        envelopes = [slot for slot in slots if isinstance(slot, Envelope)]
        if not envelopes:
            return answer(_results(slots, ()), 202)
        outcome = await self._submit(request, app, envelopes, now, key, body)
        return _marked(outcome, self._durable(answer(_results(slots, outcome.results), 202)))

    def _durable(self, response: Response) -> Response:
        """The answer with what the messages survive from now on."""
        durability = self._center.saver.durability()
        copies = f";copies={durability.copies}" if durability.copies else ""
        response.headers["Longline-Durability"] = durability.level + copies
        return response

    def composed(self, app: App, body: bytes, now: int) -> list[Envelope | LonglineError]:
        """Each message of a batch, or what is wrong with it."""
        compose = self._center.sender.compose
        slots: list[Envelope | LonglineError] = []
        for asked in self._messages_in(body):
            if isinstance(asked, LonglineError):
                slots.append(asked)
                continue
            try:
                slots.append(compose(app, asked, now))
            except LonglineError as error:
                slots.append(error)
        return slots

    def _messages_in(self, body: bytes) -> Sequence[MessageBody | LonglineError]:
        try:
            return self._batch.decode(body).messages
        except (ValidationFailed, NotSupported):
            # Something in it is wrong. If it is the batch itself this raises again; else find out which.
            return [_item(self._message, raw) for raw in self._raw_batch.decode(body).messages]

    async def _submit(
        self,
        request: Request,
        app: App,
        envelopes: Sequence[Envelope],
        now: int,
        key: str | None,
        body: bytes,
    ) -> Outcome:
        digest = b""
        if key is not None:
            what = f"{request.method} {request.scope['path']}\n".encode()
            digest = hashlib.sha256(what + body).digest()
        outcome = await self._center.sender.submit(app, envelopes, now, key, digest)
        if Refused(AppNotFound.code) in outcome.results:
            raise AppNotFound  # none of them was stored
        return outcome

    async def status(self, request: Request, app: App) -> Response:
        """Show where a message stands, with its ledger."""
        return answer(_view(await self._find(request, app)))

    async def cancel(self, request: Request, app: App) -> Response:
        """Take back what is not yet delivered; the ledger counts it as dropped, `cancelled`.

        What is on its way to a device at this moment may still arrive.
        """
        center, message_id = self._center, request.path_params["id"]
        if not await center.saver.messages.cancel(app.number, message_id, center.clock()):
            raise MessageNotFound
        if await center.saver.ledgers.deliveries(app.number, message_id, -1, 1) == []:
            # A broadcast: nodes may be on their way through their devices with it.
            await center.to_all_nodes(Cancelled(app.number, message_id))
        return answer(_view(await self._find(request, app)))

    async def _find(self, request: Request, app: App) -> Status:
        status = await self._center.saver.ledgers.status(app.number, request.path_params["id"])
        if status is None:
            raise MessageNotFound
        return status

    async def deliveries(self, request: Request, app: App) -> Response:
        """Show the ledger device by device, in the order of their registration."""
        query = self._page.read(request)
        after = after_ordinal(None if query.cursor is UNSET else query.cursor)
        rows = await self._center.saver.ledgers.deliveries(
            app.number, request.path_params["id"], after, query.limit + 1
        )
        if rows is None:
            raise MessageNotFound
        page = rows[: query.limit]
        more = len(rows) > len(page)
        return answer(
            DeliveryList([_delivery(row) for _, row in page], cursor_after(page[-1][0]) if more else None)
        )

    async def estimate(self, request: Request, app: App) -> Response:
        """Count the devices of an audience, and how many of them are connected now."""
        center = self._center
        audience = audience_of((await self._estimate.read(request)).audience)
        if isinstance(audience, Everyone):
            return answer(
                Estimate(
                    await center.saver.devices.count(app.number), await center.register.count(app.number)
                )
            )
        devices = await center.saver.devices.find(app.number, audience.devices)
        names = [device.device for device in devices if device is not None]
        bindings = await center.register.locate(app.number, names)
        return answer(Estimate(len(names), sum(binding is not None for binding in bindings)))


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and _IDEMPOTENCY_KEY.fullmatch(key) is None:
        raise BadRequest(
            "the Idempotency-Key header is not allowed",
            details=[("Idempotency-Key", "1 to 255 visible ASCII characters")],
        )
    return key


def _item(body: Body[MessageBody], raw: msgspec.Raw) -> MessageBody | LonglineError:
    try:
        return body.decode(raw)
    except LonglineError as error:
        return error


def _results(
    slots: Sequence[Envelope | LonglineError], stored: Sequence[Accepted | Refused]
) -> MessageResults:
    """The results in the order of the request: what the store said of the messages that were in order."""
    said = iter(stored)
    results: list[MessageResult] = []
    for slot in slots:
        if isinstance(slot, LonglineError):
            results.append(MessageResult(error=error_answer(slot).error))
            continue
        result = next(said)
        if isinstance(result, Accepted):
            results.append(MessageResult(message_id=result.message_id))
        else:
            results.append(MessageResult(error=error_answer(_refusal(result)).error))
    return MessageResults(results)


def _refusal(result: Refused) -> LonglineError:
    return _REFUSALS[result.code]()


def _marked(outcome: Outcome, response: Response) -> Response:
    if outcome.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return response


def _view(status: Status) -> MessageView:
    ledger = status.ledger
    moved = ledger.sent or ledger.acked or ledger.expired or ledger.collapsed
    return MessageView(
        message_id=status.message.id,
        status="done" if ledger.pending == 0 else "delivering" if moved else "accepted",
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


def _delivery(row: DeliveryRecord) -> Delivery:
    return Delivery(
        device=row.device,
        state=_STATES[row.state],
        reason=row.reason,
        accepted_at=rfc3339(row.accepted_at),
        sent_at=rfc3339_or_none(row.sent_at),
        settled_at=rfc3339_or_none(row.settled_at),
    )
