"""The queue of CONNECTs: they are looked at in portions, and who has gone or waited too long costs nothing.

A client that gives up and comes again is one CONNECT more each time, and they come the faster the slower we
are. So nothing is done for who is not there any more, the newest are served first once others wait for long
(`flow/line.py`), and who has waited for longer than clients do is told that the server is busy.
"""

import asyncio
import select
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from longline.flow.line import Line, Portion
from longline.mqtt.packets import Connect
from longline.mqtt.reasons import ReasonCode
from longline.room.counters import RoomCounters
from longline.room.life.entrant import Entrant
from longline.room.life.outside import Heard

MOST: Final = 256  # CONNECTs worked on together
LEAST: Final = 16  # the same, in a process that gets hardly any work done
TARGET: Final = 0.1  # s that the tokens of a portion may take to verify, and within which nobody gives up
TOGETHER: Final = 0.002  # s for which a portion waits for those who come with it
NO_HANDLE: Final = -1  # of a socket that is closed, too
GONE: Final = -2
EACH_TIME: Final = 2  # who waited too long is told by whoever comes: so many, and no turn is long for it

# A client, its CONNECT, and what came of the question that somebody outside was asked about it.
Asking = tuple[Entrant, Connect, Heard | None]


class Entrance:
    """Owned by admission, which runs `run`. `serve` answers a portion, and never raises.

    `served` counts those that were there when they were answered, `gone` those that had hung up by then.
    `clock` in seconds, rising.
    """

    def __init__(
        self,
        serve: Callable[[Sequence[Asking]], Awaitable[None]],
        counters: RoomCounters,
        *,
        patience: float,
        clock: Callable[[], float],
    ) -> None:
        self.portion = Portion(MOST, LEAST, TARGET)
        self.served = 0
        self.gone = 0
        # Of this portion, by who serves it: s that its tokens have taken, and how many were refused.
        self.verifying = 0.0
        self.refused = 0
        self._serve = serve
        self._counters = counters
        self._clock = clock
        self._line: Line[Asking] = Line(patience)
        self._news = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        """How many wait, without those under way."""
        return len(self._line)

    def add(self, client: Entrant, packet: Connect, heard: Heard | None = None) -> None:
        """A CONNECT has come in, or goes on with what was `heard`."""
        now = self._clock()
        if heard is None:
            client.asked_at = now
        self._line.add((client, packet, heard), now)
        self._news.set()
        self._idle.clear()
        overdue = self._line.overdue(now, EACH_TIME)
        if overdue:
            self._give_up(overdue, now)

    async def idle(self) -> None:
        """Returns when nobody waits and nobody is under way."""
        await self._idle.wait()

    async def run(self) -> None:
        """Serves for as long as its owner lets it."""
        while True:
            await self._news.wait()
            await self._gather()
            now = self._clock()
            portion = []
            for asking, came in self._line.take(now, self.portion.size):
                self._counters.connect_wait.observe(now - came)
                portion.append(asking)
            there = still_there(portion)
            served = len(there)
            if there:
                self.verifying, self.refused = 0.0, 0
                await self._serve(there)
                if self._clock() - now > TARGET:  # or else they are there
                    served -= max(0, sum(hung_up(there)) - self.refused)
                if served >= len(there) // 2:
                    self.portion.took(self.verifying)
                else:
                    self.portion.failed()
            else:
                await asyncio.sleep(0)
            self.served += served
            self.gone += len(portion) - served
            self._line.newest_first = len(portion) > 2 * served
            if not self._line:
                self._news.clear()
                self._idle.set()

    async def _gather(self) -> None:
        """Waits while each turn of the loop brings somebody, for `TOGETHER` at most.

        The loop accepts one connection in each of its turns, and what a portion costs by itself (threads that
        wake each other, statements, a commit) it costs for one as for a dozen. Who comes alone waits for one
        turn.
        """
        began = self._clock()
        before = 0
        while before < len(self._line) < self.portion.size and self._clock() - began < TOGETHER:
            before = len(self._line)
            await asyncio.sleep(0)

    def _give_up(self, overdue: Sequence[tuple[Asking, float]], now: float) -> None:
        for _, came in overdue:
            self._counters.connect_wait.observe(now - came)
        there = still_there([asking for asking, _ in overdue])
        self.gone += len(overdue) - len(there)
        for client, _, _ in there:
            client.turn_away(
                ReasonCode.SERVER_BUSY,
                "waited_too_long",
                "more come than can be served: the newest are first",
            )


def still_there(portion: Sequence[Asking]) -> list[Asking]:
    """Those who have not hung up, which the kernel knows before their transports do.

    To authenticate the others is work for nobody; and to bind them would take their sessions away from where
    they went meanwhile. Who has said more behind its CONNECT has not given up: it wants that taken, and may
    send nothing else.
    """
    there = [asking for asking in portion if asking[0].transport is not None]
    waiting = []
    for asking, gone in zip(there, hung_up(there), strict=True):
        client = asking[0]
        if gone and not client.says_more():
            client.give_up()
        else:
            waiting.append(asking)
    return waiting


def hung_up(portion: Sequence[Asking]) -> list[bool]:
    """Which of them have, or are gone already."""
    poll = select.poll()
    handles = []
    for client, _, _ in portion:
        transport = client.transport
        peer = None if transport is None else transport.get_extra_info("socket")
        handle = NO_HANDLE if peer is None else peer.fileno()
        handles.append(GONE if transport is None else handle)
        if handle >= 0:
            poll.register(handle, select.POLLRDHUP)
    gone = {handle for handle, _ in poll.poll(0)}
    return [handle == GONE or handle in gone for handle in handles]
