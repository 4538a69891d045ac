"""How one task tells others that something may have come true."""

import asyncio


class Signal:
    """Wakes whoever waits, and whoever wakes looks again. Small, for a device has some and is one of many."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: asyncio.Future[None] | None = None

    def set(self) -> None:
        """Wakes those who wait now."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    async def wait(self) -> None:
        """Returns when it is set the next time."""
        if self._waiting is None or self._waiting.done():
            self._waiting = asyncio.get_running_loop().create_future()
        # A future that one waiter cancels is cancelled for all: each awaits it through a shield.
        await asyncio.shield(self._waiting)
