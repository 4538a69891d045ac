"""Events for app servers: one queue an app, of which the oldest go when it is full."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

import msgspec

from longline.model.events import Event
from longline.saver.sql.database import Database, integer
from longline.saver.sql.worker import Worker

SOURCES = 1000  # of which the highest sequence is remembered; of more, the oldest are forgotten

_numbers = msgspec.json.Decoder(list[tuple[int, int]])
_sequences = msgspec.json.Decoder(list[tuple[str, int]])
_bodies = msgspec.json.Decoder(list[tuple[int, str]])
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Event).decode

# An event's record: app, n, body.
EVENT = b"%010d%019d%b"
INSERT = f"""
INSERT INTO events (app, n, body)
SELECT {integer(1, 10)}, {integer(11, 19)}, substr(value, 30) FROM carray(?1)"""

# Of apps that exist: the number of the last event.
LAST = """
SELECT json_group_array(json_array(number, coalesce((SELECT max(n) FROM events WHERE app = number), 0)))
  FROM carray(?1) CROSS JOIN apps ON number = value AND NOT deleted"""

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
        last = dict(_numbers.decode(database.text(LAST, tuple({event.app for event in events}))))
        rows: list[bytes] = []
        for event in events:
            if event.sequence <= highest.get(event.source, -1):
                continue
            highest[event.source] = event.sequence
            if event.app in last:  # else it was deleted: nobody is left to tell
                last[event.app] += 1
                rows.append(EVENT % (event.app, last[event.app], _pack(event)))
        if not rows:
            return
        database.run(INSERT, tuple(rows))
        for app, n in last.items():
            database.run("DELETE FROM events WHERE app = ?1 AND n <= ?2", app, n - self._limit)
        database.run(REMEMBER, tuple(SOURCE % (n, source.encode()) for source, n in highest.items()))
        database.run("DELETE FROM sources WHERE id <= (SELECT max(id) FROM sources) - ?1", SOURCES)

    async def read(self, app: int, after: str, limit: int) -> list[tuple[str, Event]]:
        """What is no cursor of this engine counts as that of the beginning."""
        if app in self._deleted:
            return []
        return await self._reader.call(self._read, (app, after, limit))

    def _read(self, calls: list[tuple[int, str, int]]) -> list[list[tuple[str, Event]]]:
        return [self._read_one(*call) for call in calls]

    def _read_one(self, app: int, after: str, limit: int) -> list[tuple[str, Event]]:
        known = after.isascii() and after.isdigit() and len(after) < 19
        found = self._reading.text(
            "SELECT json_group_array(json_array(n, hex(body))) FROM"
            " (SELECT n, body FROM events WHERE app = ?1 AND n > ?2 ORDER BY n LIMIT ?3)",
            app,
            int(after) if known else 0,
            limit,
        )
        return [(str(n), _unpack(bytes.fromhex(digits))) for n, digits in _bodies.decode(found)]
