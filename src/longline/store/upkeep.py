"""Keeping a connection to one server: again and again, with back-off and jitter, until told to stop."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Final

import structlog

from longline.store.addresses import Address
from longline.store.connection import ServerConnection
from longline.store.dial import Dial, Facts
from longline.store.figures import Figures
from longline.store.lanes import FIRST_DELAY, spread
from longline.store.script import Script

logger = structlog.get_logger(__name__)

_SLOWEST: Final = 1.0  # seconds between attempts, and how long a connection lives that was worth having


class Upkeep:
    """Opens a connection, gives it to `adopt`, and opens the next when that one is lost.

    `addresses` are tried in turn (a single server may have several, of which one is the master); `address`
    is the one in use or tried now, `facts` is what the server said of itself on the last connection.
    `troubled` is called at every failure.
    """

    def __init__(
        self,
        addresses: Sequence[Address],
        dial: Dial,
        scripts: Collection[Script],
        figures: Figures,
        adopt: Callable[[ServerConnection], None],
        troubled: Callable[[], None],
    ) -> None:
        self.address = addresses[0]
        self.facts: Facts | None = None
        self._addresses = addresses
        self._dial = dial
        self._scripts = scripts
        self._figures = figures
        self._adopt = adopt
        self._troubled = troubled
        self._task = asyncio.create_task(self._keep(), name=f"store {self.address}")

    def close(self) -> None:
        """Opens no more connections."""
        self._task.cancel()

    async def closed(self) -> None:
        """Waits until nothing of it is running any more."""
        await asyncio.gather(self._task, return_exceptions=True)

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        attempt = 0
        delay = FIRST_DELAY
        while True:
            self.address = self._addresses[attempt % len(self._addresses)]
            connection: ServerConnection | None = None
            try:
                connection, facts = await self._dial.open(self.address, self._scripts, self.facts)
                logger.info("store_connected", server=str(self.address), version=facts.version)
                self._figures.reconnects += self.facts is not None
                self.facts = facts
                since = loop.time()
                self._adopt(connection)
                await connection.lost.wait()
                # One that takes connections only to drop them is not hammered either.
                if loop.time() - since > _SLOWEST:
                    delay = FIRST_DELAY
            except Exception as error:  # whatever it is: giving up would end every call from now on
                if delay == FIRST_DELAY:
                    logger.warning("store_server_out_of_reach", server=str(self.address), reason=str(error))
                if connection is not None:
                    connection.abort()
                attempt += 1
            self._troubled()
            await asyncio.sleep(spread(delay))
            delay = min(delay * 2, _SLOWEST)
