"""What only the SQLite engine promises: files, locks, failures of the disk, plans without scans, bounds."""

import asyncio
import os
import re
import resource
import stat
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import apsw
import msgspec
import pytest
import structlog
from pyroaring import BitMap

from longline.errors import DataDirInUse, LayoutRefused, Unavailable
from longline.model.audience import Devices, Everyone, Tagged
from longline.model.devices import Profile
from longline.model.events import Event
from longline.model.ledger import State
from longline.model.limits import AppLimits
from longline.model.messages import Envelope
from longline.register.memory import MemoryRegister
from longline.saver.bundle import Durability
from longline.saver.port.devices import Registration
from longline.saver.port.inboxes import Cursor, Receipt
from longline.saver.port.queues import Step
from longline.saver.sql import broadcasts, database, engine, events, routing, settling
from longline.saver.sql.broadcasts import BroadcastLedger, BroadcastLedgers
from longline.saver.sql.database import Database, Value
from longline.saver.sql.engine import SqliteSaver
from longline.saver.sql.sessions import SqlSessions
from tests.contract.engines import EVENTS, SAVERS, Opened
from tests.contract.saver.kept import Kept, a_will
from tests.contract.saver.test_ledgers import check_any_sequence
from tests.contract.saver.test_retained import Retained
from tests.contract.store_fixture import MINUTE, StoreFixture


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[StoreFixture]:
    store = StoreFixture(SAVERS["sqlite"], str(tmp_path / "data" / "longline.db"))
    await store.open()
    await store.begin()
    yield store
    await store.close()


async def test_a_second_process_is_refused(store: StoreFixture) -> None:
    with pytest.raises(DataDirInUse):
        await SqliteSaver.open(store.place, locate=MemoryRegister().locate_now)
    await store.register("a")


async def test_the_directory_is_free_again_after_close(store: StoreFixture) -> None:
    await store.reopen()
    assert await store.saver.apps.find("news") is not None


async def test_files_are_readable_by_their_owner_only(store: StoreFixture) -> None:
    await store.register("a")
    directory = Path(store.place).parent
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in directory.iterdir()}
    assert set(modes.values()) == {0o600}
    assert set(modes) == {f"longline.db{end}" for end in ("", "-wal", "-shm", ".lock")}


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "longline.db").write_bytes(b"not a database" * 1000)
    with pytest.raises(Unavailable, match=r"longline\.db"):
        await SqliteSaver.open(tmp_path / "longline.db", locate=lambda app, devices: [])


async def test_a_database_of_another_version_is_refused(store: StoreFixture) -> None:
    await store.saver.close()
    connection = apsw.Connection(store.place)
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    with pytest.raises(LayoutRefused, match="schema 999"):
        await store.open()
    connection = apsw.Connection(store.place)
    connection.execute(f"PRAGMA user_version = {engine.SCHEMA_VERSION}")
    connection.close()
    await store.open()


async def test_a_closed_engine_says_so(store: StoreFixture) -> None:
    await store.saver.close()
    with pytest.raises(Unavailable):
        await store.saver.apps.find("news")
    with pytest.raises(Unavailable):
        await store.register("a")
    await store.open()


def writer_of(store: StoreFixture) -> Database:
    assert isinstance(store.saver, SqliteSaver)
    return store.saver._writing


async def test_a_full_disk_fails_what_it_fails_and_nothing_after(store: StoreFixture) -> None:
    """Exactly the requests of that commit are refused, and none of what they brought is there."""
    await store.register("a")
    kept = await store.push("kept", "a")
    connection = writer_of(store)
    connection.run(f"PRAGMA max_page_count = {connection.number('PRAGMA page_count')}")
    lost = [store.message("x" * 100_000) for _ in range(3)]
    with structlog.testing.capture_logs() as logs:
        failures = await asyncio.gather(
            *(store.send(message, Devices(("a",))) for message in lost), return_exceptions=True
        )
        with pytest.raises(Unavailable):
            await store.send(lost[0], Devices(("a",)))
    assert [type(failure) for failure in failures] == [Unavailable] * 3
    assert [entry["event"] for entry in logs] == ["store_refuses_writes"], "once, however long it lasts"
    assert "exc_info" not in logs[0]
    assert [await store.saver.ledgers.status(store.app, message.id) for message in lost] == [None] * 3
    connection.run("PRAGMA max_page_count = 1000000")
    with structlog.testing.capture_logs() as logs:
        await store.push("after", "a")
    assert [entry["event"] for entry in logs] == ["store_takes_writes"]
    to_all = await store.push("to all")
    assert await store.waiting("a") == ["kept", "after", "to all"]
    assert (await store.ledger(kept)).pending == (await store.ledger(to_all)).pending == 1
    assert store.saver.statistics()["failed_transactions"] >= 1


async def test_a_failed_commit_leaves_no_trace_in_memory(
    store: StoreFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ordinals, positions and sets that a failed transaction touched are as they were."""
    await store.register("a")
    broadcast = await store.push("to all")
    (push,) = (await store.page("a")).pushes
    run = Database.run

    def broken(self: Database, sql: str, /, *values: Value) -> int:
        if sql == "COMMIT":
            raise apsw.IOError("disk I/O error")
        return run(self, sql, *values)

    with monkeypatch.context() as patch:
        patch.setattr(Database, "run", broken)
        for attempt in (
            store.register("b"),
            store.settle("a", push, State.ACKED),
            store.push("lost"),
            store.saver.devices.delete(store.app, "a", store.now),
            store.saver.messages.cancel(store.app, broadcast, store.now),
        ):
            with pytest.raises(Unavailable):
                await attempt
    assert (await store.ledger(broadcast)).pending == 1
    assert await store.waiting("a") == ["to all"]
    assert await store.register("b") == [1]
    assert (await store.ledger(await store.push("again"))).targeted == 2


async def test_an_impossible_request_does_not_fail_its_neighbours(store: StoreFixture) -> None:
    """Requests of one group are tried one by one when the group cannot be committed."""
    await store.register("a")
    good = [store.message(f"good {n}") for n in range(3)]
    twice = msgspec.structs.replace(store.message("twice"), id=good[0].id)
    answers = await asyncio.gather(
        *(store.send(message, Devices(("a",))) for message in [*good, twice]), return_exceptions=True
    )
    assert [isinstance(answer, Unavailable) for answer in answers] == [False, False, False, True]
    assert await store.waiting("a") == ["good 0", "good 1", "good 2"]


Method = Callable[..., object]


def recording(method: Method, seen: dict[str, tuple[Value, ...]]) -> Method:
    def record(self: Database, sql: str, /, *values: Value) -> object:
        seen[sql] = values
        return method(self, sql, *values)

    return record


async def test_a_check_on_a_full_disk_says_so_and_passes_once_there_is_room(tmp_path: Path) -> None:
    """No file may grow: as on a disk that is full, for this process alone."""
    saver = await SqliteSaver.open(tmp_path / "full.db", locate=lambda app, names: [None] * len(names))
    await saver.check()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    largest = max(os.stat(tmp_path / name).st_size for name in ("full.db", "full.db-wal"))
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, before[1]))
        with pytest.raises(Unavailable):
            await saver.check()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    await saver.check()
    await saver.close()


async def test_no_statement_scans_a_table(store: StoreFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is stored, the work of a request is what it speaks of: every plan searches by a key."""
    seen: dict[str, tuple[Value, ...]] = {}
    for name in ("run", "text", "number"):
        method = getattr(Database, name)

        monkeypatch.setattr(Database, name, recording(method, seen))
    await everything(store)
    monkeypatch.undo()
    assert len(seen) > 50
    scans = []
    for sql, values in seen.items():
        if sql in ("BEGIN IMMEDIATE", "COMMIT"):
            continue
        plan = apsw.Connection(store.place, flags=apsw.SQLITE_OPEN_READONLY)
        steps = [
            str(row[3])
            for row in plan.execute("EXPLAIN QUERY PLAN " + sql, [database.bound(value) for value in values])
        ]
        plan.close()
        scans += [
            f"{step}: {sql}" for step in steps if re.match(r"SCAN (?!CONSTANT)", step) and not small(step)
        ]
    assert scans == [], "\n".join(scans)


def small(step: str) -> bool:
    """Whether a step walks through what the request brought, what was found on the way, a page of rows, or
    the first of what is being removed (apps, sessions, what devices that are gone have retained), or of the
    apps that keep ledgers for their own time."""
    apps = r"apps USING INDEX apps_(deleted|retaining)"
    walks = rf"VIRTUAL TABLE|SCAN (\(subquery|page\b|walk\b|remains\b|retained_left\b|{apps})"
    return re.search(walks, step) is not None


async def everything(store: StoreFixture) -> None:
    """Each method of the port at least once."""
    saver = store.saver
    await store.register("a", "b", "c", profile=Profile(tags=("red",), aliases=("ann",)))
    await store.register("a", profile=Profile(tags=("blue",)))
    await store.arrive("d")
    for online_only in (False, True):
        for collapse in (None, "k"):
            for names in (("a", "b"), ()):
                message = store.message(collapse=collapse, online_only=online_only)
                envelope = Envelope(message, Devices(names) if names else Everyone())
                await store.submit(store.submission(envelope, key=message.id, digest=b"d"))
                await saver.ledgers.status(store.app, message.id)
                await saver.ledgers.deliveries(store.app, message.id, -1, 10)
    broadcast = await store.push("for who is online", online_only=True)
    await saver.routing.assign(store.app, broadcast, ["node-1"])
    await saver.routing.finish(store.app, broadcast, "node-1", store.now)
    binding = await store.bind("a")
    page = await store.page("a")
    receipt = await store.receipt("a", page.pushes[0], State.PENDING)
    await saver.inboxes.settle([msgspec.structs.replace(receipt, epoch=binding.epoch)])
    await store.ack_all("a")
    await saver.inboxes.advance([Cursor(store.app, 0, page.log_after, binding.epoch)])
    await saver.events.append(
        [Event(store.app, "presence", "a", store.now, b"{}", "s", n, "online") for n in range(1, 2 * EVENTS)]
    )
    await saver.events.append(
        [
            Event(store.app, "presence", f"d{n}", store.now, b"{}", "t", n, "online")
            for n in range(1, 2 * EVENTS)
        ]
    )
    await saver.events.read(store.app, "", 10)
    retained = Retained(store)
    await retained.keep_all(["a", "a/b", "c", "a"])
    await retained.keep("short", ttl=MINUTE)
    for filter in ("a", "#", "a/+"):
        await retained.find(filter)
    await retained.keep("c", b"")
    await saver.retained.count(store.app)
    await store.pending("b")
    await saver.messages.cancel(store.app, await store.push("taken back"), store.now)
    await saver.devices.list(store.app, tag="red", alias="ann", after=-1, limit=10)
    await saver.devices.list(store.app, tag=None, alias=None, after=-1, limit=10)
    await saver.devices.count(store.app)
    await saver.devices.ban(store.app, "a", 1)
    await saver.devices.delete(store.app, "c", store.now)
    await sessions(Kept(store))
    app = await saver.apps.find("news")
    assert app is not None
    limited = msgspec.structs.replace(app, limits=AppLimits(ledger_retention=60))
    assert await saver.apps.update(limited, app)
    await store.push("kept for a time of its own", "a")
    await saver.apps.list("", 10)
    await store.pass_time(MINUTE)
    await store.pass_time(10**9)
    await store.push("left behind", "a")
    await saver.apps.delete(store.app)
    await store.pass_time(0)
    await saver.expiry.next_due()


async def sessions(kept: Kept) -> None:
    """What is asked of sessions that are kept, and of their queues."""
    sender = await kept.open("sender", will=a_will(delay=5))
    readers = [await kept.subscribed(name, "x/#", "x/+", "y") for name in ("r1", "r2", "r3")]
    await kept.subscribe(readers[0], "y", 1)
    await kept.unsubscribe(readers[0], "y")
    await kept.sessions.wanted([kept.store.app])
    for n in range(3):
        await kept.send(kept.publication("x/y", qos=2, ttl=MINUTE), received=kept.received(sender, n + 1))
    await kept.complete(sender, 1)
    await kept.texts(readers[0])
    for step in Step:
        await kept.settle(readers[0], step + 1, step)
    await kept.keep(sender, sender.epoch + 1, "n2")
    await kept.abandon("n2", limit=10)
    for name, clean in (("sender", False), ("r1", True), ("r2", False)):
        session = await kept.open(name, clean=clean, expires_in=60, will=a_will())
        await kept.close(session, will=name != "r2")
    await kept.close(readers[2], expires_in=0)
    kept.store.now += MINUTE
    await kept.sweep()
    await kept.said()
    await kept.due()
    assert isinstance(kept.sessions, SqlSessions)
    await kept.sessions.nodes()
    await kept.store.saver.expiry.next_due()
    await kept.clear()
    await kept.open("left", will=a_will())


async def test_the_write_ahead_log_is_bounded(store: StoreFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "CHECKPOINT_PAGES", 64)
    await store.register("a")
    for _ in range(40):
        await store.push("x" * 50_000, "a")
    wal = os.stat(store.place + "-wal").st_size
    assert wal < 2 * 64 * 4096
    assert store.saver.statistics()["checkpoints"] > 5


async def test_additions_to_a_broadcast_are_merged(
    store: StoreFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading a broadcast's sets stays cheap however many commits added to them."""
    monkeypatch.setattr(broadcasts, "MERGE_AT", 8)
    names = [f"d{n}" for n in range(40)]
    await store.register(*names)
    message_id = await store.push("to all")
    for name in names[:30]:
        await store.ack_all(name)
    rows = writer_of(store).number("SELECT count(*) FROM broadcast_sets")
    assert rows is not None
    assert rows <= 10
    await store.reopen()
    assert (await store.ledger(message_id)).acked == 30
    assert [await store.waiting(name) for name in names[28:32]] == [[], [], ["to all"], ["to all"]]


def test_any_sequence_is_right_also_with_merges_and_without_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcasts, "MERGE_AT", 2)

    class Forgetful(broadcasts.BroadcastLedgers):
        def __init__(self, limit: int) -> None:
            super().__init__(1)

    monkeypatch.setattr(engine, "BroadcastLedgers", Forgetful)
    check_any_sequence(SAVERS["sqlite"], examples=10)


async def test_memory_for_broadcasts_is_bounded(tmp_path: Path) -> None:
    register = MemoryRegister()
    saver = await SqliteSaver.open(
        tmp_path / "longline.db", locate=register.locate_now, cache_bytes=4 * 65536
    )
    store = StoreFixture(SAVERS["sqlite"], "", _opened=Opened(saver, register, saver.close))
    await store.begin()
    names = [f"d{n}" for n in range(1000)]
    await saver.devices.put(store.app, [Registration(name, Profile()) for name in names], store.now)
    for n in range(150):
        await store.push(str(n))
    assert saver.statistics()["broadcast_cache_bytes"] <= 65536
    assert len(await store.waiting("d7")) == 150
    assert saver.statistics()["broadcast_cache_bytes"] <= 65536
    await saver.close()


async def test_an_accepted_message_is_on_the_disk(store: StoreFixture) -> None:
    assert store.saver.durability() == Durability("fsync")


async def test_tasks_of_broadcasts_are_forgotten_beyond_a_bound(
    store: StoreFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broadcast whose nodes are forgotten ends with its time, as after a restart."""
    monkeypatch.setattr(routing, "BROADCASTS", 3)
    await store.reopen()
    await store.register("a")
    ids = [await store.push(str(n), online_only=True) for n in range(5)]
    for message_id in ids:
        await store.saver.routing.assign(store.app, message_id, ["n"])
    assert await store.saver.routing.unfinished("n", 10) == [
        (store.app, message_id) for message_id in ids[2:]
    ]
    for message_id in ids:
        await store.saver.routing.finish(store.app, message_id, "n", store.now)
    assert [(await store.ledger(message_id)).pending for message_id in ids] == [1, 1, 0, 0, 0]
    await store.pass_time(MINUTE)
    assert [(await store.ledger(message_id)).dropped for message_id in ids] == [{"offline": 1}] * 5


async def test_a_task_that_could_not_be_ended_is_still_there(
    store: StoreFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.register("a")
    message_id = await store.push("all", online_only=True)
    await store.saver.routing.assign(store.app, message_id, ["n"])

    def broken(self: Database, sql: str, /, *values: Value) -> int:
        raise apsw.IOError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(Database, "run", broken)
        with pytest.raises(Unavailable):
            await store.saver.routing.finish(store.app, message_id, "n", store.now)
    assert await store.saver.routing.unfinished("n", 10) == [(store.app, message_id)]
    await store.saver.routing.finish(store.app, message_id, "n", store.now)
    assert (await store.ledger(message_id)).dropped == {"offline": 1}


async def test_who_reads_a_broadcasts_sets_sees_those_of_one_commit_whatever_is_written_meanwhile(
    store: StoreFixture,
) -> None:
    """The reader's thread goes through them while the writer's adds to them."""
    await store.register("a", "b", "c")
    await store.push("all")
    pushes = {name: (await store.page(name)).pushes[0] for name in "abc"}
    await store.settle("a", pushes["a"], State.ACKED)
    assert isinstance(store.saver, SqliteSaver)
    ledger = store.saver._broadcasts.get(pushes["a"].position, store.saver._reading)
    seen, sets = list(ledger.sets.items()), iter(ledger.sets.items())
    read = [next(sets)]
    await store.settle("b", pushes["b"], State.DROPPED, reason="why")
    await store.settle("c", pushes["c"], State.EXPIRED)
    assert len(ledger.sets) == len(seen) + 2
    assert [*read, *sets] == seen
    assert all(len(ordinals) == 1 for _, ordinals in seen)


async def test_sources_of_events_are_forgotten_beyond_a_bound(
    store: StoreFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "SOURCES", 3)
    for n in range(10):
        await store.saver.events.append([Event(store.app, "presence", "a", store.now, b"{}", f"s{n}", 1)])
    assert writer_of(store).number("SELECT count(*) FROM sources") == 3


async def test_what_is_no_cursor_counts_as_the_beginning(store: StoreFixture) -> None:
    await store.saver.events.append([Event(store.app, "presence", "a", store.now, b"{}", "s", 1)])
    for cursor in ("nonsense", "-1", "²", "9" * 40, "1 OR 1"):
        assert len((await store.saver.events.read(store.app, cursor, 10)).events) == 1


async def test_an_old_position_is_never_given_again_after_a_crash(store: StoreFixture) -> None:
    """The block of positions that was in use is skipped, whatever of it was used."""

    async def newest() -> int:
        await store.push("m", "a")
        return (await store.page("a")).pushes[-1].position

    await store.register("a")
    before = await newest()
    await store.reopen()
    assert await newest() > before


def test_records_read_back_as_they_were_packed() -> None:
    """The widths of a record and of the SQL that takes it apart are the same."""
    connection = apsw.Connection(":memory:")
    receipt = Receipt(2**28, 7, 2**62, False, State.DROPPED, 10**13, 10**14, "grün")
    (record,) = settling.ReceiptRows([receipt], {}).rows
    (row,) = connection.execute(settling.GIVEN, (apsw.carray((record,)),))
    assert row == (2**62, 2**60 + 7, int(State.DROPPED), 10**13, 10**14, "grün")
    name = "grün".encode()
    key = events.KEY % (2**32, 2**62)
    sql = events.INSERT.replace("INSERT INTO events (app, n, device, body)", "")
    record = events.REST % (key, len(name), name, b"\x00\xff")
    assert list(connection.execute(sql, (apsw.carray((record,)),))) == [(2**32, 2**62, "grün", b"\x00\xff")]
    standings = tuple(events.REST % (key, len(data), data, name) for data in (b"", b"{}"))
    sql = events.STAND.replace("INSERT INTO standings (app, device, n, data)", "")
    sql = sql[: sql.index("WHERE true")]
    assert list(connection.execute(sql, (apsw.carray(standings),))) == [
        (2**32, "grün", 2**62, None),
        (2**32, "grün", 2**62, b"{}"),
    ]
    connection.close()


def test_a_database_that_has_let_go_holds_no_pages_and_goes_on(tmp_path: Path) -> None:
    found = Database(tmp_path / "a.db", 1 << 20)
    found.run("CREATE TABLE t (value BLOB)")
    found.run(
        "INSERT INTO t SELECT randomblob(4000) FROM json_each(?1)", msgspec.json.encode([0] * 100).decode()
    )

    def held() -> int:
        return found._apsw.status(apsw.SQLITE_DBSTATUS_CACHE_USED)[0]

    assert held() > 400_000
    found.let_go()
    assert held() < 40_000
    assert found.number("SELECT count(*) FROM t") == 100
    found.close()


def test_the_system_has_back_what_many_pages_took_though_something_newer_is_in_use(tmp_path: Path) -> None:
    found = Database(tmp_path / "a.db", 64 << 20)
    found.run("CREATE TABLE t (value BLOB)")
    rows = msgspec.json.encode([0] * 8_000).decode()
    found.run("INSERT INTO t SELECT randomblob(4000) FROM json_each(?1)", rows)
    newer = [apsw.Connection(":memory:") for _ in range(20)]

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    before = resident()
    found.let_go()
    assert before - resident() > 20_000_000
    for connection in newer:
        connection.close()
    found.close()


def test_bound_arrays_are_seen_whole() -> None:
    connection = apsw.Connection(":memory:")
    arrays: Sequence[Value] = [(1, 2**62), (b"\x00", b"", b"x")]
    for values in arrays:
        rows = connection.execute("SELECT value FROM carray(?)", (database.bound(values),)).fetchall()
        assert tuple(row[0] for row in rows) == values
    connection.close()


async def test_a_broadcast_collapses_what_is_older_only_for_those_that_it_is_for(
    store: StoreFixture,
) -> None:
    """An expression that leaves a device out takes nothing away from it."""
    await store.register("in", profile=Profile(tags=("red",)))
    await store.register("out")
    await store.push("to all", collapse="k")
    for name in ("in", "out"):
        await store.push("one", name, collapse="other")
    for collapse in ("k", "other"):
        await store.send(store.message("newer", collapse=collapse), Tagged(("red",)))
    assert await store.waiting("in") == ["newer", "newer"]
    assert await store.waiting("out") == ["to all", "one"]
    await store.push("newest", "out", collapse="k")
    assert await store.waiting("out") == ["one", "newest"]


async def test_a_message_to_many_asks_once_for_the_broadcasts_that_it_replaces(
    store: StoreFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the writer has of them is a row for each broadcast, and none for each device of each."""
    names = [f"d{number}" for number in range(50)]
    await store.register(*names, "other")
    older = [await store.push(f"{number}", collapse="k") for number in range(3)]
    texts: list[str] = []
    text = Database.text

    def listened(self: Database, sql: str, /, *values: Value) -> str:
        texts.append(text(self, sql, *values))
        return texts[-1]

    monkeypatch.setattr(Database, "text", listened)
    await store.push("newer", *names, collapse="k")
    monkeypatch.undo()
    rows = [decoded for each in texts if isinstance(decoded := msgspec.json.decode(each), list)]
    assert max(map(len, rows)) <= len(names)
    assert [(await store.ledger(each)).collapsed for each in older] == [51, 51, 50]
    assert await store.waiting("d7") == ["newer"]
    assert await store.waiting("other") == ["2"]


async def test_a_broadcast_that_nobody_waits_for_is_not_looked_at_again(
    store: StoreFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is sent again and again under one key costs the same each time."""
    await store.register("a", "b")
    for number in range(20):
        await store.push(f"{number}", collapse="k")
        await store.push(f"{number}", "a", "b", collapse="k")
    settled: list[int] = []
    settle = BroadcastLedgers.settle

    def listened(
        self: BroadcastLedgers, position: int, label: str, ordinals: BitMap, database: Database
    ) -> int:
        settled.append(position)
        return settle(self, position, label, ordinals, database)

    monkeypatch.setattr(BroadcastLedgers, "settle", listened)
    await store.push("newest", collapse="k")
    await store.push("newest", "a", collapse="k")
    assert len(settled) == 1
    assert await store.waiting("a") == ["newest"]
    assert await store.waiting("b") == ["newest"]


async def test_many_who_look_for_the_same_events_are_served_by_one_statement(
    store: StoreFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.saver.events.append([Event(store.app, "presence", "a", store.now, b"{}", "s", 1, "online")])
    asked: list[str] = []
    text = Database.text

    def listened(self: Database, sql: str, /, *values: Value) -> str:
        asked.append(sql)
        return text(self, sql, *values)

    monkeypatch.setattr(Database, "text", listened)
    looks = [store.saver.events.read(store.app, "", 10) for _ in range(100)]
    pages = await asyncio.gather(*looks, store.saver.events.read(store.app, "", 0))
    assert [len(page.events) for page in pages] == [1] * 100 + [0]
    # They come while the first is served, if not with it.
    assert len(asked) <= 4


async def test_a_database_that_lacks_something_is_refused_and_let_go(store: StoreFixture) -> None:
    """Whoever repairs it can open it: neither its lock nor a connection is left behind."""
    await store.close()
    connection = apsw.Connection(store.place)
    connection.execute("ALTER TABLE apps RENAME TO lost")
    threads = threading.active_count()
    with pytest.raises(Unavailable, match="no such table"):
        await store.open()
    assert threading.active_count() == threads
    connection.execute("ALTER TABLE lost RENAME TO apps")
    connection.close()
    await store.open()


def test_a_ledger_may_be_read_while_a_commit_adds_to_it() -> None:
    """The reader's thread goes through the sets while the writer's publishes others."""
    ledger = BroadcastLedger(1, BitMap(range(9)))
    ledger.add({"sent": BitMap([1, 2])})
    sets = iter(ledger.sets.items())
    next(sets)
    ledger.add({"sent": BitMap([3]), "acked": BitMap([1])})
    assert list(sets) == []
    assert (ledger.sets, ledger.settled) == ({"sent": BitMap([1, 2, 3]), "acked": BitMap([1])}, BitMap([1]))


async def test_looking_for_what_is_over_writes_nothing_while_nothing_is(store: StoreFixture) -> None:
    kept = Kept(store)
    session = await kept.open("a", expires_in=60)
    await kept.close(session)
    before = store.saver.statistics()["commits"]
    assert await kept.sweep() == 0
    assert await kept.due() == []
    assert store.saver.statistics()["commits"] == before
    store.now += 60_000
    assert await kept.sweep() == 1
