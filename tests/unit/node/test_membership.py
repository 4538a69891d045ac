"""A name stands for one life, and whoever was taken for dead goes on under another."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from longline.errors import Unavailable
from longline.flow.kept import kept
from longline.keeper.port import Load
from longline.node.membership import NEWS, Membership, describe_load
from longline.telemetry.faults import Faults
from longline.testing.clock import VirtualClock, settle
from tests.unit.node.members import FickleBus, FickleKeeper, a_member

INTERVAL = 2.0


class FakeProcess:
    """A process as its membership sees it: what it would tell, and what it was told to do."""

    def __init__(self, *, has_queue: bool = True, lasting: bool = False) -> None:
        self.clock = VirtualClock()
        self.keeper = FickleKeeper()
        self.bus = FickleBus()
        self.load = Load()
        self.told_to: list[str] = []
        self.refusals = 0  # how often `renamed` fails
        self.binding: str | None = None  # who binds a device while the process falls
        self.membership = Membership(
            "host",
            self.keeper,
            self.bus,
            describe=lambda name: a_member(name, load=self.load),
            has_queue=has_queue,
            fallen=self._fallen,
            renamed=self._renamed,
            interval=INTERVAL,
            lasting=lasting,
            monotonic=self.clock.now,
            sleep=self.clock.sleep,
        )

    @property
    def name(self) -> str:
        return self.membership.name

    async def _fallen(self) -> None:
        self.told_to.append("fallen")
        if self.binding is not None:
            self.membership.fenced(self.name)  # a CONNECT that was taken in before was refused as dead

    async def _renamed(self, name: str) -> None:
        if self.refusals:
            self.refusals -= 1
            raise Unavailable("no queue")
        self.told_to.append(f"renamed {name}")
        await self.bus.open(name)


@asynccontextmanager
async def a_process(*, has_queue: bool = True, lasting: bool = False) -> AsyncIterator[FakeProcess]:
    process = FakeProcess(has_queue=has_queue, lasting=lasting)
    await process.membership.join()
    await process.bus.open(process.name)
    task = asyncio.create_task(process.membership.run())
    await settle()
    try:
        yield process
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_process_is_a_member_under_a_name_that_nobody_else_has() -> None:
    async with a_process() as one, a_process() as other:
        assert await one.keeper.names() == [one.name]
        assert one.name.startswith("host-")
        assert one.name != other.name


async def test_a_process_that_is_alone_keeps_its_name() -> None:
    async with a_process(lasting=True) as process:
        assert process.name == "host"


async def test_load_is_told_when_it_has_changed_and_not_otherwise() -> None:
    async with a_process() as process:
        await process.clock.advance(10 * INTERVAL)
        assert len(process.keeper.told) == 1
        process.load = Load(connections=7)
        await process.clock.advance(INTERVAL)
        await process.clock.advance(INTERVAL)
        assert [node.load.connections for node in process.keeper.told] == [0, 7]


@pytest.mark.parametrize(
    ("load", "told"),
    [
        (describe_load(5, 10, 0.012, 0.0004), Load(connections=5, capacity=10, cpu=0.0, lag=0.0)),
        (describe_load(5, 10, 0.524, 0.0349), Load(connections=5, capacity=10, cpu=0.5, lag=0.03)),
    ],
)
def test_load_is_told_roughly_so_that_a_quiet_node_is_quiet(load: Load, told: Load) -> None:
    assert load == told


async def test_what_changes_can_be_told_at_once_and_nobody_is_hurt_when_nobody_hears() -> None:
    async with a_process() as process:
        process.load = Load(connections=1)
        await process.membership.tell()
        assert process.keeper.told[-1].load.connections == 1
        process.keeper.gone = True
        process.load = Load(connections=2)
        await process.membership.tell()
        process.keeper.gone = False
        await process.clock.advance(INTERVAL)
        assert process.keeper.told[-1].load.connections == 2


async def test_who_was_taken_for_dead_falls_and_rises_under_another_name() -> None:
    async with a_process() as process:
        old = process.name
        await process.clock.advance(NEWS)
        await process.keeper.take_for_dead(old)
        await process.clock.advance(INTERVAL)
        assert process.told_to == ["fallen", f"renamed {process.name}"]
        assert process.name != old
        assert await process.keeper.names() == [process.name]
        assert process.membership.renames == 1
        before = [node for node in process.keeper.told if node.node == process.name]
        assert [node.draining for node in before] == [True, False]  # it takes clients when all is ready
        await process.clock.advance(10 * INTERVAL)
        assert process.membership.renames == 1


async def test_a_member_that_has_just_joined_waits_for_the_news_of_itself() -> None:
    async with a_process() as process:
        await process.keeper.take_for_dead(process.name)  # as a keeper that has not heard of it yet
        await process.clock.advance(INTERVAL)
        assert process.told_to == []


async def test_who_is_refused_as_dead_does_not_wait() -> None:
    async with a_process() as process:
        old = process.name
        process.membership.fenced(process.name)
        await settle()
        assert process.told_to == ["fallen", f"renamed {process.name}"]
        assert process.name != old
        assert await process.keeper.names() == [process.name]  # the former name is taken off the list


async def test_who_is_refused_again_while_it_falls_changes_its_name_once() -> None:
    async with a_process() as process:
        process.binding = "d1"
        process.membership.fenced(process.name)
        await settle()
        await process.clock.advance(2 * INTERVAL)
        assert process.told_to == ["fallen", f"renamed {process.name}"]


async def test_what_is_heard_late_of_a_former_name_does_not_make_a_process_fall_again() -> None:
    """Its queue may be found gone while it joins under the new name, which can take a while."""
    async with a_process() as process:
        former = process.name
        process.keeper.gone = True
        process.membership.fenced(former)
        await process.clock.advance(1.0)
        assert process.told_to == ["fallen"]
        process.membership.fenced(former)
        process.keeper.gone = False
        await process.clock.advance(1.0)
        process.membership.fenced(former)
        await process.clock.advance(10 * INTERVAL)
        assert process.told_to == ["fallen", f"renamed {process.name}"]
        assert process.membership.renames == 1


async def test_who_cannot_rise_at_once_tries_until_it_can() -> None:
    """Its room is shut meanwhile, so to give up would be to be shut for ever."""
    async with a_process() as process:
        process.refusals = 3
        process.membership.fenced(process.name)
        await process.clock.advance(5.0)
        assert process.told_to == ["fallen", f"renamed {process.name}"]
        assert await process.keeper.names() == [process.name]
        assert len({node.node for node in process.keeper.told}) == 5  # a name is never used for a second try


async def test_who_could_not_rise_for_what_nobody_foresaw_tries_again_and_does_not_stay_fallen() -> None:
    process = FakeProcess()
    await process.membership.join()
    renamed = process._renamed

    async def failing(name: str) -> None:
        process.membership._renamed = renamed
        raise RuntimeError("what nobody foresaw")

    process.membership._renamed = failing
    faults = Faults()
    running = asyncio.create_task(
        kept("node.membership", process.membership.run, faults, sleep=process.clock.sleep)
    )
    await settle()
    process.membership.fenced(process.name)
    await process.clock.advance(10 * INTERVAL)
    assert faults.counts == {"node.membership": 1}
    assert process.told_to[-1] == f"renamed {process.name}"
    assert not process.membership.fallen
    assert await process.keeper.names() == [process.name]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_who_falls_while_the_keeper_is_gone_rises_when_it_is_back() -> None:
    async with a_process() as process:
        process.keeper.gone = True
        assert not process.membership.fallen
        await process.bus.shut(process.name)
        await process.clock.advance(10.0)
        assert process.told_to == ["fallen"]
        assert process.membership.fallen
        process.keeper.gone = False
        await process.clock.advance(1.0)
        assert process.told_to == ["fallen", f"renamed {process.name}"]
        assert not process.membership.fallen


async def test_a_keeper_that_is_gone_for_a_while_is_no_reason_to_fall() -> None:
    """Nobody has shut the queue, so nobody took the node for dead."""
    async with a_process() as process:
        process.keeper.gone = True
        await process.clock.advance(60.0)
        process.keeper.gone = False
        process.load = Load(connections=3)
        await process.clock.advance(INTERVAL)
        assert process.told_to == []
        assert process.keeper.told[-1].load.connections == 3


async def test_who_is_out_of_touch_and_finds_its_queue_shut_was_taken_for_dead() -> None:
    async with a_process() as process:
        process.keeper.gone = True
        await process.clock.advance(10.0)
        await process.bus.shut(process.name)
        await process.clock.advance(INTERVAL)
        assert process.told_to == ["fallen"]


async def test_who_reaches_neither_keeper_nor_bus_goes_on() -> None:
    async with a_process() as process:
        process.keeper.gone = process.bus.gone = True
        await process.clock.advance(60.0)
        assert process.told_to == []


async def test_who_has_no_queue_learns_of_its_death_only_from_the_keeper() -> None:
    async with a_process(has_queue=False) as process:
        process.keeper.gone = True
        await process.bus.shut(process.name)
        await process.clock.advance(10.0)
        assert process.told_to == []
        await process.keeper.take_for_dead(process.name)
        process.keeper.gone = False
        await process.clock.advance(INTERVAL)
        assert process.told_to == ["fallen", f"renamed {process.name}"]


async def test_who_leaves_is_no_member_though_the_keeper_may_not_hear_of_it() -> None:
    async with a_process() as process:
        await process.membership.leave()
        assert await process.keeper.names() == []
        process.keeper.gone = True
        await process.membership.leave()


async def test_joining_raises_when_the_keeper_cannot_be_reached() -> None:
    process = FakeProcess()
    process.keeper.gone = True
    with pytest.raises(Unavailable):
        await process.membership.join()
