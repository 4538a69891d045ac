"""Finishes what others began: submissions that were interrupted, and messages that nobody carried to a room.

A center may die between the commit of a message and its way to the rooms, and a queue may fail in that
moment. The store knows which messages are pending for connected devices without a sign of life, so they are
simply routed again; rooms tell a repetition by its position. What was only for who is connected is dropped by
then: nothing is to come behind what was sent after it.
"""

from collections.abc import Awaitable, Callable, Sequence

from longline.flow.contained import contained
from longline.model.commands import Broadcast, Unicast
from longline.model.times import wall_clock
from longline.saver.port.routing import RoutingStore
from longline.telemetry.faults import Faults

BATCH = 500

Route = Callable[[Sequence[Unicast | Broadcast], int], Awaitable[object]]


class Rerouting:
    """`round` takes up what is older than `after` seconds, a batch at most. `rerouted` counts messages.

    `route` hands messages to the nodes of their devices; it is given them and the time in ms.
    """

    def __init__(self, store: RoutingStore, route: Route, faults: Faults, *, after: float) -> None:
        self.rerouted = 0
        self.after = int(after * 1000)
        self._store = store
        self._route = route
        self._faults = faults

    async def round(self) -> bool:
        """True when there may be more."""
        now = wall_clock()
        before = now - self.after
        completed = await self._store.complete(before, BATCH)
        unrouted = await self._store.unrouted(before, BATCH)
        routes = [*completed, *unrouted]
        if routes:
            self.rerouted += len(routes)
            await contained(
                "coordinator.rerouting", lambda part: self._route(part, now), routes, self._faults
            )
        return max(len(completed), len(unrouted)) >= BATCH
