"""Events for app servers: one queue an app, and where its devices stand by the latest of them."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

import msgspec

from longline.model.events import OFFLINE, Event
from longline.saver.port.events import EventPage
from longline.saver.sql.database import Database, integer
from longline.saver.sql.worker import Worker

SLICE = 1000  # events looked at together when the oldest go
SOURCES = 1000  # of which the highest sequence is remembered; of more, the oldest are forgotten

_queues = msgspec.json.Decoder(list[tuple[int, int, int]])
_sequences = msgspec.json.Decoder(list[tuple[str, int]])
_oldest = msgspec.json.Decoder(list[tuple[int, str]])
_page = msgspec.json.Decoder(tuple[int, list[tuple[int, str]]])
_standings = msgspec.json.Decoder(list[tuple[int, str, str]])
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Event).decode

# How the records of events and of standings begin: app, n. What follows is the body of an event; or the
# length of what the event says of where the device is (0: it is gone), this, and the device.
KEY = b"%010d%019d"
APP = integer(1, 10)
N = integer(11, 19)
INSERT = f"INSERT INTO events (app, n, body) SELECT {APP}, {N}, substr(value, 30) FROM carray(?1)"

STANDING = b"%b%05d%b%b"
LENGTH = integer(30, 5)
DEVICE = f"CAST(substr(value, 35 + {LENGTH}) AS TEXT)"
# What stood for a device is past.
PASS = f"""
INSERT INTO past (app, n)
SELECT app, n FROM carray(?1) CROSS JOIN standings ON app = {APP} AND device = {DEVICE}"""
# So is what never stood for one, because a later event of its device came with it.
PASS_AT_ONCE = f"INSERT INTO past (app, n) SELECT {APP}, {N} FROM carray(?1)"
STAND = f"""
INSERT INTO standings (app, device, n, data)
SELECT {APP}, {DEVICE}, {N}, nullif(substr(value, 35, {LENGTH}), x'') FROM carray(?1) WHERE true
    ON CONFLICT (app, device) DO UPDATE SET n = excluded.n, data = excluded.data"""

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
OLDEST_PAST = "SELECT max(n) FROM (SELECT n FROM past WHERE app = ?1 ORDER BY n LIMIT ?2)"
DELETE_PAST = "DELETE FROM events WHERE app = ?1 AND n IN (SELECT n FROM past WHERE app = ?1 AND n <= ?2)"
OLDEST = """
SELECT json_group_array(json_array(n, hex(body))) FROM
 (SELECT n, body FROM events WHERE app = ?1 ORDER BY n LIMIT ?2)"""
# Who is gone, and by no event of the queue any more. A name's record: app, device.
FORGET = f"""
DELETE FROM standings WHERE data IS NULL AND (app, device) IN
 (SELECT {APP}, CAST(substr(value, 11) AS TEXT) FROM carray(?1))"""
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
        sources = {event.source for event in events}
        told = dict(_sequences.decode(database.text(SEQUENCES, tuple([name.encode() for name in sources]))))
        queues = _queues.decode(database.text(QUEUES, tuple({event.app for event in events})))
        last = {app: n for app, n, _ in queues}
        highest = told.copy()
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
        for app, before, length in queues:
            self._keep(app, last[app], length + last[app] - before)
        database.run(REMEMBER, tuple(SOURCE % (n, source.encode()) for source, n in highest.items()))
        if len(highest) > len(told):
            database.run("DELETE FROM sources WHERE id <= (SELECT max(id) FROM sources) - ?1", SOURCES)

    def _insert(self, new: list[tuple[int, Event]]) -> None:
        records: list[bytes] = []
        standings: list[bytes] = []
        overtaken: list[bytes] = []
        seen: set[tuple[int, str]] = set()
        for n, event in reversed(new):  # so that the latest of a device is met first
            key = KEY % (event.app, n)
            records.append(key + _pack(event))
            if event.state:
                whose = (event.app, event.device)
                if whose in seen:
                    overtaken.append(key)
                else:
                    seen.add(whose)
                    data = b"" if event.state == OFFLINE else event.data
                    standings.append(STANDING % (key, len(data), data, event.device.encode()))
        records.reverse()  # for the end of the table, one after the other
        database = self._writing
        if standings:
            database.run(PASS, tuple(standings))
            database.run(STAND, tuple(standings))
        database.run(INSERT, tuple(records))
        if overtaken:
            database.run(PASS_AT_ONCE, tuple(overtaken))

    def _keep(self, app: int, last: int, length: int) -> None:
        """Keeps a queue within its bound, and notes how long it is."""
        database = self._writing
        removed = app << 32
        while length > self._limit:
            past = database.number(OLDEST_PAST, app, length - self._limit)
            if past is None:
                break
            length -= database.run(DELETE_PAST, app, past)  # fewer, where some have gone before
            database.run("DELETE FROM past WHERE app = ?1 AND n <= ?2", app, past)
            removed = past
        while length > self._limit:
            oldest = _oldest.decode(database.text(OLDEST, app, min(length - self._limit, SLICE)))
            names = {event.device for _, digits in oldest if (event := _unpack(bytes.fromhex(digits))).state}
            if names:
                database.run(FORGET, tuple([b"%010d%b" % (app, name.encode()) for name in names]))
            last_of_them = oldest[-1][0]
            length -= database.run("DELETE FROM events WHERE app = ?1 AND n <= ?2", app, last_of_them)
            removed = max(removed, last_of_them)
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
