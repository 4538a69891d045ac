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
from longline.saver.sql.retained import SqlRetained
from longline.saver.sql.worker import Worker

END = 0
PURGE = 1

OFFLINE = "offline"
ROWS = 20_000  # deliveries ended or purged in one slice: a message can have a thousand

_run = msgspec.json.Decoder(tuple[int, int, int, int] | None)
_integers = msgspec.json.Decoder(list[int])
_broadcasts = msgspec.json.Decoder(list[tuple[int, int]])


NEXT_DUE = f"""
SELECT min(due) FROM (SELECT min(at) AS due FROM expiry
 UNION ALL SELECT min(ends_at) FROM idempotency
 UNION ALL SELECT min(expires_at) FROM retained WHERE expires_at > 0
 UNION ALL SELECT 0 FROM apps WHERE deleted
 UNION ALL {remains.NEXT_DUE})"""


class SqlExpiry:
    """Fulfils `ExpiryStore`. `retention`: ms from a message's end to when its ledger is forgotten."""

    def __init__(
        self,
        writer: Worker,
        reader: Worker,
        writing: Database,
        reading: Database,
        *,
        broadcasts: BroadcastLedgers,
        retained: SqlRetained,
        retention: int,
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._database = writing
        self._reading = reading
        self._broadcasts = broadcasts
        self._retained = retained
        self._retention = retention

    async def next_due(self) -> int | None:
        """The first entries of the indexes of what is due."""
        return await self._reader.call(self._next_due, None)

    def _next_due(self, calls: list[None]) -> list[int | None]:
        return [self._reading.number(NEXT_DUE)] * len(calls)

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
            self._database.run(
                "INSERT INTO expiry (at, kind, first, last) VALUES (?1, ?2, ?3, ?4)",
                at + self._retention,
                PURGE,
                first,
                last,
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

    def _end_messages(self, first: int, last: int, now: int) -> None:
        span = (first, last)
        self._database.run(
            "DELETE FROM inbox WHERE (device, position) IN"
            " (SELECT device, position FROM deliveries WHERE position BETWEEN ?1 AND ?2 AND state = 0)",
            *span,
        )
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
        for position, kept in _broadcasts.decode(over):
            if not kept:
                ledger = self._broadcasts.get(position, self._database)
                unwritten = ledger.pending() - ledger.written()
                self._broadcasts.settle(position, DROPPED + OFFLINE, unwritten, self._database)
            self._broadcasts.settle_pending(position, EXPIRED, self._database)
        self._database.run("DELETE FROM log WHERE position BETWEEN ?1 AND ?2", *span)

    def _forget(self, first: int, last: int) -> None:
        for table in ("deliveries", "broadcast_sets", "messages"):
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
        for table in ("deliveries", "broadcast_sets", "log", "messages"):
            if positions:
                self._database.run(
                    f"DELETE FROM {table} WHERE position IN (SELECT value FROM carray(?1))", positions
                )
        done = len(positions)
        if done < limit:
            done += remains.end_sessions_of(self._database, device_range(app), limit - done)
        for table in ("inbox", "wills", "cursors", "departed", "devices"):
            row = {"inbox": "device, position", "wills": "n"}.get(table, "device")
            if done < limit:
                done += self._database.run(
                    f"DELETE FROM {table} WHERE ({row}) IN"
                    f" (SELECT {row} FROM {table} WHERE device BETWEEN ?1 AND ?2 LIMIT ?3)",
                    *device_range(app),
                    limit - done,
                )
        for table, row in (
            ("labels", "app, kind, value, ordinal"),
            ("idempotency", "app, key"),
            ("events", "app, n"),
            ("past", "app, n"),
            ("standings", "app, device"),
            ("queues", "app"),
        ):
            if done < limit:
                done += self._database.run(
                    f"DELETE FROM {table} WHERE ({row}) IN"
                    f" (SELECT {row} FROM {table} WHERE app = ?1 LIMIT ?2)",
                    app,
                    limit - done,
                )
        if done < limit:
            done += self._retained.purge(app, limit - done)
        if done == 0:
            done += self._database.run("DELETE FROM apps WHERE number = ?1", app)
        return done
