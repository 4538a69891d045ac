"""What the store says of its memory, of what it would throw away, and of how long it takes."""

from pathlib import Path

import pytest

from longline.store.calls import Reply
from longline.store.condition import read_condition
from tests.servers.redis_server import RedisCluster, RedisServer
from tests.unit.store.conftest import Open


async def test_a_store_that_evicts_and_one_that_writes_nothing_to_a_disk_are_known(
    directory: Path, open_store: Open
) -> None:
    async with RedisServer(directory) as server:
        store = await open_store(server.url)
        assert "memory_bytes" not in store.statistics()
        await store.measure()
        told = store.statistics()
        assert (told["evicting"], told["forgetful"], told["memory_limit_bytes"]) == (0, 1, 0)
        assert told["memory_bytes"] > 0
        server.command("CONFIG", "SET", "maxmemory", 1 << 30)
        server.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        server.command("CONFIG", "SET", "appendonly", "yes")
        await store.measure()
        told = store.statistics()
        assert (told["evicting"], told["forgetful"], told["memory_limit_bytes"]) == (1, 0, 1 << 30)


async def test_a_store_that_does_not_answer_says_nothing(directory: Path, open_store: Open) -> None:
    async with RedisServer(directory) as server:
        store = await open_store(server.url)
    await store.measure()
    assert "memory_bytes" not in store.statistics()


async def test_how_long_it_takes_is_measured_of_calls_that_are_answered(
    server: RedisServer | RedisCluster, open_store: Open
) -> None:
    store = await open_store(server.url)
    before = sum(store.answers.call_seconds.counts)
    for n in range(10):
        await store.call(b"p1", "SET", "{p1}x", n)
    seconds = store.answers.call_seconds
    assert sum(seconds.counts) - before == 10
    assert 0 <= seconds.highest <= seconds.total < 60  # the loop's clock goes by ms


@pytest.mark.parametrize(
    ("info", "saves", "evicting", "forgetful"),
    [
        (b"maxmemory:100\r\nmaxmemory_policy:noeviction\r\naof_enabled:1\r\n", [b"save", b""], 0, 0),
        (b"maxmemory:100\r\nmaxmemory_policy:volatile-lru\r\naof_enabled:1\r\n", [b"save", b""], 1, 0),
        (b"maxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\naof_enabled:1\r\n", [b"save", b""], 0, 0),
        (b"aof_enabled:0\r\n", [b"save", b""], 0, 1),
        (b"aof_enabled:0\r\n", [b"save", b"3600 1"], 0, 0),
        (b"aof_enabled:0\r\n", None, 0, 0),
        (None, None, 0, 0),
    ],
)
def test_what_servers_say_is_read(info: Reply, saves: Reply, evicting: int, forgetful: int) -> None:
    told = read_condition(info, saves)
    assert (told["evicting"], told["forgetful"]) == (evicting, forgetful)
