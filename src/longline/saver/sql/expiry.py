"""Ending what is over and forgetting what is old, in bounded slices.

`expiry` holds runs of neighbouring positions by the time at which something is due for them: their TTL
runs out (`END`), then their ledger's retention (`PURGE`). So the work of a call is what is due, never what
is stored.
"""

import msgspec

from longline.model.ledger import State
from longline.saver.sql import remains
from longline.saver.sql.broadcasts import DROPPED, EXPIRED, BroadcastLedgers
from longline.saver.sql.database import Database, device_range
from longline.saver.sql.gaps import note_gaps
from longline.saver.sql.groups import purge_groups
from longline.saver.sql.positions import Positions
from longline.saver.sql.retained import SqlRetained
from longline.saver.sql.schedules import SqlSchedules
from longline.saver.sql.trail import SqlTrail
from longline.saver.sql.worker import Worker

END = 0
PURGE = 1

OFFLINE = "offline"
# Deliveries that are over unseen, and were not only for who was there.
ENDING = """position BETWEEN ?1 AND ?2 AND state = 0
   AND position NOT IN (SELECT position FROM messages WHERE position BETWEEN ?1 AND ?2 AND online_only)"""
OF_DEVICES = (
    *("inbox", "wills", "shadows", "visits", "connections", "unanswered", "group_members"),
    *("cursors", "gaps", "departed", "devices"),
)
ROWS_OF = {  # what names a row
    "inbox": "device, position",
    "wills": "n",
    "group_members": "device, grp",
    "connections": "device, slot",
}
ROWS = 20_000  # deliveries ended or purged in one slice: a message can have a thousand

_run = msgspec.json.Decoder(tuple[int, int, int, int] | None)
_integers = msgspec.json.Decoder(list[int])
_pairs = msgspec.json.Decoder(list[tuple[int, int]])


# Whether there are apps whose ledgers are kept for a time of their own; and the messages that are theirs:
# position, and that time in seconds.
ANY_RETAINING = "SELECT 1 FROM apps WHERE limits ->> 'ledger_retention' IS NOT NULL LIMIT 1"
RETAINING = """
SELECT json_group_array(json_array(position, kept)) FROM
 (SELECT m.position, a.limits ->> 'ledger_retention' AS kept
   FROM messages AS m CROSS JOIN apps AS a ON a.number = m.app
   WHERE m.position BETWEEN ?1 AND ?2 AND a.limits ->> 'ledger_retention' IS NOT NULL
   ORDER BY m.position)"""

NEXT_DUE = f"""
SELECT min(due) FROM (SELECT min(at) AS due FROM expiry
 UNION ALL SELECT min(ends_at) FROM idempotency
 UNION ALL SELECT min(ends_at) FROM timer_keys
 UNION ALL SELECT min(expires_at) FROM retained WHERE expires_at > 0
 UNION ALL SELECT 0 FROM apps WHERE deleted
 UNION ALL SELECT 0 WHERE EXISTS (SELECT 1 FROM retained_left)
 UNION ALL {remains.NEXT_DUE}
 UNION ALL {{trail}})"""


class SqlExpiry:
    """Fulfils `ExpiryStore`. `retention`: ms from a message's end to when its ledger is forgotten."""

    def __init__(
        self,
        writer: Worker,
        reader: Worker,
        writing: Database,
        reading: Database,
        *,
        positions: Positions,
        broadcasts: BroadcastLedgers,
        retained: SqlRetained,
        schedules: SqlSchedules,
        trail: SqlTrail,
        retention: int,
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._database = writing
        self._reading = reading
        self._positions = positions
        self._broadcasts = broadcasts
        self._retained = retained
        self._schedules = schedules
        self._trail = trail
        self._find_due = NEXT_DUE.format(trail=trail.next_due)
        self._retention = retention

    async def next_due(self) -> int | None:
        """The first entries of the indexes of what is due."""
        return await self._reader.call(self._next_due, None)

    def _next_due(self, calls: list[None]) -> list[int | None]:
        return [self._reading.number(self._find_due)] * len(calls)

    async def end(self, now: int, limit: int) -> int:
        """One transaction: what is due for messages, then what else is over, then what is left of sessions
        and of deleted apps."""
        return await self._writer.call(self._end, (now, limit))

    def _end(self, calls: list[tuple[int, int]]) -> list[int]:
        return [self._end_due(*call) for call in calls]

    def _end_due(self, now: int, limit: int) -> int:
        done = 0
        while done < limit:
            run = _run.decode(
                self._database.text(
                    "SELECT json_array(at, kind, first, last) FROM expiry WHERE at <= ?1"
                    " ORDER BY at, kind, first LIMIT 1",
                    now,
                )
            )
            if run is None:
                break
            done += self._advance(run, now, limit - done)
        if done < limit:
            done += self._sweep_keys(now, limit - done)
        if done < limit:
            done += remains.end_publications(self._database, now, limit - done)
        if done < limit:
            done += self._retained.sweep(now, limit - done)
        if done < limit:
            done += self._schedules.sweep(now, limit - done)
        if done < limit:
            done += self._trail.sweep(now, limit - done)
        if done < limit:
            done += remains.clear(self._database, limit - done)
        if done < limit:
            done += self._purge_app(limit - done)
        return done

    def _advance(self, run: tuple[int, int, int, int], now: int, limit: int) -> int:
        """Does what is due for the beginning of a run; returns for how many positions."""
        at, kind, first, end_of_run = run
        last = min(end_of_run, first + limit - 1)
        crowded = self._database.number(
            "SELECT position FROM deliveries WHERE position BETWEEN ?1 AND ?2"
            " ORDER BY position LIMIT 1 OFFSET ?3",
            first,
            last,
            ROWS,
        )
        if crowded is not None:
            last = max(first, crowded - 1)
        if kind == END:
            self._end_messages(first, last, now)
            for begin, end, retention in self._retained_for(first, last):
                self._database.run(
                    "INSERT INTO expiry (at, kind, first, last) VALUES (?1, ?2, ?3, ?4)",
                    *(at + retention, PURGE, begin, end),
                )
        else:
            self._forget(first, last)
        if last == end_of_run:
            self._database.run(
                "DELETE FROM expiry WHERE at = ?1 AND kind = ?2 AND first = ?3", at, kind, first
            )
        else:
            self._database.run(
                "UPDATE expiry SET first = ?4 WHERE at = ?1 AND kind = ?2 AND first = ?3",
                at,
                kind,
                first,
                last + 1,
            )
        return last - first + 1

    def _retained_for(self, first: int, last: int) -> list[tuple[int, int, int]]:
        """How long (ms) ledgers of these positions are kept: runs of them, and for each how long."""
        if self._database.number(ANY_RETAINING) is None:
            return [(first, last, self._retention)]
        runs: list[tuple[int, int, int]] = []
        for position, kept in _pairs.decode(self._database.text(RETAINING, first, last)):
            if position > first:
                runs.append((first, position - 1, self._retention))
            runs.append((position, position, kept * 1000))
            first = position + 1
        if first <= last:
            runs.append((first, last, self._retention))
        return runs

    def _end_messages(self, first: int, last: int, now: int) -> None:
        span = (first, last)
        self._database.run(
            "DELETE FROM inbox WHERE (device, position) IN"
            " (SELECT device, position FROM deliveries WHERE position BETWEEN ?1 AND ?2 AND state = 0)",
            *span,
        )
        note_gaps(self._database, "expired", ENDING, *span, now)
        self._database.run(
            "UPDATE deliveries SET settled_at = ?3,"
            f" state = iif(offline, {State.DROPPED:d}, {State.EXPIRED:d}),"
            f" reason = iif(offline, '{OFFLINE}', NULL)"
            " FROM (SELECT d.position, d.device, m.online_only AND d.sent_at IS NULL AS offline"
            "  FROM deliveries AS d CROSS JOIN messages AS m ON m.position = d.position"
            "  WHERE d.position BETWEEN ?1 AND ?2 AND d.state = 0) AS over"
            " WHERE deliveries.position = over.position AND deliveries.device = over.device",
            *span,
            now,
        )
        over = self._database.text(
            "SELECT json_group_array(json_array(position, kept)) FROM log WHERE position BETWEEN ?1 AND ?2",
            *span,
        )
        for position, kept in _pairs.decode(over):
            if not kept:
                ledger = self._broadcasts.get(position, self._database)
                unwritten = ledger.pending() - ledger.written()
                self._broadcasts.settle(position, DROPPED + OFFLINE, unwritten, self._database)
            self._broadcasts.settle_pending(position, EXPIRED, self._database)
            if kept and self._broadcasts.get(position, self._database).missed_by_any():
                self._database.run(
                    "INSERT INTO endings (n, app, position, at)"
                    " SELECT ?1, app, position, ?3 FROM log WHERE position = ?2",
                    self._positions.take(),
                    position,
                    now,
                )
        self._database.run("DELETE FROM log WHERE position BETWEEN ?1 AND ?2", *span)

    def _forget(self, first: int, last: int) -> None:
        known = self._database.text(
            "SELECT json_group_array(position) FROM broadcast_sets"
            " WHERE position BETWEEN ?1 AND ?2 AND n = 0",
            first,
            last,
        )
        self._broadcasts.forget(_integers.decode(known))
        for table in ("deliveries", "broadcast_sets", "endings", "messages"):
            self._database.run(f"DELETE FROM {table} WHERE position BETWEEN ?1 AND ?2", first, last)

    def _sweep_keys(self, now: int, limit: int) -> int:
        return self._database.run(
            "DELETE FROM idempotency WHERE (app, key) IN"
            " (SELECT app, key FROM idempotency WHERE ends_at <= ?1 ORDER BY ends_at LIMIT ?2)",
            now,
            limit,
        )

    def _purge_app(self, limit: int) -> int:
        """Removes a slice of one deleted app; the app's own row goes last."""
        app = self._database.number("SELECT number FROM apps WHERE deleted LIMIT 1")
        if app is None:
            return 0
        messages = self._database.text(
            "SELECT json_group_array(position) FROM (SELECT position FROM messages WHERE app = ?1 LIMIT ?2)",
            app,
            min(limit, ROWS // 1000),
        )
        positions = tuple(_integers.decode(messages))
        self._broadcasts.forget(positions)
        for table in ("deliveries", "broadcast_sets", "log", "endings", "messages"):
            if positions:
                self._database.run(
                    f"DELETE FROM {table} WHERE position IN (SELECT value FROM carray(?1))", positions
                )
        done = len(positions)
        if done < limit:
            done += remains.end_sessions_of(self._database, device_range(app), limit - done)
        for table in OF_DEVICES:
            row = ROWS_OF.get(table, "device")
            if done < limit:
                done += self._database.run(
                    f"DELETE FROM {table} WHERE ({row}) IN"
                    f" (SELECT {row} FROM {table} WHERE device BETWEEN ?1 AND ?2 LIMIT ?3)",
                    *device_range(app),
                    limit - done,
                )
        for table, row in (
            ("labels", "app, kind, label, block"),
            ("idempotency", "app, key"),
            ("events", "app, n"),
            ("past", "app, n"),
            ("standings", "app, device"),
            ("latest", "app, device"),
            ("forgotten", "app, device"),
            ("counts", "app, span, at, kind"),
            ("there", "app, span"),
            ("queues", "app"),
            ("dead_events", "app, n"),
            ("webhooks", "app"),
        ):
            if done < limit:
                done += self._database.run(
                    f"DELETE FROM {table} WHERE ({row}) IN"
                    f" (SELECT {row} FROM {table} WHERE app = ?1 LIMIT ?2)",
                    app,
                    limit - done,
                )
        if done < limit:
            done += self._database.run("DELETE FROM keys WHERE number = ?1", app)
        if done < limit:
            done += self._retained.purge(app, limit - done)
        if done < limit:
            done += self._schedules.purge(app, limit - done)
        if done < limit:
            done += purge_groups(self._database, app, limit - done)
        if done == 0:
            done += self._database.run("DELETE FROM apps WHERE number = ?1", app)
        return done
