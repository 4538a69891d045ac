"""Whether a process could do its work now: what `/readyz` says.

Asked of the parts themselves, when somebody wants to know: a store that takes no writes any more is found
before the first message is refused for it, and so is its recovery.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from longline.errors import LonglineError, Overloaded

FRESH = 1.0  # s: for so long an answer of the store is good
PATIENCE = 0.5  # s: for so long who asks waits for the store
SLOW = 5.0  # s: a store that has not answered for so long does not answer


class Readiness:
    """`itself` (an obstacle, or "") and `in_touch` say at once, `check` has the store write something
    (`Saver.check`).

    One check serves all who ask meanwhile: asking costs the store next to nothing, however often it is done.
    """

    def __init__(
        self,
        itself: Callable[[], str],
        in_touch: Callable[[], bool],
        check: Callable[[], Awaitable[None]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._itself = itself
        self._in_touch = in_touch
        self._check = check
        self._clock = clock
        self._checking: asyncio.Task[None] | None = None
        self._begun = 0.0
        self._ended = float("-inf")
        self._wrong = ""

    async def obstacle(self) -> str:
        """What keeps the process from its work; "" when nothing does."""
        if obstacle := self._itself():
            return obstacle
        if not self._in_touch():
            return "the node is out of touch with the others"
        return await self._of_the_store()

    async def close(self) -> None:
        """Asks no more."""
        if self._checking is not None:
            self._checking.cancel()
            await asyncio.gather(self._checking, return_exceptions=True)

    async def _of_the_store(self) -> str:
        now = self._clock()
        if self._checking is None and now - self._ended >= FRESH:
            self._begun = now
            self._checking = asyncio.create_task(self._ask(), name="node.readiness")
        checking = self._checking
        if checking is not None:
            await asyncio.wait([checking], timeout=PATIENCE)
            if not checking.done() and self._clock() - self._begun >= SLOW:
                return "the store does not answer"
        return self._wrong

    async def _ask(self) -> None:
        try:
            await self._check()
            self._wrong = ""
        except Overloaded:
            self._wrong = ""  # it has much to do, and does it
        except LonglineError as error:
            self._wrong = f"the store does not take what is written: {error.message}"
        finally:
            self._ended = self._clock()
            self._checking = None
