"""A connection with TLS: the protocol of a socket, and the transport of the protocol that speaks in clear.

Nothing is awaited here, and no connection has a buffer of its own: OpenSSL reads from and writes to two
memory BIOs that all connections of a listener share, for whatever goes in is read, and whatever comes out is
taken, before the next connection has its turn. OpenSSL gives its own buffers back when they are empty
(SSL_MODE_RELEASE_BUFFERS, which `ssl` sets). A record costs as much however little is in it, and a read may
bring ten thousand of them: they are paid for where there is a `Pacing`, and what is more than a turn has
time for waits for later ones, while nothing further is read. What a handshake costs is paid in the turns that
`handshakes.py` gives it; it has deadlines and bounds too.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from ssl import MemoryBIO, SSLContext, SSLError, SSLObject, SSLWantReadError, SSLZeroReturnError
from typing import Final, cast, final

from longline.flow.pacing import Pacing
from longline.tls.counters import TlsCounters
from longline.tls.failures import kind_of, told_of

HANDSHAKE: Final = 0x16  # RFC 8446, section 5.1: what a record begins with that has a ClientHello in it
HEADER: Final = 5  # bytes of a record's header; the last two are the length of what follows
RECORD: Final = 16_384  # bytes in clear of a record at most
SMALL: Final = 2_048
RECORDS: Final = 2_048  # of one connection that are deciphered at once, and
FEW: Final = 16  # where this turn has its work
PER_RECORD: Final = 8  # as many deliveries is the work that a record makes, beside what is in it
LONGEST_HANDSHAKE: Final = 128 * 1024  # bytes a peer may send for it; a client's chain is the most of it
HUNG_UP: Final = "the connection ended during the handshake"
GIVEN_UP: Final = "given_up"
BUSY: Final = frozenset({"too_many", "displaced"})  # kinds of failures that are of no peer's own doing
EVERYBODY: Final = "everybody"  # instead of a peer's address, in the log
PAUSE_AT: Final = 64 * 1024  # bytes that wait for a handshake's turn, from where on no more are read

# What a connection is at:
HELLO: Final = 0  # its first record has not arrived whole
SHAKING: Final = 1
OPEN: Final = 2
CLOSED: Final = 3  # we have said our last word, or there is nothing more to say


@final
class TlsShared:
    """What all TLS connections of a listener share.

    `context` gives the one for a ClientHello. `asked` is told of a connection that has something for its
    handshake, `settled` of one whose handshake is over, in whatever way. `report` takes a code, the peer's
    address and a message. `pace`: what deciphering is paid to; without one, it is not.
    """

    __slots__ = (
        "asked",
        "context",
        "counters",
        "end",
        "incoming",
        "outgoing",
        "pace",
        "report",
        "settled",
    )

    def __init__(
        self,
        counters: TlsCounters,
        *,
        context: Callable[[bytes], SSLContext],
        asked: "Callable[[TlsConnection], None]",
        settled: "Callable[[TlsConnection], None]",
        report: Callable[[str, str, str], None],
    ) -> None:
        self.incoming = MemoryBIO()
        self.outgoing = MemoryBIO()
        self.end: Exception | None = None  # why nothing follows what was just read
        self.pace: Pacing | None = None
        self.counters = counters
        self.context = context
        self.asked = asked
        self.settled = settled
        self.report = report

    def ended(self) -> Exception | None:
        """`end`: for who looks again after a call that sets it, which a narrowed type does not see."""
        return self.end

    def clear(self) -> None:
        """Throws away what is in the BIOs: it is one connection's, and no other may meet with it."""
        self.incoming.read()
        self.outgoing.read()


@final
class TlsConnection:
    """One connection, from its first byte to its last.

    `above` is told of the connection at once, so that it can be refused before anything is spent on it. What
    is written before the handshake is over is lost: a server waits for its client's first word.
    """

    __slots__ = (
        "_above",
        "_closing",
        "_ended",
        "_held",
        "_lost",
        "_paused",
        "_shared",
        "_tls",
        "_took",
        "_transport",
        "phase",
        "queued",
    )

    def __init__(self, shared: TlsShared, above: asyncio.Protocol) -> None:
        self.phase = HELLO
        self.queued = False  # waits for a turn of its handshake
        self._above = above
        self._shared = shared
        self._held = b""  # bytes that wait for that; once it is open, records that wait for a later turn
        self._lost = False  # the transport is gone, and there are still some
        self._paused = False  # the protocol above does not want to read
        self._took = 0  # bytes that the handshake has taken
        self._tls: SSLObject | None = None
        self._transport: asyncio.Transport | None = None  # None as well when it is gone
        self._closing = False
        self._ended = False  # the peer says nothing more

    # --- what the socket's transport calls --------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._above.connection_made(cast(asyncio.Transport, self))  # by shape: it is compiled

    def data_received(self, data: bytes) -> None:
        phase = self.phase
        if phase == OPEN:
            if self._held:  # what was read before our transport heard that it should not
                self._held += data
            else:
                self._decipher(data)
        elif phase != CLOSED:
            self._held = self._held + data if self._held else data
            if phase == SHAKING or self._whole_hello():
                self._ask()

    def eof_received(self) -> bool:
        if self.queued:
            self._ended = True  # what it has said before has its turn first
            return True
        if self.phase != OPEN:
            self.fail("hung_up", HUNG_UP)
            return False
        if self._held:
            self._ended = True
            return True
        # Without a close_notify: what was said last may be cut off. MQTT says by itself what is whole.
        return bool(self._above.eof_received())

    def pause_writing(self) -> None:
        self._above.pause_writing()

    def resume_writing(self) -> None:
        self._above.resume_writing()

    def connection_lost(self, error: Exception | None) -> None:
        if self.phase < OPEN:
            self._settle("hung_up", HUNG_UP)
        self._transport = None
        if self.phase == OPEN and self._held and not self._paused:
            self._lost = True  # what it has said before has its turn first
        else:
            self._over(error)

    def _over(self, error: Exception | None) -> None:
        self.phase = CLOSED
        self._closing = True
        self._lost = False
        self._held = b""
        self._tls = None
        self._above.connection_lost(error)

    # --- the handshake ----------------------------------------------------------------------------

    def _whole_hello(self) -> bool:
        """Whether a whole record has arrived; what cannot be one ends here, and has cost nothing."""
        held = self._held
        if held[0] != HANDSHAKE or (len(held) > 1 and held[1] != 3):
            self.fail("not_tls", "the first bytes are no TLS")
            return False
        if len(held) < HEADER:
            return False
        length = held[3] << 8 | held[4]
        if length > RECORD:
            self.fail("not_tls", "the first record is longer than one can be")
            return False
        return len(held) >= HEADER + length

    def _ask(self) -> None:
        self.phase = SHAKING
        if not self.queued:
            self.queued = True
            self._shared.asked(self)
        elif len(self._held) > PAUSE_AT and self._transport is not None:
            self._transport.pause_reading()

    def step(self) -> None:
        """Goes on with the handshake as far as what has arrived lets it; the turn for it has come."""
        self.queued = False
        data = self._held
        self._held = b""
        transport = self._transport
        if self.phase != SHAKING or transport is None:
            return
        if len(data) > PAUSE_AT:
            transport.resume_reading()
        self._shake(transport, data)
        if self._ended:
            if self.phase == SHAKING:
                self.fail("hung_up", HUNG_UP)
            elif self.phase == OPEN and not self._held and not self._above.eof_received():
                self.close()

    def _shake(self, transport: asyncio.Transport, data: bytes) -> None:
        shared = self._shared
        incoming, outgoing = shared.incoming, shared.outgoing
        tls = self._tls
        if tls is None:
            tls = self._tls = shared.context(data).wrap_bio(incoming, outgoing, server_side=True)
        incoming.write(data)
        try:
            tls.do_handshake()
        except SSLWantReadError:
            self._took += len(data)
            if self._took > LONGEST_HANDSHAKE:
                self.fail("too_long", "the handshake is longer than it may be")
            else:
                transport.write(outgoing.read())
            return
        except SSLError as error:
            alert = outgoing.read()
            shared.clear()
            self.fail(kind_of(error), told_of(error), alert)
            return
        counters = shared.counters
        counters.handshakes += 1
        if tls.session_reused:
            counters.resumed += 1
        self.phase = OPEN
        shared.settled(self)
        if outgoing.pending:
            transport.write(outgoing.read())
        if incoming.pending:
            self._decipher(incoming.read())

    def fail(self, kind: str, message: str, last_word: bytes = b"") -> None:
        """Ends the connection because its handshake cannot be gone on with."""
        self._settle(kind, message)
        self.phase = CLOSED
        self._end(last_word)

    def _settle(self, kind: str, message: str) -> None:
        if self.phase < OPEN:
            shared = self._shared
            shared.settled(self)
            shared.counters.failed.add(kind)
            silent = self.phase == HELLO and not self._held and kind == "hung_up"
            # Who gave it up has told why; and a balancer that only looks whether we are there says nothing.
            if kind != GIVEN_UP and not silent:
                shared.report(f"tls_{kind}", EVERYBODY if kind in BUSY else self.peer, message)

    # --- reading ----------------------------------------------------------------------------------

    def _decipher(self, data: bytes) -> None:
        tls = self._tls
        if tls is None:
            return
        shared = self._shared
        shared.incoming.write(data)
        shared.end = None
        clear = self._clear(tls, SMALL if len(data) < SMALL else RECORD)
        end = shared.ended()
        if shared.incoming.pending:
            rest = shared.incoming.read()  # behind the peer's last word, or a fault; or for a later turn
            if end is None:
                self._held = rest
        if shared.outgoing.pending:
            self._put_out()
        if clear:
            self._above.data_received(clear)
        if self._held:
            self._put_off()
        if end is None or self.phase != OPEN:
            return
        if not isinstance(end, SSLZeroReturnError):
            self._broken(end)
        elif not self._above.eof_received():
            self.close()

    def _put_off(self) -> None:
        """Leaves what is held to a later turn, and reads no more until then."""
        pace = self._shared.pace
        if self.phase != OPEN or pace is None:
            self._held = b""
            return
        transport = self._transport
        if transport is not None and not transport.is_closing():
            transport.pause_reading()
        if not self._paused and not self.queued:
            self.queued = True
            pace.later(self._go_on)

    def _go_on(self) -> None:
        self.queued = False
        if self.phase == OPEN and self._held and not self._paused:
            data = self._held
            self._held = b""
            self._decipher(data)
        if self._lost:
            if self.phase != OPEN or not self._held or self._paused:
                self._over(None)
            return
        if self._held or self.phase != OPEN:
            return
        if self._ended and not self._above.eof_received():
            self.close()
        elif not self._paused and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _clear(self, tls: SSLObject, most: int) -> bytes:
        """What is in the BIO, deciphered, up to `shared.end`.

        No record that is whole is left in it, but for those that this turn has no time for.
        """
        shared = self._shared
        incoming = shared.incoming
        pace = shared.pace
        records = 0
        at_most = RECORDS if pace is None or pace.in_time() else FEW
        first = b""
        more: list[bytes] | None = None
        try:
            while True:
                clear = tls.read(most)
                if not clear:
                    raise SSLZeroReturnError  # close_notify: `ssl` has two ways to tell of it
                if not first:
                    first = clear
                elif more is None:
                    more = [first, clear]
                else:
                    more.append(clear)
                records += 1
                if len(clear) < most and not incoming.pending:
                    break
                if pace is not None and records >= at_most and incoming.pending:
                    break
        except SSLWantReadError:
            pass
        except Exception as error:
            shared.end = error
        if pace is not None and records > 1:
            pace.spend(PER_RECORD * (records - 1))
        return first if more is None else b"".join(more)

    def _broken(self, error: Exception) -> None:
        """What the peer has sent is not what it has agreed to, or it says that of what we have sent."""
        shared = self._shared
        shared.counters.failed.add("broken")
        shared.report("tls_broken", self.peer, told_of(error))
        self.phase = CLOSED
        self._end(b"")

    def _put_out(self) -> None:
        transport = self._transport
        data = self._shared.outgoing.read()
        if transport is not None and not transport.is_closing():
            transport.write(data)

    # --- what the protocol above calls ------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Sends bytes. RuntimeError when the socket was closed under us (uvloop's)."""
        tls, transport = self._tls, self._transport
        if tls is None or transport is None or self.phase != OPEN or not data:
            return
        shared = self._shared
        size = len(data)
        try:
            if size <= RECORD:
                tls.write(data)
            else:
                view = memoryview(data)
                for at in range(0, size, RECORD):
                    tls.write(view[at : at + RECORD])
        except Exception as error:
            shared.clear()
            self._broken(error)
            return
        transport.write(shared.outgoing.read())

    def writelines(self, pieces: list[bytes]) -> None:
        """Sends them one after the other."""
        self.write(b"".join(pieces))

    def close(self) -> None:
        """Says good-bye (RFC 8446, section 6.1) when all is written, and does not wait for an answer."""
        if self._closing:
            return
        last_word = b""
        tls = self._tls
        if tls is not None and self.phase == OPEN:
            self.phase = CLOSED
            with suppress(SSLError):  # the peer has not said it yet
                tls.unwrap()
            last_word = self._shared.outgoing.read()
        elif self.phase < OPEN:
            self._settle(GIVEN_UP, "")
            self.phase = CLOSED
        self._end(last_word)

    def abort(self) -> None:
        """Ends the connection at once."""
        if self.phase < OPEN:
            self._settle(GIVEN_UP, "")
        self.phase = CLOSED
        self._closing = True
        if self._transport is not None:
            self._transport.abort()

    def _end(self, last_word: bytes) -> None:
        self._closing = True
        self._held = b""
        transport = self._transport
        if transport is not None and not transport.is_closing():
            if last_word:
                transport.write(last_word)
            transport.close()

    def is_closing(self) -> bool:
        transport = self._transport
        return self._closing or transport is None or transport.is_closing()

    def pause_reading(self) -> None:
        self._paused = True
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._paused = False
        if self._held and self.phase == OPEN:
            self._put_off()  # what is held is next
        elif self._transport is not None:
            self._transport.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if self._transport is not None:
            self._transport.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def set_protocol(self, protocol: asyncio.Protocol) -> None:
        """Gives what comes in to another protocol from now on."""
        self._above = protocol

    def get_protocol(self) -> asyncio.Protocol:
        return self._above

    def get_extra_info(self, name: str, default: object = None) -> object:
        """As transports have it; `peercert` is the client's verified certificate, as `ssl` gives it."""
        tls = self._tls
        if name == "sslcontext":
            return default if tls is None else tls.context
        if name == "peercert":
            return default if tls is None or self.phase < OPEN else tls.getpeercert()
        if name == "transport":
            return "tls"
        transport = self._transport
        return default if transport is None else transport.get_extra_info(name, default)

    @property
    def peer(self) -> str:
        """The peer's address, for the log."""
        transport = self._transport
        name = transport.get_extra_info("peername") if transport is not None else None
        return str(name[0]) if name else "gone"
