"""The way of a message from whoever brings it: draft → composed → stored → routed.

`Pipeline.send` returns only after the store did, which is after its commit was synced: what it calls accepted
survives. The work runs in a task of its own: a sender that gives up, or is cancelled, must not leave a stored
message unrouted.

A request that is much work goes in pieces, and the pieces of all apps take turns: so one app's largest
batches do not stall the single push of another. Each piece is stored whole or not at all, under a key of its
own where the request has one.
"""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from longline.bus.port import Bus
from longline.delivery.audience import called
from longline.delivery.checking import AudienceBounds
from longline.delivery.circuit import Circuit
from longline.delivery.compose import Composer
from longline.delivery.counters import DeliveryCounters
from longline.delivery.draft import Draft
from longline.delivery.limits import LimitsOfApps
from longline.delivery.rates import MessageRates, Quota
from longline.delivery.routing import route
from longline.delivery.slices import copies, lanes, sliced
from longline.errors import (
    AppNotFound,
    GroupNotFound,
    IdempotencyInFlight,
    IdempotencyMismatch,
    LonglineError,
    NoTarget,
    StoreError,
)
from longline.model.apps import App
from longline.model.audience import Devices
from longline.saver.port.audiences import AudienceStore
from longline.saver.port.devices import DeviceStore
from longline.saver.port.inboxes import InboxStore
from longline.saver.port.messages import (
    Accepted,
    IdempotencyConflict,
    MessageStore,
    Outcome,
    Refused,
    Submission,
)
from longline.saver.port.routing import RoutingStore
from longline.telemetry.traces import Tracer, now_ns
from longline.telemetry.traffic import Traffic

# Who the aliases of a draft are, as long as nobody has looked.
NOBODY = Devices(())
_BOUNDS = AudienceBounds()
UNLIMITED = LimitsOfApps()

# What one message of several may be.
_REFUSALS: dict[str, type[LonglineError]] = {
    error.code: error for error in (NoTarget, GroupNotFound, StoreError)
}


class Sent(NamedTuple):
    """One result a draft, in order: what was stored, or why it was not.

    `replayed`: these are the results of an earlier request with the same idempotency key.
    """

    results: Sequence[Accepted | LonglineError]
    replayed: bool


class _Request(NamedTuple):
    """What pieces of one request have in common; `key` is its idempotency key, `digest` what it must be."""

    app: App
    now: int
    key: str | None
    digest: bytes

    def piece(self, number: int, begin: int, end: int) -> "_Request":
        """The request as one of several pieces: its key and its digest say which."""
        if self.key is None:
            return self
        digest = hashlib.sha256(self.digest + f" {begin} {end}".encode()).digest()
        # No key of a sender's has a line feed; the first piece has the key itself.
        return self._replace(key=f"{self.key}\n{number}" if number else self.key, digest=digest)


class Pipeline:
    """Takes drafts in, from every front door of one process, and counts them.

    `circuit` guards the store; in `turns`, whatever writes much for an app takes turns with others'.

    `rates`: how many messages apps may have taken in, without a limit unless it is given.

    `default_ttl` in seconds; `online_grace`: seconds that a message for who is connected lasts;
    `idempotency_ttl`: seconds that a key is remembered; `bounds` of audiences.
    """

    def __init__(
        self,
        *,
        messages: MessageStore,
        audiences: AudienceStore,
        devices: DeviceStore,
        routing: RoutingStore,
        inboxes: InboxStore,
        bus: Bus,
        counters: DeliveryCounters,
        default_ttl: int,
        online_grace: float,
        idempotency_ttl: int,
        bounds: AudienceBounds = _BOUNDS,
        limits: LimitsOfApps = UNLIMITED,
        rates: MessageRates | None = None,
        tracer: Tracer | None = None,
        traffic: Traffic | None = None,
    ) -> None:
        self.tracer = tracer
        self._traffic = traffic
        self.circuit = Circuit(counters)
        self._messages = messages
        self._audiences = audiences
        self._devices = devices
        self._bounds = bounds
        self._routing = routing
        self._inboxes = inboxes
        self._bus = bus
        self._counters = counters
        self._composer = Composer(default_ttl=default_ttl, online_grace=online_grace, bounds=bounds)
        self._idempotency_ttl = idempotency_ttl * 1000
        self._limits = limits
        self._rates = rates
        # Both are bounded by the front doors: no more than the requests that they admit at once.
        self._sends: set[asyncio.Task[Sent]] = set()
        self.turns = lanes()
        self._in_flight: set[tuple[int, str]] = set()

    def check(self, app: App, draft: Draft, now: int) -> str:
        """Raises what is wrong with a draft, as far as that is known before its time; an id for it."""
        return self._composer.compose(app, draft, now, NOBODY).message.id

    async def close(self) -> None:
        """Waits for the sends under way."""
        await asyncio.gather(*self._sends, return_exceptions=True)

    async def send(
        self,
        app: App,
        drafts: Sequence[Draft | LonglineError],
        now: int,
        *,
        key: str | None = None,
        digest: bytes = b"",
    ) -> Sent:
        """Stores and routes the messages of one request, in order.

        In the place of a draft there may be what was wrong with it before it became one. `key` is the
        request's idempotency key, `digest` what the request must be when the key comes again; `now` in ms.
        Raises `AppNotFound`, `IdempotencyInFlight`, `IdempotencyMismatch`, `MessageRateExceeded`, and what
        the store raises, while nothing is stored. A large request goes in pieces: if one of them fails when
        others are stored, its messages and those behind it have that error for their result, and a
        repetition with the same key stores just them. It waits until the messages are in the nodes' queues,
        so that senders feel a full queue.
        """
        flight = None if key is None else (app.number, key)
        if flight in self._in_flight:
            raise IdempotencyInFlight(retry_after=1.0)
        counted = self._count(app, drafts)
        work = self._send(_Request(app, now, key, digest), drafts, counted)
        send = asyncio.create_task(work, name="delivery.send")
        self._sends.add(send)
        self._counters.sends_running += 1
        if flight is not None:
            self._in_flight.add(flight)

        def done(send: asyncio.Task[Sent]) -> None:
            self._sends.discard(send)
            self._counters.sends_running -= 1
            if flight is not None:
                self._in_flight.discard(flight)
            if not send.cancelled():
                # Marks an error as seen, for when the sender that would have raised it is gone.
                send.exception()

        send.add_done_callback(done)
        return await asyncio.shield(send)

    def quota(self, app: App) -> Quota | None:
        """How many messages an app may send; None where it has no limit."""
        return None if self._rates is None else self._rates.quota(app)

    def _count(self, app: App, drafts: Sequence[Draft | LonglineError]) -> int:
        """Here, before anything is looked up for them: to refuse a request must cost nothing. As how many
        messages they count."""
        if self._rates is None or not self._rates.bounds(app):
            return 0
        counted = copies(drafts)
        self._rates.take(app, counted)
        return counted

    async def _send(self, request: _Request, drafts: Sequence[Draft | LonglineError], counted: int) -> Sent:
        if self._rates is None:
            return await self._send_pieces(request, drafts)
        try:
            sent = await self._send_pieces(request, drafts)
        except LonglineError:  # nothing is stored: it will come again
            self._rates.give_back(request.app, counted)
            raise
        if sent.replayed:
            self._rates.give_back(request.app, counted)
        return sent

    async def _send_pieces(self, request: _Request, drafts: Sequence[Draft | LonglineError]) -> Sent:
        pieces = list(sliced(drafts))
        if len(pieces) == 1:
            return await self._send_piece(request, drafts, pieces[0][2])
        results: list[Accepted | LonglineError] = []
        replayed: list[bool] = []
        for number, (begin, end, units) in enumerate(pieces):
            try:
                sent = await self._send_piece(request.piece(number, begin, end), drafts[begin:end], units)
            except LonglineError as error:
                if not any(isinstance(result, Accepted) for result in results):
                    raise
                results += [error] * (len(drafts) - begin)
                replayed.append(False)
                break
            results += sent.results
            replayed.append(sent.replayed)
        return Sent(results, all(replayed))

    async def _send_piece(
        self, request: _Request, drafts: Sequence[Draft | LonglineError], units: int
    ) -> Sent:
        async with self.turns.turn(request.app.number, units):
            found = await called(drafts, request.app, self._audiences, self._devices, self._bounds)
            envelopes, wrong = self._composer.compose_all(request.app, drafts, request.now, found)
            if not envelopes:
                return Sent(list(wrong.values()), False)
            submission = Submission(
                request.app.number,
                tuple(envelopes),
                request.now,
                request.key,
                request.digest,
                self._idempotency_ttl,
                self._limits.inbox(request.app),
                self._limits.retention(request.app),
            )
            begin = now_ns() if self.tracer is not None else 0
            outcome = await self._store(submission)
        stored = now_ns() if self.tracer is not None else 0
        # Whatever cannot be routed is stored all the same, and that is what the sender is told.
        self._counters.routes_failed += await route(
            outcome.routes, request.now, bus=self._bus, routing=self._routing, inboxes=self._inboxes
        )
        if self._traffic is not None and not outcome.replayed:
            accepted = sum(isinstance(one, Accepted) for one in outcome.results)
            self._traffic.of(request.app.number, request.app.app).accepted += accepted
        if self.tracer is not None and not outcome.replayed:
            _trace(self.tracer, request.app.app, outcome, begin, stored)
        return Sent(_results(outcome, wrong), outcome.replayed)

    async def _store(self, submission: Submission) -> Outcome:
        counters = self._counters
        with self.circuit.watched():
            (outcome,) = await self._messages.enqueue([submission])
        if isinstance(outcome, IdempotencyConflict):
            raise IdempotencyMismatch
        refused = [result for result in outcome.results if isinstance(result, Refused)]
        if Refused(AppNotFound.code) in refused:
            raise AppNotFound  # none of them was stored
        if outcome.replayed:
            counters.replayed += 1
            return outcome
        counters.messages_refused += len(refused)
        counters.messages_accepted += len(outcome.results) - len(refused)
        return outcome


def _results(outcome: Outcome, wrong: Mapping[int, LonglineError]) -> list[Accepted | LonglineError]:
    """What the store says, with what was `wrong` before it was asked, by place."""
    results = [
        _REFUSALS.get(one.code, LonglineError)() if isinstance(one, Refused) else one
        for one in outcome.results
    ]
    for place, fault in wrong.items():  # from the front, so each finds its place
        results.insert(place, fault)
    return results


def _trace(tracer: Tracer, app: str, outcome: Outcome, begin: int, stored: int) -> None:
    """What became of those of the messages that are traced, until now."""
    now = now_ns()
    for result in outcome.results:
        if isinstance(result, Accepted) and tracer.traces(result.message_id):
            about = {"longline.app": app}
            tracer.add("store", result.message_id, begin, stored, about)
            tracer.add("route", result.message_id, stored, now, about)
