"""One duty: who leads it does a round of it again and again."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from longline.errors import LonglineError
from longline.keeper.port import Keeper
from longline.telemetry.faults import Faults

log = structlog.get_logger("longline.coordinator")

RETRY_AFTER = 1.0  # s

Round = Callable[[], Awaitable[bool]]


class Duty:
    """Runs `round` every `every` seconds while this node leads the duty `name`, and at once again when it
    says that there may be more to do. Rounds are short: leadership is looked at before each.

    `node` gives this process's name, which may change while it lives. A round that fails ends nothing, since
    the process may serve clients too; it is tried again after a while. What nobody foresaw goes to `faults`.
    `rounds` and `failures` count.
    """

    def __init__(
        self,
        name: str,
        keeper: Keeper,
        node: Callable[[], str],
        round: Round,
        faults: Faults,
        *,
        every: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.name = name
        self.rounds = 0
        self.failures = 0
        self._keeper = keeper
        self._node = node
        self._round = round
        self._faults = faults
        self.every = every
        self._sleep = sleep

    async def run(self) -> None:
        """Works for as long as the process lives."""
        while True:
            pause = self.every
            try:
                while await self._keeper.leads(self.name, self._node()):
                    self.rounds += 1
                    if not await self._round():
                        break
            except LonglineError as error:
                log.warning("duty_failed", duty=self.name, code=error.code, error=error.message)
                pause = self._failed()
            except Exception as error:
                self._faults.note(f"coordinator.{self.name}", error)
                pause = self._failed()
            await self._sleep(pause)

    def _failed(self) -> float:
        """How long to wait: a store that is away is not asked, nor the log told of it, ten times a second."""
        self.failures += 1
        return max(self.every, RETRY_AFTER)
