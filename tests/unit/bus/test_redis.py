"""What only the bus in Redis promises."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from longline.bus.outgoing import BATCH
from longline.bus.redis import RedisBus
from longline.errors import Unavailable
from longline.model.commands import Close, CloseReason, Command, Resync
from longline.settings import StoreSettings
from longline.store.redis import Reply, Script, Store, Word
from tests.servers.redis_server import RedisServer
from tests.servers.shared import shared
from tests.waiting import WITHIN, eventually


def numbered(count: int, first: int = 0, app: int = 1) -> list[Close]:
    return [Close(app, f"d{n}", n, CloseReason.KICKED) for n in range(first, first + count)]


@asynccontextmanager
async def a_bus(
    url: str, limit: int = 100_000, *, give_up: float = 5.0, patience: float = 0.2
) -> AsyncIterator[RedisBus]:
    store = await Store.open(StoreSettings(url=url, timeout=give_up))
    bus = RedisBus(store, limit=limit, limit_bytes=1 << 28, patience=patience)
    try:
        yield bus
    finally:
        await bus.close()
        await store.close()


@pytest.fixture
async def url() -> AsyncIterator[str]:
    with shared("redis") as server:
        yield server.url


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    store = await Store.open(StoreSettings(url=url))
    yield store
    await store.close()


@pytest.fixture
async def bus(url: str) -> AsyncIterator[RedisBus]:
    async with a_bus(url) as bus:
        yield bus


async def test_what_is_sent_in_one_turn_of_the_loop_travels_together(bus: RedisBus, store: Store) -> None:
    await bus.open("n")
    await asyncio.gather(*(bus.send("n", [command]) for command in numbered(50)))
    assert await store.call(b"n:n", "XLEN", "{n:n}q") == 1
    assert await bus.receive("n") == numbered(50)


async def test_much_is_divided_into_batches(bus: RedisBus, store: Store) -> None:
    await bus.open("n")
    await bus.send("n", numbered(2 * BATCH + 1))
    assert await store.call(b"n:n", "XLEN", "{n:n}q") == 3
    assert await bus.receive("n") == numbered(2 * BATCH + 1)


async def test_the_command_of_one_app_waits_for_one_turn_of_another_that_sends_very_many(
    bus: RedisBus,
) -> None:
    await bus.open("n")
    many, one = numbered(10 * BATCH), Close(2, "d", 0, CloseReason.KICKED)
    await asyncio.gather(bus.send("n", many), bus.send("n", [one]))
    received: list[Command] = []
    while len(received) <= len(many):
        received += await bus.receive("n")
    assert received.index(one) < BATCH
    received.remove(one)
    assert received == many


async def test_a_call_with_commands_of_several_apps_is_over_when_the_last_of_them_is_sent(
    bus: RedisBus,
) -> None:
    await bus.open("n")
    several = [*numbered(2 * BATCH), *numbered(1, app=2)]
    await bus.send("n", several)
    assert bus.statistics()["waiting"] == 0
    received: list[Command] = []
    while len(received) < len(several):
        received += await bus.receive("n")
    assert sorted(received, key=str) == sorted(several, key=str)


async def test_many_processes_send_to_one_node(url: str, bus: RedisBus) -> None:
    await bus.open("n")
    received: list[Close] = []
    async with a_bus(url) as one, a_bus(url) as other:

        async def send(sender: RedisBus, app: int) -> None:
            for n in range(50):
                await sender.send("n", numbered(2, 2 * n, app))

        senders = asyncio.gather(send(one, 1), send(other, 2))
        while len(received) < 200:
            received += [command for command in await bus.receive("n") if isinstance(command, Close)]
        await senders
    for app in (1, 2):
        assert [command for command in received if command.app == app] == numbered(100, 0, app)


async def test_what_a_process_had_not_done_with_is_there_for_the_next_of_its_name(
    url: str, bus: RedisBus, store: Store
) -> None:
    async with a_bus(url) as before:
        await before.open("n")
        await bus.send("n", numbered(2))
        assert await before.receive("n") == numbered(2)
        await bus.send("n", numbered(2, 2))
        assert await before.receive("n") == numbered(2, 2)  # which says that it is done with the first two
        await eventually(lambda: store.call(b"n:n", "XLEN", "{n:n}q"), 1)
    await bus.open("n")
    assert await bus.receive("n") == numbered(2, 2)


async def test_a_queue_takes_no_room_for_what_was_read(bus: RedisBus, store: Store) -> None:
    await bus.open("n")
    for n in range(5):
        await bus.send("n", numbered(1, n))
        await bus.receive("n")
    receiving = asyncio.create_task(bus.receive("n"), name="receiver")
    await eventually(lambda: store.call(b"n:n", "XLEN", "{n:n}q"), 0)
    receiving.cancel()


async def test_what_comes_does_not_wait_until_what_was_read_is_taken_out(
    bus: RedisBus, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store may be busy with the thousands of some app."""
    busy, taken_out = asyncio.Event(), asyncio.Event()
    run = Store.run

    async def held(
        self: Store, tag: bytes, script: Script, keys: Sequence[bytes], args: Sequence[Word]
    ) -> Reply:
        if script.name == "done.lua" and not taken_out.is_set():
            busy.set()
            await taken_out.wait()
        return await run(self, tag, script, keys, args)

    monkeypatch.setattr(Store, "run", held)
    await bus.open("n")
    for n in range(5):
        await bus.send("n", numbered(1, n))
        assert await bus.receive("n") == numbered(1, n)
    await busy.wait()
    assert await store.call(b"n:n", "XLEN", "{n:n}q") == 5
    receiving = asyncio.create_task(bus.receive("n"), name="receiver")
    await asyncio.sleep(0)
    taken_out.set()  # then all of them are, though nothing more comes
    await eventually(lambda: store.call(b"n:n", "XLEN", "{n:n}q"), 0)
    receiving.cancel()


async def test_a_store_that_lost_its_latest_writes_is_noticed(bus: RedisBus, store: Store) -> None:
    """A replica that took over may not have had the last of them."""
    keys = ["{n:n}open", "{n:n}q"]
    await bus.open("n")
    await bus.send("n", numbered(1))
    assert await bus.receive("n") == numbered(1)
    dumps = [await store.call(b"n:n", "DUMP", key) for key in keys]
    await bus.send("n", numbered(2, 1))
    assert await bus.receive("n") == numbered(2, 1)
    for key, dump in zip(keys, dumps, strict=True):
        assert isinstance(dump, bytes)
        await store.call(b"n:n", "RESTORE", key, 0, dump, "REPLACE")
    await bus.send("n", numbered(1, 7))
    received: list[Command] = []
    async with asyncio.timeout(WITHIN):
        while received[-1:] != numbered(1, 7) or Resync() not in received:
            received += await bus.receive("n")
    assert received == [Resync(), *numbered(1, 7)]


async def test_the_end_of_a_queue_that_is_lost_is_noticed_though_nothing_comes(
    bus: RedisBus, store: Store
) -> None:
    await bus.open("n")
    await bus.send("n", numbered(1))
    assert await bus.receive("n") == numbered(1)
    dump = await store.call(b"n:n", "DUMP", "{n:n}open")
    assert isinstance(dump, bytes)
    await bus.send("n", numbered(1, 1))
    assert await bus.receive("n") == numbered(1, 1)
    await store.call(b"n:n", "RESTORE", "{n:n}open", 0, dump, "REPLACE")
    assert await asyncio.wait_for(bus.receive("n"), WITHIN) == [Resync()]


async def test_a_list_of_nodes_that_is_lost_is_made_again(bus: RedisBus, store: Store) -> None:
    await bus.open("n")
    await store.call(b"nodes", "DEL", "{nodes}bus")
    receiving = asyncio.create_task(bus.receive("n"), name="receiver")
    await eventually(bus.nodes, ["n"])
    receiving.cancel()


async def test_a_node_that_is_stuck_delays_a_sender_once(url: str) -> None:
    async with a_bus(url, limit=10, patience=2.0) as bus:
        await bus.open("stuck")
        await bus.open("well")
        flood = asyncio.create_task(bus.send("stuck", numbered(1000)), name="sender")
        await bus.send("well", numbered(5))
        assert await bus.receive("well") == numbered(5)
        async with asyncio.timeout(WITHIN):  # 100 batches: if each of them waited, it would take 200 s
            await flood
        assert bus.statistics() == {"waiting": 0, "dropped": 990}
        assert await bus.receive("stuck") == [Resync(), *numbered(10, 990)]
        for n in range(2):  # with the first one, what was received is still in the queue
            await bus.send("stuck", numbered(1, n))
            assert await bus.receive("stuck") == numbered(1, n)
        assert bus._outgoing == {}, "nothing is remembered of a node that is well"


async def test_who_waits_is_told_when_the_bus_is_closed(url: str) -> None:
    async with a_bus(url, limit=1) as bus:
        await bus.open("n")
        receiving = asyncio.create_task(bus.receive("n"), name="receiver")
        sending = asyncio.create_task(bus.send("other", numbered(3)), name="sender")
        await bus.close()
        with pytest.raises(Unavailable):
            await receiving
        assert isinstance((await asyncio.gather(sending, return_exceptions=True))[0], Unavailable | None)


async def test_a_receiver_outlives_its_store(tmp_path: Path) -> None:
    """Here the store comes back without its data: what was lost is told, and then it goes on."""
    with RedisServer(tmp_path) as server:
        async with a_bus(server.url, give_up=2.0) as bus:
            await bus.open("n")
            await bus.send("n", numbered(1))
            assert await bus.receive("n") == numbered(1)
            receiving = asyncio.create_task(bus.receive("n"), name="receiver")
            await asyncio.to_thread(server.kill)
            with pytest.raises(Unavailable):
                await bus.send("n", numbered(1))
            assert not receiving.done()
            await asyncio.to_thread(server.start)
            assert await asyncio.wait_for(receiving, WITHIN) == [Resync()]
            await bus.send("n", numbered(2))
            assert await bus.receive("n") == numbered(2)


async def test_nothing_is_remembered_of_a_stuck_node_that_is_gone(url: str) -> None:
    """Names of nodes are never used twice: what was kept for each would add up."""
    async with a_bus(url, limit=2) as bus:
        for name in ("n1", "n2"):
            await bus.open(name)
            await bus.send(name, numbered(2))
            await bus.send(name, numbered(2))  # which drops the first two
        assert set(bus._outgoing) == {"n1", "n2"}
        await bus.shut("n1")
        assert await bus.nodes() == ["n2"]
        assert set(bus._outgoing) == {"n2"}


async def test_what_nobody_foresaw_of_one_batch_is_its_callers_alone(
    bus: RedisBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bus.open("n")
    run = Store.run
    under_way = asyncio.Event()
    gathered = asyncio.Event()

    async def once(store: Store, *arguments: object, **named: object) -> Reply:
        monkeypatch.setattr(Store, "run", run)
        under_way.set()
        await gathered.wait()
        raise ZeroDivisionError

    monkeypatch.setattr(Store, "run", once)
    first = asyncio.ensure_future(bus.send("n", numbered(1)))
    await under_way.wait()
    second = asyncio.ensure_future(bus.send("n", numbered(1, 1)))
    await asyncio.sleep(0)
    gathered.set()
    with pytest.raises(ZeroDivisionError):
        await first
    await second
    assert await bus.receive("n") == numbered(1, 1)
