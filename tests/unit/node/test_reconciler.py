"""What operators want at run time: settings that change, and orders to drain."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from longline.center.operators.drain_orders import DRAINS, PROGRESS, DrainOrder
from longline.node import reconciler
from longline.node.move_targets import MoveTargets
from longline.node.reconciler import Reconciler
from longline.room.life.draining import Draining, DrainPhase, DrainPlan, DrainProgress
from longline.settings import NodeSettings, Settings, dynamic
from longline.telemetry.faults import Faults
from tests.unit.node.members import FickleKeeper, a_member
from tests.waiting import WITHIN, until


class FakeDraining(Draining):
    """A drain that goes on until a test ends it."""

    def __init__(self) -> None:
        self.plans: list[DrainPlan] = []
        self.phase = DrainPhase.IDLE
        self.over = asyncio.Event()
        self.fails = False

    @property
    def draining(self) -> bool:
        return self.phase not in (DrainPhase.IDLE, DrainPhase.ABORTED)

    def progress(self) -> DrainProgress:
        return DrainProgress(phase=self.phase, total=len(self.plans))

    def abort(self) -> None:
        self.phase = DrainPhase.ABORTED
        self.over.set()

    async def run(self, plan: DrainPlan) -> DrainProgress:
        self.plans.append(plan)
        self.over.clear()
        if self.fails:
            raise RuntimeError("what nobody foresaw")
        self.phase = DrainPhase.MOVING
        try:
            await self.over.wait()
        except asyncio.CancelledError:
            self.abort()
            raise
        if self.draining:
            self.phase = DrainPhase.FINISHED
        return self.progress()


class FakeNode:
    def __init__(self, *, room: bool = True) -> None:
        self.keeper = FickleKeeper()
        self.name = "room-1"
        self.applied: list[Settings] = []
        self.draining = FakeDraining()
        self.faults = Faults()
        self.targets = MoveTargets(lambda: self.name)
        self.reconciler = Reconciler(
            Settings(node=NodeSettings(name="host-1")),
            self.keeper,
            lambda: self.name,
            apply=self.applied.append,
            targets=self.targets,
            draining=self.draining if room else None,
            faults=self.faults,
        )

    async def put(self, document: dynamic.Document) -> None:
        await self.keeper.write(dynamic.KEY, dynamic.encode(document))

    async def order(self, order: DrainOrder | None, node: str = "room-1") -> None:
        await self.keeper.write(DRAINS + node, None if order is None else msgspec.json.encode(order))

    async def progress(self) -> str | None:
        kept = await self.keeper.read(PROGRESS + self.name)
        return None if kept is None else str(msgspec.json.decode(kept.value)["phase"])

    async def told(self, phase: DrainPhase) -> None:
        """Waits until the keeper knows that the drain has come so far."""
        seen = 0
        async with asyncio.timeout(WITHIN):
            while await self.progress() != phase.value:
                seen = await self.keeper.changed(seen)


@asynccontextmanager
async def a_node(*, room: bool = True) -> AsyncIterator[FakeNode]:
    node = FakeNode(room=room)
    task = asyncio.create_task(node.reconciler.run())
    try:
        yield node
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def a_document(**values: object) -> dynamic.Document:
    document = dynamic.Document()
    for name, value in values.items():
        document = dynamic.put(document, name.replace("__", "."), value, (), 1)
    return document


# --- settings -----------------------------------------------------------------------------------------


async def test_settings_that_change_are_applied_and_their_version_is_known() -> None:
    async with a_node() as node:
        first = a_document(room__inflight_window=5)
        await node.put(first)
        await until(lambda: node.reconciler.version == 1)
        await node.put(dynamic.put(first, "room.linger", 2.5, (), 2))
        await until(lambda: node.reconciler.version == 2)
        assert [settings.room.inflight_window for settings in node.applied] == [5, 5]
        assert node.applied[-1].room.linger == 2.5
        assert node.applied[-1].node.name == "host-1"


async def test_settings_are_applied_once_however_much_else_changes() -> None:
    async with a_node() as node:
        await node.put(a_document(room__inflight_window=5))
        await until(lambda: node.reconciler.version == 1)
        for number in range(5):
            await node.keeper.join(a_member(f"room-{number}"))
            await node.keeper.write("something/else", b"%d" % number)
        await until(lambda: node.targets.any())
        assert len(node.applied) == 1


@pytest.mark.parametrize("nodes", [("room-1",), ("host-1",)])
async def test_settings_on_trial_are_for_the_nodes_named_or_the_hosts(nodes: tuple[str, ...]) -> None:
    async with a_node() as node:
        document = dynamic.put(dynamic.Document(), "room.inflight_window", 5, nodes, 1)
        await node.put(document)
        await until(lambda: node.reconciler.version == 1)
        assert node.applied[-1].room.inflight_window == 5
        await node.put(dynamic.roll_back(document, 2))
        await until(lambda: node.reconciler.version == 2)
        assert node.applied[-1].room.inflight_window == Settings().room.inflight_window


async def test_a_node_that_goes_on_under_another_name_has_what_is_on_trial_for_that_name() -> None:
    async with a_node() as node:
        await node.put(dynamic.put(dynamic.Document(), "room.inflight_window", 5, ("room-2",), 1))
        await until(lambda: node.reconciler.version == 1)
        assert node.applied[-1].room.inflight_window == Settings().room.inflight_window
        node.name = "room-2"
        await node.keeper.join(a_member("room-2"))
        await until(lambda: len(node.applied) == 2)
        assert node.applied[-1].room.inflight_window == 5


async def test_settings_that_cannot_be_read_change_nothing() -> None:
    async with a_node() as node:
        await node.keeper.write(dynamic.KEY, b"{ nonsense")
        await node.keeper.join(a_member("room-2"))
        await until(lambda: node.targets.any())
        assert node.applied == []


# --- orders -------------------------------------------------------------------------------------------


async def test_an_order_to_drain_is_carried_out_and_its_progress_is_told() -> None:
    async with a_node() as node:
        await node.order(DrainOrder(requested_at=0, rate=10.0, deadline=60.0))
        await node.told(DrainPhase.MOVING)
        assert node.draining.plans == [DrainPlan(rate=10.0, within=60.0)]
        assert node.reconciler.draining
        node.draining.over.set()
        await node.told(DrainPhase.FINISHED)
        assert node.reconciler.draining


async def test_an_order_to_another_node_is_none_of_ours() -> None:
    async with a_node() as node:
        await node.order(DrainOrder(requested_at=0), node="room-2")
        await node.order(DrainOrder(requested_at=0, dry_run=True))
        await until(lambda: bool(node.draining.plans))
        assert [plan.dry_run for plan in node.draining.plans] == [True]


async def test_an_order_that_is_taken_back_ends_the_drain() -> None:
    async with a_node() as node:
        await node.order(DrainOrder(requested_at=0))
        await node.told(DrainPhase.MOVING)
        await node.order(None)
        await node.told(DrainPhase.ABORTED)
        assert not node.reconciler.draining


async def test_an_order_that_is_taken_back_when_all_is_over_opens_the_room_again() -> None:
    async with a_node() as node:
        await node.order(DrainOrder(requested_at=0))
        await node.told(DrainPhase.MOVING)
        node.draining.over.set()
        await node.told(DrainPhase.FINISHED)
        await node.order(None)
        await node.told(DrainPhase.ABORTED)


async def test_a_node_that_goes_on_under_another_name_goes_on_draining_until_told_otherwise() -> None:
    """Else it would take clients again, since nobody has given an order to a node of its name."""
    async with a_node() as node:
        await node.order(DrainOrder(requested_at=0, rate=10.0, deadline=60.0))
        await node.told(DrainPhase.MOVING)
        node.name = "room-1-again"
        await node.keeper.write("something/else", b"1")
        await node.told(DrainPhase.MOVING)
        assert node.draining.draining
        assert len(node.draining.plans) == 1
        assert await node.keeper.read(DRAINS + "room-1") is None
        await node.order(None, "room-1-again")
        await node.told(DrainPhase.ABORTED)
        assert not node.draining.draining


async def test_an_order_that_was_taken_back_before_the_node_had_another_name_is_not_brought_along() -> None:
    async with a_node() as node:
        await node.order(DrainOrder(requested_at=0, rate=10.0, deadline=60.0))
        await node.told(DrainPhase.MOVING)
        node.name = "room-1-again"
        await node.order(None)
        await node.told(DrainPhase.ABORTED)
        assert not node.draining.draining


async def test_a_second_order_replaces_the_first() -> None:
    async with a_node() as node:
        await node.order(DrainOrder(rate=10.0, requested_at=1))
        await node.told(DrainPhase.MOVING)
        await node.order(DrainOrder(rate=99.0, requested_at=2))
        await until(lambda: len(node.draining.plans) == 2)
        assert node.draining.plans[-1].rate == 99.0
        await until(lambda: node.reconciler.draining)


async def test_an_order_that_cannot_be_read_is_none() -> None:
    async with a_node() as node:
        await node.keeper.write(DRAINS + "room-1", b"[]")
        await node.keeper.join(a_member("room-2"))
        await until(lambda: node.targets.any())
        assert node.draining.plans == []


async def test_a_drain_goes_on_whatever_telling_of_it_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_node() as node:
        write = node.keeper.write

        async def planted(key: str, value: bytes | None, version: int | None = None) -> int:
            if key.startswith(PROGRESS):
                raise ZeroDivisionError
            return await write(key, value, version)

        monkeypatch.setattr(node.keeper, "write", planted)
        await node.order(DrainOrder(requested_at=1))
        await until(lambda: node.faults.counts.get("node.drain"))
        assert node.draining.phase is DrainPhase.MOVING
        monkeypatch.setattr(node.keeper, "write", write)
        node.draining.over.set()
        await node.told(DrainPhase.FINISHED)


async def test_a_drain_that_fails_ends_nothing_else() -> None:
    async with a_node() as node:
        node.draining.fails = True
        await node.order(DrainOrder(requested_at=1))
        await until(lambda: len(node.draining.plans) == 1)
        node.draining.fails = False
        await node.order(DrainOrder(requested_at=2))
        await node.told(DrainPhase.MOVING)


async def test_progress_that_cannot_be_told_holds_up_no_drain() -> None:
    async with a_node() as node:
        await node.order(DrainOrder(requested_at=1))
        node.keeper.gone = True
        await until(lambda: len(node.draining.plans) == 1)
        assert node.reconciler.draining


async def test_a_process_without_a_room_has_nothing_to_drain() -> None:
    async with a_node(room=False) as node:
        await node.order(DrainOrder(requested_at=0))
        await node.put(a_document(room__inflight_window=5))
        await until(lambda: node.reconciler.version == 1)
        assert not node.reconciler.draining
        await node.reconciler.leave(1.0)


async def test_a_process_that_stops_moves_its_clients_within_the_time_it_has() -> None:
    node = FakeNode()
    leaving = asyncio.create_task(node.reconciler.leave(30.0))
    await until(lambda: bool(node.draining.plans))
    assert node.draining.plans == [DrainPlan(within=30.0, stopping=True)]
    node.draining.over.set()
    await leaving


async def test_what_nobody_foresaw_is_counted_and_the_process_hears_what_comes_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reconciler, "RETRY_AFTER", 0.0)
    async with a_node() as node:
        apply = node.applied.append

        def broken(settings: Settings) -> None:
            node.reconciler._apply = apply
            raise RuntimeError("what nobody foresaw")

        node.reconciler._apply = broken
        first = a_document(room__inflight_window=5)
        await node.put(first)
        await until(lambda: node.faults.counts == {"node.reconciler": 1})
        await node.put(dynamic.put(first, "room.inflight_window", 6, (), 2))
        await until(lambda: len(node.applied) == 1)
        assert node.applied[0].room.inflight_window == 6
