"""The way of a message from whoever brings it: draft → composed → stored → routed.

`Pipeline.send` returns only after the store did, which is after its commit was synced: what it calls accepted
survives. From the moment the store has been asked, the rest runs in a task of its own: a sender that gives
up, or is cancelled, must not leave a stored message unrouted.
"""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from longline.bus.port import Bus
from longline.delivery.circuit import Circuit
from longline.delivery.compose import Composer
from longline.delivery.counters import DeliveryCounters
from longline.delivery.draft import Draft
from longline.delivery.routing import route
from longline.errors import AppNotFound, IdempotencyInFlight, IdempotencyMismatch, LonglineError, NoTarget
from longline.model.apps import App
from longline.model.messages import Envelope
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

_REFUSALS: dict[str, type[LonglineError]] = {NoTarget.code: NoTarget}  # what one message of several may be


class Sent(NamedTuple):
    """One result a draft, in order: what was stored, or why it was not.

    `replayed`: these are the results of an earlier request with the same idempotency key.
    """

    results: Sequence[Accepted | LonglineError]
    replayed: bool


class Pipeline:
    """Takes drafts in, from every front door of one process, and counts them. `circuit` guards the store.

    `default_ttl` in seconds; `online_grace`: seconds that a message for who is connected lasts;
    `idempotency_ttl`: seconds that a key is remembered.
    """

    def __init__(
        self,
        *,
        messages: MessageStore,
        routing: RoutingStore,
        inboxes: InboxStore,
        bus: Bus,
        counters: DeliveryCounters,
        default_ttl: int,
        online_grace: float,
        idempotency_ttl: int,
    ) -> None:
        self.circuit = Circuit(counters)
        self._messages = messages
        self._routing = routing
        self._inboxes = inboxes
        self._bus = bus
        self._counters = counters
        self._composer = Composer(default_ttl=default_ttl, online_grace=online_grace)
        self._idempotency_ttl = idempotency_ttl * 1000
        # Bounded by the front doors: no more than the requests that they admit at once.
        self._sends: set[asyncio.Task[Outcome]] = set()
        self._in_flight: set[tuple[int, str]] = set()

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
        """Stores and routes the messages of one request: all that are in order or, if it raises, none.

        In the place of a draft there may be what was wrong with it before it became one. `key` is the
        request's idempotency key, `digest` what the request must be when the key comes again; `now` in ms.
        Raises `AppNotFound`, `IdempotencyInFlight`, `IdempotencyMismatch`, and what the store raises.
        It waits until the messages are in the nodes' queues, so that senders feel a full queue.
        """
        envelopes: list[Envelope] = []
        wrong: dict[int, LonglineError] = {}  # by place
        for place, draft in enumerate(drafts):
            if isinstance(draft, LonglineError):
                wrong[place] = draft
                continue
            try:
                envelopes.append(self._composer.compose(app, draft, now))
            except LonglineError as error:
                wrong[place] = error
        if not envelopes:
            return Sent(list(wrong.values()), False)
        # Quotas belong here: all is known of the request, and nothing of it has been stored.
        submission = Submission(app.number, tuple(envelopes), now, key, digest, self._idempotency_ttl)
        outcome = await self._submit(submission)
        if Refused(AppNotFound.code) in outcome.results:
            raise AppNotFound  # none of them was stored
        results = [_REFUSALS[one.code]() if isinstance(one, Refused) else one for one in outcome.results]
        for place, fault in wrong.items():  # from the front, so each finds its place
            results.insert(place, fault)
        return Sent(results, outcome.replayed)

    async def _submit(self, submission: Submission) -> Outcome:
        key = submission.idempotency_key
        flight = None if key is None else (submission.app, key)
        if flight in self._in_flight:
            raise IdempotencyInFlight(retry_after=1.0)
        send = asyncio.create_task(self._store_and_route(submission), name="delivery.send")
        self._sends.add(send)
        self._counters.sends_running += 1
        if flight is not None:
            self._in_flight.add(flight)

        def done(send: asyncio.Task[Outcome]) -> None:
            self._sends.discard(send)
            self._counters.sends_running -= 1
            if flight is not None:
                self._in_flight.discard(flight)
            if not send.cancelled():
                # Marks an error as seen, for when the sender that would have raised it is gone.
                send.exception()

        send.add_done_callback(done)
        return await asyncio.shield(send)

    async def _store_and_route(self, submission: Submission) -> Outcome:
        counters = self._counters
        with self.circuit.watched():
            (outcome,) = await self._messages.enqueue([submission])
        if isinstance(outcome, IdempotencyConflict):
            raise IdempotencyMismatch
        if outcome.replayed:
            counters.replayed += 1
            return outcome
        refused = sum(isinstance(result, Refused) for result in outcome.results)
        counters.messages_refused += refused
        counters.messages_accepted += len(outcome.results) - refused
        # Whatever cannot be routed is stored all the same, and that is what the sender is told.
        counters.routes_failed += await route(
            outcome.routes, submission.now, bus=self._bus, routing=self._routing, inboxes=self._inboxes
        )
        return outcome
