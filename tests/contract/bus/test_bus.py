"""Command queues: in order, each once, bounded; a node that is not there costs its senders nothing."""

import asyncio
from collections.abc import Sequence

import pytest

from longline.bus.port import Bus
from longline.errors import Fenced
from longline.model.commands import (
    AppChanged,
    Broadcast,
    Cancelled,
    Close,
    CloseReason,
    Command,
    Forward,
    Looked,
    Part,
    Resync,
    Routes,
    Target,
    Unicast,
)
from longline.model.devices import Binding
from longline.model.messages import Message
from tests.contract.engines import BUS_LIMIT, BusEngine
from tests.waiting import WITHIN, eventually

MESSAGE = Message(
    id="01890a5d-ac96-774b-bcce-b302099a8057",
    app="news",
    payload=bytes(range(256)),
    content_type="application/octet-stream",
    created_at=1,
    expires_at=2,
)


def numbered(count: int, first: int = 0) -> list[Close]:
    return [Close(1, f"d{n}", n, CloseReason.KICKED) for n in range(first, first + count)]


async def until_full(bus: Bus) -> None:
    """Until a queue is full to which three times its length was sent and nobody reads: some waits here."""
    await eventually(lambda: bus.statistics()["waiting"], BUS_LIMIT)


def tell_what_is_missing(received: Sequence[Command]) -> int:
    """The number after the last command. Nothing came twice, and every gap has a Resync in it."""
    expected, gap = 0, False
    for command in received:
        if isinstance(command, Resync):
            gap = True
            continue
        assert isinstance(command, Close)
        assert command.epoch >= expected, "a command came twice, or late"
        assert gap or command.epoch == expected, "a gap that nobody told of"
        expected, gap = command.epoch + 1, False
    return expected


@pytest.mark.parametrize(
    "command",
    [
        Unicast(1, MESSAGE, (Target("a", 0, 7, Binding("n", 3, 4)), Target("b", 1, 7, None))),
        Broadcast(1, MESSAGE, (Part(8, b"\x00\xffset"), Part(9, b""))),
        Close(1, "a", 3, CloseReason.TAKEN_OVER),
        AppChanged(1, "news"),
        AppChanged(1, "news", CloseReason.APP_DELETED),
        Forward(1, "a/b", b"\x00\xff", 2, b"\x26"),
        Routes("other", added=((1, "a/+"), (2, "#")), removed=((1, "ä"),), whole=True, wanted=True),
        Cancelled(1, MESSAGE.id),
        Looked(1),
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
    await until_full(bus)
    assert not sending.done()
    received: list[Command] = []
    while len(received) < 3 * BUS_LIMIT:
        part = await bus.receive("n")
        assert 0 < len(part) <= BUS_LIMIT
        received += part
    await sending
    assert received == numbered(3 * BUS_LIMIT)


async def test_a_node_that_is_stuck_is_told_what_it_lost(bus_engine: BusEngine) -> None:
    """An engine of many processes does not let it hold up its senders for long, and not again and again."""
    if not bus_engine.gives_up:
        pytest.skip("senders wait for ever")
    more = int(2 * WITHIN)
    async with bus_engine.open(1.0) as bus:
        await bus.open("n")
        async with asyncio.timeout(WITHIN):
            await bus.send("n", numbered(5 * BUS_LIMIT))
        async with asyncio.timeout(WITHIN):  # half of what it takes if each of them waits a second
            for number in range(more):
                await bus.send("n", numbered(1, 5 * BUS_LIMIT + number))
        received: list[Command] = []
        while tell_what_is_missing(received) < 5 * BUS_LIMIT + more:
            received += await bus.receive("n")
        assert Resync() in received
        await bus.send("n", numbered(1, 999))
        assert await bus.receive("n") == numbered(1, 999)


async def test_a_node_that_was_stuck_in_the_middle_gets_what_it_had_taken_once(bus_engine: BusEngine) -> None:
    if not bus_engine.gives_up:
        pytest.skip("senders wait for ever")
    async with bus_engine.open(0.01) as bus:
        await bus.open("n")
        await bus.send("n", numbered(2))
        received = await bus.receive("n")
        async with asyncio.timeout(WITHIN):
            await bus.send("n", numbered(3 * BUS_LIMIT, 2))
        while tell_what_is_missing(received) < 2 + 3 * BUS_LIMIT:
            received += await bus.receive("n")
        assert received[:3] == [*numbered(2), Resync()]


async def test_a_store_that_lost_everything_makes_a_node_read_again(bus_engine: BusEngine, bus: Bus) -> None:
    if bus_engine.lose is None:
        pytest.skip("it is lost with the process that it serves")
    await bus.open("n")
    await bus.send("n", numbered(2))
    assert await bus.receive("n") == numbered(2)
    waiting = asyncio.create_task(bus.receive("n"), name="receiver")
    bus_engine.lose()
    assert await asyncio.wait_for(waiting, WITHIN) == [Resync()]
    assert await bus.nodes() == ["n"]
    await bus.send("n", numbered(3))
    assert await bus.receive("n") == numbered(3)


async def test_a_command_that_is_larger_than_a_queue_fits_into_an_empty_one(bus: Bus) -> None:
    await bus.open("n")
    large = [Broadcast(1, MESSAGE, (Part(n, bytes(3 << 19)),)) for n in range(3)]
    sending = asyncio.create_task(bus.send("n", large), name="sender")
    received: list[Command] = []
    while len(received) < 3:
        received += await bus.receive("n")
    await sending
    assert received == large


async def test_what_is_sent_at_the_same_time_arrives_each_once_and_in_its_senders_order(bus: Bus) -> None:
    await bus.open("n")

    async def send(sender: int) -> None:
        for n in range(20):
            await bus.send("n", [Close(sender, "d", n, CloseReason.KICKED)])

    senders = [asyncio.create_task(send(n), name=f"s{n}") for n in range(10)]
    received: list[Close] = []
    while len(received) < 200:
        received += [command for command in await bus.receive("n") if isinstance(command, Close)]
    await asyncio.gather(*senders)
    for sender in range(10):
        assert [command.epoch for command in received if command.app == sender] == list(range(20))


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
    sending = asyncio.create_task(bus.send("n", numbered(3 * BUS_LIMIT)), name="sender")
    await until_full(bus)
    assert not sending.done()
    await bus.shut("n")
    await asyncio.wait_for(sending, WITHIN)
    assert bus.statistics()["waiting"] == 0


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


async def test_a_node_whose_queue_was_shut_by_others_is_told(bus: Bus) -> None:
    """It was taken for dead, and is not."""
    await bus.open("n")
    waiting = asyncio.create_task(bus.receive("n"), name="receiver")
    await asyncio.sleep(0)
    await bus.shut("n")
    with pytest.raises(Fenced):
        await asyncio.wait_for(waiting, WITHIN)
    with pytest.raises(Fenced):
        await bus.receive("n")


async def test_a_queue_can_be_opened_after_it_was_shut(bus: Bus) -> None:
    await bus.open("n")
    await bus.send("n", numbered(3))
    await bus.shut("n")
    await bus.open("n")
    assert await bus.nodes() == ["n"]
    await bus.send("n", numbered(1, 7))
    assert await bus.receive("n") == numbered(1, 7)


async def test_sending_nothing_is_nothing(bus: Bus) -> None:
    await bus.send("n", [])
    await bus.open("n")
    await bus.send("n", [])
