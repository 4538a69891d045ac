"""The embedded engine: SQLite in WAL mode with `synchronous=FULL`, one thread that writes and one that reads.

Whatever waits for the writer becomes one transaction and shares its sync; docs/adr/0005 has the figures
behind how statements are written. The parts are in `longline.saver.sql`; here are the connection, the life
of the engine and the port.
"""

import asyncio
import fcntl
import logging
import os
from array import array
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path

import apsw

from longline.errors import DataDirInUse, Unavailable
from longline.model.apps import App
from longline.model.commands import Broadcast, Unicast
from longline.model.devices import Binding, Device
from longline.model.events import Event
from longline.model.ledger import DeliveryRecord
from longline.saver.adapting import Ports
from longline.saver.bundle import Durability
from longline.saver.port.devices import Registration
from longline.saver.port.inboxes import Arrival, Arrive, Cursor, Fetch, Page, Receipt
from longline.saver.port.ledgers import Status
from longline.saver.port.messages import IdempotencyConflict, Outcome, Submission
from longline.saver.sql.database import Value
from longline.saver.sql.events import Queues, Recording
from longline.saver.sql.expiring import Expiring
from longline.saver.sql.fencing import Fence
from longline.saver.sql.fetching import Fetching
from longline.saver.sql.positions import Positions
from longline.saver.sql.reading import Reading
from longline.saver.sql.registry import Registry
from longline.saver.sql.sending import Sending
from longline.saver.sql.settling import Settling
from longline.saver.sql.standings import Standings
from longline.saver.sql.subtasks import SubTasks
from longline.saver.sql.worker import Job, Worker, perform

logger = logging.getLogger(__name__)

SCHEMA_VERSION = 1
GROUP = 8192  # items after which a group is closed, so that the first in it does not wait without end
CHECKPOINT_PAGES = 4096  # of 4 KiB in the write-ahead log, before they are moved into the database
# The store itself is broken or full: trying the group's requests one by one would not help any of them.
BROKEN = (
    apsw.FullError,
    apsw.IOError,
    apsw.CorruptError,
    apsw.NotADBError,
    apsw.ReadOnlyError,
    apsw.CantOpenError,
    apsw.BusyError,
    apsw.NoMemError,
)


class Connection:
    """A `Database` over one apsw connection."""

    def __init__(self, path: Path, cache_bytes: int) -> None:
        self._apsw = apsw.Connection(str(path), statementcachesize=200)
        self._apsw.set_busy_timeout(10_000)
        self._apsw.set_wal_hook(self._committed)
        self.wal_pages = 0
        for pragma in ("journal_mode=WAL", "synchronous=FULL", f"cache_size=-{cache_bytes // 1024}"):
            self._apsw.execute(f"PRAGMA {pragma}")

    def run(self, sql: str, /, *values: Value) -> int:
        self._apsw.execute(sql, [_bound(value) for value in values])
        return self._apsw.changes()

    def text(self, sql: str, /, *values: Value) -> str:
        value = self._first(sql, values)
        return "null" if value is None else str(value)

    def number(self, sql: str, /, *values: Value) -> int | None:
        value = self._first(sql, values)
        return None if value is None else int(value)

    def _first(self, sql: str, values: tuple[Value, ...]) -> int | float | str | bytes | None:
        cursor = self._apsw.execute(sql, [_bound(value) for value in values])
        row = next(cursor, None)
        cursor.close()  # now: an unfinished statement would hold its snapshot
        return None if row is None else row[0]

    def roll_back(self) -> None:
        """Ends a failed transaction, unless SQLite did so itself."""
        if self._apsw.in_transaction:
            self._apsw.execute("ROLLBACK")

    def checkpoint(self) -> None:
        """Moves what is committed from the write-ahead log into the database."""
        self._apsw.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        self.wal_pages = 0

    def close(self) -> None:
        self._apsw.close()

    def _committed(self, connection: apsw.Connection, name: str, pages: int) -> int:
        self.wal_pages = pages
        return apsw.SQLITE_OK


def _bound(value: Value) -> "int | str | bytes | apsw.CArrayBinding | None":
    if isinstance(value, tuple):
        return apsw.carray(array("q", value) if isinstance(value[0], int) else value)
    return value


class SqliteSaver(Ports):
    """Fulfils `Saver` for one process. Made by `open`."""

    def __init__(
        self,
        lock: int,
        writing: Connection,
        reading: Connection,
        locate: Callable[[int, Sequence[str]], list[Binding | None]],
        queue_limit: int,
        queue_bytes: int,
        cache_bytes: int,
        ledger_retention_ms: int,
        event_limit: int,
    ) -> None:
        self._lock = lock
        self._connections = (writing, reading)
        self._database = writing
        self._locate = locate
        self._standings = Standings(cache_bytes // 4)
        self._positions = Positions(writing)
        self._registry = Registry(writing, self._positions, self._standings)
        self._sending = Sending(writing, self._registry, self._positions, self._standings, locate)
        self._settling = Settling(writing, self._standings, Fence(writing, locate))
        self._subtasks = SubTasks()
        self._recording = Recording(writing, event_limit)
        self._queues = Queues(reading)
        self._expiring = Expiring(writing, self._standings, ledger_retention_ms)
        self._reading = Reading(reading, self._standings)
        self._fetching = Fetching(reading, self._standings, cache_bytes // 8)
        self._deleted = set(self._reading.deleted_apps())
        self._failures = 0
        self._checkpoints = 0
        self._writer = Worker("saver-writer", queue_limit, queue_bytes, GROUP, self._write, self._checkpoint)
        self._reader = Worker("saver-reader", queue_limit, queue_bytes, GROUP, self._read)
        self.adapt()

    @classmethod
    async def open(
        cls,
        path: Path | str,
        *,
        locate: Callable[[int, Sequence[str]], list[Binding | None]],
        queue_limit: int = 100_000,
        queue_bytes: int = 256 * 1024 * 1024,
        cache_bytes: int = 256 * 1024 * 1024,
        ledger_retention_ms: int = 7 * 86_400_000,
        event_limit: int = 100_000,
    ) -> "SqliteSaver":
        """Opens the database at `path`, or makes it; files are readable by their owner only.

        `locate` says where devices are bound now; it is called by the writer's thread too and must not
        wait. `queue_limit`: items (messages, receipts, devices) that may wait for each of the two threads;
        `queue_bytes`: what the payloads among them may add up to. `cache_bytes`: memory for pages and for
        the sets of open broadcasts. `ledger_retention_ms`: how long a ledger is kept after
        its message's end. `event_limit`: events kept for each app. Raises `DataDirInUse`, and `Unavailable`
        when the file cannot be used.
        """
        path = Path(path)
        try:
            lock = _lock(path)
            try:
                connections = await asyncio.to_thread(_connect, path, cache_bytes)
            except BaseException:
                os.close(lock)
                raise
        except (OSError, apsw.Error) as error:
            raise Unavailable(f"cannot use {path}: {error}") from error
        bounds = (queue_limit, queue_bytes, cache_bytes, ledger_retention_ms, event_limit)
        return cls(lock, *connections, locate, *bounds)

    def durability(self) -> Durability:
        return Durability("fsync")

    async def close(self) -> None:
        if self._lock < 0:
            return
        lock, self._lock = self._lock, -1
        await self._writer.close()
        await self._reader.close()
        for connection in reversed(self._connections):  # the last to close folds the log into the database
            await asyncio.to_thread(connection.close)
        os.close(lock)

    # --- the writer's thread ---

    def _write(self, jobs: list[Job]) -> None:
        """Serves a group in one transaction; if one of its requests is impossible, each in its own."""
        try:
            self._transact(jobs)
        except BROKEN as error:
            logger.exception("a transaction of %d requests failed", len(jobs))
            for job in jobs:
                job.result = _unavailable(error)
        except Exception as error:
            if len(jobs) == 1:
                logger.exception("the request %s failed", jobs[0].operation.__qualname__)
                jobs[0].result = _unavailable(error)
            else:
                for job in jobs:
                    self._write([job])

    def _transact(self, jobs: list[Job]) -> None:
        try:
            self._database.run("BEGIN IMMEDIATE")
            perform(jobs)
            self._standings.flush(self._database)
            self._database.run("COMMIT")
        except BaseException:
            self._failures += 1
            self._standings.rolled_back()
            self._registry.forget()
            self._positions.rolled_back()
            self._database.roll_back()  # last: on a broken disk it may fail too
            raise
        self._standings.committed()

    def _checkpoint(self) -> None:
        # Between groups, after the last one's futures were resolved: nothing is being written, so one passive
        # checkpoint takes all of the log, and the next commit starts it from the beginning.
        if self._database.wal_pages >= CHECKPOINT_PAGES:
            try:
                self._database.checkpoint()
            except apsw.Error:
                logger.exception("the write-ahead log could not be checkpointed")
            self._checkpoints += 1

    # --- the reader's thread ---

    def _read(self, jobs: list[Job]) -> None:
        try:
            perform(jobs)
        except Exception as error:
            if len(jobs) == 1:
                logger.exception("the request %s failed", jobs[0].operation.__qualname__)
                jobs[0].result = _unavailable(error)
            else:
                for job in jobs:
                    self._read([job])

    # --- apps ---

    async def create_app(self, app: App) -> App:
        return await self._writer.call(self._registry.create_apps, app)

    async def find_app(self, name: str) -> App | None:
        return await self._reader.call(self._reading.find_apps, name)

    async def list_apps(self, after: str, limit: int) -> list[App]:
        return await self._reader.call(self._reading.list_apps, (after, limit))

    async def update_app(self, app: App, before: App) -> bool:
        return await self._writer.call(self._registry.update_apps, (app, before))

    async def delete_app(self, app: int) -> None:
        await self._writer.call(self._registry.delete_apps, app)
        self._deleted.add(app)

    # --- devices ---

    async def register(self, app: int, batch: Sequence[Registration], now: int) -> list[Device]:
        return await self._writer.call(self._registry.register, (app, batch, now), len(batch))

    async def find_devices(self, app: int, names: Sequence[str]) -> list[Device | None]:
        if app in self._deleted:
            return [None] * len(names)
        return await self._reader.call(self._reading.find_devices, (app, names), len(names))

    async def list_devices(
        self, app: int, *, tag: str | None, alias: str | None, after: int, limit: int
    ) -> list[Device]:
        if app in self._deleted:
            return []
        return await self._reader.call(self._reading.list_devices, (app, tag, alias, after, limit))

    async def count_devices(self, app: int) -> int:
        return await self._reader.call(self._reading.count_devices, app)

    async def count_pending(self, app: int, ordinals: Sequence[int], now: int) -> list[int]:
        if app in self._deleted:
            return [0] * len(ordinals)
        return await self._reader.call(self._fetching.count_pending, (app, ordinals, now), len(ordinals))

    async def delete_device(self, app: int, device: str, now: int) -> bool:
        return await self._writer.call(self._registry.delete_devices, (app, device, now))

    async def ban(self, app: int, device: str, until: int) -> bool:
        return await self._writer.call(self._registry.ban, (app, device, until))

    async def arrive(self, batch: Sequence[Arrive]) -> list[Arrival | None]:
        # Those who come back, nearly all of them, cost a read; only who is new waits for a commit.
        arrivals: dict[tuple[int, str], Arrival | None] = {}
        missing: Sequence[Arrive] = [item for item in batch if item.app not in self._deleted]
        while missing:
            found = await self._reader.call(self._fetching.arrive, missing, len(missing))
            for item, arrival in zip(missing, found, strict=True):
                if arrival is not None:
                    arrivals[item.app, item.device] = arrival
            new: Sequence[Arrive] = [item for item in missing if (item.app, item.device) not in arrivals]
            apps = await self._writer.call(self._registry.admit, new, len(new)) if new else set()
            missing = [item for item in new if item.app in apps]
        return [arrivals.get((item.app, item.device)) for item in batch]

    # --- messages ---

    async def enqueue(self, batch: Sequence[Submission]) -> list[Outcome | IdempotencyConflict]:
        sizes = [len(envelope.message.payload) for submission in batch for envelope in submission.envelopes]
        drafts = await self._writer.call(self._sending.enqueue, batch, len(sizes), sum(sizes))
        return [
            draft if isinstance(draft, IdempotencyConflict) else draft.outcome(self._locate)
            for draft in drafts
        ]

    async def fetch(self, batch: Sequence[Fetch]) -> list[Page]:
        return await self._reader.call(self._fetching.fetch, batch, len(batch))

    async def settle(self, batch: Sequence[Receipt]) -> None:
        await self._writer.call(self._settling.settle, batch, len(batch))

    async def assign(self, app: int, message_id: str, nodes: Sequence[str]) -> None:
        self._subtasks.assign(app, message_id, nodes)

    async def finish(self, app: int, message_id: str, node: str, at: int) -> None:
        if self._subtasks.is_last(app, message_id, node):
            await self._writer.call(self._settling.settle_unwritten, (app, message_id))
        self._subtasks.finish(app, message_id, node)

    async def unfinished(self, node: str, limit: int) -> list[tuple[int, str]]:
        return self._subtasks.unfinished(node, limit)

    async def unrouted(self, before: int, limit: int) -> list[Unicast | Broadcast]:
        return []  # who was to route them has died with the sessions of all devices, which read their inboxes

    async def complete(self, before: int, limit: int) -> list[Unicast | Broadcast]:
        return []  # a submission is one transaction

    async def advance(self, batch: Sequence[Cursor]) -> None:
        await self._writer.call(self._settling.advance, batch, len(batch))

    async def status(self, app: int, message_id: str) -> Status | None:
        if app in self._deleted:
            return None
        return await self._reader.call(self._reading.status, (app, message_id))

    async def deliveries(
        self, app: int, message_id: str, after: int, limit: int
    ) -> list[tuple[int, DeliveryRecord]] | None:
        if app in self._deleted:
            return None
        return await self._reader.call(self._reading.deliveries, (app, message_id, after, limit))

    async def cancel(self, app: int, message_id: str, now: int) -> bool:
        if app in self._deleted:
            return False
        return await self._writer.call(self._settling.cancel, (app, message_id, now))

    async def expire(self, now: int, limit: int) -> int:
        return await self._writer.call(self._expiring.expire, (now, limit))

    async def next_expiry(self) -> int | None:
        return await self._reader.call(self._reading.next_expiry, None)

    # --- events ---

    async def record(self, batch: Sequence[Event]) -> None:
        await self._writer.call(self._recording.record, batch, len(batch))

    async def read_events(self, app: int, after: str, limit: int) -> list[tuple[str, Event]]:
        if app in self._deleted:
            return []
        return await self._reader.call(self._queues.events, (app, after, limit))

    def statistics(self) -> Mapping[str, int]:
        return {
            "write_queue": self._writer.waiting,
            "write_queue_bytes": self._writer.waiting_bytes,
            "read_queue": self._reader.waiting,
            "commits": self._writer.groups,
            "writes": self._writer.served,
            "read_groups": self._reader.groups,
            "reads": self._reader.served,
            "failed_transactions": self._failures,
            "checkpoints": self._checkpoints,
            "wal_pages": self._database.wal_pages,
            "broadcast_cache_bytes": self._standings.size,
        }


def _unavailable(error: Exception) -> Unavailable:
    failure = Unavailable("the store could not do this")
    failure.__cause__ = error
    return failure


def _lock(path: Path) -> int:
    """Takes the data directory for this process; the descriptor holds it until it is closed."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise DataDirInUse(f"another process already serves {path.parent}") from error
    return lock


def _connect(path: Path, cache_bytes: int) -> tuple[Connection, Connection]:
    # SQLite gives its write-ahead log the mode of the database, so making that first is enough.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    writing = Connection(path, cache_bytes // 4)
    try:
        version = writing.number("PRAGMA user_version")
        if version == 0:
            schema = files("longline.saver.sql").joinpath("schema.sql").read_text("utf-8")
            writing.run(f"BEGIN IMMEDIATE; {schema} COMMIT")
        elif version != SCHEMA_VERSION:
            raise Unavailable(f"{path} has schema {version}; this version reads {SCHEMA_VERSION}")
        return writing, Connection(path, cache_bytes // 4)
    except BaseException:
        writing.close()
        raise
