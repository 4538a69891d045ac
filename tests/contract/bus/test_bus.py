"""Command queues: in order, each once, bounded; a node that is not there costs its senders nothing."""

import asyncio

import pytest

from longline.bus.port import AppChanged, Bus, Close, Command, Resync, Why
from longline.model import Binding, Message
from longline.saver.port import Broadcast, Target, Unicast
from tests.contract.engines import BUS_LIMIT

MESSAGE = Message(
    id="01890a5d-ac96-774b-bcce-b302099a8057",
    app="news",
    payload=bytes(range(256)),
    content_type="application/octet-stream",
    created_at=1,
    expires_at=2,
)


def numbered(count: int, first: int = 0) -> list[Close]:
    return [Close(1, f"d{n}", n, Why.KICKED) for n in range(first, first + count)]


@pytest.mark.parametrize(
    "command",
    [
        Unicast(1, MESSAGE, (Target("a", 0, 7, Binding("n", 3, 4)), Target("b", 1, 7, None))),
        Broadcast(1, MESSAGE, 8, b"\x00\xffset"),
        Close(1, "a", 3, Why.TAKEN_OVER),
        AppChanged(1, "news"),
        AppChanged(1, "news", Why.APP_DELETED),
        Resync(),
    ],
    ids=lambda command: type(command).__name__,
)
async def test_every_command_arrives_as_it_was_sent(bus: Bus, command: Command) -> None:
    await bus.open("n")
    await bus.send("n", [command])
    assert await bus.receive("n") == [command]


async def test_commands_of_one_sender_arrive_in_order_each_once(bus: Bus) -> None:
    await bus.open("n")
    received: list[Command] = []

    async def receive() -> None:
        while len(received) < 100:
            received.extend(await bus.receive("n"))

    receiver = asyncio.create_task(receive(), name="receiver")
    for first in range(0, 100, 10):
        await bus.send("n", numbered(10, first))
    await receiver
    assert received == numbered(100)


async def test_senders_wait_while_the_queue_is_full_and_lose_nothing(bus: Bus) -> None:
    await bus.open("n")
    sending = asyncio.create_task(bus.send("n", numbered(3 * BUS_LIMIT)), name="sender")
    received: list[Command] = []
    while len(received) < 3 * BUS_LIMIT:
        part = await bus.receive("n")
        assert 0 < len(part) <= BUS_LIMIT
        received += part
    await sending
    assert received == numbered(3 * BUS_LIMIT)


async def test_several_senders_that_wait_are_all_served(bus: Bus) -> None:
    await bus.open("n")
    senders = [asyncio.create_task(bus.send("n", numbered(7, 100 * n)), name=f"s{n}") for n in range(5)]
    received: list[Command] = []
    while len(received) < 35:
        received += await bus.receive("n")
    await asyncio.gather(*senders)
    for n in range(5):
        mine = [c for c in received if isinstance(c, Close) and 100 * n <= c.epoch < 100 * n + 100]
        assert mine == numbered(7, 100 * n)


async def test_a_receiver_waits_until_something_comes(bus: Bus) -> None:
    await bus.open("n")
    waiting = asyncio.create_task(bus.receive("n"), name="receiver")
    await asyncio.sleep(0)
    assert not waiting.done()
    await bus.send("n", [Resync()])
    assert await waiting == [Resync()]


async def test_queues_of_nodes_are_apart(bus: Bus) -> None:
    await bus.open("a")
    await bus.open("b")
    await bus.send("a", numbered(1))
    await bus.send("b", numbered(1, 5))
    assert await bus.receive("b") == numbered(1, 5)
    assert await bus.receive("a") == numbered(1)


async def test_nodes_with_a_queue_are_listed(bus: Bus) -> None:
    await bus.open("a")
    await bus.open("b")
    assert sorted(await bus.nodes()) == ["a", "b"]
    await bus.shut("a")
    assert await bus.nodes() == ["b"]


async def test_commands_to_a_node_that_is_not_there_are_dropped(bus: Bus) -> None:
    """Its devices are bound nowhere, and what the commands speak of is in the store."""
    await bus.send("nobody", numbered(10 * BUS_LIMIT))
    await bus.open("nobody")
    await bus.send("nobody", [Resync()])
    assert await bus.receive("nobody") == [Resync()]


async def test_who_waits_for_a_full_queue_is_released_when_the_node_goes(bus: Bus) -> None:
    await bus.open("n")
    sending = asyncio.create_task(bus.send("n", numbered(2 * BUS_LIMIT)), name="sender")
    await asyncio.sleep(0)
    await bus.shut("n")
    await sending


async def test_opening_a_queue_again_keeps_what_is_in_it(bus: Bus) -> None:
    await bus.open("n")
    await bus.send("n", numbered(2))
    await bus.open("n")
    assert await bus.receive("n") == numbered(2)


async def test_shutting_a_queue_twice_is_harmless(bus: Bus) -> None:
    await bus.open("n")
    await bus.shut("n")
    await bus.shut("n")
    assert await bus.nodes() == []
