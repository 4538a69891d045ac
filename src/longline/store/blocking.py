"""Commands that block, such as XREAD BLOCK: whoever has some gets a connection for them alone."""

import asyncio
from collections.abc import Callable

from longline.errors import LonglineError, StoreError, Unavailable
from longline.store.addresses import Address
from longline.store.calls import Remedy, Reply, Word, judge, refusal
from longline.store.connection import ServerConnection
from longline.store.dial import Dial
from longline.store.lanes import FIRST_DELAY, LAST_DELAY, spread


class BlockingCalls:
    """A connection for blocking commands on the keys of one tag; opened when first used.

    One command at a time: a second one waits for the first.
    """

    def __init__(
        self,
        dial: Dial,
        timeout: float,
        *,
        where: Callable[[], Address],
        doubt: Callable[[], None],
        ended: Callable[["BlockingCalls"], None],
    ) -> None:
        self._dial = dial
        self._timeout = timeout
        self._where = where
        self._doubt = doubt
        self._ended = ended
        self._connection: ServerConnection | None = None
        self._address: Address | None = None
        self._lock = asyncio.Lock()
        self._closed = False

    async def call(self, *command: Word, wait: float) -> Reply:
        """Sends a command that may block for up to `wait` seconds (its own BLOCK argument says so too).

        It is repeated, at another server if need be, when its connection breaks; `Unavailable` when there
        is still no answer `store.timeout` after `wait`, or when this is closed. `StoreError` as ever.
        """
        async with self._lock:
            try:
                async with asyncio.timeout(wait + self._timeout):
                    return await self._repeat(command, wait)
            except TimeoutError as error:
                raise Unavailable("the store did not answer in time") from error

    def close(self) -> None:
        """Ends the connection, and a command that is under way with `Unavailable`."""
        self._closed = True
        self._drop()
        self._ended(self)

    async def _repeat(self, command: tuple[Word, ...], wait: float) -> Reply:
        delay = FIRST_DELAY
        while True:
            if self._closed:
                raise Unavailable("the store is closed")
            connection: ServerConnection | None = None
            answered = False
            try:
                connection = await self._connected()
                async with asyncio.timeout(wait + self._timeout / 2):
                    reply = await connection.ask(*command)
                answered = True
                return reply
            except StoreError as error:
                if judge(error) in (Remedy.ANSWER, Remedy.DENIED):
                    answered = True
                    raise refusal(error) from None
                self._doubt()
            except (OSError, LonglineError, TimeoutError):
                self._doubt()
            finally:
                # Also when whoever waits is cancelled: the answer must not be taken for the next one's.
                if not answered:
                    self._drop()
            await asyncio.sleep(spread(delay))
            delay = min(delay * 2, LAST_DELAY)

    async def _connected(self) -> ServerConnection:
        address = self._where()
        if self._connection is None or not self._connection.open or self._address != address:
            self._drop()
            connection, _ = await self._dial.open(address)
            if self._closed:
                connection.abort()
                raise Unavailable("the store is closed")
            self._connection, self._address = connection, address
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.abort()
            self._connection = None
