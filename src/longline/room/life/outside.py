"""CONNECTs that wait for somebody outside: an identity provider's keys, the service that decides on them, or
the store, which may have the app as nobody has told this room yet.

Nobody else waits with them. Each waits in a task of its own, of which there are `limit` at most, and then
comes back to the entrance as if it had just come, with what was answered.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from longline.errors import LonglineError, Overloaded
from longline.mqtt.packets import Connect
from longline.room.life.authority_counters import AuthorityCounters
from longline.room.life.callback import Decision
from longline.room.life.entrant import Entrant
from longline.telemetry.faults import Faults


class Question(NamedTuple):
    """What has to be found out before a CONNECT can be answered; `ask` gives the decision, if that is one."""

    ask: Callable[[], Awaitable[Decision | None]]


class Heard(NamedTuple):
    """What came of a question: `decision` is None where there was only something to be read."""

    decision: Decision | None


class Outside:
    """`back` takes a CONNECT that goes on, `refuse` one for which nothing could be found out."""

    def __init__(
        self,
        limit: int,
        counters: AuthorityCounters,
        faults: Faults,
        *,
        back: Callable[[Entrant, Connect, Heard], None],
        refuse: Callable[[Entrant, Exception], None],
    ) -> None:
        self._limit = limit
        self._counters = counters
        self._faults = faults
        self._back = back
        self._refuse = refuse
        self._tasks: set[asyncio.Task[None]] = set()

    def wait(self, client: Entrant, packet: Connect, question: Question) -> None:
        """Has a CONNECT wait. Raises `Overloaded` when too many do."""
        if len(self._tasks) >= self._limit:
            raise Overloaded("too many CONNECTs wait for those who decide on them")
        task = asyncio.create_task(self._ask(client, packet, question), name="room.outside")
        self._tasks.add(task)
        self._counters.waiting = len(self._tasks)
        task.add_done_callback(self._over)

    async def close(self) -> None:
        """Nobody waits any more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._counters.waiting = len(self._tasks)

    async def _ask(self, client: Entrant, packet: Connect, question: Question) -> None:
        try:
            decision = await question.ask()
        except Exception as error:
            if not isinstance(error, LonglineError):
                self._faults.note("room.outside", error)
            self._refuse(client, error)
        else:
            self._back(client, packet, Heard(decision))
