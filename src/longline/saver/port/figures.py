"""The duties of the store of what processes tell about themselves."""

from collections.abc import Sequence
from typing import Protocol

from longline.model.figures import Asked, FiguresNow, FiguresTold, LifePoints


class FigureStore(Protocol):
    """The port. What holds for every port of the saver stands in the folder's first paragraph.

    It is bounded by `FigureBounds`. Nothing of it is durable beyond what the store does by itself, and what
    is told twice is kept once.
    """

    async def tell(self, told: FiguresTold) -> Asked:
        """Keeps the sample as the latest of its life, and the points that come with it."""
        ...

    async def left(self, life: str) -> None:
        """A process ends: `latest` has it no more, what was kept of it stays."""
        ...

    async def watch(self) -> FiguresNow:
        """The latest of all processes; for a time from now on, who tells learns that somebody watches."""
        ...

    async def latest(self) -> FiguresNow:
        """The latest of all processes that have not ended, also of those that are silent, by life."""
        ...

    async def history(
        self, node: str, since: int, until: int, *, coarse: bool, thin: int = 1
    ) -> Sequence[LifePoints]:
        """Points that came from `since` on, before `until`, of the lives of a node, or of all ("").

        Of each life the first of every `thin` of them, and the last. Lives in the order of their names; those
        without points are left out.
        """
        ...
