"""A connection of the HTTP server: uvicorn's, with bounds on what a peer may have us keep.

Uvicorn reads heads of any size and number, for as long as they take, and keeps a connection that never asks
for anything. Here, before any key is looked at:

- a head has at most `MAX_HEAD` bytes and `MAX_FIELDS` fields, and arrives within `HEAD_WITHIN` seconds, else
  431 or the end; the same bytes bound the trailers of a body, and whatever else brings a request no further;
- at most `MAX_PIPELINED` requests wait for the one before them;
- a connection without a request is closed after a while, and one that does not read what it asked for;
- there are only so many connections, and whoever has most of them gives up an idle one for who has less;
- of requests that come together, only so many begin in one turn of the loop.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import httptools
import msgspec
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from longline.center.errors.responses import error_answer
from longline.center.http.counters import ConnectionCounters
from longline.errors import BadRequest, HeadTooLarge, LonglineError
from longline.flow.shares import Shares
from longline.model.networks import network_of
from longline.telemetry.faults import Faults

MAX_HEAD = 32 * 1024  # bytes; a device's name in the address has up to 128, a key up to 512
MAX_FIELDS = 100
HEAD_WITHIN = 10.0  # s, from its first byte, or from the connection's beginning
READ_WITHIN = 30.0  # s, until a peer reads on what it asked for
MAX_PIPELINED = 16
BEGUN_AT_ONCE = 32  # requests that begin in one turn of the loop: a few milliseconds

Report = Callable[[str, str, str], None]
"""Told of what a peer did wrong: a code, its address, and the reason."""

_encode = msgspec.json.Encoder().encode


class _Stopped(Exception):
    """What is being read is refused. Only the parser sees it."""


class _Log(logging.Logger):
    """What uvicorn says of a request that failed, for `Faults` to keep short."""

    def __init__(self, faults: Faults) -> None:
        super().__init__("longline.http", logging.WARNING)
        self._faults = faults

    def handle(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, Exception):
            self._faults.note("center.http", error)


class HttpConnections:
    """All connections of a server, at most `limit`. `keep_alive`: seconds that one without a request is kept.

    `report` is told of peers' mistakes, `faults` of our own.
    """

    def __init__(self, limit: int, report: Report, faults: Faults, *, keep_alive: float = 75.0) -> None:
        self.keep_alive = keep_alive
        self.report = report
        self.log = _Log(faults)
        self.counters = ConnectionCounters()
        self._shares: Shares[str] = Shares(limit)
        self._idle: dict[str, dict[HttpConnection, None]] = {}  # by network, who is idle longest first
        self._begun = 0  # requests, in this turn of the loop
        self._to_begin: deque[Callable[[], None]] = deque()  # at most one a connection

    def admit(self, connection: "HttpConnection") -> bool:
        """Lets a connection in, perhaps in the place of an idle one; False when there is no room for it."""
        shares, network = self._shares, connection.network
        while not shares.take(network):
            most = shares.most()
            giver = most if most and shares.held(most) > shares.held(network) + 1 else network
            idle = next(iter(self._idle.get(giver) or self._idle.get(network) or {}), None)
            if idle is None:
                self.counters.refused.add("too_many_connections")
                return False
            self.counters.displaced += 1
            idle.end()
        self.counters.connections += 1
        self.is_idle(connection)
        return True

    def begin(self, request: Callable[[], None]) -> None:
        """Begins a request in this turn of the loop, or in its order in one of the next."""
        if self._begun == BEGUN_AT_ONCE or self._to_begin:
            self._to_begin.append(request)
            return
        if not self._begun:
            asyncio.get_running_loop().call_soon(self._next_turn)
        self._begun += 1
        request()

    def _next_turn(self) -> None:
        waiting = self._to_begin
        self._begun = min(len(waiting), BEGUN_AT_ONCE)
        if self._begun:
            asyncio.get_running_loop().call_soon(self._next_turn)
        for _ in range(self._begun):
            waiting.popleft()()

    def is_idle(self, connection: "HttpConnection") -> None:
        """It has no request under way."""
        self._idle.setdefault(connection.network, {})[connection] = None

    def is_busy(self, connection: "HttpConnection") -> None:
        """It has one."""
        idle = self._idle.get(connection.network)
        if idle is not None:
            idle.pop(connection, None)
            if not idle:
                del self._idle[connection.network]

    def release(self, connection: "HttpConnection") -> None:
        """It is gone, or about to be."""
        self.is_busy(connection)
        self._shares.give(connection.network)
        self.counters.connections -= 1


class HttpConnection(HttpToolsProtocol):
    """One connection; `network` is whose it is."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        all_of_them: HttpConnections,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.network = ""
        self.logger = all_of_them.log
        self._all = all_of_them
        self._admitted = False
        self._timer: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._running: RequestResponseCycle | None = None
        self._refusal: LonglineError | None = None
        self._moved = False  # whether what is being read brings a request on
        self._unmoved = 0  # bytes that did not
        self._fields = 0
        self._head = 0  # bytes of the fields

    # --- its life ---

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.network = network_of(self._peer)
        if self._all.admit(self):
            self._admitted = True
            self._wait(HEAD_WITHIN)
        else:
            self._all.report("too_many_connections", self._peer, "refused before a byte was read")
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        self._cancel()
        if self._stalled is not None:
            self._stalled.cancel()
        if self._running is not None:  # uvicorn tells only the latest one, which may still wait for this
            self._running.disconnected = True
            self._running.message_event.set()
        self.pipeline.clear()
        super().connection_lost(exc)
        # Each knows the other, until a request is answered; and those that waited for another never are.
        self.cycle = self._running = None  # type: ignore[assignment]

    def end(self) -> None:
        """Ends it at once, for another."""
        self._leave()
        self.transport.abort()

    def _leave(self) -> None:
        if self._admitted:
            self._admitted = False
            self._all.release(self)

    @property
    def _peer(self) -> str:
        return str(self.client[0]) if self.client else ""

    @property
    def _busy(self) -> bool:
        """Whether it has a request under way."""
        return self._running is not None and not self._running.response_complete

    # --- its times ---

    def _wait(self, seconds: float) -> None:
        """Ends the connection unless a request begins by then."""
        self._cancel()
        self._timer = self.loop.call_later(seconds, self._too_late)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_late(self) -> None:
        self._all.counters.refused.add("idle")
        if self.transport.is_closing():  # and does not take what it was sent
            self.transport.abort()
        else:
            self.transport.close()
            self._wait(READ_WITHIN)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self.loop.call_later(READ_WITHIN, self._not_read)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _not_read(self) -> None:
        self._all.counters.refused.add("not_read")
        self.transport.abort()

    # --- what comes ---

    def data_received(self, data: bytes) -> None:
        self._moved = False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # to what we do not speak: the request is answered as it is
        except httptools.HttpParserError:
            self._refuse(self._refusal or BadRequest("this is not HTTP"))
            return
        self._unmoved = 0 if self._moved else self._unmoved + len(data)
        if self._unmoved > MAX_HEAD:
            self._refuse(HeadTooLarge())

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._fields = 0
        self._head = 0
        if not self._busy:
            self._wait(HEAD_WITHIN)

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields += 1
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def _count(self, size: int) -> None:
        self._head += size
        if self._head > MAX_HEAD or self._fields > MAX_FIELDS:
            self._stop(HeadTooLarge())

    def on_headers_complete(self) -> None:
        self._moved = True
        if len(self.pipeline) >= MAX_PIPELINED:
            self._stop(BadRequest("too many requests at once on one connection"))
        self._cancel()
        self._all.is_busy(self)
        super().on_headers_complete()
        if not self._busy:  # else it waits in the pipeline
            self._running = self.cycle

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._all.begin(partial(super()._start_asgi_task, cycle, app))

    def on_body(self, body: bytes) -> None:
        self._moved = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._moved = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        if self.pipeline:
            self._running, _ = self.pipeline[-1]  # uvicorn takes it from there, and begins it
        super().on_response_complete()
        self._unset_keepalive_if_required()  # ours is not put off by a byte now and then
        if self._busy or not self._admitted:
            return
        self._all.is_idle(self)
        self._wait(self._all.keep_alive)

    def _stop(self, error: LonglineError) -> None:
        """Ends reading in the middle of what the parser is about to tell."""
        self._refusal = error
        # Not the refusal, which we hold: its traceback would hold us, and only the collector free either.
        raise _Stopped

    def _refuse(self, error: LonglineError) -> None:
        """Tells what is wrong, unless that would be in the middle of another answer, and closes."""
        self._all.counters.refused.add(error.code)
        self._all.report(error.code, self._peer, error.message)
        if not self._busy and not self.transport.is_closing():
            body = _encode(error_answer(error))
            self.transport.write(
                b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
                b"connection: close\r\n\r\n%s" % (error.status, b"Refused", len(body), body)
            )
        self.transport.close()
        self._wait(READ_WITHIN)
