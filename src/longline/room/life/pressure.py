"""Whether the stores keep up with this room; and what it does when they do not: take in less.

While receipts, CONNECTs or reads pile up, new CONNECTs are refused as busy and connections that publish are
not read from. So what waits is worked off instead of growing to its bounds, where things would be forgotten.
"""

import asyncio
from collections.abc import Callable, Sequence

import structlog

from longline.room.counters import RoomCounters
from longline.room.turn import Turn

HIGH = 0.75  # of its bound: so much waits when pressure begins
LOW = 0.5  # and so much at most when it ends
INTERVAL = 0.1  # s

log = structlog.get_logger()


class Pressure:
    """Owned by the room, which runs `run` as a task.

    `queues`: how much waits in each, and its bound. `failing`: whether a store gives no answers. The turn
    carries the verdict, `pressed`, to where it is acted upon.
    """

    def __init__(
        self,
        turn: Turn,
        counters: RoomCounters,
        queues: Sequence[tuple[Callable[[], int], int]],
        failing: Callable[[], bool],
    ) -> None:
        self._turn = turn
        self._counters = counters
        self._queues = queues
        self._failing = failing

    async def run(self) -> None:
        """Looks at the queues for as long as the room lives."""
        while True:
            self.look()
            await asyncio.sleep(INTERVAL)

    def look(self) -> None:
        """Decides anew."""
        turn = self._turn
        most = LOW if turn.pressed else HIGH
        pressed = self._failing() or any(waiting() > most * bound for waiting, bound in self._queues)
        if pressed == turn.pressed:
            return
        if pressed:
            turn.pressed = True
            self._counters.pressed += 1
            log.warning("pressed", reason="a store does not keep up")
        else:
            turn.relieve()
            log.info("relieved")
