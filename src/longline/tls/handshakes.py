"""Handshakes within bounds: of how many there are, how long they take, and how long they hold up the loop.

A handshake costs a signature, and who asks for one has paid nothing. So each waits for its turn, and turns
together take a few milliseconds between two looks at the sockets, however many ask at once. Those that are
under way go before those that begin. There are only so many; one more takes the place of the oldest whose
peer keeps us waiting, or is refused, before anything is spent on it, where it is us who are late.
"""

import asyncio
import itertools
import ssl
import time
from collections import deque
from collections.abc import Callable
from typing import Final, cast, final

from longline.flow.pacing import Pacing
from longline.flow.unread import unread
from longline.telemetry.faults import Faults
from longline.tls.connection import TlsConnection, TlsShared
from longline.tls.counters import TlsCounters

BUDGET: Final = 0.005  # s of handshakes between two looks at the sockets
LOOKED_AT: Final = 16  # of the oldest, to find one that can be let go
TICK: Final = 1.0  # s between looks at deadlines
SLICE: Final = 500  # that are told at once that their time is up


@final
class TlsHandshakes:
    """Of one listener, or of several that share a certificate.

    `limit` handshakes at once, counted from a whole ClientHello on; each has `timeout` seconds from the
    connection's first moment to the last one of the handshake. `context`, `report`: as `TlsShared` has them.
    `faults` is told of what nobody foresaw.
    """

    def __init__(
        self,
        counters: TlsCounters,
        context: Callable[[bytes], ssl.SSLContext],
        report: Callable[[str, str, str], None],
        faults: Faults,
        *,
        limit: int,
        timeout: float,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limit = limit
        self.timeout = timeout
        self._clock = clock
        self._counters = counters
        self._faults = faults
        self._loop = loop
        self._report = report
        self._pacing: Pacing | None = None
        self._shared: list[TlsShared] = []
        self.secure = self.securing(context)
        self._since: dict[TlsConnection, float] = {}  # of all whose handshake is not over, the oldest first
        self._begun: dict[TlsConnection, None] = {}  # of these, those whose ClientHello is here, likewise
        self._first: deque[TlsConnection] = deque()  # wait for their first turn
        self._next: deque[TlsConnection] = deque()  # wait for a further one
        self._turning = False
        self._ticking = False

    def securing(self, context: Callable[[bytes], ssl.SSLContext]) -> Callable[[object], object]:
        """What puts TLS below a protocol, as a listener wants it; with contexts of its own."""
        shared = TlsShared(
            self._counters, context=context, asked=self._asked, settled=self._settled, report=self._report
        )
        shared.pace = self._pacing
        self._shared.append(shared)
        return lambda above: self._begin(shared, above)

    def paid_to(self, pacing: Pacing) -> None:
        """What is deciphered is paid for from now on."""
        self._pacing = pacing
        for shared in self._shared:
            shared.pace = pacing

    def _begin(self, shared: TlsShared, above: object) -> object:
        connection = TlsConnection(shared, cast(asyncio.Protocol, above))
        self._since[connection] = self._clock()
        self._counters.handshaking += 1
        if not self._ticking:
            self._ticking = True
            self._loop.call_later(TICK, self._tick)
        return connection

    # --- turns ------------------------------------------------------------------------------------

    def _asked(self, connection: TlsConnection) -> None:
        if connection in self._begun:
            self._next.append(connection)
        elif len(self._begun) < self.limit or self._displace():
            self._begun[connection] = None
            self._first.append(connection)
        else:
            connection.fail("too_many", "handshakes are under way, as many as there may be")
            return
        if not self._turning:
            self._turning = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Goes on with those that wait, for as long as the others can be kept waiting."""
        until = self._clock() + BUDGET
        while self._next or self._first:
            connection = self._next.popleft() if self._next else self._first.popleft()
            try:
                connection.step()
            except Exception as error:  # ours: what this peer has sent must not cost the others anything
                self._faults.note("tls.handshakes", error)
                for shared in self._shared:
                    shared.clear()
                connection.abort()
            if self._clock() >= until:
                break
        self._turning = bool(self._next or self._first)
        if self._turning:
            self._loop.call_soon(self._turn)

    def _displace(self) -> bool:
        """Lets the oldest go whose peer owes us something; False where there is none among the oldest."""
        for connection in itertools.islice(self._begun, LOOKED_AT):
            if not connection.queued and unread(cast(asyncio.Transport, connection)) == 0:
                connection.fail("displaced", "others wait, and this one keeps us waiting")
                return True
        return False

    # --- their end --------------------------------------------------------------------------------

    def _settled(self, connection: TlsConnection) -> None:
        if self._since.pop(connection, None) is not None:
            self._counters.handshaking -= 1
            self._begun.pop(connection, None)

    def _tick(self) -> None:
        """Ends those whose time is up, but for those that we keep waiting."""
        now = self._clock()
        late: list[TlsConnection] = []
        for connection, since in self._since.items():
            if now - since < self.timeout or len(late) == SLICE:
                break
            if not connection.queued:
                late.append(connection)
        for connection in late:
            connection.fail("timeout", "the handshake was not over in time")
        self._ticking = bool(self._since)
        if self._ticking:
            self._loop.call_later(TICK, self._tick)
