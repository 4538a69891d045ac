"""Commands that block."""

import asyncio
from pathlib import Path

import pytest

from longline.errors import StoreError, Unavailable
from longline.store.redis import Reply, Store
from tests.servers.redis_server import RedisCluster, RedisServer
from tests.unit.store.conftest import Open
from tests.waiting import until

READ = (b"XREAD", b"BLOCK", 60_000, b"STREAMS", b"{n:room-1}q", b"$")
TAG = b"n:room-1"


async def blocked(server: RedisServer, count: int = 1) -> None:
    """Waits until so many clients of the server block."""
    await until(lambda: server.info()["blocked_clients"] == str(count))


def holder(server: RedisServer | RedisCluster) -> RedisServer:
    return server.master_of(TAG) if isinstance(server, RedisCluster) else server


async def test_a_blocked_command_holds_up_no_other(store: Store, server: RedisServer | RedisCluster) -> None:
    calls = store.blocking(TAG)
    waiting = asyncio.create_task(calls.call(*READ, wait=60))
    await blocked(holder(server))

    await store.call(TAG, "XADD", "{n:room-1}q", "7-0", "a", "b")

    assert entries(await waiting) == [[b"7-0", [b"a", b"b"]]]


async def test_a_command_that_waits_in_vain_gives_nothing(store: Store) -> None:
    calls = store.blocking(TAG)

    assert await calls.call("XREAD", "BLOCK", 1, "STREAMS", "{n:room-1}q", "$", wait=0.001) is None


async def test_an_answer_of_a_cancelled_command_is_not_taken_for_the_next_ones(
    store: Store, server: RedisServer | RedisCluster
) -> None:
    calls = store.blocking(TAG)
    waiting = asyncio.create_task(calls.call(*READ, wait=60))
    await blocked(holder(server))
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await store.call(TAG, "XADD", "{n:room-1}q", "7-0", "a", "b")

    assert await calls.call("EXISTS", "{n:room-1}none", wait=0) == 0


async def test_an_error_is_raised(store: Store) -> None:
    with pytest.raises(StoreError, match="unknown"):
        await store.blocking(TAG).call("NOTHING", wait=0)


async def test_closing_a_listener_ends_its_command(store: Store, server: RedisServer | RedisCluster) -> None:
    calls = store.blocking(TAG)
    waiting = asyncio.create_task(calls.call(*READ, wait=60))
    await blocked(holder(server))
    calls.close()

    with pytest.raises(Unavailable):
        await waiting


async def test_a_listener_waits_through_a_restart(directory: Path, open_store: Open) -> None:
    async with RedisServer(directory, config={"appendonly": "yes"}) as server:
        store = await open_store(server.url)
        waiting = asyncio.create_task(store.blocking(TAG).call(*READ, wait=60))
        await blocked(server)
        server.kill()
        await asyncio.to_thread(server.start)
        await blocked(server)
        await store.call(TAG, "XADD", "{n:room-1}q", "7-0", "a", "b")

        assert entries(await waiting) == [[b"7-0", [b"a", b"b"]]]


async def test_a_listener_follows_its_slot(directory: Path, open_store: Open) -> None:
    async with RedisCluster(directory, replicas=0) as cluster:
        store = await open_store(cluster.url)
        waiting = asyncio.create_task(store.blocking(TAG).call(*READ, wait=60))
        source = cluster.master_of(TAG)
        target = next(node for node in cluster.nodes if node is not source)
        await blocked(source)
        await asyncio.to_thread(cluster.move, TAG, target)
        await blocked(target)
        await store.call(TAG, "XADD", "{n:room-1}q", "7-0", "a", "b")

        assert entries(await waiting) == [[b"7-0", [b"a", b"b"]]]


async def test_a_listener_gives_up_at_its_deadline(directory: Path, open_store: Open) -> None:
    async with RedisServer(directory) as server:
        store = await open_store(server.url, timeout=1.0)
        server.kill()

        with pytest.raises(Unavailable):
            await store.blocking(TAG).call(*READ, wait=0.1)


def entries(reply: Reply) -> Reply:
    """The entries of the one stream that XREAD read."""
    assert isinstance(reply, list)
    assert isinstance(reply[0], list)
    return reply[0][1]
