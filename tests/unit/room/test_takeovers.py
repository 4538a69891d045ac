"""Telling other rooms that a device has come here."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from longline.errors import LonglineError, Unavailable
from longline.flow.batcher import Retry
from longline.model.commands import Close, CloseReason, Command
from longline.model.devices import Binding
from longline.room.counters import RoomCounters
from longline.room.life import takeovers as module
from longline.room.life.takeovers import Takeovers
from longline.telemetry.faults import Faults
from longline.testing.clock import settle


class FakeBus:
    """The part of a bus that is used: nodes may be stuck, or out of reach for a while."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, list[Command]]] = []
        self.faults: list[LonglineError] = []
        self.stuck: set[str] = set()

    async def send(self, node: str, commands: Sequence[Command]) -> None:
        if node in self.stuck:
            await asyncio.Event().wait()
        if self.faults:
            raise self.faults.pop(0)
        self.sent.append((node, list(commands)))

    async def receive(self, node: str) -> list[Command]:
        raise NotImplementedError

    async def nodes(self) -> list[str]:
        raise NotImplementedError

    async def open(self, node: str) -> None:
        raise NotImplementedError

    async def shut(self, node: str) -> None:
        raise NotImplementedError

    def waiting(self, node: str) -> int:
        raise NotImplementedError

    def statistics(self) -> Mapping[str, int]:
        raise NotImplementedError


class Post:
    """Takeovers above a bus."""

    def __init__(self) -> None:
        self.bus = FakeBus()
        self.counters = RoomCounters()
        self.takeovers = Takeovers(self.bus, self.counters, Faults())

    def add(self, number: int, node: str = "n2") -> None:
        self.takeovers.add(7, f"d{number}", Binding(node, number, 0))

    def told(self, node: str = "n2") -> list[str]:
        commands = [command for name, batch in self.bus.sent if name == node for command in batch]
        return [command.device for command in commands if isinstance(command, Close)]


async def test_what_comes_together_goes_together_to_each_room() -> None:
    post = Post()
    for number in range(4):
        post.add(number, f"n{number % 2}")
    task = asyncio.create_task(post.takeovers.run())
    await settle()
    assert post.bus.sent == [
        ("n0", [Close(7, "d0", 0, CloseReason.TAKEN_OVER), Close(7, "d2", 2, CloseReason.TAKEN_OVER)]),
        ("n1", [Close(7, "d1", 1, CloseReason.TAKEN_OVER), Close(7, "d3", 3, CloseReason.TAKEN_OVER)]),
    ]
    assert post.takeovers.waiting() == 0
    task.cancel()


async def test_a_bus_that_is_away_for_a_moment_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY", Retry(0, 0))
    post = Post()
    post.bus.faults = [Unavailable(), Unavailable()]
    task = asyncio.create_task(post.takeovers.run())
    post.add(1)
    await settle()
    post.add(2)
    await settle()
    assert post.told() == ["d1", "d2"]
    assert post.counters.takeovers_lost == 0
    task.cancel()


async def test_a_room_that_is_stuck_keeps_the_others_waiting_for_a_moment_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0)
    monkeypatch.setattr(module, "RETRY", Retry(0, 0))
    post = Post()
    post.bus.stuck = {"n2"}
    post.add(1)
    post.add(2, "n3")
    task = asyncio.create_task(post.takeovers.run())
    await settle()
    assert post.told("n3") == ["d2"]
    post.add(3, "n3")
    await settle()
    assert post.told("n3") == ["d2", "d3"]
    post.bus.stuck = set()
    await settle()
    assert post.told() == ["d1"]
    task.cancel()


async def test_beyond_the_bound_the_oldest_are_forgotten_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIMIT", 3)
    monkeypatch.setattr(module, "RETRY", Retry(0, 0))
    post = Post()
    for number in range(5):
        post.add(number)
    assert post.counters.takeovers_lost == 2
    post.bus.faults = [Unavailable()]
    task = asyncio.create_task(post.takeovers.run())
    await settle()
    assert post.told() == ["d2", "d3", "d4"]
    task.cancel()


async def test_those_that_failed_come_back_within_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIMIT", 3)
    monkeypatch.setattr(module, "RETRY", Retry(3600, 3600))
    post = Post()
    for number in range(3):
        post.add(number)
    sending = asyncio.Event()
    send = post.bus.send

    async def slow(node: str, commands: Sequence[Command]) -> None:
        await sending.wait()
        await send(node, commands)

    monkeypatch.setattr(post.bus, "send", slow)
    post.bus.faults = [Unavailable()]
    task = asyncio.create_task(post.takeovers.run())
    await settle()
    post.add(3)  # while the first three fail
    sending.set()
    await settle()
    assert post.takeovers.waiting() == 3
    assert post.counters.takeovers_lost == 1
    task.cancel()
