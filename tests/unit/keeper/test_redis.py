"""A store that goes away, comes back or forgets: what a keeper in it makes of that."""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import structlog

from longline.errors import Fenced, Unavailable
from longline.keeper.port import Kept
from longline.keeper.redis import RedisKeeper
from longline.model.times import wall_clock
from longline.settings import StoreSettings
from longline.store.redis import Reply, Script, Store, Word
from longline.telemetry.faults import Faults
from tests.contract.keeper.nodes import a_node, until, until_leads, until_members
from tests.servers.redis_server import RedisServer
from tests.servers.shared import shared
from tests.waiting import later

DUTY = "expiry"
SESSION = 4.0  # s
TIMEOUT = 2.0  # s, of the store


@asynccontextmanager
async def a_keeper(url: str, session: float = SESSION) -> AsyncIterator[RedisKeeper]:
    store = await Store.open(StoreSettings(url=url, timeout=TIMEOUT))
    keeper = await RedisKeeper.open(store, session_timeout=session, faults=Faults())
    try:
        yield keeper
    finally:
        await keeper.close()
        await store.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """One for this test, whose data outlives its process."""
    with RedisServer(tmp_path / "r", config={"appendonly": "yes", "appendfsync": "always"}) as server:
        yield server


@pytest.fixture
def url() -> Iterator[str]:
    with shared("redis") as server:
        yield server.url


async def until_touch(keeper: RedisKeeper, there: bool) -> None:
    async def so() -> bool:
        return keeper.in_touch() is there

    await until(keeper, so)


async def test_nobody_dies_while_the_store_is_away(server: RedisServer) -> None:
    async with a_keeper(server.url) as keeper, a_keeper(server.url) as other:
        await keeper.join(a_node("a"))
        await other.join(a_node("b"))
        assert await keeper.leads(DUTY, "a")
        await keeper.write("a", b"x")
        await until_members(keeper, "a", "b")
        silent = time.monotonic()
        server.kill()
        for one in (keeper, other):
            await until_touch(one, False)
            assert one.age() >= time.monotonic() - silent
        assert not await keeper.leads(DUTY, "a")
        with pytest.raises(Unavailable):
            await keeper.write("a", b"y")
        assert await keeper.read("a") == Kept(b"x", 1), "reads go on"
        assert [member.node for member in await keeper.members()] == ["a", "b"]
        await later(silent + 1.5 * SESSION)
        server.start()
        for one in (keeper, other):
            await until_touch(one, True)
        await until_leads(keeper, DUTY, "a")
        for _ in range(4):
            await keeper.write("a", b"z")
        assert [member.node for member in await keeper.members()] == ["a", "b"]


class Host:
    """A keeper that looks when it is told to, and members of another process, silent when a test says so."""

    def __init__(self, keeper: RedisKeeper, names: list[str]) -> None:
        self.keeper = keeper
        self.names = names

    async def fall_silent(self, count: int) -> None:
        for name in self.names[:count]:
            await self.keeper._store.call(b"keeper", "ZADD", "{keeper}beats", 1, name)

    async def withheld_for(self, milliseconds: int) -> None:
        """Sets back the moment from which they are too many, and that of the last death."""
        past = wall_clock() - milliseconds  # the store runs on this machine
        await self.keeper._store.call(b"keeper", "HSET", "{keeper}state", "many", past, "died", past)

    async def living(self) -> int:
        """Of the others, after a heartbeat, with which the dead are declared."""
        self.keeper._contact = float("-inf")
        await self.keeper._look()
        return len(await self.keeper.members()) - 1


@asynccontextmanager
async def a_host(url: str, others: int) -> AsyncIterator[Host]:
    names = [f"w{number}" for number in range(others)]
    async with a_keeper(url, session=3600.0) as keeper, a_keeper(url, session=3600.0) as other:
        await keeper.join(a_node("judge"))
        for name in names:
            await other.join(a_node(name))
        host = Host(keeper, names)
        assert await host.living() == others
        yield host


@pytest.mark.parametrize(("others", "silent"), [(1, 1), (3, 2), (7, 4), (8, 1)])
async def test_members_that_fall_silent_are_declared_dead_with_the_next_heartbeat(
    url: str, others: int, silent: int
) -> None:
    async with a_host(url, others) as host:
        await host.fall_silent(silent)
        assert await host.living() == others - silent


async def test_when_most_members_are_silent_at_once_they_are_given_time_and_then_die_one_by_one(
    url: str,
) -> None:
    async with a_host(url, 9) as host:
        await host.fall_silent(8)
        for _ in range(3):
            assert await host.living() == 9
        await host.withheld_for(0)
        assert await host.living() == 9
        await host.withheld_for(11_000)
        assert await host.living() == 8
        await host.withheld_for(12_000)
        assert await host.living() == 7
        await host.withheld_for(121_000)
        assert await host.living() == 1


async def test_members_that_are_heard_again_while_their_deaths_are_withheld_live_on(url: str) -> None:
    async with a_host(url, 9) as host:
        await host.fall_silent(9)
        assert await host.living() == 9
        for name in host.names[1:]:
            await host.keeper._store.call(b"keeper", "ZADD", "{keeper}beats", 1 << 50, name)
        assert await host.living() == 8
        await host.fall_silent(8)
        assert await host.living() == 8, "their time begins anew"


async def test_who_leaves_is_not_taken_for_dead(url: str) -> None:
    async with a_keeper(url) as keeper:
        with structlog.testing.capture_logs() as said:
            await keeper.join(a_node("a"))
            await keeper.leave("a")
            await keeper.join(a_node("b"))
            await keeper.leave("b")
        assert [entry for entry in said if entry["log_level"] == "warning"] == []


async def test_a_store_that_forgot_everything_has_members_join_anew(server: RedisServer) -> None:
    async with a_keeper(server.url) as keeper:
        await keeper.join(a_node("a"))
        assert await keeper.leads(DUTY, "a")
        term = await keeper.term(DUTY)
        await keeper.write("a", b"x")
        server.flush()
        await until_members(keeper)
        assert await keeper.read_all("") == {}
        assert not await keeper.leads(DUTY, "a")
        with pytest.raises(Fenced):
            await keeper.join(a_node("a"))
        await keeper.join(a_node("a2"))
        assert await keeper.leads(DUTY, "a2")
        assert await keeper.term(DUTY) > term


async def test_calls_that_are_carried_out_twice_are_done_once(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Store.run

    async def twice(
        store: Store,
        tag: bytes,
        script: Script,
        keys: list[bytes],
        args: list[Word],
        *,
        durable: bool = False,
    ) -> Reply:
        await run(store, tag, script, keys, args, durable=durable)
        return await run(store, tag, script, keys, args, durable=durable)

    monkeypatch.setattr(Store, "run", twice)
    async with a_keeper(url) as keeper:
        await keeper.join(a_node("a"))
        assert await keeper.leads(DUTY, "a")
        term = await keeper.term(DUTY)
        assert await keeper.write("a", b"x", version=0) == 1
        assert await keeper.write("a", b"y") == 2
        assert await keeper.write("a", None, version=2) == 0
        assert await keeper.write("a", b"z", version=0) == 3
        assert await keeper.term(DUTY) == term
        await keeper.leave("a")
        assert await keeper.members() == []


async def test_a_process_that_is_quiet_writes_little(url: str) -> None:
    """A third of the session's timeout lies between two heartbeats, which are all that is written."""
    async with a_keeper(url, session=30.0) as keeper:
        await keeper.join(a_node("a"))
        store = keeper._store
        before = await _writes(store)
        for _ in range(8):
            await keeper._look()
        assert await _writes(store) == before


async def _writes(store: Store) -> int:
    info = await store.call(b"keeper", "INFO", "persistence")
    assert isinstance(info, bytes)
    (line,) = [line for line in info.splitlines() if line.startswith(b"rdb_changes_since_last_save:")]
    return int(line.partition(b":")[2])
