"""Events for app servers: one queue an app, and where its devices stand by the latest of them."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

import msgspec

from longline.model.events import DEVICE as ABOUT_DEVICE
from longline.model.events import FLEETING, OFFLINE, RECEIPT, Event, EventBounds
from longline.saver.port.events import EventPage
from longline.saver.receipts import counted_of
from longline.saver.sql.counts import SqlCounts
from longline.saver.sql.database import Database, integer
from longline.saver.sql.event_rows import packed, unpacked
from longline.saver.sql.latest import LatestEvents, Whose
from longline.saver.sql.worker import Worker

SOME, SLICE = 50, 1000  # events looked at together when some go: at least, and at most
SOURCES = 1000  # of which the highest sequence is remembered; of more, the oldest are forgotten
PAGE = 1024 * 1024  # bytes of events after which a page ends
WEIGHT = 300  # bytes that an event takes besides its payload while it waits for the writer

_queues = msgspec.json.Decoder(list[tuple[int, int, int, int]])
_sequences = msgspec.json.Decoder(list[tuple[str, int]])
_lasts = msgspec.json.Decoder(list[tuple[int, int]])
_oldest = msgspec.json.Decoder(list[tuple[int, int | None, str | None]])
_page = msgspec.json.Decoder(tuple[int, list[tuple[int, str, str]]])
_standings = msgspec.json.Decoder(list[tuple[int, str, str]])
_look = msgspec.json.Decoder(tuple[int | None, int | None, int | None])

# How the records of events and of standings begin: app, n.
KEY = b"%010d%019d"
APP = integer(1, 10)
N = integer(11, 19)
# What follows is the length of something, this, and the device: of an event, its device and its body; of a
# standing, what the event says of where the device is (nothing: it is gone), and the device.
REST = b"%b%05d%b%b"
LENGTH = integer(30, 5)
FIRST = f"substr(value, 35, {LENGTH})"
SECOND = f"substr(value, 35 + {LENGTH})"
INSERT = f"""
INSERT INTO events (app, n, device, body)
SELECT {APP}, {N}, CAST({FIRST} AS TEXT), {SECOND} FROM carray(?1)"""
DEVICE = f"CAST({SECOND} AS TEXT)"
# What stood for a device is past.
PASS = f"""
INSERT INTO past (app, n)
SELECT app, n FROM carray(?1) CROSS JOIN standings ON app = {APP} AND device = {DEVICE}"""
# So is what never stood for one, because a later event of its device came with it.
PASS_AT_ONCE = f"INSERT INTO past (app, n) SELECT {APP}, {N} FROM carray(?1)"
STAND = f"""
INSERT INTO standings (app, device, n, data)
SELECT {APP}, {DEVICE}, {N}, nullif({FIRST}, x'') FROM carray(?1) WHERE true
    ON CONFLICT (app, device) DO UPDATE SET n = excluded.n, data = excluded.data"""

# Of apps that exist: the number of the last event, the length of the queue, and its bytes. The first one
# follows the app's number, so no queue has a number of one that an app of the same name had before.
QUEUES = """
SELECT json_group_array(json_array(number, coalesce(last, number << 32), coalesce(length, 0),
                                   coalesce(bytes, 0)))
  FROM carray(?1) CROSS JOIN apps ON number = value AND NOT deleted
  LEFT JOIN queues ON queues.app = number"""
QUEUE = """
INSERT INTO queues (app, last, length, bytes, removed) VALUES (?1, ?2, ?3, ?4, ?5)
    ON CONFLICT (app) DO UPDATE SET last = excluded.last, length = excluded.length, bytes = excluded.bytes,
                                    removed = max(removed, excluded.removed)"""
OLDEST_PAST = """
SELECT json_group_array(json_array(n, size, NULL)) FROM
 (SELECT n, (SELECT length(body) FROM events WHERE app = ?1 AND events.n = past.n) AS size
    FROM past WHERE app = ?1 ORDER BY n LIMIT ?2)"""
DELETE_PAST = "DELETE FROM events WHERE app = ?1 AND n IN (SELECT n FROM past WHERE app = ?1 AND n <= ?2)"
OLDEST = """
SELECT json_group_array(json_array(n, size, device)) FROM
 (SELECT n, length(body) AS size, device FROM events WHERE app = ?1 ORDER BY n LIMIT ?2)"""
# Who is gone, and by no event of the queue any more.
FORGET = """
DELETE FROM standings WHERE data IS NULL AND app = ?1 AND n <= ?2
   AND device IN (SELECT CAST(value AS TEXT) FROM carray(?3))"""
READ = """
SELECT json_array(coalesce((SELECT removed FROM queues WHERE app = ?1), 0), json((
  SELECT json_group_array(json_array(page.n, device, hex(body))) FROM
   (SELECT n, sum(size) OVER (ORDER BY n) - size AS before FROM
     (SELECT n, length(body) AS size FROM events WHERE app = ?1 AND n > ?2
         AND NOT EXISTS (SELECT 1 FROM forgotten AS f
                          WHERE f.app = ?1 AND f.device = events.device AND f.n >= events.n)
       ORDER BY n LIMIT ?3)) AS page
  CROSS JOIN events ON app = ?1 AND events.n = page.n
  WHERE before < ?4)))"""

# What was told of a device until now is nobody's to read.
HIDE = """
INSERT OR REPLACE INTO forgotten (app, device, n)
SELECT app, ?2, last FROM queues WHERE app = ?1"""
# Events behind a number, of which the first so many are looked at: the last of them; how many are of devices
# that are gone, and their bytes.
LOOK = """
SELECT json_array(max(n), sum(hidden), sum(iif(hidden, size, 0))) FROM
 (SELECT n, length(body) AS size, EXISTS (SELECT 1 FROM forgotten AS f
    WHERE f.app = ?1 AND f.device = events.device AND f.n >= events.n) AS hidden
    FROM events WHERE app = ?1 AND n > ?2 AND n <= (SELECT max(n) FROM forgotten WHERE app = ?1)
   ORDER BY n LIMIT ?3)"""
REMOVE = """
DELETE FROM events WHERE app = ?1 AND n > ?2 AND n <= ?3
   AND EXISTS (SELECT 1 FROM forgotten AS f
                WHERE f.app = ?1 AND f.device = events.device AND f.n >= events.n)"""

SEQUENCES = """
SELECT json_group_array(json_array(source, sequence))
  FROM carray(?1) CROSS JOIN sources ON source = CAST(value AS TEXT)"""

# A source's record: sequence, name.
SOURCE = b"%019d%b"
REMEMBER = f"""
INSERT INTO sources (sequence, source)
SELECT {integer(1, 19)}, CAST(substr(value, 20) AS TEXT) FROM carray(?1) WHERE true
    ON CONFLICT (source) DO UPDATE SET sequence = excluded.sequence"""
FORGET_FLEETING = f"""
DELETE FROM sources WHERE source >= '{FLEETING}' AND source < char(unicode('{FLEETING}') + 1)"""


class SqlEvents:
    """Fulfils `EventStore`. A cursor is an event's number in its queue."""

    def __init__(
        self,
        writer: Worker,
        reader: Worker,
        writing: Database,
        reading: Database,
        *,
        bounds: EventBounds,
        counts: SqlCounts,
        deleted: AbstractSet[int],
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._writing = writing
        self._reading = reading
        self._bounds = bounds
        self._counts = counts
        self._deleted = deleted
        self._latest = LatestEvents(writing, bounds.of_device)
        self._began = False
        self._hidden = True  # whether there may be events of devices that are gone
        self._looked: dict[int, int] = {}  # up to where for events of devices that are gone, by app

    async def append(self, batch: Sequence[Event]) -> None:
        """All of a group in one transaction."""
        size = sum([WEIGHT + len(event.payload) for event in batch])
        await self._writer.call(self._append, batch, len(batch), size)

    def _append(self, calls: list[Sequence[Event]]) -> list[None]:
        self.insert([event for call in calls for event in call])
        return [None] * len(calls)

    def insert(self, events: list[Event]) -> None:
        """Appends events in the transaction of whoever calls."""
        if not events:
            return
        database = self._writing
        if not self._began:  # the sources of a life before this one
            database.run(FORGET_FLEETING)
            self._began = True
        sources = {event.source for event in events if event.source}
        told = self._told(sources) if sources else {}
        queues = _queues.decode(database.text(QUEUES, tuple({event.app for event in events})))
        last = {app: n for app, n, _, _ in queues}
        sizes = {app: size for app, _, _, size in queues}
        highest = told.copy()
        new: list[tuple[int, Event, bytes]] = []
        for event in events:
            if event.source:
                if event.sequence <= highest.get(event.source, -1):
                    continue
                highest[event.source] = event.sequence
            if event.app in last:  # else it was deleted: nobody is left to tell
                last[event.app] += 1
                body = packed(event)
                sizes[event.app] += len(body)
                new.append((last[event.app], event, body))
        if not new:
            return
        self._insert(new)
        for app, before, length, _ in queues:
            self._keep(app, last[app], length + last[app] - before, sizes[app])
        if highest:
            database.run(REMEMBER, tuple(SOURCE % (n, source.encode()) for source, n in highest.items()))
        if len(highest) > len(told):
            database.run("DELETE FROM sources WHERE id <= (SELECT max(id) FROM sources) - ?1", SOURCES)

    def _told(self, sources: AbstractSet[str]) -> dict[str, int]:
        """The highest sequence that was recorded of each of these sources, of which there are some."""
        names = tuple([name.encode() for name in sources])
        return dict(_sequences.decode(self._writing.text(SEQUENCES, names)))

    def _insert(self, new: list[tuple[int, Event, bytes]]) -> None:
        records: list[bytes] = []
        standings: list[bytes] = []
        overtaken: list[bytes] = []
        seen: set[Whose] = set()
        numbers: dict[Whose, list[int]] = {}
        for n, event, body in reversed(new):  # so that the latest of a device is met first
            key = KEY % (event.app, n)
            device = event.device.encode()
            records.append(REST % (key, len(device), device, body))
            whose = (event.app, event.device)
            if event.kind == RECEIPT and (counted := counted_of(event)) is not None:
                self._counts.add(event.app, event.at, counted, 1)
            if event.kind == ABOUT_DEVICE:
                overtaken.append(key)
            elif not event.state:
                numbers.setdefault(whose, []).append(n)
            elif whose in seen:
                overtaken.append(key)
            else:
                seen.add(whose)
                data = b"" if event.state == OFFLINE else event.data
                standings.append(REST % (key, len(data), data, device))
        records.reverse()  # for the end of the table, one after the other
        database = self._writing
        if standings:
            database.run(PASS, tuple(standings))
            database.run(STAND, tuple(standings))
        database.run(INSERT, tuple(records))
        if numbers:
            past = self._latest.add({whose: rising[::-1] for whose, rising in numbers.items()})
            overtaken += [KEY % each for each in past]
        if overtaken:
            database.run(PASS_AT_ONCE, tuple(overtaken))

    def _keep(self, app: int, last: int, length: int, size: int) -> None:
        """Keeps a queue within its bounds, and notes how long and how large it is."""
        database = self._writing
        removed = app << 32
        while self._over(length, size):
            rows = self._first_to_go(OLDEST_PAST, app, length, size)
            if not rows:
                break
            removed = rows[-1][0]
            length -= database.run(DELETE_PAST, app, removed)  # fewer, where some have gone before
            size -= sum(taken or 0 for _, taken, _ in rows)
            database.run("DELETE FROM past WHERE app = ?1 AND n <= ?2", app, removed)
        while self._over(length, size):
            rows = self._first_to_go(OLDEST, app, length, size)
            last_of_them = rows[-1][0]
            names = {device for _, _, device in rows if device is not None}
            database.run(FORGET, app, last_of_them, tuple(name.encode() for name in names))
            self._latest.remove([(app, name) for name in names], last_of_them)
            length -= database.run("DELETE FROM events WHERE app = ?1 AND n <= ?2", app, last_of_them)
            size -= sum(taken or 0 for _, taken, _ in rows)
            removed = max(removed, last_of_them)
        database.run(QUEUE, app, last, length, size, removed)

    def _over(self, length: int, size: int) -> bool:
        return length > self._bounds.events or (size > self._bounds.bytes and length > 0)

    def _first_to_go(
        self, query: str, app: int, length: int, size: int
    ) -> list[tuple[int, int | None, str | None]]:
        """As many as have to go, or a slice of them: number, bytes (None: it has gone before), device."""
        some = min(SLICE, max(SOME, length - self._bounds.events))
        rows = _oldest.decode(self._writing.text(query, app, some))
        for count, (_, taken, _) in enumerate(rows, 1):
            if taken is not None:
                length -= 1
                size -= taken
            if not self._over(length, size):
                return rows[:count]
        return rows

    # --- devices that are gone ---

    def forget(self, app: int, device: str) -> None:
        """What was told of a device until now is not read any more, in the transaction of whoever calls."""
        run = self._writing.run
        run(HIDE, app, device)
        run("DELETE FROM latest WHERE app = ?1 AND device = ?2", app, device)
        run("DELETE FROM standings WHERE app = ?1 AND device = ?2", app, device)
        self._looked[app] = 0
        self._hidden = True

    async def carry(self, limit: int) -> int:
        """Only removes: events are appended in the step that they tell of."""
        if not self._hidden:
            return 0
        self._hidden = False  # unless some are found, or more come meanwhile
        app = await self._reader.call(self._forgetting, None)
        if app is None:
            return 0
        self._hidden = True
        return await self._writer.call(self._remove, (app, limit))

    def _forgetting(self, calls: list[None]) -> list[int | None]:
        return [self._reading.number("SELECT app FROM forgotten LIMIT 1") for _ in calls]

    def _remove(self, calls: list[tuple[int, int]]) -> list[int]:
        return [self._remove_some(*call) for call in calls]

    def _remove_some(self, app: int, limit: int) -> int:
        """Looks at some events, from where the last look has ended; how many it looked at, about."""
        looked = self._looked.get(app, 0)
        last, count, size = _look.decode(self._writing.text(LOOK, app, looked, limit))
        if last is None:
            self._looked.pop(app, None)
            return self._writing.run("DELETE FROM forgotten WHERE app = ?1", app)
        self._looked[app] = last
        if count:
            self._writing.run(REMOVE, app, looked, last)
            self._writing.run(
                "UPDATE queues SET length = length - ?2, bytes = bytes - ?3 WHERE app = ?1", app, count, size
            )
        return limit

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
        # Many wait at the end of an app's events, and look at once: what is asked alike is read once.
        pages = {call: self._read_one(*call) for call in dict.fromkeys(calls)}
        return [pages[call] for call in calls]

    def _read_one(self, app: int, after: str, limit: int) -> EventPage:
        known = after.isascii() and after.isdigit() and len(after) < 19
        behind = int(after) if known else 0
        removed, rows = _page.decode(self._reading.text(READ, app, behind, limit, PAGE))
        events = [(str(n), unpacked(app, device, bytes.fromhex(digits))) for n, device, digits in rows]
        return EventPage(events, 0 < behind < removed)

    async def end(self, app: int) -> str:
        """The last number of the queue, or what its first one will follow."""
        return await self._reader.call(self._end, app)

    def _end(self, calls: list[int]) -> list[str]:
        last = "SELECT last FROM queues WHERE app = ?1"
        return [str(self._reading.number(last, app) or app << 32) for app in calls]

    async def ends(self, apps: Sequence[int]) -> list[str]:
        """One statement for all of them."""
        return await self._reader.call(self._ends, apps, len(apps))

    def _ends(self, calls: list[Sequence[int]]) -> list[list[str]]:
        asked = tuple({app for apps in calls for app in apps})
        if not asked:
            return [[] for _ in calls]
        found = self._reading.text(
            "SELECT json_group_array(json_array(app, last)) FROM carray(?1) CROSS JOIN queues ON app = value",
            asked,
        )
        last = dict(_lasts.decode(found))
        return [[str(last.get(app, "")) for app in apps] for apps in calls]
