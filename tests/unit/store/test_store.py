"""What holds on one Redis, one Valkey and a Cluster alike."""

import asyncio
import random
from pathlib import Path

import pytest

from longline.errors import LayoutRefused, Overloaded, SettingsError, StoreError, Unavailable
from longline.settings import Secret
from longline.store.redis import LAYOUT, Assurance, Reply, Script, Store
from tests.servers.ports import free_ports
from tests.servers.redis_server import RedisCluster, RedisServer, ValkeyServer
from tests.unit.store.conftest import Open

APPEND = Script("tests.unit.store.lua", "append.lua")
REFUSE = Script("tests.unit.store.lua", "refuse.lua")
BROKEN = Script("tests.unit.store.lua", "broken.lua")

TAGS = [b"p%d" % number for number in range(16)]


def keys(tag: bytes) -> list[bytes]:
    return [b"{" + tag + b"}list", b"{" + tag + b"}count"]


async def test_a_command_goes_to_the_server_of_its_tag(store: Store) -> None:
    await asyncio.gather(*(store.call(tag, b"SET", b"{" + tag + b"}x", tag) for tag in TAGS))

    assert [await store.call(tag, "GET", b"{" + tag + b"}x") for tag in TAGS] == TAGS


async def test_replies_are_bytes_numbers_none_and_lists_of_these(store: Store) -> None:
    tag = b"p1"

    assert await store.call(tag, "SET", "{p1}x", 5) == b"OK"
    assert await store.call(tag, "INCR", "{p1}x") == 6
    assert await store.call(tag, "GET", "{p1}none") is None
    assert await store.call(tag, "MGET", "{p1}x", "{p1}none") == [b"6", None]


async def test_an_error_reply_is_raised_with_its_code(store: Store) -> None:
    await store.call(b"p1", "SET", "{p1}x", "text")

    with pytest.raises(StoreError) as wrong:
        await store.call(b"p1", "LPUSH", "{p1}x", 1)
    with pytest.raises(StoreError) as fenced:
        await store.run(b"p1", REFUSE, [b"{p1}x"], ["room-1 is dead"])

    assert wrong.value.word == "WRONGTYPE"
    assert (fenced.value.word, fenced.value.text) == ("FENCED", "room-1 is dead")


async def test_calls_of_a_tag_are_carried_out_in_the_order_given(store: Store) -> None:
    calls = [(random.choice(TAGS), number) for number in range(5000)]

    replies = await asyncio.gather(*(store.run(tag, APPEND, keys(tag), [n]) for tag, n in calls))

    assert replies == [number for _, number in calls]
    for tag in TAGS:
        assert await arrivals(store, tag) == [number for each, number in calls if each == tag]


async def test_a_script_that_the_server_forgot_is_loaded_again(
    store: Store, server: RedisServer | RedisCluster
) -> None:
    await asyncio.gather(*(store.run(tag, APPEND, keys(tag), [0]) for tag in TAGS))
    for node in server.nodes if isinstance(server, RedisCluster) else [server]:
        node.command("SCRIPT", "FLUSH", "SYNC")

    numbers = range(1, 200)
    await asyncio.gather(*(store.run(tag, APPEND, keys(tag), [n]) for n in numbers for tag in TAGS))

    for tag in TAGS:
        assert await arrivals(store, tag) == [0, *numbers]


async def test_a_script_that_does_not_compile_says_so(store: Store) -> None:
    with pytest.raises(StoreError, match="compil"):
        await store.run(b"p1", BROKEN, [], [])


async def test_a_call_that_nobody_waits_for_any_more_is_not_sent(store: Store) -> None:
    dropped = asyncio.ensure_future(store.call(b"p1", "INCR", "{p1}x"))
    dropped.cancel()

    assert await store.call(b"p1", "GET", "{p1}x") is None


async def test_a_closed_store_is_unavailable(store: Store) -> None:
    waiting = asyncio.ensure_future(store.call(b"p1", "PING"))
    await store.close()

    for call in [waiting, store.call(b"p1", "PING"), store.blocking(b"p1").call("PING", wait=1.0)]:
        with pytest.raises(Unavailable):
            await call


async def test_the_number_of_partitions_is_for_ever(
    store: Store, server: RedisServer | RedisCluster, open_store: Open
) -> None:
    assert (await open_store(server.url)).partitions == 64

    with pytest.raises(SettingsError, match=r"store\.partitions.* 64 "):
        await open_store(server.url, partitions=32)


async def test_the_number_of_lanes_is_for_ever(
    store: Store, server: RedisServer | RedisCluster, open_store: Open
) -> None:
    """One where there is one server, unless it is said; and whoever says nothing takes what there is."""
    lanes = 8 if isinstance(server, RedisCluster) else 1
    assert (await open_store(server.url)).event_lanes == lanes == store.event_lanes
    assert (await open_store(server.url, event_lanes=lanes)).event_lanes == lanes
    with pytest.raises(SettingsError, match=rf"store\.event_lanes.* {lanes} "):
        await open_store(server.url, event_lanes=4)


@pytest.mark.parametrize("layout", [str(LAYOUT + 1), str(LAYOUT - 1), None])
async def test_a_store_that_is_laid_out_in_another_way_is_refused_as_it_is(
    store: Store, server: RedisServer | RedisCluster, open_store: Open, layout: str | None
) -> None:
    """By a later version's, an earlier one's, or one of before there were numbers."""
    key = b"{meta}layout"
    await (store.call(b"meta", "SET", key, layout) if layout else store.call(b"meta", "DEL", key))

    with pytest.raises(LayoutRefused, match=f"layout {layout or 1}; this version reads {LAYOUT}"):
        await open_store(server.url)

    assert await store.call(b"meta", "GET", key) == (layout.encode() if layout else None)
    await store.call(b"meta", "SET", key, LAYOUT)
    assert (await open_store(server.url)).partitions == 64


async def test_those_who_begin_a_store_at_once_agree_on_it(
    server: RedisServer | RedisCluster, open_store: Open
) -> None:
    stores = await asyncio.gather(*(open_store(server.url) for _ in range(5)))
    assert {each.partitions for each in stores} == {64}


async def test_a_device_is_in_one_partition_for_ever(store: Store) -> None:
    assert [store.partition_of(1, name) for name in ("a", "b", "größe")] == [22, 44, 50]


async def test_figures_count_calls_and_bytes(store: Store) -> None:
    before = store.statistics()
    await store.call(b"p1", "SET", "{p1}x", "y" * 1000)
    after = store.statistics()

    assert after["calls"] == before["calls"] + 1
    assert after["bytes_out"] - before["bytes_out"] > 1000
    assert after["waiting"] == after["waiting_bytes"] == 0
    assert after["connected"] == after["servers"]


async def test_more_than_may_wait_is_refused_at_once(
    server: RedisServer | RedisCluster, open_store: Open
) -> None:
    store = await open_store(server.url, queue=16)

    calls = [asyncio.ensure_future(store.call(b"p1", "INCR", "{p1}x")) for _ in range(20)]
    done = await asyncio.gather(*calls, return_exceptions=True)

    assert done[:16] == list(range(1, 17))
    assert [type(error) for error in done[16:]] == [Overloaded] * 4
    assert await store.call(b"p1", "INCR", "{p1}x") == 17


async def test_more_bytes_than_may_wait_are_refused_at_once(
    server: RedisServer | RedisCluster, open_store: Open
) -> None:
    store = await open_store(server.url, queue_bytes=1 << 20)

    calls = [store.call(b"p1", "SET", "{p1}x", bytes(300_000)) for _ in range(5)]
    done = await asyncio.gather(*calls, return_exceptions=True)

    assert [reply if isinstance(reply, bytes) else type(reply) for reply in done] == [
        *[b"OK"] * 3,
        *[Overloaded] * 2,
    ]


async def test_a_server_without_memory_is_overloaded(directory: Path, open_store: Open) -> None:
    async with RedisServer(directory) as server:
        store = await open_store(server.url)
        server.command("CONFIG", "SET", "maxmemory", 1)

        with pytest.raises(Overloaded):
            await store.run(b"p1", APPEND, keys(b"p1"), [1])


async def test_a_server_on_a_unix_socket(directory: Path, open_store: Open) -> None:
    async with ValkeyServer(directory, unix_socket=True) as server:
        store = await open_store(server.url)

        assert await store.call(b"p1", "SET", "{p1}x", 1) == b"OK"


async def test_a_server_with_tls(directory: Path, open_store: Open) -> None:
    certificate, key = directory / "cert.pem", directory / "key.pem"
    made = await asyncio.create_subprocess_exec(
        *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
        *("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
        *("-keyout", str(key), "-out", str(certificate)),
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert await made.wait() == 0
    port = free_ports(1)[0]
    tls = {"tls-port": str(port), "tls-auth-clients": "no"}
    files = {"tls-cert-file": str(certificate), "tls-key-file": str(key)}
    async with RedisServer(directory, config={**tls, **files}):
        store = await open_store(f"rediss://127.0.0.1:{port}?ssl_ca_certs={certificate}")
        assert await store.call(b"p1", "SET", "{p1}x", "y" * 1_000_000) == b"OK"

        with pytest.raises(Unavailable):
            await open_store(f"rediss://127.0.0.1:{port}", timeout=0.5)


async def test_a_server_with_a_password(directory: Path, open_store: Open) -> None:
    async with RedisServer(directory, config={"requirepass": "sesame"}) as server:
        store = await open_store(server.url, password=Secret("sesame"))
        assert await store.call(b"p1", "SET", "{p1}x", 1) == b"OK"

        for settings in ({"password": Secret("hunter2")}, {}):
            with pytest.raises(SettingsError, match=r"store\.password") as caught:
                await open_store(server.url, **settings)
            assert "hunter2" not in str(caught.value)


async def test_a_user_who_may_not_read_the_servers_settings(directory: Path, open_store: Open) -> None:
    async with RedisServer(directory, config={"appendonly": "yes", "appendfsync": "always"}) as server:
        server.command("ACL", "SETUSER", "pusher", "on", ">sesame", "~*", "+@all", "-config")

        known = await open_store(server.url)
        hidden = await open_store(server.url, username="pusher", password=Secret("sesame"))

        assert await hidden.call(b"p1", "SET", "{p1}x", 1) == b"OK"
        assert known.durability() == Assurance("fsync", 0, synced=True, appended=True)
        assert hidden.durability() == Assurance("memory", 0, synced=False, appended=False)


async def test_the_master_is_found_among_several_servers(directory: Path, open_store: Open) -> None:
    async with (
        RedisServer(directory / "a") as master,
        RedisServer(directory / "b", config={"replicaof": f"127.0.0.1 {master.port}"}) as replica,
    ):
        store = await open_store(f"{replica.url},{master.url}")

        assert await store.call(b"p1", "SET", "{p1}x", 1) == b"OK"


async def test_a_store_that_is_not_there_is_unavailable(directory: Path, open_store: Open) -> None:
    gone = RedisServer(directory)

    with pytest.raises(Unavailable):
        await open_store(gone.url, timeout=0.2)


async def arrivals(store: Store, tag: bytes) -> list[int]:
    """What scripts appended to the list of a tag."""
    reply: Reply = await store.call(tag, "LRANGE", keys(tag)[0], 0, -1)
    assert isinstance(reply, list)
    return [int(each) for each in reply if isinstance(each, bytes)]
