"""Opening the embedded engine: its file, its threads, and the group commit.

Whatever waits for the writer becomes one transaction and shares its sync; docs/adr/0005 has the figures
behind how statements are written.
"""

import asyncio
import fcntl
import os
from collections.abc import Mapping
from contextlib import suppress
from importlib.resources import files
from pathlib import Path

import structlog

from longline.errors import DataDirInUse, LayoutRefused, LonglineError, Unavailable
from longline.saver.bounds import BOUNDS, SaverBounds
from longline.saver.bundle import Durability
from longline.saver.sealing import IN_CLEAR, Seals
from longline.saver.sql.apps import SqlApps, deleted_apps
from longline.saver.sql.audiences import SqlAudiences
from longline.saver.sql.bodies import Bodies
from longline.saver.sql.broadcasts import BroadcastLedgers
from longline.saver.sql.calls import LocalCalls
from longline.saver.sql.changes import SqlChanges
from longline.saver.sql.counts import SqlCounts
from longline.saver.sql.database import BROKEN, Database, Error
from longline.saver.sql.devices import SqlDevices
from longline.saver.sql.events import SqlEvents
from longline.saver.sql.expiry import SqlExpiry
from longline.saver.sql.fencing import Fence, Locate
from longline.saver.sql.figures import SqlFigures
from longline.saver.sql.flights import SqlFlights
from longline.saver.sql.groups import Sayings, SqlGroups
from longline.saver.sql.inboxes import SqlInboxes
from longline.saver.sql.keys import SqlKeys
from longline.saver.sql.labels import Labels
from longline.saver.sql.ledgers import SqlLedgers
from longline.saver.sql.members import Members
from longline.saver.sql.messages import SqlMessages
from longline.saver.sql.overflow import Overflow
from longline.saver.sql.parking import SqlParking
from longline.saver.sql.positions import Positions
from longline.saver.sql.profiles import SqlProfiles
from longline.saver.sql.queues import SqlQueues
from longline.saver.sql.rates import LocalRates
from longline.saver.sql.retained import SqlRetained
from longline.saver.sql.retirement import SqlRetirement
from longline.saver.sql.routing import SqlRouting
from longline.saver.sql.schedules import SqlSchedules
from longline.saver.sql.sessions import SqlSessions
from longline.saver.sql.shadows import SqlShadows
from longline.saver.sql.storing import Storing
from longline.saver.sql.trail import SqlTrail
from longline.saver.sql.visits import SqlVisits
from longline.saver.sql.webhooks import SqlWebhooks
from longline.saver.sql.worker import DatabaseTimes, Job, Worker, perform

log = structlog.get_logger("longline.saver")

SCHEMA_VERSION = 9
GROUP = 8192  # items after which a group is closed, so that the first in it does not wait without end
CHECKPOINT_PAGES = 4096  # of 4 KiB in the write-ahead log, before they are moved into the database


class SqliteSaver:
    """Fulfils `Saver` for one process: a port is an attribute. Made by `open`."""

    def __init__(
        self,
        path: Path,
        lock: int,
        writing: Database,
        reading: Database,
        locate: Locate,
        queue_limit: int,
        queue_bytes: int,
        cache_bytes: int,
        bounds: SaverBounds,
        seals: Seals,
    ) -> None:
        self._path = path
        self._lock = lock
        self._writing = writing
        self._reading = reading
        self._broadcasts = BroadcastLedgers(cache_bytes // 4)
        self._positions = Positions(writing)
        self._labels = Labels(writing)
        self._overflow = Overflow(writing, self._broadcasts, bounds.inbox)
        self._failures = 0
        self._refuses = False  # the disk is full, or broken
        self._grows = False  # the write-ahead log, since it cannot be checkpointed
        self._checkpoints = 0
        # All that is read now was read before the threads begin: from here on nothing can fail.
        deleted = deleted_apps(reading)
        writer = Worker(
            "saver-writer", queue_limit, queue_bytes, GROUP, self._write, self._checkpoint, self._rest
        )
        reader = Worker("saver-reader", queue_limit, queue_bytes, GROUP, self._read, idle=reading.let_go)
        self._writer = writer
        self._reader = reader
        self.answers = DatabaseTimes(reader.seconds, writer.seconds)
        self.counts = SqlCounts(writer, writing, bounds.counts)
        self.events = SqlEvents(
            writer, reader, writing, reading, bounds=bounds.events, counts=self.counts, deleted=deleted
        )
        self._changes = SqlChanges(self.events, self.counts)
        self._members = Members(writing, self._positions, self._changes)
        members, labels, broadcasts = self._members, self._labels, self._broadcasts
        self.apps = SqlApps(writer, reader, writing, reading, members=members, deleted=deleted, seals=seals)
        self.devices = SqlDevices(
            writer,
            reader,
            writing,
            reading,
            members=members,
            labels=labels,
            broadcasts=broadcasts,
            changes=self._changes,
            deleted=deleted,
        )
        self.visits = SqlVisits(writer, reader, writing, reading, self.counts, deleted, bounds.connections)
        self.retirement = SqlRetirement(
            writer,
            reader,
            writing,
            reading,
            devices=self.devices,
            visits=self.visits,
            locate=locate,
            deleted=deleted,
        )
        self.audiences = SqlAudiences(reader, reading, deleted)
        storing = Storing(
            writing,
            members,
            labels,
            self._positions,
            broadcasts,
            self._overflow,
            locate,
            self.counts,
            Sayings(writing, bounds.groups),
        )
        self.messages = SqlMessages(
            writer,
            writing,
            storing,
            broadcasts=broadcasts,
            overflow=self._overflow,
            locate=locate,
            deleted=deleted,
        )
        self.groups = SqlGroups(
            writer,
            reader,
            writing,
            reading,
            members=members,
            labels=labels,
            positions=self._positions,
            broadcasts=broadcasts,
            deleted=deleted,
            bounds=bounds.groups,
        )
        self.inboxes = SqlInboxes(
            writer,
            reader,
            writing,
            reading,
            members=members,
            positions=self._positions,
            broadcasts=broadcasts,
            overflow=self._overflow,
            bodies=Bodies(reading, cache_bytes // 8),
            fence=Fence(writing, locate),
            visits=self.visits,
            counts=self.counts,
            deleted=deleted,
        )
        self.ledgers = SqlLedgers(reader, reading, broadcasts, deleted)
        self.routing = SqlRouting(writer, writing, broadcasts)
        self.sessions = SqlSessions(writer, reader, writing, reading, members=members, deleted=deleted)
        self.queues = SqlQueues(
            writer,
            reader,
            writing,
            reading,
            members=members,
            positions=self._positions,
            locate=locate,
            deleted=deleted,
            bounds=bounds.queue,
            events=self.events,
        )
        self.flights = SqlFlights(writer, writing)
        self.retained = SqlRetained(
            writer,
            reader,
            writing,
            reading,
            members=members,
            deleted=deleted,
            max_messages=bounds.retained_messages,
            max_bytes=bounds.retained_bytes,
        )
        self.schedules = SqlSchedules(
            writer, reader, writing, reading, members=members, deleted=deleted, bounds=bounds.timers
        )
        self.shadows = SqlShadows(writer, reader, writing, reading, members=members, deleted=deleted)
        self.webhooks = SqlWebhooks(
            writer,
            reader,
            writing,
            reading,
            members=members,
            deleted=deleted,
            bounds=bounds.dead,
            seals=seals,
        )
        self.parking = SqlParking(writer, reader, writing, reading, deleted=deleted)
        self.replies = LocalCalls()
        self.keys = SqlKeys(writer, reader, writing, reading, members=members)
        self.trail = SqlTrail(writer, reader, writing, reading, bounds=bounds.trail)
        self.figures = SqlFigures(writer, reader, writing, reading, bounds=bounds.figures)
        self.profiles = SqlProfiles(writer, reader, writing, reading, bounds=bounds.profiles)
        self.rates = LocalRates()
        self.expiry = SqlExpiry(
            writer,
            reader,
            writing,
            reading,
            positions=self._positions,
            broadcasts=broadcasts,
            retained=self.retained,
            schedules=self.schedules,
            trail=self.trail,
            retention=bounds.ledger_retention_ms,
        )

    @classmethod
    async def open(
        cls,
        path: Path | str,
        *,
        locate: Locate,
        queue_limit: int = 100_000,
        queue_bytes: int = 256 * 1024 * 1024,
        cache_bytes: int = 256 * 1024 * 1024,
        bounds: SaverBounds = BOUNDS,
        seals: Seals = IN_CLEAR,
    ) -> "SqliteSaver":
        """Opens the database at `path`, or makes it; files are readable by their owner only.

        `locate` says where devices are bound now; it is called by the writer's thread too and must not wait.
        `queue_limit`: items (messages, receipts, devices) that may wait for each of the two threads;
        `queue_bytes`: what the payloads among them may add up to. `cache_bytes`: memory for pages and for the
        sets of open broadcasts. `seals`: how secrets are kept. Raises `DataDirInUse`, `LayoutRefused` when
        another version wrote the file, and `Unavailable` when it cannot be used.
        """
        path = Path(path)
        try:
            lock = _lock(path)
            databases: tuple[Database, ...] = ()
            try:
                writing, reading = databases = await asyncio.to_thread(_connect, path, cache_bytes)
                return cls(
                    path,
                    lock,
                    writing,
                    reading,
                    locate,
                    queue_limit,
                    queue_bytes,
                    cache_bytes,
                    bounds,
                    seals,
                )
            except BaseException:
                for database in databases:
                    database.close()
                os.close(lock)
                raise
        except (OSError, Error) as error:
            raise Unavailable(f"cannot use {path}: {error}") from error

    def durability(self) -> Durability:
        return Durability("fsync")

    async def check(self) -> None:
        """Writes the number of the schema anew, in a transaction like any other."""
        await self._writer.call(self._rewrite, None)

    def _rewrite(self, calls: list[None]) -> list[None]:
        self._writing.run(f"PRAGMA user_version={SCHEMA_VERSION}")
        return calls

    def _save(self, calls: list[None]) -> list[None]:
        """Visits, and who was there, that only this process knows of."""
        self.visits.flush()
        self.counts.save()
        return calls

    async def close(self) -> None:
        if self._lock < 0:
            return
        lock, self._lock = self._lock, -1
        with suppress(LonglineError):  # of a broken disk: they are lost, as they are when it is killed
            await self._writer.call(self._save, None)
        await self._writer.close()
        await self._reader.close()
        for connection in (self._reading, self._writing):  # the last to close folds the log into the database
            await asyncio.to_thread(connection.close)
        os.close(lock)

    # --- the writer's thread ---

    def _write(self, jobs: list[Job]) -> None:
        """Serves a group in one transaction; if one of its requests is impossible, each in its own."""
        try:
            self._transact(jobs)
        except BROKEN as error:
            if not self._refuses:  # said once: it may stay so for hours, and the log may be on the same disk
                self._refuses = True
                log.error("store_refuses_writes", error=str(error), requests=len(jobs))
            for job in jobs:
                job.result = _unavailable(error)
        except Exception as error:
            if len(jobs) == 1:
                _note(jobs[0], error)
            else:
                for job in jobs:
                    self._write([job])
        else:
            if self._refuses:
                self._refuses = False
                log.info("store_takes_writes", failed=self._failures)

    def _transact(self, jobs: list[Job]) -> None:
        try:
            self._writing.run("BEGIN IMMEDIATE")
            perform(jobs)
            self._labels.flush()
            self._changes.flush()
            self._broadcasts.flush(self._writing)
            if self.visits.due():
                self.visits.flush()
            self.counts.flush()
            self._writing.run("COMMIT")
        except BaseException:
            self._failures += 1
            self._broadcasts.rolled_back()
            self._members.rolled_back()
            self._labels.rolled_back()
            self._changes.rolled_back()
            self._positions.rolled_back()
            self._overflow.rolled_back()
            self.retained.rolled_back()
            self.visits.rolled_back()
            self.counts.rolled_back()
            self._writing.roll_back()  # last: on a broken disk it may fail too
            raise
        self._broadcasts.committed()
        self.visits.committed()

    def _checkpoint(self) -> None:
        # Between groups, after the last one's futures were resolved: nothing is being written, so one passive
        # checkpoint takes all of the log, and the next commit starts it from the beginning.
        if self._writing.wal_pages >= CHECKPOINT_PAGES:
            try:
                self._writing.checkpoint()
                self._grows = False
            except Error as error:
                if not self._grows:
                    self._grows = True
                    log.error("checkpoint_failed", error=str(error), wal_pages=self._writing.wal_pages)
            self._checkpoints += 1

    def _rest(self) -> None:
        """No call has come for a while, and none may come for long."""
        if self.visits.waiting:
            self._write([])
        self._writing.let_go()

    # --- the reader's thread ---

    def _read(self, jobs: list[Job]) -> None:
        try:
            perform(jobs)
        except Exception as error:
            if len(jobs) == 1:
                _note(jobs[0], error)
            else:
                for job in jobs:
                    self._read([job])

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
            "wal_pages": self._writing.wal_pages,
            **_of_disk(self._path),
            "visits_waiting": self.visits.waiting,
            "inbox_dropped": self._overflow.dropped,
            "broadcast_cache_bytes": self._broadcasts.size,
            "wills_forgotten": self.sessions.wills_forgotten,
            "retained_messages": self.retained.messages,
            "audit_forgotten": self.trail.forgotten,
        }


def _of_disk(path: Path) -> Mapping[str, int]:
    """What the database takes, and what is free there; nothing where the disk does not say."""
    try:
        free = os.statvfs(path.parent)
        sizes = [file.stat().st_size for file in (path, path.with_name(path.name + "-wal")) if file.exists()]
    except OSError:
        return {}
    return {"disk_bytes": sum(sizes), "disk_free_bytes": free.f_bavail * free.f_frsize}


def _note(job: Job, error: Exception) -> None:
    """Fails a request that nobody foresaw to fail."""
    log.error("store_request_failed", operation=job.operation.__qualname__, exc_info=error)
    job.result = _unavailable(error)


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


def _connect(path: Path, cache_bytes: int) -> tuple[Database, Database]:
    # SQLite gives its write-ahead log the mode of the database, so making that first is enough.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    writing = Database(path, cache_bytes // 4)
    try:
        version = writing.number("PRAGMA user_version")
        if version == 0:
            schema = files("longline.saver.sql").joinpath("schema.sql").read_text("utf-8")
            writing.run(f"BEGIN IMMEDIATE; {schema} COMMIT")
        elif version != SCHEMA_VERSION:
            raise LayoutRefused(f"{path} has schema {version}; this version reads {SCHEMA_VERSION}")
        return writing, Database(path, cache_bytes // 4)
    except BaseException:
        writing.close()
        raise
