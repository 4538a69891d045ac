"""All that is known of the cluster at one moment, gathered for the rules of `findings.py`."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from longline.center.figures.app_health import AppHealths
from longline.center.figures.capacity import Capacity, Fullness
from longline.center.figures.finding_tables import HIGH, RISING
from longline.center.figures.findings import LATELY, Cluster, DrainDue, NodeTold, Problem, problems_of
from longline.center.figures.history import columns_of, read
from longline.center.operators.drain_orders import DRAINS, PROGRESS, order_in, progress_in
from longline.keeper.port import Keeper, Kept, nodes_among
from longline.model.figures import FiguresNow, LifePoints, Sample, unpacked
from longline.saver.bundle import Saver
from longline.settings import dynamic

KNOWN_FOR: Final = 1.0  # s: whoever asks more often is told the same
DRAINED: Final = 3600.0  # s that a drain without a deadline may take before somebody is told

_sample = msgspec.json.Decoder(Sample)
_WANTED: Final = frozenset({*HIGH, *RISING, "webhooks_failing"})
_FOREVER: Final = float("-inf")


class Overview:
    """One for a center."""

    def __init__(
        self,
        saver: Saver,
        keeper: Keeper,
        apps: AppHealths,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._saver = saver
        self._keeper = keeper
        self._apps = apps
        self._monotonic = monotonic
        self._capacity = Capacity(saver.figures, monotonic)
        self._found: list[Problem] = []
        self._looked_at = _FOREVER
        self._lock = asyncio.Lock()

    async def capacity(self) -> list[Fullness]:
        """How full each bound is, the fullest first."""
        now = await self._saver.figures.latest()
        return await self._capacity.of((sample for _, sample in samples(now)), now.at)

    async def problems(self) -> list[Problem]:
        """What is wrong now, the critical first."""
        async with self._lock:
            if self._monotonic() - self._looked_at >= KNOWN_FOR:
                cluster, of_apps = await asyncio.gather(self._gather(), self._apps.problems())
                self._found = [*problems_of(cluster), *of_apps]
                self._looked_at = self._monotonic()
        return self._found

    async def _gather(self) -> Cluster:
        figures, keeper = self._saver.figures, self._keeper
        now = await figures.latest()
        points, members, drains, progress, kept = await asyncio.gather(
            figures.history("", now.at - LATELY, now.at + 1, coarse=False),
            keeper.members(),
            keeper.read_all(DRAINS),
            keeper.read_all(PROGRESS),
            keeper.read(dynamic.KEY),
        )
        found = samples(now)
        return Cluster(
            now=now.at,
            told=told_of(now, points),
            members=nodes_among(members),
            settings=_settings(kept),
            orders=_orders(drains, progress),
            bounds=await self._capacity.of((sample for _, sample in found), now.at),
            durability=self._saver.durability(),
        )


def samples(now: FiguresNow) -> list[tuple[str, Sample]]:
    """The latest of all lives; one that another version tells in another form is left out."""
    found = []
    for heard in now.heard:
        told = unpacked(heard.sample)
        try:
            if told is not None:
                found.append((heard.life, _sample.decode(told)))
        except msgspec.DecodeError:
            continue
    return found


def told_of(now: FiguresNow, points: Sequence[LifePoints]) -> list[NodeTold]:
    """What each has told, with those of its points of late that rules ask for."""
    recent = {life.life: life for life in points}
    heard = {each.life: each.at for each in now.heard}
    told = []
    for life, sample in samples(now):
        at: list[int] = []
        columns: Mapping[str, Sequence[float | None]] = {}
        if life in recent:
            about, rows = read(recent[life])
            wanted = [name for name in about.names if name in _WANTED or name.startswith("faults{")]
            at = [moment for moment, _ in recent[life].points]
            columns = columns_of(about, rows, wanted)
        told.append(NodeTold(sample, heard[life], at, columns))
    return told


def _settings(kept: Kept | None) -> tuple[int, int]:
    try:
        document = dynamic.decode(None if kept is None else kept.value)
    except msgspec.DecodeError:
        return 0, 0
    return document.version, document.at


def _orders(drains: Mapping[str, Kept], progress: Mapping[str, Kept]) -> list[DrainDue]:
    orders = []
    for key, kept in drains.items():
        node = key.removeprefix(DRAINS)
        order, told = order_in(kept), progress_in(progress.get(PROGRESS + node)) or {}
        if order is not None and not order.dry_run:
            phase = str(told.get("phase", ""))
            orders.append(DrainDue(node, order.requested_at + int((order.deadline or DRAINED) * 1000), phase))
    return orders
