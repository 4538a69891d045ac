"""How fast messages to many devices of one app may go, where it has a limit on deliveries a second.

The limit is that of all rooms together: each takes the part of it that it has of the app's connected devices,
which it asks for once in a while. Until it knows, it takes all of it. What there was no time for is made up
for within `BURST`, and no more.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import structlog

from longline.errors import LonglineError
from longline.flow.lru import LruCache
from longline.model.limits import Limits
from longline.room.session.session import Tenant

BURST: Final = 0.1  # s
STEP: Final = 0.02  # s: so many go together, where one after the other would be much work
SLACK: Final = 1e-6  # deliveries: what sums of parts are off
ASK_AGAIN: Final = 5.0  # s
REMEMBERED: Final = 10_000  # apps

log = structlog.get_logger("longline.room")


class _Flow:
    """What an app may have delivered here: `level` deliveries at once, a part `share` of its rate."""

    __slots__ = ("asked_at", "level", "seen", "share")

    def __init__(self, now: float) -> None:
        self.level = 0.0
        self.seen = now
        self.share = 1.0
        self.asked_at = float("-inf")


class DeliveryRates:
    """Owned by the room's broadcasts. `total` counts the devices of an app that are connected, in all rooms.

    `held` counts how often all that waited had to wait for this.
    """

    def __init__(
        self,
        defaults: Callable[[], Limits],
        tenants: Mapping[int, Tenant],
        total: Callable[[int], Awaitable[int]],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.held = 0
        self._defaults = defaults
        self._tenants = tenants
        self._total = total
        self._monotonic = monotonic
        self._flows: LruCache[int, _Flow] = LruCache(REMEMBERED)
        self._asking: set[asyncio.Task[None]] = set()  # one for each app at most

    def rate(self, app: int) -> int:
        """Deliveries a second that the app may have in all rooms; 0 is without limit."""
        tenant = self._tenants.get(app)
        own = None if tenant is None else tenant.limits.deliveries_per_second
        return self._defaults().deliveries_per_second if own is None else own

    def least_seconds(self, app: int, deliveries: int) -> float:
        """How long so many take here at least."""
        rate = self.rate(app)
        return deliveries / (rate * self._flow(app, rate).share) if rate else 0.0

    def allowed(self, app: int, most: int) -> int:
        """How many of these may go now."""
        rate = self.rate(app)
        if not rate:
            return most
        flow = self._flow(app, rate)
        return min(most, int(flow.level + SLACK))

    def wait(self, app: int) -> float:
        """In how many seconds the next may go; 0 for now."""
        rate = self.rate(app)
        if not rate:
            return 0.0
        flow = self._flow(app, rate)
        here = rate * flow.share
        missing = max(1.0, here * STEP) - flow.level
        return missing / here if missing > SLACK else 0.0

    def took(self, app: int, deliveries: int) -> None:
        """So many have gone."""
        rate = self.rate(app)
        if rate:
            self._flow(app, rate).level -= deliveries

    def _flow(self, app: int, rate: int) -> _Flow:
        now = self._monotonic()
        flow = self._flows.get(app)
        if flow is None:
            flow = _Flow(now)
            self._flows.put(app, flow)
        here = rate * flow.share
        flow.level = min(max(1.0, here * BURST), flow.level + (now - flow.seen) * here)
        flow.seen = now
        if now - flow.asked_at >= ASK_AGAIN:
            flow.asked_at = now
            asking = asyncio.create_task(self._ask(app, flow), name="room.delivery-rates")
            self._asking.add(asking)
            asking.add_done_callback(self._asking.discard)
        return flow

    async def _ask(self, app: int, flow: _Flow) -> None:
        try:
            total = await self._total(app)
        except LonglineError as error:
            log.debug("connected_devices_unknown", code=error.code)
            return
        tenant = self._tenants.get(app)
        here = 0 if tenant is None else len(tenant.sessions)
        flow.share = min(1.0, max(here, 1) / max(total, 1))

    async def close(self) -> None:
        """Asks nobody any more."""
        for asking in self._asking:
            asking.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)
