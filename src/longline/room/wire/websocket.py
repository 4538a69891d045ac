"""WebSocket between a socket and a connection: a protocol to what is below it, a transport to what is above.

What is above is the same `Connection` as without it, and it is there from the first byte: so admission, the
deadline for a CONNECT and the bounds of what waits to be written are the same. Idle, it owns no buffer.

    upgrade    the request is gathered; what the connection would write is not written
    open       frames come and go
    leaving    we have said Close, and wait for the peer's, at most for as long as a closed connection may
               take for its last bytes; what still comes is read to find it, and goes nowhere
    over       nothing is said any more
"""

import asyncio
from typing import Final, cast, final

from longline.mqtt.reasons import ReasonCode
from longline.room.wire.connection import Connection
from longline.websocket.frames import (
    CLOSE,
    GOING_AWAY,
    NORMAL,
    PONG,
    TOO_BIG,
    Failure,
    FrameDecoder,
    binary_frame,
    close_payload,
    control_frame,
)
from longline.websocket.upgrade import Upgrade, UpgradeRefused, UpgradeRules

MOST: Final = 2048  # frames read in a row: a few milliseconds
FEW: Final = 16  # the same, once this turn has its work

TOO_SLOW: Final = UpgradeRefused(408, "the request did not come in time")
ENDING: Final = UpgradeRefused(503, "this server is about to end")

SHUTTING_DOWN: Final = int(ReasonCode.SERVER_SHUTTING_DOWN)
AWAY: Final = frozenset({SHUTTING_DOWN, int(ReasonCode.USE_ANOTHER_SERVER), int(ReasonCode.SERVER_MOVED)})

_UPGRADE: Final = 0
_OPEN: Final = 1
_LEAVING: Final = 2
_OVER: Final = 3


@final
class WebSocketRules:
    """What all WebSockets of a room share. `largest` frame in bytes."""

    __slots__ = ("largest", "upgrade")

    def __init__(self, upgrade: UpgradeRules, largest: int) -> None:
        self.upgrade = upgrade
        self.largest = largest


@final
class WebSocketConnection:
    """Carries one connection, which is told of everything that a transport tells."""

    __slots__ = (
        "_code",
        "_connection",
        "_ended",
        "_frames",
        "_paused",
        "_phase",
        "_scheduled",
        "_stopped",
        "_transport",
        "_upgrade",
    )

    def __init__(self, connection: Connection, rules: WebSocketRules) -> None:
        self._connection = connection
        self._transport: asyncio.Transport | None = None
        self._upgrade: Upgrade | None = Upgrade(rules.upgrade)
        self._frames = FrameDecoder(True, rules.largest)
        self._phase = _UPGRADE
        self._code = NORMAL  # what a Close from our side says
        self._ended = False  # the peer sends nothing more
        self._paused = False  # the connection does not want to read
        self._stopped = False  # nor do we from the transport
        self._scheduled = False  # frames are left for a later turn

    # --- what the transport calls -----------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._connection.connection_made(cast(asyncio.Transport, self))  # a transport by shape

    def data_received(self, data: bytes) -> None:
        upgrade = self._upgrade
        transport = self._transport
        if upgrade is None:
            self._read(data)
        elif transport is not None and self._phase == _UPGRADE:
            upgrade.feed(data)
            refused = upgrade.refused
            if refused is not None:
                transport.write(refused.answer)
                self._connection.fault(ReasonCode.PROTOCOL_ERROR, refused.code, refused.message)
            elif upgrade.answer is not None:
                self._upgrade = None
                self._phase = _OPEN
                transport.write(upgrade.answer)
                if upgrade.rest:
                    self._read(upgrade.rest)

    def eof_received(self) -> bool:
        self._ended = True
        return self._phase == _OPEN and (self._frames.more or self._connection.eof_received())

    def pause_writing(self) -> None:
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._connection.resume_writing()

    def connection_lost(self, error: Exception | None) -> None:
        self._phase = _OVER
        self._transport = None
        self._upgrade = None
        self._frames.forget()
        self._connection.connection_lost(error)

    # --- reading ----------------------------------------------------------------------------------

    def _read(self, data: bytes) -> None:
        if self._phase == _OVER:
            return
        frames = self._frames
        if frames.failed:  # the peer has heard of it by now, or goes on and does not care
            self._shut()
            return
        turn = self._connection.wire.turn
        carried = frames.feed(data, MOST if turn.spent <= turn.budget else FEW)
        turn.spent += frames.count
        if carried and self._phase == _OPEN:
            self._connection.data_received(carried)
        transport = self._transport
        if transport is None:
            return
        if frames.ping is not None and self._phase == _OPEN:
            transport.write(control_frame(PONG, frames.ping))
        if frames.failure is not None:
            self._fail(frames.failure)
        elif frames.closed:
            self._ended = True
            self._finished()
        elif not frames.more and self._ended:
            self._finished()
        else:
            self._listen()

    def _finished(self) -> None:
        """All that the peer had to say is read."""
        if self._phase != _OPEN or not self._connection.eof_received():
            self._shut()

    def _listen(self) -> None:
        """Reads on: what is left, or from the transport; neither while the connection does not want to."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        more = self._frames.more
        wanted = not self._paused or self._phase == _LEAVING
        if more and wanted and not self._scheduled:
            self._scheduled = True
            self._connection.wire.turn.later(self._go_on)
        if self._stopped != (more or not wanted):
            self._stopped = not self._stopped
            if self._stopped:
                transport.pause_reading()
            else:
                transport.resume_reading()

    def _go_on(self) -> None:
        self._scheduled = False
        if self._frames.more and (not self._paused or self._phase == _LEAVING):
            self._read(b"")

    # --- ending -----------------------------------------------------------------------------------

    def _fail(self, failure: Failure) -> None:
        if self._phase == _OPEN:
            self._code = failure.close
            reason = ReasonCode.PACKET_TOO_LARGE if failure.close == TOO_BIG else ReasonCode.PROTOCOL_ERROR
            self._connection.fault(reason, failure.code, failure.message)
        else:
            self._shut()

    def _shut(self) -> None:
        """The last frame is read, and written: the transport is closed."""
        transport = self._transport
        if transport is None or transport.is_closing():
            self._phase = _OVER
            return
        if self._phase == _OPEN:
            transport.write(control_frame(CLOSE, close_payload(self._frames.closed or self._code)))
        self._phase = _OVER
        transport.close()

    # --- what the connection calls ----------------------------------------------------------------

    def write(self, data: bytes) -> None:
        transport = self._transport
        if transport is not None and self._phase == _OPEN:
            transport.write(binary_frame(data))

    def close(self) -> None:
        """The connection has said its last word; section 7.1.1: the peer says Close, too, then we hang up."""
        transport = self._transport
        if transport is None or transport.is_closing() or self._phase >= _LEAVING:
            return
        parting = self._connection.parting
        if self._phase == _UPGRADE:
            upgrade = self._upgrade
            if upgrade is not None and upgrade.begun and upgrade.refused is None:
                refused = ENDING if parting == SHUTTING_DOWN else TOO_SLOW
                self._connection.wire.counters.refused.add(refused.code)
                transport.write(refused.answer)
            self._phase = _OVER
            transport.close()
            return
        if parting in AWAY:
            self._code = GOING_AWAY
        if self._ended or parting == SHUTTING_DOWN:  # nobody would hear the peer's Close
            self._shut()
            return
        self._phase = _LEAVING
        transport.write(control_frame(CLOSE, close_payload(self._code)))
        self._listen()

    def abort(self) -> None:
        self._phase = _OVER
        transport = self._transport
        if transport is not None:
            transport.abort()

    def is_closing(self) -> bool:
        transport = self._transport
        return transport is None or self._phase >= _LEAVING or transport.is_closing()

    def pause_reading(self) -> None:
        self._paused = True
        self._listen()

    def resume_reading(self) -> None:
        self._paused = False
        self._listen()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        transport = self._transport
        if transport is not None:
            transport.set_write_buffer_limits(high, low)

    def get_extra_info(self, name: str, default: object = None) -> object:
        transport = self._transport
        if transport is None:
            return default
        if name == "transport":
            return "wss" if transport.get_extra_info(name) == "tls" else "ws"
        return transport.get_extra_info(name, default)
