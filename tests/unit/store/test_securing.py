"""Writes that are answered when they are copied or synced."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from longline.errors import SettingsError, Unavailable
from longline.store.redis import Assurance, Script
from longline.store.securing import Securer
from tests.servers.redis_server import RedisCluster, RedisServer, ValkeyServer
from tests.unit.store.conftest import Open
from tests.unit.store.test_store import keys
from tests.waiting import until

APPEND = Script("tests.unit.store.lua", "append.lua")


@pytest.fixture
async def pair(directory: Path) -> AsyncIterator[tuple[RedisServer, RedisServer]]:
    """A master and its replica."""
    async with (
        RedisServer(directory / "a") as master,
        RedisServer(directory / "b", config={"replicaof": f"127.0.0.1 {master.port}"}) as replica,
    ):
        await until(lambda: replica.info()["master_link_status"] == "up")
        yield master, replica


def rounds_of(server: RedisServer, command: str) -> int:
    """How often a server was asked this; what waits for the same round asks once."""
    return int(
        server.command("INFO", "commandstats").decode().split(f"cmdstat_{command}:calls=")[1].split(",")[0]
    )


async def test_a_durable_write_is_in_the_replica_when_it_is_answered(
    pair: tuple[RedisServer, RedisServer], open_store: Open
) -> None:
    master, replica = pair
    store = await open_store(master.url, wait_replicas=1, wait_timeout=30.0)

    for number in range(20):
        assert await store.run(b"p1", APPEND, keys(b"p1"), [number], durable=True) == number
        assert replica.command("LLEN", keys(b"p1")[0]) == number + 1
    assert store.durability() == Assurance("replicated", 1, synced=False, appended=False)


async def test_writes_that_wait_share_one_round(
    pair: tuple[RedisServer, RedisServer], open_store: Open
) -> None:
    master, _ = pair
    store = await open_store(master.url, wait_replicas=1, wait_timeout=30.0)

    calls = [store.call(b"p%d" % n, "INCR", b"{p%d}x" % n, durable=True) for n in range(500)]

    assert await asyncio.gather(*calls) == [1] * 500
    assert rounds_of(master, "wait") < 50


async def test_a_write_that_is_not_copied_in_time_is_unavailable_and_holds_up_no_other(
    pair: tuple[RedisServer, RedisServer], open_store: Open
) -> None:
    master, replica = pair
    store = await open_store(master.url, wait_replicas=1, wait_timeout=2.0)
    replica.pause()
    try:
        durable = asyncio.ensure_future(store.call(b"p1", "SET", "{p1}x", 1, durable=True))
        assert await store.call(b"p1", "GET", "{p1}x") == b"1"
        assert not durable.done()

        with pytest.raises(Unavailable, match="copied"):
            await durable
    finally:
        replica.resume()


async def test_without_replicas_asked_for_nothing_waits(directory: Path, open_store: Open) -> None:
    async with RedisServer(directory) as server:
        store = await open_store(server.url)
        await store.call(b"p1", "SET", "{p1}x", 1, durable=True)

        assert "cmdstat_wait" not in server.command("INFO", "commandstats").decode()


async def test_a_durable_write_is_on_the_disk_when_it_is_answered(directory: Path, open_store: Open) -> None:
    async with ValkeyServer(directory, config={"appendonly": "yes", "appendfsync": "everysec"}) as server:
        store = await open_store(server.url, wait_fsync=True, wait_timeout=30.0)
        calls = [store.run(b"p1", APPEND, keys(b"p1"), [n], durable=True) for n in range(100)]

        assert await asyncio.gather(*calls) == list(range(100))
        assert rounds_of(server, "waitaof") < 20
        assert store.durability() == Assurance("fsync", 0, synced=True, appended=True)


@pytest.mark.parametrize("kind", [RedisServer, ValkeyServer])
async def test_a_server_that_cannot_sync_is_a_mistake_in_the_settings(
    kind: type[RedisServer], directory: Path, open_store: Open
) -> None:
    """Redis 7.0 has no WAITAOF, and a server without an append-only file has nothing to wait for."""
    async with kind(directory) as server:
        with pytest.raises(SettingsError, match=r"store\.wait_fsync"):
            await open_store(server.url, wait_fsync=True)


async def test_a_write_whose_master_died_is_carried_out_again_at_the_next(
    directory: Path, open_store: Open
) -> None:
    """What the old master alone had is not vouched for by the new one."""
    async with RedisCluster(directory) as cluster:
        store = await open_store(cluster.url, wait_replicas=1, wait_timeout=8.0, timeout=8.0)
        master = cluster.master_of(b"p1")
        replica = cluster.replica_of(master)
        replica.pause()
        durable = asyncio.ensure_future(store.run(b"p1", APPEND, keys(b"p1"), [1], durable=True))
        await until(lambda: master.command("LLEN", keys(b"p1")[0]) == 1)
        master.kill()
        replica.resume()
        await asyncio.to_thread(cluster.failed_over, b"p1", master)
        await asyncio.to_thread(master.start)

        assert await durable == 1
        assert replica.command("LLEN", keys(b"p1")[0]) >= 1


async def test_a_write_whose_securing_failed_as_nobody_foresaw_is_carried_out_again(
    pair: tuple[RedisServer, RedisServer], open_store: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its caller would wait for ever: what is in nobody's hands has no deadline."""
    master, replica = pair
    store = await open_store(master.url, wait_replicas=1, wait_timeout=30.0)
    secure = Securer._secure

    async def once(securer: Securer, tag: bytes) -> bool:
        monkeypatch.setattr(Securer, "_secure", secure)
        raise ZeroDivisionError

    monkeypatch.setattr(Securer, "_secure", once)
    assert await store.run(b"p1", APPEND, keys(b"p1"), [1], durable=True) == 1
    assert replica.command("LLEN", keys(b"p1")[0]) == 2
