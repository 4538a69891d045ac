"""When devices were last there, how they came, and the connections that they had before.

What the threads of the loop tell is gathered, and written by the next transaction, whatever that is for: of
who comes or goes something else is written soon, an event of presence. While transactions follow each other,
as they do when many come who are to be registered, only one every `APART` seconds writes it, or one for each
`TOGETHER` that wait: for each of them by itself the statements and the pages would cost more than what is
told. A process that is killed before loses it.

Of a device's connections a row each is kept, in slots that are used in turn: the latest takes the place of
the oldest, and which slot it has stands in the visit, which is written anyway. What is kept of devices that
stay away is looked at as others come, `WALK` rows for each of these, in rounds through the table.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

import msgspec

from longline.model.devices import Came, ConnectionBounds, ConnectionRecord, Visit, since_ended
from longline.model.statistics import HOUR
from longline.saver.sql.counts import SqlCounts
from longline.saver.sql.database import Database, device_key, integer
from longline.saver.sql.worker import Worker

MOST: Final = 1_000_000  # that wait, while the disk takes nothing
APART: Final = 0.25  # s between transactions that write what waits, but for
TOGETHER: Final = 500  # of them
WALK: Final = 2  # rows looked at for each device that comes: at least as many as there can be new ones
LATEST: Final = (1 << 63) - 1  # no epoch is above it

_encode = msgspec.json.Encoder().encode
_Row = tuple[int, int, str, str, str, str, int, int, int]
_found = msgspec.json.Decoder(list[_Row]).decode
_connections = msgspec.json.Decoder(list[tuple[int, int, str, str, str, str, str, int, str]]).decode

CAME = """
INSERT INTO visits (device, came_at, left_at, address, protocol, client, version, slot)
SELECT device, value ->> 1, 0, value ->> 2, value ->> 3, value ->> 4, value ->> 5, iif(value ->> 6, 0, -1)
  FROM json_each(?1) CROSS JOIN devices ON device = value ->> 0 WHERE true
    ON CONFLICT (device) DO UPDATE SET came_at = excluded.came_at, address = excluded.address,
       protocol = excluded.protocol, client = excluded.client, version = excluded.version,
       slot = iif(excluded.slot < 0, slot, (slot + 1) % ?2)"""
CONNECTED = """
INSERT OR REPLACE INTO connections (device, slot, epoch, node, at, address, protocol, client, version)
SELECT v.device, v.slot, value ->> 6, value ->> 7, v.came_at, v.address, v.protocol, v.client, v.version
  FROM json_each(?1) CROSS JOIN visits AS v ON v.device = value ->> 0 WHERE value ->> 6"""
# A record: when, and "app number/name". The array is the outer loop, so it is an INSERT of rows that are
# there.
GONE = b"%019d%b"
LEFT = f"""
INSERT INTO visits (device, came_at, left_at, address, protocol, client, version)
SELECT v.device, v.came_at, told.at, v.address, v.protocol, v.client, v.version
  FROM (SELECT {integer(1, 19)} AS at, CAST(substr(value, 20) AS TEXT) AS address FROM carray(?1)) AS told
 CROSS JOIN devices AS d ON d.address = told.address
 CROSS JOIN visits AS v ON v.device = d.device AND v.came_at <= told.at
 WHERE true
    ON CONFLICT (device) DO UPDATE SET left_at = max(left_at, excluded.left_at)"""
# As above: an UPDATE would look at every row there is.
PARTED = """
INSERT INTO connections
       (device, slot, epoch, at, node, address, protocol, client, version, ended_at, reason)
SELECT c.device, c.slot, c.epoch, c.at, c.node, c.address, c.protocol, c.client, c.version,
       value ->> 2, value ->> 3
  FROM json_each(?1) CROSS JOIN devices AS d ON d.address = value ->> 0
 CROSS JOIN connections AS c ON c.device = d.device AND c.ended_at = 0 AND c.epoch =
       (SELECT max(epoch) FROM connections WHERE device = d.device AND epoch <= value ->> 1)
 WHERE true
    ON CONFLICT (device, slot) DO UPDATE SET ended_at = excluded.ended_at, reason = excluded.reason"""
WALKED = "SELECT device FROM connections WHERE device > ?1 ORDER BY device LIMIT 1 OFFSET ?2"
# One that goes on is kept, however old it is: nothing has ended it, and none follows it.
OLD = """
DELETE FROM connections AS c WHERE device > ?1 AND device <= ?2 AND max(at, ended_at) < ?3
   AND (ended_at > 0 OR (SELECT min(at) FROM connections WHERE device = c.device AND epoch > c.epoch) < ?3)"""
ALL = "DELETE FROM connections WHERE device > ?1 AND device <= ?2"
HISTORY = """
SELECT json_group_array(json_array(epoch, at, node, address, protocol, client, version, ended_at, reason))
  FROM (SELECT epoch, at, node, address, protocol, client, version, max(ended_at) AS ended_at, reason
          FROM connections WHERE device = ?1 GROUP BY epoch ORDER BY epoch DESC LIMIT ?2)"""
FIND = """
SELECT json_group_array(json_array(coalesce(came_at, 0), coalesce(left_at, 0), coalesce(v.address, ''),
         coalesce(protocol, ''), coalesce(client, ''), coalesce(version, ''),
         s.device IS NOT NULL AND s.expires_in > 0, coalesce(s.ends_at, 0),
         coalesce(banned_until, 0)))
  FROM carray(?1) AS asked
  LEFT JOIN visits AS v ON v.device = asked.value
  LEFT JOIN sessions AS s ON s.device = asked.value
  LEFT JOIN devices AS d ON d.device = asked.value"""


_Arrived = tuple[int, int, Came, int, str]  # key, at (ms), how, epoch and node
_Ended = tuple[str, int, int, str]  # address, epoch, at (ms), why


class SqlVisits:
    """Fulfils `VisitStore`. `came`, `left` and `parted` may be called by any thread; the rest is the
    writer's. `clock` gives seconds, rising.
    """

    def __init__(
        self,
        writer: Worker,
        reader: Worker,
        writing: Database,
        reading: Database,
        counts: SqlCounts,
        deleted: AbstractSet[int],
        bounds: ConnectionBounds,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._writing = writing
        self._reading = reading
        self._counts = counts
        self._deleted = deleted
        self._bounds = bounds
        self._clock = clock
        self._flushed = float("-inf")  # when what waited was written last
        self._walked = -1  # the device behind which the walk goes on
        self.going: set[str] = set()  # addresses that the transaction at work may remove
        self._arrived: deque[_Arrived] = deque(maxlen=MOST)
        self._gone: deque[tuple[str, int]] = deque(maxlen=MOST)
        self._ended: deque[_Ended] = deque(maxlen=MOST)
        self._written: tuple[list[_Arrived], list[tuple[str, int]], list[_Ended]] = ([], [], [])

    def came(self, visits: Iterable["_Arrived"]) -> None:
        """Devices have connected."""
        self._arrived.extend(visits)

    def left(self, app: int, device: str, at: int) -> None:
        """A device is not connected any more. To be called before others can see that."""
        self._gone.append((f"{app}/{device}", at))

    def parted(self, app: int, device: str, epoch: int, at: int, reason: str) -> None:
        """A connection of a device has ended; an epoch of 0 is that of the latest."""
        if self._bounds.kept:
            self._ended.append((f"{app}/{device}", epoch or LATEST, at, reason))

    @property
    def waiting(self) -> int:
        """How many are not written yet."""
        return len(self._arrived) + len(self._gone) + len(self._ended)

    def due(self) -> bool:
        """Whether the transaction at work is to write what waits."""
        waiting = self.waiting
        return waiting >= TOGETHER or (waiting > 0 and self._clock() - self._flushed >= APART)

    def flush(self) -> None:
        """Writes what was told until now, in the transaction of whoever calls."""
        self._flushed = self._clock()
        arrived = [self._arrived.popleft() for _ in range(len(self._arrived))]
        gone = [self._gone.popleft() for _ in range(len(self._gone))]
        ended = [self._ended.popleft() for _ in range(len(self._ended))]
        self._written[0].extend(arrived)
        self._written[1].extend(gone)
        self._written[2].extend(ended)
        if arrived:
            self._come(arrived)
        if gone:
            rows = tuple([GONE % (at, address.encode()) for address, at in dict(gone).items()])
            self._writing.run(LEFT, rows)
        if ended:
            self._writing.run(PARTED, _encode(ended).decode())

    def _come(self, arrived: Sequence["_Arrived"]) -> None:
        kept = self._bounds.kept
        wave: dict[int, object] = {}
        there: dict[tuple[int, int], list[int]] = {}  # by app and hour
        for key, at, came, epoch, node in arrived:
            if key in wave:  # it has come again: each of its connections has a slot of its own
                self._write(wave)
                wave = {}
            known = epoch if kept else 0
            wave[key] = (key, at, came.address, came.protocol, came.client, came.version, known, node)
            there.setdefault((key >> 32, at // HOUR), []).append(key & 0xFFFF_FFFF)
        self._write(wave)
        for (app, hour), ordinals in there.items():
            self._counts.there(app, ordinals, hour * HOUR)
        self._forget(WALK * len(arrived), max(at for _, at, *_ in arrived) - self._bounds.age)

    def _forget(self, rows: int, before: int) -> None:
        """Of so many rows, on from those of the last time, those that ended before that moment; all of them
        where none are to be kept any more."""
        last = self._writing.number(WALKED, self._walked, rows)
        behind = LATEST if last is None else last
        if self._bounds.kept:
            self._writing.run(OLD, self._walked, behind, before)
        else:
            self._writing.run(ALL, self._walked, behind)
        self._walked = -1 if last is None else last

    def _write(self, wave: Mapping[int, object]) -> None:
        rows = _encode(list(wave.values())).decode()
        self._writing.run(CAME, rows, max(1, self._bounds.kept))
        if self._bounds.kept:
            self._writing.run(CONNECTED, rows)

    def committed(self) -> None:
        """What was written is on disk."""
        if self.going:
            self.going.clear()
        if any(self._written):
            self._written = ([], [], [])

    def rolled_back(self) -> None:
        """It is not: the next transaction writes it again, before what has come since."""
        self.going.clear()
        self._arrived.extendleft(reversed(self._written[0]))
        self._gone.extendleft(reversed(self._written[1]))
        self._ended.extendleft(reversed(self._written[2]))
        self._written = ([], [], [])

    async def settled(self, addresses: Iterable[str]) -> None:
        """Returns when no device among these is about to be removed."""
        if not self.going.isdisjoint(addresses):
            await self._writer.call(_nothing, None)

    async def find(self, app: int, ordinals: Sequence[int]) -> list[Visit]:
        """One statement for all, when nothing waits to be written any more."""
        if app in self._deleted:
            return [Visit()] * len(ordinals)
        if self.waiting:
            await self._writer.call(self._flush, None)
        return await self._reader.call(self._find, (app, ordinals), len(ordinals))

    def _flush(self, calls: list[None]) -> list[None]:
        self.flush()
        return calls

    def _find(self, calls: list[tuple[int, Sequence[int]]]) -> list[list[Visit]]:
        keys = tuple([device_key(app, ordinal) for app, ordinals in calls for ordinal in ordinals])
        if not keys:
            return [[] for _ in calls]
        rows = iter(_found(self._reading.text(FIND, keys)))
        return [[_visit(next(rows)) for _ in ordinals] for _, ordinals in calls]

    async def connections(self, app: int, ordinal: int, now: int) -> list[ConnectionRecord]:
        """One range of rows, when nothing waits to be written any more."""
        if app in self._deleted:
            return []
        if self.waiting:
            await self._writer.call(self._flush, None)
        return await self._reader.call(self._history, (device_key(app, ordinal), now - self._bounds.age))

    def _history(self, calls: list[tuple[int, int]]) -> list[list[ConnectionRecord]]:
        return [
            since_ended(
                [
                    ConnectionRecord(
                        epoch, at, node, Came(address, protocol, client, version), ended_at, reason
                    )
                    for epoch, at, node, address, protocol, client, version, ended_at, reason in _connections(
                        self._reading.text(HISTORY, device, self._bounds.kept)
                    )
                ],
                since,
            )
            for device, since in calls
        ]


def _nothing(calls: list[None]) -> list[None]:
    return calls


def _visit(row: _Row) -> Visit:
    came_at, left_at, address, protocol, client, version, session, ends_at, banned_until = row
    came = Came(address, protocol, client, version) if came_at else None
    return Visit(came_at, left_at, came, bool(session), ends_at, banned_until)
