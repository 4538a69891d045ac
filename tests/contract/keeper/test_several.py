"""Membership, leadership and values as several processes see them, some of which die."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

import pytest

from longline.errors import Conflict
from longline.keeper.port import Keeper
from tests.contract.keeper.nodes import (
    a_detailed_node,
    a_node,
    leaders,
    until,
    until_leads,
    until_members,
)
from tests.waiting import WITHIN

ROOT = Path(__file__).parents[3]
SHORT = 4.0  # s: what a test waits for, and a busy machine does not lose by accident
DUTY = "expiry"


class Member:
    """`member.py` as a process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, engine: str, place: str, name: str) -> Self:
        return cls(
            await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "tests.contract.keeper.member", engine, place, str(SHORT), name, DUTY),
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(["src", *sys.path])},
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
        )

    async def says(self) -> str:
        """Its next line that is not of its log."""
        assert self._process.stdout is not None
        async with asyncio.timeout(WITHIN):
            while line := await self._process.stdout.readline():
                if line.startswith((b"joined", b"leads", b"fenced", b"True", b"False")):
                    return line.decode().strip()
        raise AssertionError("it has ended")

    def tell(self, order: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(order.encode() + b"\n")

    async def answers(self, order: str) -> str:
        self.tell(order)
        return await self.says()

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def end(self) -> None:
        """SIGKILL."""
        if self._process.returncode is None:
            self.send(signal.SIGKILL)
        await self._process.wait()


@asynccontextmanager
async def a_member(engine: str, place: str, name: str) -> AsyncIterator[Member]:
    """One that has joined."""
    member = await Member.start(engine, place, name)
    try:
        assert await member.says() == "joined"
        yield member
    finally:
        await member.end()


async def test_members_hear_of_each_other(keepers: list[Keeper]) -> None:
    for keeper, name in zip(keepers, "abc", strict=True):
        await keeper.join(a_node(name))
    for keeper in keepers:
        await until_members(keeper, "a", "b", "c")
    await keepers[1].leave("b")
    for keeper in keepers:
        await until_members(keeper, "a", "c")
    await keepers[0].join(a_detailed_node("a"))

    async def told() -> bool:
        return a_detailed_node("a") in await keepers[2].members()

    await until(keepers[2], told)


async def test_who_closes_leaves_with_all_its_members_at_once(keepers: list[Keeper]) -> None:
    for name in "ab":
        await keepers[0].join(a_node(name))
    await keepers[1].join(a_node("c"))
    await until_members(keepers[2], "a", "b", "c")
    await keepers[0].close()
    await until_members(keepers[2], "c")


async def test_two_processes_are_not_members_under_one_name(keepers: list[Keeper]) -> None:
    await keepers[0].join(a_node("a", mqtt="first"))
    with pytest.raises(Conflict):
        await keepers[1].join(a_node("a", mqtt="second"))
    assert not await keepers[1].leads(DUTY, "a")
    await keepers[1].leave("a")
    await until_members(keepers[2], "a")
    assert await keepers[2].members() == [a_node("a", mqtt="first")]


async def test_values_and_their_versions_are_the_same_for_all(keepers: list[Keeper]) -> None:
    await keepers[0].write("a", b"one")
    await keepers[1].write("a", b"two", version=1)
    with pytest.raises(Conflict):
        await keepers[2].write("a", b"three", version=1)

    async def heard() -> bool:
        kept = await keepers[0].read("a")
        return kept is not None and (kept.value, kept.version) == (b"two", 2)

    await until(keepers[0], heard)
    await keepers[2].write("a", None, version=2)

    async def gone() -> bool:
        return await keepers[0].read_all("") == {}

    await until(keepers[0], gone)


async def test_counting_by_compare_and_set_loses_nothing(keepers: list[Keeper]) -> None:
    async def count(keeper: Keeper, times: int) -> None:
        while times:
            kept = await keeper.read("count")
            value, version = (0, 0) if kept is None else (int(kept.value), kept.version)
            try:
                await keeper.write("count", b"%d" % (value + 1), version)
                times -= 1
            except Conflict:
                await asyncio.sleep(0.001)  # the other's write is on its way

    async with asyncio.timeout(WITHIN):
        await asyncio.gather(*(count(keeper, 10) for keeper in keepers))

    async def thirty() -> bool:
        kept = await keepers[0].read("count")
        return kept is not None and (kept.value, kept.version) == (b"30", 30)

    await until(keepers[0], thirty)


async def test_exactly_one_process_leads_and_the_next_when_it_leaves(keepers: list[Keeper]) -> None:
    """At no moment two, whoever is asked; and each who begins has a higher term."""
    names = dict(zip("abc", keepers, strict=True))
    for name, keeper in names.items():
        await keeper.join(a_node(name))
    terms = []
    for generation in range(4):
        leading: list[str] = []
        async with asyncio.timeout(WITHIN):
            while not leading:
                asked = await asyncio.gather(*(keeper.leads(DUTY, name) for name, keeper in names.items()))
                leading = [name for name, leads in zip(names, asked, strict=True) if leads]
                await asyncio.sleep(0.001)
        (leader,) = leading
        terms.append(await names[leader].term(DUTY))
        for _ in range(3):
            assert [name for name in names if await names[name].leads(DUTY, name)] == leading
        keeper = names.pop(leader)
        await keeper.leave(leader)
        assert not await keeper.leads(DUTY, leader)
        name = f"{leader}{generation}"
        await keeper.join(a_node(name))
        names[name] = keeper
    assert terms == sorted(set(terms))


async def test_everybody_can_ask_who_leads_and_for_its_term(keepers: list[Keeper]) -> None:
    await keepers[0].join(a_node("a"))
    assert await keepers[0].leads(DUTY, "a")
    term = await keepers[0].term(DUTY)

    async def heard() -> bool:
        return await keepers[1].leads(DUTY, "a") and await keepers[1].term(DUTY) == term

    await until(keepers[1], heard)
    assert await leaders(keepers[1], DUTY, "b", "c") == []


async def test_a_process_that_is_killed_is_no_member_and_another_leads(
    keepers: list[Keeper], shared_name: str, shared_place: str
) -> None:
    async with a_member(shared_name, shared_place, "victim") as member:
        assert await member.says() == "leads"
        await keepers[0].join(a_node("heir"))
        await until_members(keepers[0], "heir", "victim")
        assert not await keepers[0].leads(DUTY, "heir")
        term = await keepers[0].term(DUTY)
        await member.end()
        await until_members(keepers[0], "heir")
        await until_leads(keepers[0], DUTY, "heir")
        assert await keepers[0].term(DUTY) > term


async def test_a_process_that_was_paused_for_long_leads_nothing_when_it_goes_on(
    keepers: list[Keeper], shared_name: str, shared_place: str
) -> None:
    """From its first moment on, before it has heard of anything."""
    async with a_member(shared_name, shared_place, "sleeper") as member:
        assert await member.says() == "leads"
        assert await member.answers("well?") == "True True"
        await keepers[0].join(a_node("heir"))
        await until_members(keepers[0], "heir", "sleeper")
        member.send(signal.SIGSTOP)
        await until_leads(keepers[0], DUTY, "heir")
        await until_members(keepers[0], "heir")
        member.tell("well?")
        member.send(signal.SIGCONT)
        assert await member.says() == "False False"
        assert await member.answers("join") == "fenced", "its name is used up"
        assert (await member.answers("well?")).endswith("False")
        assert await leaders(keepers[0], DUTY, "heir", "sleeper") == ["heir"]
        await until_members(keepers[1], "heir")
