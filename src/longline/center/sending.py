"""The way of a message: asked → `compose` → stored → routed to the nodes of its devices.

A request is answered 202 only after `saver.messages.enqueue` returned, which is after its commit was synced. From
the moment the store has been asked, the rest runs in a task of its own: a client that hangs up,
or a request that is cancelled, must not leave a stored message unrouted.
"""

import asyncio
from collections.abc import Sequence

import msgspec

from longline.bus.port import Bus
from longline.bus.routing import route
from longline.center.circuit import Circuit
from longline.center.counters import CenterCounters
from longline.center.errors import from_malformed
from longline.center.ids import MessageIds
from longline.center.names import checked_names
from longline.center.schemas import DevicesAudience, MessageBody
from longline.errors import (
    IdempotencyInFlight,
    IdempotencyMismatch,
    NotSupported,
    PayloadEmpty,
    PayloadTooLarge,
    ValidationFailed,
)
from longline.model.apps import App
from longline.model.audience import Audience, Devices, Everyone
from longline.model.messages import MAX_PAYLOAD, Envelope, Message
from longline.saver.bundle import Saver
from longline.saver.port.messages import IdempotencyConflict, Outcome, Refused, Submission

TEXT = "text/plain;charset=utf-8"
JSON = "application/json"
BYTES = "application/octet-stream"

_EVERYONE = Everyone()
_QUOTE = ord('"')
_text = msgspec.json.Decoder(str)


class Sender:
    """Turns requests into stored and routed messages, and counts them. `circuit` guards the store."""

    def __init__(
        self,
        saver: Saver,
        bus: Bus,
        counters: CenterCounters,
        *,
        default_ttl: int,
        idempotency_ttl: int,
        online_grace: float,
    ) -> None:
        self._saver = saver
        self._bus = bus
        self._counters = counters
        self._default_ttl = default_ttl
        self._idempotency_ttl = idempotency_ttl * 1000
        self._online_grace = int(online_grace * 1000)
        self._ids = MessageIds()
        self.circuit = Circuit(counters)
        # Bounded by the gate: no more sends than requests.
        self._sends: set[asyncio.Task[Outcome]] = set()
        self._in_flight: set[tuple[int, str]] = set()

    async def close(self) -> None:
        """Waits for the sends under way."""
        await asyncio.gather(*self._sends, return_exceptions=True)

    def compose(self, app: App, asked: MessageBody, now: int) -> Envelope:
        """The message that was asked for, with its id. Raises what is wrong with it."""
        options = asked.options
        if options.qos > 2:
            raise ValidationFailed("there is no such QoS", details=[("options.qos", "0 or 1")])
        if options.qos == 2:
            raise NotSupported("this version does not push with QoS 2", details=[("options.qos", "0 or 1")])
        if options.send_at is not None:
            raise NotSupported(
                "this version does not send later", details=[("options.send_at", "not supported")]
            )
        payload, content_type = _payload(asked)
        ttl = self._default_ttl if options.ttl is msgspec.UNSET else options.ttl
        online_only = options.online_only or ttl == 0
        if not online_only and options.spread_over > ttl:
            raise ValidationFailed(
                "the message is over before it is spread",
                details=[("options.spread_over", "at most the ttl")],
            )
        grace = self._online_grace + options.spread_over * 1000
        message = Message(
            id=self._ids.make(now),
            app=app.app,
            payload=payload,
            content_type=content_type,
            created_at=now,
            expires_at=now + (grace if online_only else ttl * 1000),
            qos=options.qos,
            priority=options.priority,
            collapse_key=options.collapse_key,
            online_only=online_only,
            spread_over=options.spread_over,
        )
        return Envelope(message, audience_of(asked.audience))

    async def submit(
        self, app: App, envelopes: Sequence[Envelope], now: int, key: str | None, digest: bytes
    ) -> Outcome:
        """Stores and routes the messages of one request.

        `key` is its Idempotency-Key, `digest` what its body must be when the key comes again. Raises
        `IdempotencyInFlight`, `IdempotencyMismatch`, and what the store raises. The answer waits until the
        messages are in the nodes' queues, so that app servers feel a full queue; the gate bounds how many
        wait.
        """
        flight = None if key is None else (app.number, key)
        if flight in self._in_flight:
            raise IdempotencyInFlight(retry_after=1.0)
        submission = Submission(app.number, tuple(envelopes), now, key, digest, self._idempotency_ttl)
        send = asyncio.create_task(self._send(submission), name="center.send")
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
                # Marks an error as seen, for when the request that would have raised it is gone.
                send.exception()

        send.add_done_callback(done)
        return await asyncio.shield(send)

    async def _send(self, submission: Submission) -> Outcome:
        with self.circuit.watched():
            (outcome,) = await self._saver.messages.enqueue([submission])
        if isinstance(outcome, IdempotencyConflict):
            raise IdempotencyMismatch
        if outcome.replayed:
            self._counters.replayed += 1
            return outcome
        refused = sum(isinstance(result, Refused) for result in outcome.results)
        self._counters.messages_refused += refused
        self._counters.messages_accepted += len(outcome.results) - refused
        # Whatever cannot be routed is stored all the same, and that is what the answer says.
        self._counters.routes_failed += await route(self._bus, self._saver, outcome.routes, submission.now)
        return outcome


def audience_of(asked: str | DevicesAudience) -> Audience:
    """The audience without repetition; `ValidationFailed` for names that no device can have."""
    if not isinstance(asked, DevicesAudience):
        return _EVERYONE
    return Devices(tuple(dict.fromkeys(checked_names(asked.devices, "audience.devices"))))


def _payload(asked: MessageBody) -> tuple[bytes, str]:
    """The bytes that devices get, and their content type."""
    raw, data = asked.payload, asked.payload_base64
    if isinstance(raw, msgspec.Raw):
        if data is not msgspec.UNSET:
            raise ValidationFailed(
                "a message has either a payload or a payload_base64",
                details=[("payload_base64", "not together with payload")],
            )
        # The sender's own bytes: not encoded again, so numbers and key order stay as they were. Copied out of
        # the request's body, which is then free.
        payload = bytes(raw)
        content_type = JSON
        if payload[0] == _QUOTE:
            try:
                payload = _text.decode(payload).encode()
            except msgspec.DecodeError as error:  # half a surrogate pair
                raise from_malformed(error) from None
            content_type = TEXT
    elif data is not msgspec.UNSET:
        payload, content_type = data, BYTES
    else:
        raise ValidationFailed("the message has no payload", details=[("payload", "required")])
    if not payload:
        raise PayloadEmpty
    if len(payload) > MAX_PAYLOAD:
        raise PayloadTooLarge(f"the payload has {len(payload)} bytes, over the limit of {MAX_PAYLOAD}")
    return payload, content_type
