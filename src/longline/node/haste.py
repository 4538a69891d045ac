"""Ending when somebody cannot wait: what does not end by itself then is given up."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

HASTE: Final = 1.0  # s for what is under way, once it has been hastened

log = structlog.get_logger("longline.node")


class Haste:
    """Owned by the process, which calls `ask` when somebody cannot wait."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()

    @property
    def asked(self) -> bool:
        """Whether somebody cannot wait."""
        return self._asked.is_set()

    def ask(self) -> None:
        """From now on everything ends soon."""
        self._asked.set()

    async def end(self, part: str, work: Callable[[], Awaitable[None]], grace: float = HASTE) -> None:
        """Does `work`, which ends a part of the process; raises what it raises.

        Once hastened, what it waits for is given up after `grace` seconds, by a `CancelledError` there. Work
        that goes on in spite of that, as an exit stack does with what it has still to close, has so long
        again.
        """

        async def working() -> None:
            await work()

        ending = asyncio.create_task(working(), name=f"node.end.{part}")
        hurrying = asyncio.create_task(self._asked.wait(), name="node.haste")
        try:
            await asyncio.wait([ending, hurrying], return_when=asyncio.FIRST_COMPLETED)
            while not ending.done():
                await asyncio.wait([ending], timeout=grace)
                if not ending.done():
                    log.warning("stop_cut_short", part=part)
                    ending.cancel()
        finally:
            hurrying.cancel()
            ending.cancel()
            await asyncio.gather(hurrying, return_exceptions=True)
        if not ending.cancelled():
            ending.result()
