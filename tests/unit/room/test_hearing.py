"""Who waits until other rooms have heard: what ends the waiting, and who is to blame when nothing does."""

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio

from longline.room.pubsub.hearing import PATIENCE, Hearing
from longline.telemetry.faults import Faults
from longline.testing.clock import VirtualClock, settle


class Ear:
    """A hearing in virtual time, and who was told."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.faults = Faults()
        self.hearing = Hearing(self.faults, now=self.clock.now, sleep=self.clock.sleep)
        self.told: list[str] = []

    def wait(self, who: str) -> None:
        self.hearing.wait(lambda: self.told.append(who))

    def ask(self, *rooms: str) -> int:
        number = self.hearing.ask(rooms)
        self.hearing.sent(number)
        return number


@pytest_asyncio.fixture
async def ear() -> AsyncIterator[Ear]:
    ear = Ear()
    task = asyncio.create_task(ear.hearing.run())
    await settle()
    yield ear
    task.cancel()


async def test_all_rooms_answer_each_its_own_questions(ear: Ear) -> None:
    ear.wait("first")
    first = ear.ask("b", "c")
    ear.wait("second")
    second = ear.ask("b", "c")
    ear.hearing.heard("b", (first, second))
    ear.hearing.heard("b", (first, 99))
    assert ear.told == []
    assert len(ear.hearing) == 2
    ear.hearing.heard("c", (second,))
    assert ear.told == ["second"]
    ear.hearing.heard("c", (first,))
    assert ear.told == ["second", "first"]
    assert len(ear.hearing) == 0
    assert not ear.hearing.unheard()


async def test_nobody_is_told_before_all_rooms_were_sent_it(ear: Ear) -> None:
    ear.wait("x")
    number = ear.hearing.ask(["b"])
    ear.hearing.heard("b", (number,))
    assert ear.told == []
    ear.hearing.sent(number)
    assert ear.told == ["x"]


async def test_patience_ends_and_blames_only_who_was_sent_it(ear: Ear) -> None:
    ear.wait("not sent")
    ear.hearing.ask(["b"])
    ear.wait("not asked")
    await ear.clock.advance(PATIENCE)
    await settle()
    assert ear.told == ["not sent", "not asked"]
    ear.wait("sent")
    ear.ask("b")
    assert ear.told[2:] == []
    await ear.clock.advance(PATIENCE)
    await settle()
    ear.wait("of the silent only")
    number = ear.ask("b")
    assert ear.told[2:] == ["sent", "of the silent only"]
    ear.hearing.heard("b", (number,))
    ear.wait("waited for again")
    ear.ask("b")
    assert ear.told[4:] == []


async def test_nobody_waits_longer_for_one_who_was_asked_first_and_came_last(ear: Ear) -> None:
    quarter = PATIENCE / 4
    _, first = ear.hearing.ask_for(["a"])
    await ear.clock.advance(quarter)
    ear.wait("early")
    await ear.clock.advance(quarter)
    _, late = ear.hearing.ask_for(["b"])
    ear.ask("b")
    await ear.clock.advance(2 * quarter)
    await settle()
    assert first.done()
    assert ear.told == []
    await ear.clock.advance(quarter)
    await settle()
    assert ear.told == ["early"]
    assert not late.done()


async def test_what_could_not_be_sent_is_withdrawn(ear: Ear) -> None:
    number, told = ear.hearing.ask_for(["b"])
    ear.hearing.withdraw(number)
    await told
    assert len(ear.hearing) == 0
    ear.wait("b is not to blame")
    ear.ask("b")
    assert ear.told == []
    ear.hearing.excuse("b")
    assert ear.told == ["b is not to blame"]


async def test_one_that_fails_costs_the_others_nothing(ear: Ear) -> None:
    def fails() -> None:
        raise RuntimeError("planted")

    ear.hearing.wait(fails)
    ear.wait("x")
    ear.ask()
    assert ear.told == ["x"]
    assert ear.faults.counts["room.hearing"] == 1


async def test_what_is_owed_is_gathered_by_room(ear: Ear) -> None:
    for room, number in (("b", 1), ("c", 5), ("b", 2)):
        ear.hearing.owe(room, number)
    assert ear.hearing.answers() == {"b": [1, 2], "c": [5]}
    assert ear.hearing.answers() == {}
