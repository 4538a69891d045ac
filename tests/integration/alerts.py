"""Making alerts true: conditions, and the steps that bring them about."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Protocol

from tests.servers.prometheus import Prometheus

Step = Callable[[], Awaitable[object]]


class Condition(Protocol):
    """Makes alerts true, with what it needs in a folder of its own."""

    __name__: str

    def __call__(self, tmp_path: Path) -> Coroutine[object, object, None]: ...


@asynccontextmanager
async def repeated(step: Step, every: float = 0.02) -> AsyncIterator[None]:
    """Takes a step again and again meanwhile, with pauses of so many seconds."""

    async def run() -> None:
        while True:
            await step()
            await asyncio.sleep(every)

    task = asyncio.create_task(run())
    try:
        yield
        if task.done():
            task.result()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def fired(prometheus: Prometheus, names: Iterable[str], step: Step, every: float = 0.02) -> None:
    """Takes a step again and again until each of these alerts has fired."""
    async with repeated(step, every), asyncio.TaskGroup() as group:
        for name in names:
            group.create_task(prometheus.fires(name), name=name)


async def stay() -> None:
    """A step that changes nothing, for a condition that lasts."""


async def side_by_side(conditions: Sequence[Condition], directory: Path) -> None:
    """Each with its own Prometheus: nearly all that they do is wait."""
    async with asyncio.TaskGroup() as group:
        for condition in conditions:
            own = directory / condition.__name__
            own.mkdir()
            group.create_task(condition(own), name=condition.__name__)
