"""Messages to many devices go as fast as their app's limit lets them, in all rooms together."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import cast

import msgspec

from longline.errors import Unavailable
from longline.model.limits import AppLimits, Limits
from longline.room.push.delivery_rates import ASK_AGAIN, DeliveryRates
from longline.room.session.session import Tenant
from longline.testing.clock import settle

APP = 7
RATE = 1000


class World:
    """A room with some of an app's devices, and a clock that stands still until it is moved."""

    def __init__(self, here: int, total: int) -> None:
        self.now = 0.0
        self.total: int | None = total
        self.tenant = SimpleNamespace(limits=AppLimits(), sessions=dict.fromkeys(range(here)))
        self.defaults = Limits(deliveries_per_second=RATE)
        tenants = cast(Mapping[int, Tenant], {APP: self.tenant})
        self.rates = DeliveryRates(lambda: self.defaults, tenants, self.count, lambda: self.now)

    async def count(self, app: int) -> int:
        if self.total is None:
            raise Unavailable
        return self.total

    async def deliver(self, seconds: float, most: int = 100) -> int:
        """How many go in so long, in slices of at most so many."""
        done, end = 0, self.now + seconds
        while self.now < end:
            wait = self.rates.wait(APP)
            if wait:
                self.now += wait
            else:
                some = self.rates.allowed(APP, most)
                assert 0 < some <= most
                self.rates.took(APP, some)
                done += some
            await settle()
        return done


async def test_a_room_with_all_devices_has_the_whole_rate() -> None:
    world = World(10, 10)
    assert abs(await world.deliver(5) - 5 * RATE) <= RATE / 5
    await world.rates.close()


async def test_a_room_has_the_part_that_its_devices_are() -> None:
    world = World(10, 40)
    await world.deliver(1)
    assert abs(await world.deliver(8) - 2 * RATE) <= RATE / 5
    world.total = 10
    world.now += ASK_AGAIN
    await world.deliver(1)
    assert abs(await world.deliver(2) - 2 * RATE) <= RATE / 5
    await world.rates.close()


async def test_what_there_was_no_time_for_is_not_made_up_for() -> None:
    world = World(10, 10)
    await world.deliver(1)
    world.now += 60
    assert world.rates.allowed(APP, 100_000) <= RATE / 10
    await world.rates.close()


async def test_a_room_that_cannot_ask_goes_by_what_it_knew() -> None:
    world = World(10, 20)
    await world.deliver(1)
    world.total = None
    assert abs(await world.deliver(2 * ASK_AGAIN) - ASK_AGAIN * RATE) <= RATE / 5
    await world.rates.close()


async def test_an_app_has_its_own_limit_or_none() -> None:
    world = World(10, 10)
    world.tenant.limits = AppLimits(deliveries_per_second=10)
    assert world.rates.rate(APP) == 10
    assert await world.deliver(3) <= 32
    world.tenant.limits = AppLimits(deliveries_per_second=0)
    assert world.rates.allowed(APP, 5000) == 5000
    assert world.rates.wait(APP) == 0
    assert world.rates.least_seconds(APP, 5000) == 0
    world.defaults = msgspec.structs.replace(world.defaults, deliveries_per_second=0)
    assert world.rates.rate(99) == 0
    await world.rates.close()


async def test_a_paced_message_takes_as_long_as_the_limit_wants_at_least() -> None:
    world = World(10, 10)
    assert world.rates.least_seconds(APP, 5000) == 5
    await world.rates.close()
