"""What devices have missed: messages that ended without being written to a connection of theirs.

Of messages to named devices the ends are counted, in `gaps`, as they come: a row for a device that misses
something. The end of a broadcast is one row in `endings` for all who missed it, and whoever comes looks at
those that it was not told of: which of them concern it, their sets say.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from longline.saver.port.inboxes import Gap, Told
from longline.saver.sql.broadcasts import COLLAPSED, EXPIRED, BroadcastLedgers
from longline.saver.sql.database import Database, Value, device_key

Noted = tuple[int, int, int, int]  # dropped, expired, collapsed, since

# Deliveries that are listed as [position, device].
LISTED = """(position, device) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?1)) AND state = 0"""
ADD = """
    ON CONFLICT (device) DO UPDATE SET dropped = dropped + excluded.dropped,
       expired = expired + excluded.expired, collapsed = collapsed + excluded.collapsed"""
NOTE = """
INSERT INTO gaps (device, dropped, expired, collapsed, since)
SELECT device, {dropped}, {expired}, {collapsed}, ?{since} FROM deliveries
 WHERE {pending} AND sent_at IS NULL GROUP BY device"""
NOTHING = {"dropped": "0", "expired": "0", "collapsed": "0"}

# What a device was told of goes, and what has come since is counted from a later time: so each once.
CLOSE = """
UPDATE gaps SET dropped = gaps.dropped - told.dropped, expired = gaps.expired - told.expired,
                collapsed = gaps.collapsed - told.collapsed, since = gaps.since + 1
  FROM (SELECT value ->> 0 AS key, value ->> 1 AS dropped, value ->> 2 AS expired, value ->> 3 AS collapsed,
               value ->> 4 AS noted FROM json_each(?1)) AS told
 WHERE gaps.device = told.key AND gaps.since = told.noted"""
CLOSED = """
DELETE FROM gaps
 WHERE device IN (SELECT value ->> 0 FROM json_each(?1)) AND dropped + expired + collapsed = 0"""
TELL = """
INSERT INTO cursors (device, log_after, told)
SELECT device, log_from, value ->> 1 FROM json_each(?1) CROSS JOIN devices ON device = value ->> 0
 WHERE true
    ON CONFLICT (device) DO UPDATE SET told = max(told, excluded.told)"""

LOGS = """
SELECT json_group_array(json_array(app.value ->> 0,
         (SELECT count(*) FROM log WHERE log.app = app.value ->> 0 AND kept AND grp = 0),
         json((SELECT json_group_array(json_array(n, position, at)) FROM
           (SELECT n, position, at FROM endings WHERE app = app.value ->> 0 AND n > app.value ->> 1
             ORDER BY n)))))
  FROM json_each(?1) AS app"""

_encode = msgspec.json.Encoder().encode
_logs = msgspec.json.Decoder(list[tuple[int, int, list[tuple[int, int, int]]]])


def note_gaps(database: Database, outcome: str, pending: str, *values: Value) -> None:
    """Counts deliveries that are about to have an outcome, where they were not written to a connection.

    `pending`: SQL for which they are, by all `values` but the last, which is when.
    """
    columns = NOTHING | {outcome: "count(*)"}
    database.run(NOTE.format(pending=pending, since=len(values), **columns) + ADD, *values)


def add_dropped(database: Database, devices: Iterable[int], now: int) -> None:
    """Counts one more that was dropped for each of these devices, as often as it is there."""
    keys = tuple(devices)
    if keys:
        database.run(
            "INSERT INTO gaps (device, dropped, expired, collapsed, since)"
            " SELECT value, count(*), 0, 0, ?2 FROM carray(?1) WHERE true GROUP BY value" + ADD,
            keys,
            now,
        )


def close_gaps(database: Database, batch: Sequence[Told]) -> None:
    """Forgets what devices were told of."""
    noted = [
        (device_key(item.app, item.ordinal), *item.gap.noted) for item in batch if item.gap.noted is not None
    ]
    if noted:
        rows = msgspec.json.encode(noted).decode()
        database.run(CLOSE, rows)
        database.run(CLOSED, rows)
    told = [(device_key(item.app, item.ordinal), item.gap.told) for item in batch if item.gap.told]
    if told:
        database.run(TELL, msgspec.json.encode(told).decode())


class Logs:
    """The logs of apps as devices that come find them: how long they are, and what has ended.

    `told`: the apps, and the lowest end that one of their devices was told of; of others there is nothing to
    know. For the reader's thread.
    """

    def __init__(self, database: Database, broadcasts: BroadcastLedgers, told: Mapping[int, int]) -> None:
        self._database = database
        self._broadcasts = broadcasts
        found = _logs.decode(database.text(LOGS, _encode(list(told.items())).decode())) if told else []
        self._lengths = {app: length for app, length, _ in found}
        self._endings = {app: endings for app, _, endings in found}

    def length(self, app: int) -> int:
        """How many broadcasts are open, but for those to groups."""
        return self._lengths[app]

    def last(self, app: int) -> int:
        """The latest end; 0 where there is none that is not told of."""
        endings = self._endings.get(app)
        return endings[-1][0] if endings else 0

    def gap(self, app: int, ordinal: int, told: int, noted: Noted | None) -> Gap | None:
        """What a device has missed: what was counted for it, and broadcasts that ended after `told`."""
        dropped, expired, collapsed, since = noted or (0, 0, 0, 0)
        for n, position, at in self._endings.get(app, ()):
            if n <= told:
                continue
            outcome = self._broadcasts.get(position, self._database).missed_by(ordinal)
            expired += outcome == EXPIRED
            collapsed += outcome == COLLAPSED
            if outcome is not None:
                since = min(since or at, at)
        if not dropped + expired + collapsed:
            return None
        return Gap(dropped, expired, collapsed, since, max(told, self.last(app)), noted)
