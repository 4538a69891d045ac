"""One in so many messages, traced from the API to the acknowledgement, for an OpenTelemetry collector.

What goes over the wire is OTLP/HTTP with JSON (opentelemetry.io/docs/specs/otlp, "JSON Protobuf Encoding"):
ids in hexadecimal, 64-bit numbers as text, one POST to `{endpoint}/v1/traces` for many spans.

Nothing travels between processes for this. A message's id is a UUID, 128 bits as a trace's id has; from it
each process makes the same trace, the same span ids (a digest of the message, the step and the device), and
the same choice whether it is traced at all. Whoever has no collector has no `Tracer`: one comparison.
"""

import asyncio
import hashlib
import re
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, final

import httpx
import msgspec
import structlog

from longline.version import VERSION

Step = Literal["accept", "store", "route", "write", "ack"]

KIND: Final[Mapping[Step, int]] = {"accept": 2, "store": 3, "route": 4, "write": 4, "ack": 5}  # SpanKind
ABOVE: Final[Mapping[Step, Step | None]] = {
    "accept": None,
    "store": "accept",
    "route": "accept",
    "write": "route",
    "ack": "write",
}
WAITING: Final = 4096  # spans; one beyond is dropped, and counted
BATCH: Final = 512  # spans in one request
EVERY: Final = 1.0  # s between two requests
TIMEOUT: Final = 5.0  # s for one of them
DEVICES: Final = 32  # of one message that are traced by one process: a broadcast has a million
MESSAGES: Final = 1024  # of which that is counted
AGAIN: Final = frozenset({429, 502, 503, 504})  # what the specification has sent once more

# W3C Trace Context, section 3.2.2: version, trace, parent, flags.
_TRACEPARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?"
)

_encode = msgspec.json.Encoder().encode
_log = structlog.get_logger("longline.telemetry")


class Parent(NamedTuple):
    """What a caller's `traceparent` names: its trace and its span, in hexadecimal."""

    trace: str
    span: str


@final
class TraceCounters:
    """Plain numbers; `waiting` goes up and down. `dropped`: spans that no collector will ever see."""

    __slots__ = ("dropped", "failures", "sent", "waiting")

    def __init__(self) -> None:
        self.dropped = 0
        self.failures = 0
        self.sent = 0
        self.waiting = 0


class Tracer:
    """One for a process. `add` never waits; `run` sends, for as long as the process lives.

    `endpoint` is the collector's address without `/v1/traces`, `headers` what it wants besides, `one_in` how
    many messages there are to each that is traced. `node` is called this process.
    """

    def __init__(
        self,
        endpoint: str,
        headers: Mapping[str, str],
        one_in: int,
        node: str,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.counters = TraceCounters()
        self._url = endpoint.rstrip("/") + "/v1/traces"
        self._headers = {**headers, "Content-Type": "application/json"}
        self._one_in = one_in
        self._resource = _attributes(
            {"service.name": "longline", "service.version": VERSION, "service.instance.id": node}
        )
        self._transport = transport
        self._spans: deque[dict[str, Any]] = deque()
        self._devices: dict[str, set[str]] = {}  # by message; the oldest go
        self._told = False

    def traces(self, message_id: str) -> bool:
        """Whether this message is traced: by the last bits of its id, which are random."""
        return int(message_id[-8:], 16) % self._one_in == 0

    def add(
        self,
        step: Step,
        message_id: str,
        begin: int,
        end: int,
        attributes: Mapping[str, str | int],
        *,
        device: str = "",
        caller: Parent | None = None,
        failed: str = "",
    ) -> None:
        """A step of a traced message, from `begin` to `end` (ns of Unix time).

        `device`: of whom it is, for steps that each device has. `caller`: whose trace has led to it, which is
        linked. `failed`: why it did not succeed.
        """
        if device and not self._room_for(message_id, step, device):
            return
        if len(self._spans) >= WAITING:
            self.counters.dropped += 1
            return
        above = ABOVE[step]
        span: dict[str, Any] = {
            "traceId": message_id.replace("-", ""),
            "spanId": span_id(message_id, step, device),
            "name": f"longline.{step}",
            "kind": KIND[step],
            "startTimeUnixNano": str(begin),
            "endTimeUnixNano": str(max(begin, end)),
            "attributes": _attributes({"messaging.message.id": message_id, **attributes}),
            "status": {"code": 2, "message": failed} if failed else {"code": 1},
        }
        if above is not None:
            span["parentSpanId"] = span_id(message_id, above, device if step == "ack" else "")
        if caller is not None:
            span["links"] = [{"traceId": caller.trace, "spanId": caller.span}]
        self._spans.append(span)
        self.counters.waiting = len(self._spans)

    def _room_for(self, message_id: str, step: Step, device: str) -> bool:
        """A message to many has so many of its devices traced, each with all of its steps."""
        devices = self._devices.setdefault(message_id, set())
        if len(self._devices) > MESSAGES:
            del self._devices[next(iter(self._devices))]
        if step == "write" and len(devices) < DEVICES:
            devices.add(device)
        return device in devices

    async def run(self) -> None:
        """Sends what waits, once a second."""
        async with httpx.AsyncClient(transport=self._transport, timeout=TIMEOUT, trust_env=False) as client:
            while True:
                await asyncio.sleep(EVERY)
                await self.flush(client)

    async def flush(self, client: httpx.AsyncClient) -> None:
        """Sends what waits now; what the collector does not take yet stays, in its place."""
        for _ in range(-(-len(self._spans) // BATCH)):
            batch = [self._spans.popleft() for _ in range(min(BATCH, len(self._spans)))]
            if not await self._post(client, batch):
                break
        self.counters.waiting = len(self._spans)

    async def _post(self, client: httpx.AsyncClient, batch: Sequence[dict[str, Any]]) -> bool:
        body = _encode(
            {
                "resourceSpans": [
                    {
                        "resource": {"attributes": self._resource},
                        "scopeSpans": [{"scope": {"name": "longline", "version": VERSION}, "spans": batch}],
                    }
                ]
            }
        )
        why = ""
        try:
            answer = await client.post(self._url, content=body, headers=self._headers)
            if answer.is_success:
                self.counters.sent += len(batch)
                self._told = False
                return True
            why, again = f"it answers {answer.status_code}", answer.status_code in AGAIN
        except httpx.HTTPError as error:
            why, again = type(error).__name__, True
        self.counters.failures += 1
        if not self._told:  # once until it works again
            self._told = True
            _log.warning("traces_not_sent", reason=why)
        if again:
            self._spans.extendleft(reversed(batch))
            while len(self._spans) > WAITING:
                self._spans.popleft()
                self.counters.dropped += 1
        else:
            self.counters.dropped += len(batch)
        return False


def parent_of(traceparent: str | None) -> Parent | None:
    """What a `traceparent` header names; None for none, and for what is none."""
    found = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
    return None if found is None else Parent(found[1], found[2])


def span_id(message_id: str, step: Step, device: str) -> str:
    """The same in every process, of 64 bits in hexadecimal."""
    return hashlib.sha256(f"{message_id} {step} {device}".encode()).hexdigest()[:16]


def now_ns() -> int:
    """This moment, in ns of Unix time."""
    return time.time_ns()


def headers_of(text: str) -> dict[str, str]:
    """`NAME=VALUE,NAME=VALUE` as headers, as OTEL_EXPORTER_OTLP_HEADERS has them."""
    pairs = (each.partition("=") for each in text.split(",") if each)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _attributes(values: Mapping[str, str | int]) -> list[dict[str, Any]]:
    return [
        {"key": key, "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}}
        for key, value in values.items()
    ]
