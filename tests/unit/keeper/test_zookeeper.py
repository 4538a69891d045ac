"""ZooKeeper servers that die, stop, and forget: what a keeper on ZooKeeper makes of it."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from kazoo.client import KazooClient
from longline.errors import Conflict, Fenced, Unavailable
from longline.keeper.port import Kept
from longline.keeper.zookeeper import ZooKeeper
from longline.settings import KeeperSettings
from longline.store.zookeeper import Found, ZooKeeperSession
from longline.telemetry.faults import Faults
from tests import waiting
from tests.contract.keeper.nodes import a_node, until, until_leads, until_members
from tests.servers.ports import free_ports
from tests.servers.zookeeper import (
    LONGEST_SESSION,
    Ensemble,
    ZooKeeperServer,
    ensemble,
    shared_zookeeper,
    zookeeper,
)
from tests.waiting import later, stand_still

DUTY = "expiry"


@asynccontextmanager
async def a_keeper(hosts: str, root: str = "/longline", session: float = 2.0) -> AsyncIterator[ZooKeeper]:
    keeper = await ZooKeeper.open(KeeperSettings(hosts=hosts, root=root, session_timeout=session), Faults())
    try:
        yield keeper
    finally:
        await keeper.close()


@pytest.fixture
def root() -> str:
    return f"/test-{uuid4().hex}"


@pytest.fixture
def hosts() -> str:
    return shared_zookeeper().host


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ZooKeeperServer]:
    """One for this test, to be ill-treated."""
    with zookeeper(tmp_path) as server:
        yield server


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Ensemble]:
    with ensemble(tmp_path) as servers:
        yield servers


@asynccontextmanager
async def by_hand(hosts: str) -> AsyncIterator[KazooClient]:
    """An operator's client."""
    client = KazooClient(hosts)
    await asyncio.to_thread(client.start)
    try:
        yield client
    finally:
        await asyncio.to_thread(client.stop)
        client.close()


async def expire(keeper: ZooKeeper, hosts: str) -> None:
    """Ends a keeper's session as ZooKeeper does when it has not heard of it for too long."""
    known = keeper._session._client.client_id
    assert known is not None
    client = KazooClient(hosts, client_id=known)
    await asyncio.to_thread(client.start)
    await asyncio.to_thread(client.stop)
    client.close()


async def until_touch(keeper: ZooKeeper, there: bool) -> None:
    async def so() -> bool:
        return keeper.in_touch() is there

    await until(keeper, so)


# --- the session ------------------------------------------------------------------------------------


async def test_the_sessions_timeout_is_the_one_that_the_server_grants(hosts: str, root: str) -> None:
    async with a_keeper(hosts, root, session=100) as keeper:
        assert keeper._session.timeout == pytest.approx(LONGEST_SESSION / 1000)
    async with a_keeper(hosts, root, session=5) as keeper:
        assert keeper._session.timeout == pytest.approx(5)


async def test_opening_raises_when_no_server_answers() -> None:
    (port,) = free_ports(1)
    with pytest.raises(Unavailable):
        await ZooKeeper.open(KeeperSettings(hosts=f"127.0.0.1:{port}", session_timeout=1), Faults())


async def test_a_process_that_was_held_up_does_not_leave_the_server_for_that(
    hosts: str, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer to its heartbeat was there long before the loop came to it."""
    async with a_keeper(hosts, root, session=3) as keeper:
        dropped: list[None] = []
        monkeypatch.setattr(keeper._session._client, "drop", lambda: dropped.append(None))
        for _ in range(3):
            heartbeat = asyncio.ensure_future(keeper._session._beat())
            await asyncio.sleep(0)  # it is sent
            stand_still(1.3)  # more than a third of the session's timeout
            await heartbeat
        assert dropped == []


async def test_after_a_lost_session_everything_is_read_and_watched_anew(hosts: str, root: str) -> None:
    async with a_keeper(hosts, root) as keeper, a_keeper(hosts, root) as other:
        await keeper.join(a_node("old"))
        await other.join(a_node("other"))
        assert await keeper.leads(DUTY, "old")
        await keeper.write("a", b"before")
        await until_members(other, "old", "other")

        await expire(keeper, hosts)
        await until_members(other, "other")
        await until_members(keeper, "other")
        await until_touch(keeper, True)
        assert not await keeper.leads(DUTY, "old")
        with pytest.raises(Fenced):
            await keeper.join(a_node("old"))

        await keeper.join(a_node("new"))
        await until_members(other, "new", "other")
        await until_leads(keeper, DUTY, "new")
        await other.write("a", b"after")

        async def heard() -> bool:
            return await keeper.read("a") == Kept(b"after", 2)

        await until(keeper, heard)
        await other.leave("other")
        await until_members(keeper, "new")
        await keeper.leave("old")  # which is no fault, and changes nothing
        await until_members(other, "new")


async def test_a_member_that_somebody_else_removed_has_to_take_a_new_name(hosts: str, root: str) -> None:
    async with a_keeper(hosts, root) as keeper, by_hand(hosts) as operator:
        await keeper.join(a_node("a"))
        await asyncio.to_thread(operator.delete, f"{root}/members/a")
        await until_members(keeper)
        assert not await keeper.leads(DUTY, "a")
        with pytest.raises(Fenced):
            await keeper.join(a_node("a"))


async def test_what_is_not_ours_is_left_alone(hosts: str, root: str) -> None:
    async with by_hand(hosts) as operator:
        for path in ("members/strange", "settings/strange", f"leaders/{DUTY}"):
            await asyncio.to_thread(operator.create_async(f"{root}/{path}", b"?", makepath=True).get)
        async with a_keeper(hosts, root) as keeper:
            assert await keeper.members() == []
            assert await keeper.read_all("") == {}
            await keeper.join(a_node("a"))
            assert await keeper.leads(DUTY, "a")
            await keeper.write("a", b"x")
            assert await keeper.read_all("") == {"a": Kept(b"x", 1)}
            with pytest.raises(Conflict):
                await keeper.write("strange", b"x")


async def test_what_was_wiped_out_by_hand_is_made_again(hosts: str, root: str) -> None:
    async with a_keeper(hosts, root) as keeper, by_hand(hosts) as operator:
        await keeper.write("a", b"x")
        for path in ("settings", "removed", "members"):
            await asyncio.to_thread(operator.delete, f"{root}/{path}", recursive=True)

        async def empty() -> bool:
            return await keeper.read_all("") == {}

        await until(keeper, empty)
        await keeper.write("a", b"y")
        await keeper.join(a_node("a"))
        assert await keeper.leads(DUTY, "a")


async def test_members_that_report_all_the_time_are_read_now_and_then(
    hosts: str, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports = 300
    read: list[str] = []
    get = ZooKeeperSession.get

    async def counted(session: ZooKeeperSession, path: str, *, watch: bool = False) -> Found | None:
        if session is keeper._session and path.endswith("/busy"):
            read.append(path)
        return await get(session, path, watch=watch)

    async with a_keeper(hosts, root) as keeper, a_keeper(hosts, root) as busy:
        await busy.join(a_node("busy"))
        await until_members(keeper, "busy")
        monkeypatch.setattr(ZooKeeperSession, "get", counted)
        before = time.monotonic()
        for number in range(reports):
            await busy.join(a_node("busy", mqtt=str(number)))
        last = a_node("busy", mqtt=str(reports - 1))

        async def heard() -> bool:
            return last in await keeper.members()

        await until(keeper, heard)
        assert len(read) <= 2 + (time.monotonic() - before) / 0.25


# --- servers that are gone --------------------------------------------------------------------------


async def test_while_the_server_is_down_reads_go_on_and_writes_are_refused(server: ZooKeeperServer) -> None:
    async with a_keeper(server.host, session=20) as keeper:  # by when a client of a busy machine is back
        await keeper.join(a_node("a"))
        assert await keeper.leads(DUTY, "a")
        await keeper.write("a", b"x")
        server.kill()
        with pytest.raises(Unavailable):  # though nothing comes back as long as this waits
            await keeper.write("a", b"y")
        with pytest.raises(Unavailable):
            await keeper.join(a_node("b"))
        await until_touch(keeper, False)
        assert not await keeper.leads(DUTY, "a")
        assert await keeper.members() == [a_node("a")]
        assert await keeper.read("a") == Kept(b"x", 1)
        assert await keeper.term(DUTY) > 0

        server.start()
        await until_touch(keeper, True)
        assert await keeper.write("a", b"z", version=1) == 2
        assert keeper.in_touch()
        # ZooKeeper forgets nobody while it is down itself: its sessions begin anew with it.
        assert await keeper.members() == [a_node("a")]
        await until_leads(keeper, DUTY, "a")


async def test_a_server_that_stops_answering_ends_touch_before_it_ends_the_session(
    server: ZooKeeperServer,
) -> None:
    async with a_keeper(server.host, session=2) as keeper:
        await keeper.join(a_node("a"))
        assert await keeper.leads(DUTY, "a")
        server.pause()
        silent = time.monotonic()
        # What counts is when the last heartbeat that was answered was sent, not when we looked.
        await later(silent + 2.0)
        assert not keeper.in_touch()
        assert not await keeper.leads(DUTY, "a")
        assert await keeper.members() == [a_node("a")]
        server.resume()
        await until_touch(keeper, True)


async def test_closing_does_not_wait_for_a_server_that_does_not_answer(server: ZooKeeperServer) -> None:
    async with a_keeper(server.host, session=1) as keeper:
        await keeper.join(a_node("a"))
        server.pause()
        await keeper.close()
        server.resume()


# --- an ensemble ------------------------------------------------------------------------------------


def server_of(keeper: ZooKeeper, three: Ensemble) -> ZooKeeperServer | None:
    """The one that a keeper is connected to."""
    sock = keeper._session._client._granting.sock
    try:
        port = None if sock is None else sock.getpeername()[1]
    except OSError:
        return None
    return next((server for server in three.servers if server.port == port), None)


async def test_a_session_outlives_servers_that_stop_or_die_and_an_ensemble_that_is_down(
    three: Ensemble,
) -> None:
    """One by one: the keeper's own server stopped, the leader killed, all killed."""
    async with a_keeper(three.hosts, session=4) as keeper, a_keeper(three.hosts, session=4) as other:
        await keeper.join(a_node("a"))
        assert await keeper.leads(DUTY, "a")
        await other.join(a_node("b"))
        await until_members(keeper, "a", "b")
        await until_members(other, "a", "b")

        seen = await other.changed(0)
        stopped = server_of(keeper, three)
        assert stopped is not None
        stopped.pause()

        def moved() -> bool:
            return keeper.in_touch() and server_of(keeper, three) not in (None, stopped)

        await waiting.until(moved)
        stopped.resume()
        await asyncio.to_thread(stopped.wait)
        await until_touch(other, True)
        await until_touch(keeper, True)
        assert [member.node for member in await other.members()] == ["a", "b"], "nobody was taken for dead"
        assert await keeper.leads(DUTY, "a")
        assert await other.changed(0) >= seen

        leader = await asyncio.to_thread(three.leader)
        leader.kill()
        await until_touch(keeper, True)
        await write_when_possible(keeper, b"without one")
        leader.start()
        await asyncio.to_thread(leader.wait)

        three.kill()
        await until_touch(keeper, False)
        assert await keeper.read("a") is not None
        await asyncio.to_thread(three.start)
        await until_touch(keeper, True)
        await write_when_possible(keeper, b"after all")

        async def heard() -> bool:
            kept = await other.read("a")
            return kept is not None and kept.value == b"after all"

        await until(other, heard)
        await until_members(other, "a", "b")
        await until_leads(keeper, DUTY, "a")


async def write_when_possible(keeper: ZooKeeper, value: bytes) -> None:
    async def written() -> bool:
        try:
            await keeper.write("a", value)
        except Unavailable:
            return False
        return True

    await waiting.until(written)
