"""How many messages an app may have taken: exact in one process, and in the long run over all."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import msgspec
import pytest

from longline.delivery.limits import LimitsOfApps
from longline.delivery.rates import MessageRates
from longline.errors import MessageRateExceeded, Unavailable
from longline.model.apps import App
from longline.model.limits import AppLimits, Limits
from longline.saver.port.rates import Spending
from longline.saver.sql.rates import LocalRates
from longline.testing.clock import settle

RATE = 100


def an_app(number: int = 1, own: int | None = None) -> App:
    return App(
        app=f"app{number}",
        number=number,
        name="",
        server_key_hash=b"",
        device_secret="",
        pubsub=False,
        created_at=0,
        limits=AppLimits(messages_per_second=own),
    )


class World:
    """A store of rates, processes that go by it, and a clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0
        self.store = LocalRates(lambda: self.now)
        self.limits = LimitsOfApps(Limits(messages_per_second=RATE))
        self.sleepers: list[asyncio.Event] = []
        self.down = False
        self.told: list[Spending] = []
        self.processes = [
            MessageRates(self, self.limits, monotonic=lambda: self.now, sleep=self.sleep) for _ in range(3)
        ]

    async def spend(self, batch: Sequence[Spending]) -> list[float]:  # the store's, for the processes
        if self.down:
            raise Unavailable
        self.told += batch
        return await self.store.spend(batch)

    async def sleep(self, seconds: float) -> None:
        event = asyncio.Event()
        self.sleepers.append(event)
        await event.wait()

    async def pass_time(self, seconds: float) -> None:
        """A tenth of a second after the other, and everybody tells what there is to tell."""
        await settle()
        for _ in range(round(seconds * 10)):
            self.now += 0.1
            for _ in range(2):  # who told first hears in the second round what the others said
                sleepers, self.sleepers = self.sleepers, []
                for event in sleepers:
                    event.set()
                await settle()

    def taken(self, process: int, app: App, wanted: int = 10_000) -> int:
        """How many messages of these go, one by one."""
        for count in range(wanted):
            try:
                self.processes[process].take(app, 1)
            except MessageRateExceeded:
                return count
        return wanted

    async def close(self) -> None:
        for process in self.processes:
            await process.close()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    await world.close()


async def test_a_process_takes_a_second_and_then_the_rate(world: World) -> None:
    app = an_app()
    assert world.taken(0, app) == RATE
    await world.pass_time(0.5)
    assert abs(world.taken(0, app) - RATE // 2) <= 1
    await world.pass_time(10)
    assert world.taken(0, app) == RATE


async def test_what_two_processes_take_is_the_rate_in_the_long_run(world: World) -> None:
    app = an_app()
    total = 0
    for _ in range(100):  # ten seconds
        total += world.taken(0, app) + world.taken(1, app)
        await world.pass_time(0.1)
    # A second's worth at once, what the other took before it was heard of, and what a round may be off.
    assert 10 * RATE <= total <= 12 * RATE + RATE


async def test_what_was_too_much_is_owed(world: World) -> None:
    app = an_app()
    assert [world.taken(process, app) for process in range(3)] == [RATE] * 3
    await world.pass_time(0.1)
    assert [world.taken(process, app) for process in range(3)] == [0] * 3
    await world.pass_time(1.5)
    assert world.taken(0, app) == 0
    await world.pass_time(1)
    assert world.taken(0, app) > RATE // 2


async def test_a_request_goes_whole_or_not_at_all(world: World) -> None:
    app = an_app()
    rates = world.processes[0]
    rates.take(app, 60)
    with pytest.raises(MessageRateExceeded) as refused:
        rates.take(app, 60)
    error = refused.value
    assert (error.rate, error.left, error.retry_after, error.full) == (RATE, 40, 0.2, 0.6)
    rates.take(app, 40)
    assert rates.refused == 1


async def test_a_request_that_is_more_than_a_second_waits_for_a_full_one_and_owes_the_rest(
    world: World,
) -> None:
    app = an_app()
    rates = world.processes[0]
    rates.take(app, 5 * RATE)
    for _ in range(4):
        await world.pass_time(1)
        assert world.taken(0, app) == 0
    await world.pass_time(1)
    assert world.taken(0, app) == RATE


async def test_what_was_there_already_is_given_back(world: World) -> None:
    app = an_app()
    rates = world.processes[0]
    rates.take(app, RATE)
    rates.give_back(app, 30)
    await world.pass_time(0.1)
    quota = rates.quota(app)
    assert quota is not None
    assert quota.left == 40


async def test_an_app_has_the_limit_of_its_own_or_none(world: World) -> None:
    assert world.taken(0, an_app(2, own=7)) == 7
    assert world.taken(0, an_app(3, own=0)) == 10_000
    assert world.processes[0].quota(an_app(3, own=0)) is None
    world.limits.defaults = msgspec.structs.replace(world.limits.defaults, messages_per_second=0)
    assert world.taken(0, an_app(4)) == 10_000


async def test_a_limit_that_is_raised_counts_at_once(world: World) -> None:
    assert world.taken(0, an_app(2, own=10)) == 10
    await world.pass_time(0.1)
    assert world.taken(0, an_app(2, own=1000)) == 1
    await world.pass_time(1)
    assert world.taken(0, an_app(2, own=1000)) == 1000


async def test_without_the_store_each_goes_by_what_it_knows(world: World) -> None:
    app = an_app()
    world.down = True
    assert world.taken(0, app) == RATE
    await world.pass_time(1)
    assert world.taken(0, app) == RATE
    world.down = False
    await world.pass_time(0.1)
    assert world.told[0].amount == 2 * RATE  # and nothing is forgotten


async def test_nobody_is_told_while_nothing_is_sent(world: World) -> None:
    app = an_app()
    world.processes[0].take(app, 1)
    await world.pass_time(5)
    told = len(world.told)
    await world.pass_time(5)
    assert len(world.told) == told
    assert world.sleepers == []
    world.processes[0].take(app, 1)
    await world.pass_time(0.1)
    assert len(world.told) > told
