"""Webhooks: a row for each app that has one, and one for each event that its target never took."""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

import msgspec

from longline.errors import SecretsUnreadable
from longline.model.webhooks import DeadBounds, DeadEvent, DeadTotals, Webhook
from longline.saver.port.webhooks import PAGE_BYTES, DeadPage, WebhookChange, WebhookMark
from longline.saver.sealing import Seals
from longline.saver.sql.database import Database
from longline.saver.sql.members import Members
from longline.saver.sql.worker import Worker

SOME: Final = 50  # dead events looked at together when some go

_pack = msgspec.msgpack.Encoder().encode
_webhook = msgspec.msgpack.Decoder(Webhook).decode
_dead = msgspec.msgpack.Decoder(DeadEvent).decode
_row = msgspec.json.Decoder(tuple[str, int, int, int, int] | None)
_totals = msgspec.json.Decoder(tuple[int, int, int, int])
_marks = msgspec.json.Decoder(list[tuple[int, int, int]])
_sizes = msgspec.json.Decoder(list[tuple[int, int]])
_page = msgspec.json.Decoder(list[tuple[int, int, str]])

TOTAL: Final = """
SELECT json_array(count(*), coalesce(sum(length(body)), 0), coalesce(sum(again), 0), 0)
  FROM dead_events WHERE app = ?1 AND n IN (SELECT value FROM carray(?2))"""
OLDEST: Final = """
SELECT json_group_array(json_array(n, length(body))) FROM
 (SELECT n, body FROM dead_events WHERE app = ?1 ORDER BY n LIMIT ?2)"""
# As many as are wanted and one more, with what those before each of them take.
PAGE: Final = """
SELECT json_group_array(json_array(n, again, hex(body))) FROM
 (SELECT page.n, again, body FROM
   (SELECT n, sum(size) OVER (ORDER BY n) - size AS before FROM
     (SELECT n, length(body) AS size FROM dead_events WHERE app = ?1 AND n > ?2 {only} ORDER BY n LIMIT ?3))
   AS page CROSS JOIN dead_events ON app = ?1 AND dead_events.n = page.n
   WHERE before < ?4 ORDER BY page.n)"""


def _stored(database: Database, app: int) -> tuple[Webhook, DeadTotals] | None:
    """As it is stored, not opened."""
    row = _row.decode(
        database.text(
            "SELECT json_array(hex(body), dead, bytes, again, dropped) FROM webhooks WHERE app = ?1", app
        )
    )
    return None if row is None else (_webhook(bytes.fromhex(row[0])), DeadTotals(*row[1:]))


class SqlWebhooks:
    """Fulfils `WebhookStore`."""

    def __init__(
        self,
        writer: Worker,
        reader: Worker,
        writing: Database,
        reading: Database,
        *,
        members: Members,
        deleted: AbstractSet[int],
        bounds: DeadBounds,
        seals: Seals,
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._writing = writing
        self._reading = reading
        self._members = members
        self._deleted = deleted
        self._bounds = bounds
        self._seals = seals

    # --- asking ---

    async def find(self, app: int) -> tuple[Webhook, DeadTotals] | None:
        """One row."""
        return None if app in self._deleted else await self._reader.call(self._find, app)

    def _find(self, calls: list[int]) -> list[tuple[Webhook, DeadTotals] | SecretsUnreadable | None]:
        return [self._find_one(app) for app in calls]

    def _find_one(self, app: int) -> tuple[Webhook, DeadTotals] | SecretsUnreadable | None:
        found = _stored(self._reading, app)
        try:
            return None if found is None else (self._seals.open_webhook(found[0]), found[1])
        except SecretsUnreadable as error:
            return error

    async def marks(self, after: int, limit: int) -> Sequence[WebhookMark]:
        """By the number of the app."""
        return await self._reader.call(self._marks, (after, limit))

    def _marks(self, calls: list[tuple[int, int]]) -> list[Sequence[WebhookMark]]:
        text = (
            "SELECT json_group_array(json_array(app, version, again)) FROM (SELECT app, version, again"
            " FROM webhooks WHERE app > ?1 AND app NOT IN (SELECT number FROM apps WHERE deleted)"
            " ORDER BY app LIMIT ?2)"
        )
        return [
            [WebhookMark(*row) for row in _marks.decode(self._reading.text(text, *call))] for call in calls
        ]

    async def dead(self, app: int, after: str, limit: int, *, again: bool = False) -> DeadPage:
        """By number."""
        if app in self._deleted:
            return DeadPage((), False)
        return await self._reader.call(self._read, (app, after, limit, again))

    def _read(self, calls: list[tuple[int, str, int, bool]]) -> list[DeadPage]:
        return [self._read_one(*call) for call in calls]

    def _read_one(self, app: int, after: str, limit: int, again: bool) -> DeadPage:
        query = PAGE.format(only="AND again" if again else "")
        behind = _number(after) if after else 0
        rows = _page.decode(self._reading.text(query, app, behind, limit + 1, PAGE_BYTES))
        events = tuple([_with(_dead(bytes.fromhex(body)), again=bool(mark)) for _, mark, body in rows])
        if len(rows) > limit:
            return DeadPage(events[:limit], True)
        last = rows[-1][0] if rows else behind
        beyond = "SELECT 1 FROM dead_events WHERE app = ?1 AND n > ?2 {only} LIMIT 1"
        query = beyond.format(only="AND again" if again else "")
        return DeadPage(events, bool(rows) and self._reading.number(query, app, last) is not None)

    # --- changing ---

    async def change(self, change: WebhookChange) -> bool:
        """The writer's transaction is the one step."""
        size = sum(len(dead.event.payload) for dead in change.dead)
        return await self._writer.call(self._change, change, 1 + len(change.dead), size)

    def _change(self, calls: list[WebhookChange]) -> list[bool]:
        return [self._change_one(change) for change in calls]

    def _change_one(self, change: WebhookChange) -> bool:
        database, webhook = self._writing, change.webhook
        app = webhook.app
        if self._members.of(app) is None:
            return False
        statement = "UPDATE webhooks SET version = ?2, body = ?3 WHERE app = ?1 AND version = ?4"
        body = _pack(self._seals.seal_webhook(webhook))
        if change.before == 0:
            statement = "INSERT OR IGNORE INTO webhooks (app, version, body) SELECT ?1, ?2, ?3 WHERE ?4 = 0"
        if not database.run(statement, app, webhook.version, body, change.before):
            return False
        gone = (*change.taken, *(dead.cursor for dead in change.dead))
        _delete(database, app, map(_number, gone))
        self._mark(app, change.refused, again=False)
        for dead in change.dead:
            body = _pack(_with(dead, again=False))
            database.run(
                "INSERT INTO dead_events (app, n, device, again, body) VALUES (?1, ?2, ?3, 0, ?4)",
                *(app, _number(dead.cursor), dead.event.device, body),
            )
            _count(database, app, DeadTotals(1, len(body)))
        if change.dead:
            self._keep(app)
        return True

    async def seal(self, app: int) -> bool:
        """One step of the writer."""
        return await self._writer.call(self._seal, app)

    def _seal(self, calls: list[int]) -> list[bool | SecretsUnreadable]:
        return [self._seal_one(app) for app in calls]

    def _seal_one(self, app: int) -> bool | SecretsUnreadable:
        found = _stored(self._writing, app)
        if found is None or app in self._deleted or self._seals.latest(found[0]):
            return False
        try:
            body = _pack(self._seals.seal_webhook(self._seals.open_webhook(found[0])))
        except SecretsUnreadable as error:
            return error
        self._writing.run("UPDATE webhooks SET body = ?2 WHERE app = ?1", app, body)
        return True

    def _keep(self, app: int) -> None:
        """Drops what is more than is kept, the lowest numbers first."""
        database, bounds = self._writing, self._bounds
        text = "SELECT json_array(dead, bytes, again, dropped) FROM webhooks WHERE app = ?1"
        totals = DeadTotals(*_totals.decode(database.text(text, app)))
        length, size = totals.events, totals.bytes
        while length > bounds.events or (size > bounds.bytes and length > 0):
            over: list[int] = []
            for n, taken in _sizes.decode(database.text(OLDEST, app, SOME)):
                if length <= bounds.events and size <= bounds.bytes:
                    break
                over.append(n)
                length, size = length - 1, size - taken
            _delete(database, app, over)
            _count(database, app, DeadTotals(dropped=len(over)))

    async def remove(self, app: int) -> bool:
        """With its dead events."""
        return await self._writer.call(self._remove, app)

    def _remove(self, calls: list[int]) -> list[bool]:
        return [self._remove_one(app) for app in calls]

    def _remove_one(self, app: int) -> bool:
        self._writing.run("DELETE FROM dead_events WHERE app = ?1", app)
        return bool(self._writing.run("DELETE FROM webhooks WHERE app = ?1", app))

    async def replay(self, app: int, cursors: Sequence[str] | None) -> int:
        """A statement for all of them."""
        return await self._writer.call(self._replay, (app, cursors))

    def _replay(self, calls: list[tuple[int, Sequence[str] | None]]) -> list[int]:
        return [self._replay_one(app, cursors) for app, cursors in calls]

    def _replay_one(self, app: int, cursors: Sequence[str] | None) -> int:
        database = self._writing
        if cursors is not None:
            return self._mark(app, cursors, again=True)
        changed = database.run("UPDATE dead_events SET again = 1 WHERE app = ?1 AND NOT again", app)
        _count(database, app, DeadTotals(again=changed))
        return database.number("SELECT again FROM webhooks WHERE app = ?1", app) or 0

    def _mark(self, app: int, cursors: Sequence[str], *, again: bool) -> int:
        """Says of dead events whether they are to be sent once more; how many there are of these."""
        numbers = tuple([_number(cursor) for cursor in cursors])
        if not numbers:
            return 0
        changed = self._writing.run(
            "UPDATE dead_events SET again = ?3 WHERE app = ?1 AND n IN (SELECT value FROM carray(?2))"
            " AND again <> ?3",
            *(app, numbers, int(again)),
        )
        _count(self._writing, app, DeadTotals(again=changed if again else -changed))
        return _totals.decode(self._writing.text(TOTAL, app, numbers))[0]


def forget_dead(database: Database, app: int, device: str) -> None:
    """Forgets the dead events of a device, in the transaction of whoever calls."""
    text = "SELECT json_group_array(n) FROM dead_events WHERE app = ?1 AND device = ?2"
    _delete(database, app, msgspec.json.decode(database.text(text, app, device), type=list[int]))


def _delete(database: Database, app: int, dead: Iterable[int]) -> None:
    numbers = tuple(dead)
    if not numbers:
        return
    gone = _totals.decode(database.text(TOTAL, app, numbers))
    if gone[0]:
        database.run(
            "DELETE FROM dead_events WHERE app = ?1 AND n IN (SELECT value FROM carray(?2))", app, numbers
        )
        _count(database, app, DeadTotals(*[-each for each in gone]))


def _count(database: Database, app: int, more: DeadTotals) -> None:
    database.run(
        "UPDATE webhooks SET dead = dead + ?2, bytes = bytes + ?3, again = again + ?4,"
        " dropped = dropped + ?5 WHERE app = ?1",
        *(app, more.events, more.bytes, more.again, more.dropped),
    )


def _number(cursor: str) -> int:
    """What no cursor of a stream is, is none of an event."""
    return int(cursor) if cursor.isascii() and cursor.isdigit() and len(cursor) < 19 else -1


def _with(dead: DeadEvent, *, again: bool) -> DeadEvent:
    return dead if dead.again == again else msgspec.structs.replace(dead, again=again)
