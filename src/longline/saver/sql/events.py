"""Events for app servers: one queue an app, and where its devices stand by the latest of them."""

from collections import Counter
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

import msgspec

from longline.model.events import OFFLINE, Event
from longline.saver.port.events import EventPage
from longline.saver.sql.database import Database, integer
from longline.saver.sql.worker import Worker

SOURCES = 1000  # of which the highest sequence is remembered; of more, the oldest are forgotten

_queues = msgspec.json.Decoder(list[tuple[int, int, int]])
_sequences = msgspec.json.Decoder(list[tuple[str, int]])
_page = msgspec.json.Decoder(tuple[int, list[tuple[int, str]]])
_standings = msgspec.json.Decoder(list[tuple[int, str, str]])
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Event).decode

# An event's record: app, n, past, length of the device (0: it tells of no state), device, body.
EVENT = b"%010d%019d%d%05d%b%b"
LENGTH = integer(31, 5)
INSERT = f"""
INSERT INTO events (app, n, past, device, body)
SELECT {integer(1, 10)}, {integer(11, 19)}, {integer(30, 1)},
       nullif(CAST(substr(value, 36, {LENGTH}) AS TEXT), ''), substr(value, 36 + {LENGTH})
  FROM carray(?1)"""

# A standing's record: app, n, length of the device, device, data (empty: the device is gone).
STANDING = b"%010d%019d%05d%b%b"
DEVICE = f"CAST(substr(value, 35, {integer(30, 5)}) AS TEXT)"
# What stood for a device is past.
PASS = f"""
UPDATE events SET past = 1
 WHERE (app, n) IN (SELECT standings.app, standings.n FROM carray(?1)
                     CROSS JOIN standings ON app = {integer(1, 10)} AND device = {DEVICE})"""
STAND = f"""
INSERT OR REPLACE INTO standings (app, n, device, data)
SELECT {integer(1, 10)}, {integer(11, 19)}, {DEVICE}, nullif(substr(value, 35 + {integer(30, 5)}), x'')
  FROM carray(?1)"""

# Of apps that exist: the number of the last event, and the length of the queue. The first one follows the
# app's number, so no queue has a number of one that an app of the same name had before.
QUEUES = """
SELECT json_group_array(json_array(number, coalesce(last, number << 32), coalesce(length, 0)))
  FROM carray(?1) CROSS JOIN apps ON number = value AND NOT deleted
  LEFT JOIN queues ON queues.app = number"""
QUEUE = """
INSERT INTO queues (app, last, length, removed) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (app) DO UPDATE SET last = excluded.last, length = excluded.length,
                                    removed = max(removed, excluded.removed)"""
OLDEST_PAST = "SELECT n FROM events WHERE app = ?1 AND past ORDER BY n LIMIT ?2"
READ = """
SELECT json_array(coalesce((SELECT removed FROM queues WHERE app = ?1), 0), json((
  SELECT json_group_array(json_array(n, hex(body))) FROM
   (SELECT n, body FROM events WHERE app = ?1 AND n > ?2 ORDER BY n LIMIT ?3))))"""

SEQUENCES = """
SELECT json_group_array(json_array(source, sequence))
  FROM carray(?1) CROSS JOIN sources ON source = CAST(value AS TEXT)"""

# A source's record: sequence, name.
SOURCE = b"%019d%b"
REMEMBER = f"""
INSERT INTO sources (sequence, source)
SELECT {integer(1, 19)}, CAST(substr(value, 20) AS TEXT) FROM carray(?1) WHERE true
    ON CONFLICT (source) DO UPDATE SET sequence = excluded.sequence"""


class SqlEvents:
    """Fulfils `EventStore`. `limit`: events kept for each app. A cursor is an event's number in its queue."""

    def __init__(
        self,
        writer: Worker,
        reader: Worker,
        writing: Database,
        reading: Database,
        *,
        limit: int,
        deleted: AbstractSet[int],
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._writing = writing
        self._reading = reading
        self._limit = limit
        self._deleted = deleted

    async def append(self, batch: Sequence[Event]) -> None:
        """All of a group in one transaction."""
        await self._writer.call(self._append, batch, len(batch))

    def _append(self, calls: list[Sequence[Event]]) -> list[None]:
        events = [event for call in calls for event in call]
        if events:
            self._append_all(events)
        return [None] * len(calls)

    def _append_all(self, events: list[Event]) -> None:
        database = self._writing
        sources = tuple({event.source.encode() for event in events})
        highest = dict(_sequences.decode(database.text(SEQUENCES, sources)))
        queues = _queues.decode(database.text(QUEUES, tuple({event.app for event in events})))
        last = {app: n for app, n, _ in queues}
        new: list[tuple[int, Event]] = []
        for event in events:
            if event.sequence <= highest.get(event.source, -1):
                continue
            highest[event.source] = event.sequence
            if event.app in last:  # else it was deleted: nobody is left to tell
                last[event.app] += 1
                new.append((last[event.app], event))
        if not new:
            return
        self._insert(new)
        added = Counter(event.app for _, event in new)
        for app, _, length in queues:
            self._keep(app, last[app], length + added[app])
        database.run(REMEMBER, tuple(SOURCE % (n, source.encode()) for source, n in highest.items()))
        database.run("DELETE FROM sources WHERE id <= (SELECT max(id) FROM sources) - ?1", SOURCES)

    def _insert(self, new: list[tuple[int, Event]]) -> None:
        latest = {(event.app, event.device): n for n, event in new if event.state}
        events: list[bytes] = []
        standings: list[bytes] = []
        for n, event in new:
            device = event.device.encode() if event.state else b""
            past = bool(event.state) and latest[event.app, event.device] != n
            events.append(EVENT % (event.app, n, past, len(device), device, _pack(event)))
            if device and not past:
                data = b"" if event.state == OFFLINE else event.data
                standings.append(STANDING % (event.app, n, len(device), device, data))
        if standings:
            self._writing.run(PASS, tuple(standings))
            self._writing.run(STAND, tuple(standings))
        self._writing.run(INSERT, tuple(events))

    def _keep(self, app: int, last: int, length: int) -> None:
        """Keeps a queue within its bound, and notes how long it is."""
        database = self._writing
        removed = app << 32
        if length > self._limit:
            past = (app, length - self._limit)
            removed = database.number(f"SELECT max(n) FROM ({OLDEST_PAST})", *past) or removed
            length -= database.run(f"DELETE FROM events WHERE app = ?1 AND n IN ({OLDEST_PAST})", *past)
        if length > self._limit:
            oldest = database.number(
                "SELECT n FROM events WHERE app = ?1 ORDER BY n LIMIT 1 OFFSET ?2",
                app,
                length - self._limit - 1,
            )
            assert oldest is not None
            database.run(
                "DELETE FROM standings WHERE data IS NULL AND (app, device) IN"
                " (SELECT app, device FROM events WHERE app = ?1 AND n <= ?2)",
                app,
                oldest,
            )
            length -= database.run("DELETE FROM events WHERE app = ?1 AND n <= ?2", app, oldest)
            removed = max(removed, oldest)
        database.run(QUEUE, app, last, length, removed)

    async def left(self, source: str) -> tuple[int, list[tuple[int, str, bytes]]]:
        """What was told before: the highest sequence of a source; and app, device and data of the latest
        event of each device that is not gone by it."""
        return await self._reader.call(self._left, source)

    def _left(self, calls: list[str]) -> list[tuple[int, list[tuple[int, str, bytes]]]]:
        standings = _standings.decode(
            self._reading.text(
                "SELECT json_group_array(json_array(app, device, CAST(data AS TEXT))) FROM standings"
                " WHERE data IS NOT NULL"
            )
        )
        there = [(app, device, data.encode()) for app, device, data in standings]
        return [
            (self._reading.number("SELECT sequence FROM sources WHERE source = ?1", source) or 0, there)
            for source in calls
        ]

    async def read(self, app: int, after: str, limit: int) -> EventPage:
        """What is no cursor of this engine counts as that of the beginning."""
        if app in self._deleted:
            return EventPage([], False)
        return await self._reader.call(self._read, (app, after, limit))

    def _read(self, calls: list[tuple[int, str, int]]) -> list[EventPage]:
        return [self._read_one(*call) for call in calls]

    def _read_one(self, app: int, after: str, limit: int) -> EventPage:
        known = after.isascii() and after.isdigit() and len(after) < 19
        behind = int(after) if known else 0
        removed, rows = _page.decode(self._reading.text(READ, app, behind, limit))
        events = [(str(n), _unpack(bytes.fromhex(digits))) for n, digits in rows]
        return EventPage(events, 0 < behind < removed)
