"""Brings the process to the state that operators want: settings that change, and orders to drain.

What they want lies in the keeper. The settings in force are the file's with the document's on top
(`longline.settings.dynamic`); the version that this process goes by is part of what it tells of itself. An
order to drain a node is a value under the node's name, and goes with it to another one that it gets when it
was taken for dead; how far the drain has come is written beside it.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import msgspec
import structlog

from longline.center.operators.drain_orders import DRAINS, PROGRESS, DrainOrder
from longline.errors import LonglineError
from longline.keeper.port import Keeper, Kept
from longline.node.move_targets import MoveTargets
from longline.room.life.draining import Draining, DrainPlan
from longline.settings import Settings, dynamic
from longline.telemetry.faults import Faults

TELL_EVERY = 1.0  # s
RETRY_AFTER = 1.0

log = structlog.get_logger("longline.node")


class Reconciler:
    """Owned by the process, which runs `run` as a task. `apply` is given settings when they have changed.

    An order or a document that nobody foresaw goes to `faults`; the process lives on with what it had.
    """

    def __init__(
        self,
        settings: Settings,
        keeper: Keeper,
        node: Callable[[], str],
        *,
        apply: Callable[[Settings], None],
        targets: MoveTargets,
        draining: Draining | None,
        faults: Faults,
    ) -> None:
        self.version = 0
        self._named = node()  # the name that the settings in force are for
        self._targets = targets
        self._faults = faults
        self._settings = settings
        self._keeper = keeper
        self._node = node
        self._apply = apply
        self._draining = draining
        self._order: DrainOrder | None = None
        self._ordered = node()  # the name that it came under
        self._drain: asyncio.Task[None] | None = None

    @property
    def draining(self) -> bool:
        """Whether this process wants no new clients."""
        return self._draining is not None and self._draining.draining

    async def run(self) -> None:
        """Works for as long as the process lives."""
        seen = 0
        try:
            while True:
                try:
                    self._targets.see(await self._keeper.members())
                    await self._take_settings()
                    if self._draining is not None:
                        await self._take_order(self._draining)
                    seen = await self._keeper.changed(seen)
                except LonglineError as error:
                    log.warning("not_reconciled", code=error.code, error=error.message)
                    await asyncio.sleep(RETRY_AFTER)
                except Exception as error:
                    self._faults.note("node.reconciler", error)
                    await asyncio.sleep(RETRY_AFTER)
        finally:
            if self._drain is not None:
                self._drain.cancel()

    async def leave(self, within: float) -> None:
        """Moves all clients elsewhere, in `within` seconds; who is left then is left to the room's end."""
        if self._draining is not None:
            await self._draining.run(DrainPlan(within=within, stopping=True))
            for key in (DRAINS + self._node(), PROGRESS + self._node()):
                with suppress(LonglineError):  # the next order to drain takes away what is a day old
                    if await self._keeper.read(key) is not None:
                        await self._keeper.write(key, None)

    def hurry(self, within: float) -> None:
        """Has `leave` end within so many seconds."""
        if self._draining is not None:
            self._draining.hurry(within)

    async def _take_settings(self) -> None:
        kept = await self._keeper.read(dynamic.KEY)
        try:
            document = dynamic.decode(kept.value if kept is not None else None)
        except msgspec.DecodeError as error:
            log.error("settings_unreadable", error=str(error))
            return
        name = self._node()
        if document.version != self.version or (name != self._named and document.gray is not None):
            self.version, self._named = document.version, name
            settings = dynamic.effective(self._settings, document, name, self._settings.node.name)
            self._apply(settings)
            log.info("settings_changed", version=document.version)

    async def _take_order(self, draining: Draining) -> None:
        kept = await self._keeper.read(DRAINS + self._node())
        if self._ordered != self._node():
            kept = kept or await self._bring_order(self._ordered)
            self._ordered = self._node()
        order = None
        if kept is not None:
            try:
                order = msgspec.json.decode(kept.value, type=DrainOrder)
            except msgspec.DecodeError as error:
                log.error("drain_order_unreadable", error=str(error))
        if order == self._order:
            return
        self._order = order
        if order is None:
            draining.abort()
            await self._tell(draining)
            return
        plan = DrainPlan(dry_run=order.dry_run, within=order.deadline)
        if order.rate is not None:
            plan = msgspec.structs.replace(plan, rate=order.rate)
        if self._drain is not None:
            self._drain.cancel()
            await asyncio.gather(self._drain, return_exceptions=True)
        self._drain = asyncio.create_task(self._carry_out(draining, plan), name="node.drain")

    async def _bring_order(self, former: str) -> Kept | None:
        """An order to a node holds for as long as the process lives, whatever its name is by then."""
        order = await self._keeper.read(DRAINS + former)
        for prefix in (DRAINS, PROGRESS):
            kept = await self._keeper.read(prefix + former)
            if order is not None and kept is not None:
                await self._keeper.write(prefix + self._node(), kept.value)
                await self._keeper.write(prefix + former, None)
        return order

    async def _carry_out(self, draining: Draining, plan: DrainPlan) -> None:
        """Drains, and tells how far it has come until it is over."""
        running = asyncio.create_task(draining.run(plan), name="node.drain-room")
        try:
            while not running.done():
                await self._tell(draining)
                await asyncio.wait([running], timeout=TELL_EVERY)
        finally:
            running.cancel()
            (result,) = await asyncio.gather(running, return_exceptions=True)
            if isinstance(result, Exception):
                log.error("drain_failed", exc_info=result)
        await self._tell(draining)

    async def _tell(self, draining: Draining) -> None:
        try:
            await self._keeper.write(PROGRESS + self._node(), msgspec.json.encode(draining.progress()))
        except LonglineError as error:
            log.warning("drain_progress_not_told", code=error.code, error=error.message)
        except Exception as error:  # the room goes on draining, told of or not
            self._faults.note("node.drain", error)
