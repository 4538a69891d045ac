"""A room that cannot do its work lets its clients go while they find a better place. In virtual time."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

import pytest

from longline.mqtt.packets import MQTT_3_1_1, MQTT_5_0, Disconnect, Publish
from longline.mqtt.properties import PropertyId
from longline.mqtt.reasons import ReasonCode
from longline.room.life import shedding
from longline.room.life.shedding import AFTER, LOOK, PAUSE, ROUND, Shedding
from longline.testing.clock import VirtualClock, settle
from tests.unit.room.fixture import Peer
from tests.unit.room.running import RunningRoom


class CutOff:
    """A room that is cut off, and what its clients do when they are let go."""

    def __init__(self, comes_back: Callable[[int], bool] = lambda number: False) -> None:
        self.room = RunningRoom()
        self.clock = VirtualClock()
        self.elsewhere = True
        self.gone: list[str] = []
        self.comes_back = comes_back
        self.shedding = Shedding(
            self.room.parts.sessions,
            self.room.parts.counters,
            self.room.admission,
            others=lambda: self.elsewhere,
            where=self._where,
            sleep=self.clock.sleep,
            random=lambda: 0.5,
        )
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.back_in_reach()

    def _where(self, app: str, device: str, transport: str) -> str | None:
        assert app == "news"
        self.gone.append(device)
        return "10.0.0.2:1884"

    def crowd(self, count: int) -> list[Peer]:
        return [self.room.parts.client(f"d{number}") for number in range(count)]

    async def cut(self) -> None:
        self._task = asyncio.create_task(self.shedding.run())
        await settle()

    async def back_in_reach(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def passes(self, seconds: float) -> None:
        """Some of those that go come back at once."""
        end = self.clock.now() + seconds
        while (left := end - self.clock.now()) > 1e-6:
            seen = len(self.gone)
            await self.clock.advance(min(left, ROUND / 2))
            self.room.parts.turns.settle()
            for device in self.gone[seen:]:
                if self.comes_back(int(device[1:])):
                    self.room.connect(device)

    async def rounds(self, count: int) -> list[int]:
        """How many have gone by the end of each."""
        found = []
        for _ in range(count):
            await self.passes(ROUND)
            found.append(len(self.gone))
        return found


async def test_a_hundredth_goes_first_and_twice_as_many_in_each_further_round() -> None:
    async with CutOff() as site:
        site.crowd(1000)
        await site.cut()
        await site.passes(AFTER - 0.1)
        assert site.gone == []
        await site.passes(0.1)
        assert len(site.gone) == 10
        assert await site.rounds(6) == [30, 70, 150, 310, 630, 1000]
        assert site.room.parts.counters.shed == 1000
        assert site.room.parts.counters.closed == {"moved": 1000}


@pytest.mark.parametrize("clients", [1, 20, 99])
async def test_few_go_one_by_one_at_first_and_none_is_forgotten(clients: int) -> None:
    async with CutOff() as site:
        site.crowd(clients)
        await site.cut()
        await site.passes(AFTER)
        assert len(site.gone) == 1
        await site.rounds(7)
        assert sorted(site.gone) == sorted({f"d{number}" for number in range(clients)})


async def test_when_they_come_back_nobody_goes_any_more_and_a_hundredth_tries_again_later() -> None:
    """So when the store is away for all, the clients of a room lose a hundredth of their connections."""
    async with CutOff(comes_back=lambda number: True) as site:
        site.crowd(1000)
        await site.cut()
        await site.passes(AFTER)
        assert await site.rounds(5) == [10] * 5
        await site.passes(PAUSE - 4 * ROUND - 1)
        assert len(site.gone) == 10
        await site.passes(2)
        assert len(site.gone) == 20
        await site.passes(1.9 * PAUSE)
        assert len(site.gone) == 20, "each pause is twice as long"
        await site.passes(0.2 * PAUSE)
        assert len(site.gone) == 30


async def test_a_few_that_know_no_other_place_do_not_keep_the_others() -> None:
    async with CutOff(comes_back=lambda number: number % 10 == 0) as site:
        site.crowd(1000)
        await site.cut()
        await site.passes(AFTER)
        assert (await site.rounds(6))[-1] == 1000


async def test_nobody_goes_while_there_is_no_other_place() -> None:
    async with CutOff() as site:
        site.crowd(100)
        site.elsewhere = False
        await site.cut()
        await site.passes(1000)
        assert site.gone == []
        site.elsewhere = True
        await site.passes(LOOK)
        assert len(site.gone) == 1


async def test_who_is_back_in_reach_keeps_the_rest_and_lets_clients_in_again() -> None:
    async with CutOff() as site, site.room:
        for number in range(3):
            await site.room.client(f"d{number}")
        await site.cut()
        await site.passes(AFTER)
        refused = site.room.connect("new")
        await site.room.settle()
        assert refused.over
        await site.back_in_reach()
        await site.passes(100)
        assert len(site.gone) == 1
        welcome = site.room.connect("new")
        await site.room.settle()
        assert not welcome.over


async def test_those_with_something_under_way_go_last() -> None:
    async with CutOff() as site:
        crowd = site.crowd(100)
        for peer in crowd[:50]:
            site.room.parts.offer(peer, 1)
        await site.cut()
        await site.passes(AFTER)
        await site.rounds(5)
        assert len(site.gone) == 63
        assert set(site.gone[:50]) == {f"d{number}" for number in range(50, 100)}


async def test_not_more_go_at_once_than_others_can_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shedding, "RATE", 50)
    async with CutOff() as site:
        site.crowd(1000)
        await site.cut()
        await site.passes(AFTER)
        assert await site.rounds(6) == [30, 70, 130, 190, 250, 310]


async def test_clients_are_told_where_to_go() -> None:
    async with CutOff() as site:
        new = site.room.parts.client("d0", MQTT_5_0)
        old = site.room.parts.client("d1", MQTT_3_1_1)
        await site.cut()
        await site.passes(AFTER)
        (goodbye,) = new.unread()
        assert isinstance(goodbye, Disconnect)
        assert goodbye.reason == ReasonCode.USE_ANOTHER_SERVER
        assert goodbye.properties is not None
        assert goodbye.properties[PropertyId.SERVER_REFERENCE] == "10.0.0.2:1884"
        await site.passes(ROUND)
        (notice,) = old.unread()
        assert isinstance(notice, Publish)
        assert notice.topic == "$link/moved"
        assert old.over
