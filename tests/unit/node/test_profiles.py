"""Orders to take profiles, and profiles that a node takes by itself."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

import msgspec
import pytest

from longline.center.operators.profile_orders import (
    ORDERS,
    OUTCOMES,
    ProfileOrder,
    ProfileOutcome,
    order_in,
    outcome_in,
)
from longline.errors import LonglineError, ProfileFailed, Unavailable
from longline.keeper.local import LocalKeeper
from longline.keeper.port import Node
from longline.model.profiles import ProcessProfile, ProfileKind
from longline.model.times import wall_clock
from longline.node import profiles as by_node
from longline.node.profiles import CLAIM, Profiles
from longline.profiling.captures import Captures
from longline.profiling.content import Content, TaskContent, TasksOfKind, unpack
from longline.saver.port.profiles import ProfileStore
from longline.telemetry.faults import Faults
from tests.waiting import eventually, until

CONTENT = TaskContent(kinds=[TasksOfKind("node.files", 1, 2.5, "run (app.py:3)")])


class Taken:
    """In the place of what takes profiles, and of where they are kept. `gate` holds up what is taken."""

    def __init__(self) -> None:
        self.asked: list[tuple[ProfileKind, float]] = []
        self.kept: list[ProcessProfile] = []
        self.gate: asyncio.Event | None = None
        self.fault: Exception | None = None
        self.ended_early = False

    async def take(
        self, kind: ProfileKind, seconds: float, going_on: Callable[[], Awaitable[bool]] | None = None
    ) -> Content:
        self.asked.append((kind, seconds))
        if self.fault is not None:
            raise self.fault
        while self.gate is not None and not self.gate.is_set():
            if going_on is not None and not await going_on():
                self.ended_early = True
                break
            await asyncio.sleep(0.001)
        return CONTENT

    async def put(self, profile: ProcessProfile) -> None:
        self.kept.append(profile)


class Stand:
    """Nodes that share a keeper."""

    def __init__(self) -> None:
        self.keeper = LocalKeeper()
        self.faults = Faults()
        self.every = 0.0
        self.tasks: list[asyncio.Task[None]] = []

    async def join(self, name: str) -> None:
        await self.keeper.join(Node(node=name, roles=("room",), addresses={}, since=0, version="1"))

    async def node(self, name: str, taken: Taken, since: int = 0) -> Profiles:
        await self.join(name)
        made = Profiles(
            cast(Captures, taken),
            cast(ProfileStore, taken),
            self.keeper,
            lambda: name,
            host="host-1",
            since=since,
            every=lambda: self.every,
            faults=self.faults,
            chance=lambda: 0.5,
        )
        self.tasks.append(asyncio.create_task(made.run()))
        self.tasks.append(asyncio.create_task(made.run_by_itself()))
        return made

    async def order(self, name: str, id: str, kind: ProfileKind = "tasks", at: int | None = None) -> None:
        requested = wall_clock() if at is None else at
        order = ProfileOrder(id=id, kind=kind, seconds=2.0, requested_at=requested)
        await self.keeper.write(ORDERS + name, msgspec.json.encode(order))

    async def outcome(self, name: str) -> ProfileOutcome | None:
        return outcome_in(await self.keeper.read(OUTCOMES + name))

    async def ordered(self, name: str) -> bool:
        return order_in(await self.keeper.read(ORDERS + name)) is not None


@pytest.fixture
async def stand() -> Stand:
    return Stand()


@pytest.fixture(autouse=True)
async def ended(stand: Stand) -> object:
    yield
    for task in stand.tasks:
        task.cancel()
    await asyncio.gather(*stand.tasks, return_exceptions=True)
    await stand.keeper.close()


async def test_an_order_is_carried_out_told_of_and_taken_away(stand: Stand) -> None:
    taken = Taken()
    await stand.node("room-1", taken)
    await stand.order("room-1", "one")
    await eventually(lambda: stand.outcome("room-1"), ProfileOutcome(id="one"))
    await eventually(lambda: stand.ordered("room-1"), False)
    (profile,) = taken.kept
    head = profile.head
    assert (head.id, head.node, head.host, head.kind) == ("one", "room-1", "host-1", "tasks")
    assert head.size == len(profile.content)
    assert unpack(profile.content) == CONTENT
    assert taken.asked == [("tasks", 2.0)]
    await stand.order("room-1", "two")
    await eventually(lambda: stand.outcome("room-1"), ProfileOutcome(id="two"))


async def test_an_order_to_another_node_is_left_to_that(stand: Stand) -> None:
    taken, other = Taken(), Taken()
    await stand.node("room-1", taken)
    await stand.node("room-2", other)
    await stand.order("room-2", "one")
    await eventually(lambda: stand.outcome("room-2"), ProfileOutcome(id="one"))
    assert taken.asked == []


async def test_an_order_to_a_former_life_is_not_carried_out(stand: Stand) -> None:
    taken = Taken()
    await stand.node("room-1", taken, since=wall_clock())
    await stand.order("room-1", "one", at=wall_clock() - 1000)
    await eventually(lambda: stand.ordered("room-1"), False)
    assert taken.asked == []
    assert await stand.outcome("room-1") is None


@pytest.mark.parametrize(
    ("fault", "code"), [(Unavailable("no"), "unavailable"), (ValueError("no"), ProfileFailed.code)]
)
async def test_what_goes_wrong_is_told_and_the_next_order_is_heeded(
    stand: Stand, fault: Exception, code: str
) -> None:
    taken = Taken()
    taken.fault = fault
    await stand.node("room-1", taken)
    await stand.order("room-1", "one")
    found = await until(lambda: stand.outcome("room-1"))
    assert found is not None
    assert (found.id, found.code) == ("one", code)
    assert bool(stand.faults.counts) is not isinstance(fault, LonglineError)
    taken.fault = None
    await stand.order("room-1", "two")
    await eventually(lambda: stand.outcome("room-1"), ProfileOutcome(id="two"))


async def test_what_is_no_order_is_left_alone(stand: Stand) -> None:
    taken = Taken()
    await stand.node("room-1", taken)
    await stand.keeper.write(ORDERS + "room-1", b"nonsense")
    await stand.order("room-1", "two")
    await eventually(lambda: stand.outcome("room-1"), ProfileOutcome(id="two"))


async def test_of_heaps_one_is_taken_at_a_time(stand: Stand) -> None:
    first, second = Taken(), Taken()
    first.gate = asyncio.Event()
    await stand.node("room-1", first)
    await stand.node("room-2", second)
    await stand.order("room-1", "one", "heap")
    await until(lambda: first.asked)
    await stand.order("room-2", "two", "heap")
    refused = await until(lambda: stand.outcome("room-2"))
    assert refused is not None
    assert (refused.code, second.asked) == ("profile_under_way", [])
    assert "room-1" in refused.message
    await stand.order("room-2", "three", "tasks")
    await eventually(lambda: stand.outcome("room-2"), ProfileOutcome(id="three"))
    first.gate.set()
    await eventually(lambda: stand.outcome("room-1"), ProfileOutcome(id="one"))
    await eventually(lambda: stand.keeper.read(CLAIM), None)
    await stand.order("room-2", "four", "heap")
    await eventually(lambda: stand.outcome("room-2"), ProfileOutcome(id="four"))


async def test_the_claim_of_a_node_that_is_no_more_is_taken_over_and_ends_there(stand: Stand) -> None:
    """It may live all the same, taken for dead: then it ends at once, and takes away nobody else's claim."""
    first, second = Taken(), Taken()
    first.gate, second.gate = asyncio.Event(), asyncio.Event()
    await stand.node("room-1", first)
    await stand.node("room-2", second)
    await stand.order("room-1", "one", "heap")
    await until(lambda: first.asked)
    await stand.keeper.leave("room-1")
    await stand.order("room-2", "two", "heap")
    await until(lambda: second.asked)
    await until(lambda: first.ended_early)
    await until(lambda: stand.outcome("room-1"))
    claim = await stand.keeper.read(CLAIM)
    assert claim is not None
    assert b"room-2" in claim.value
    second.gate.set()
    await eventually(lambda: stand.keeper.read(CLAIM), None)


async def test_a_claim_of_a_former_life_under_the_same_name_is_no_hindrance(stand: Stand) -> None:
    taken = Taken()
    await stand.keeper.write(CLAIM, b'{"node":"room-1"}')
    await stand.node("room-1", taken)
    await stand.order("room-1", "one", "heap")
    await eventually(lambda: stand.outcome("room-1"), ProfileOutcome(id="one"))


async def test_a_claim_is_taken_away_though_the_keeper_fails_at_first(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_node, "RETRY_AFTER", 0.001)
    taken = Taken()
    taken.gate = asyncio.Event()
    await stand.node("room-1", taken)
    await stand.order("room-1", "one", "heap")
    await until(lambda: taken.asked)
    write, failures = stand.keeper.write, [Unavailable("no"), Unavailable("no")]

    async def failing(key: str, value: bytes | None, version: int | None = None) -> int:
        if key == CLAIM and failures:
            raise failures.pop()
        return await write(key, value, version)

    monkeypatch.setattr(stand.keeper, "write", failing)
    taken.gate.set()
    await eventually(lambda: stand.keeper.read(CLAIM), None)
    assert failures == []


async def test_a_node_takes_profiles_by_itself_again_and_again(stand: Stand) -> None:
    stand.every = 0.001
    taken = Taken()
    await stand.node("room-1", taken)
    await until(lambda: len(taken.kept) >= 4)
    assert [kind for kind, _ in taken.asked[:4]] == ["cpu", "tasks", "cpu", "tasks"]
    assert len({profile.head.id for profile in taken.kept}) == len(taken.kept)


async def test_it_goes_on_when_one_could_not_be_taken(stand: Stand) -> None:
    stand.every = 0.001
    taken = Taken()
    taken.fault = ValueError("no")
    await stand.node("room-1", taken)
    await until(lambda: len(taken.asked) >= 2)
    taken.fault = None
    await until(lambda: taken.kept)


async def test_it_takes_none_by_itself_unless_it_is_told_to(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_node, "LOOK_EVERY", 0.001)
    taken = Taken()
    await stand.node("room-1", taken)
    await stand.order("room-1", "one")
    await until(lambda: taken.kept)
    assert taken.asked == [("tasks", 2.0)]
    stand.every = 0.001
    await until(lambda: len(taken.kept) > 1)
