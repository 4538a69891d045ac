"""Finishes what others began: submissions that were interrupted, and messages that nobody carried to a room.

A center may die between the commit of a message and its way to the rooms, and a queue may fail in that
moment. The store knows which messages are pending for connected devices without a sign of life, so they are
simply routed again; rooms tell a repetition by its position.
"""

from longline.bus.port import Bus
from longline.delivery.routing import route
from longline.model.times import wall_clock
from longline.saver.bundle import Saver

BATCH = 500


class Rerouting:
    """`round` takes up what is older than `after` seconds, a batch at most. `rerouted` counts messages."""

    def __init__(self, saver: Saver, bus: Bus, *, after: float) -> None:
        self.rerouted = 0
        self._saver = saver
        self._bus = bus
        self.after = int(after * 1000)

    async def round(self) -> bool:
        """True when there may be more."""
        now = wall_clock()
        before = now - self.after
        completed = await self._saver.routing.complete(before, BATCH)
        unrouted = await self._saver.routing.unrouted(before, BATCH)
        routes = [*completed, *unrouted]
        if routes:
            self.rerouted += len(routes)
            await route(routes, now, bus=self._bus, routing=self._saver.routing, inboxes=self._saver.inboxes)
        return max(len(completed), len(unrouted)) >= BATCH
