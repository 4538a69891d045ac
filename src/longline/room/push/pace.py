"""How much bulk work may be done now: what goes to many devices at once, be it offered or read.

Whoever has much to do does it in slices and comes to `pause` after each. A slice is `slice` deliveries long;
then the loop serves whoever waits, and after that the bulk rests for `weight` times as long as that turn
took. So what a node needs to be taken for alive (heartbeats, PINGRESP, binds) never waits for more than a
slice, and a machine or a store that is short of time gets the rest.

Both are found by additive increase and multiplicative decrease. A turn that took longer than `TURN` halves
the slice, and where that is as small as it gets, doubles the weight. A store whose answers take longer than
`LATE`, or that gives none, does both: what is written now it has to take as receipts later. A good turn takes
a little off the weight, and when there is none left adds a little to the slice. Where nothing is wrong there
is no rest, and a slice is as long as the setting says.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, final

from longline.errors import LonglineError
from longline.telemetry.counters import Tally

TURN: Final = 0.025  # s that a turn of the loop may take with a slice in it
LATE: Final = 0.25  # s that the store may take for an answer; it is judged once in such a time
RECENT: Final = 1.0  # s for which an answer is remembered
LEAST: Final = 32  # deliveries in a slice
STEP: Final = 1 / 16  # of the longest slice, added after a good turn
RELIEF: Final = 0.25  # taken off the weight after a good turn
HEAVIEST: Final = 16.0
LONGEST_REST: Final = 0.25  # s

LOOP: Final = "loop"  # why bulk work is slowed: a turn of the loop takes too long
STORE_LATE: Final = "store_late"
STORE_FAILS: Final = "store_fails"


class BulkPace:
    """One for a room. `most`: deliveries in the longest slice. `slowed` counts slow-downs, by reason.

    `asking` is to be around calls to the store by which its answers are judged.
    """

    def __init__(
        self,
        most: int,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.most = most
        self.slice = min(most, max(LEAST, most // 8))
        self.weight = 0.0
        self.slowed = Tally()
        self._monotonic = monotonic
        self._sleep = sleep
        self._asked: dict[int, float] = {}  # calls that the store has not answered, and since when
        self._calls = 0
        self._took = 0.0  # s that the last answer took
        self._answered = float("-inf")  # when it came
        self._fails = False  # it was none
        self._judged = float("-inf")  # when the store was last found in trouble

    def asking(self) -> "StoreCall":
        """To be around a call to the store."""
        return StoreCall(self)

    def asked(self) -> int:
        """The store is called; returns the number of the call."""
        self._calls = call = self._calls + 1
        self._asked[call] = self._monotonic()
        return call

    def answered(self, call: int, error: BaseException | None) -> None:
        """That call is over."""
        begun = self._asked.pop(call)
        self._answered = now = self._monotonic()
        self._took = now - begun
        # Anything else says something of an item, and not of the store.
        self._fails = isinstance(error, LonglineError) and error.retryable

    def late(self) -> float:
        """How long the store takes for an answer, in seconds."""
        waiting = self._monotonic() - next(iter(self._asked.values())) if self._asked else 0.0
        return max(waiting, self._took if self._is_recent() else 0.0)

    def _is_recent(self) -> bool:
        """Whether the last answer says anything of now."""
        return self._monotonic() - self._answered < RECENT

    def begin(self) -> float:
        """The time, for the first `pause`."""
        return self._monotonic()

    async def pause(self, begun: float) -> float:
        """After a slice that began at that time: lets others go on. Returns when the next slice begins."""
        await asyncio.sleep(0)
        rest = self.judge(self._monotonic() - begun)
        if rest:
            await self._sleep(rest)
        return self._monotonic()

    def judge(self, turn: float) -> float:
        """A slice and the turn of the loop with it took so long; for how long to rest, in seconds."""
        if turn > TURN:
            self._slow(LOOP)
        elif (trouble := self._trouble()) is None:
            if self.weight:
                self.weight = max(0.0, self.weight - RELIEF)
            else:
                self.slice = self.slice + max(1, int(self.most * STEP))
        elif self._monotonic() - self._judged >= LATE:
            self._judged = self._monotonic()
            self._slow(trouble)
        self.slice = min(self.slice, self.most)
        return min(LONGEST_REST, turn * self.weight)

    def _trouble(self) -> str | None:
        if self.late() > LATE:
            return STORE_LATE
        return STORE_FAILS if self._fails and self._is_recent() else None

    def _slow(self, reason: str) -> None:
        self.slowed.add(reason)
        if reason != LOOP or self.slice <= LEAST:
            self.weight = min(HEAVIEST, max(1.0, 2 * self.weight))
        self.slice = max(LEAST, self.slice // 2)


@final
class StoreCall:
    """A call to the store, for as long as its `with` lasts.

    Not by a generator, which costs several times more: each portion of CONNECTs, receipts and fetches makes
    some.
    """

    __slots__ = ("_number", "_pace")

    def __init__(self, pace: BulkPace) -> None:
        self._pace = pace
        self._number = 0

    def __enter__(self) -> None:
        self._number = self._pace.asked()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pace.answered(self._number, error)
