"""Wills: kept by the connection that left them, until they are dropped or published."""

from collections.abc import Iterable, Sequence
from uuid import UUID

import msgspec

from longline.model.pubsub import StoredWill
from longline.saver.port.sessions import FOREVER, WILLS, DueWill
from longline.saver.sql.database import Database, integer
from longline.saver.will_ids import WillIds

_due = msgspec.json.Decoder(list[tuple[int, int, str | None, str, str]])
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(StoredWill).decode

# A will's record: device, epoch, delay, QoS, id, body.
WILL = b"%019d%019d%015d%d%b%b"
INSERT = f"""
INSERT INTO wills (device, epoch, delay, qos, id, body)
SELECT {integer(1, 19)}, {integer(20, 19)}, {integer(39, 15)}, {integer(54, 1)}, substr(value, 55, 16),
       substr(value, 71)
  FROM carray(?1)"""

# A connection's record: device, epoch, time, whether its session ends, the node that is to tell of it ("").
CONNECTION = b"%019d%019d%019d%d%b"
GIVEN = f"""(SELECT {integer(1, 19)} AS device, {integer(20, 19)} AS epoch, {integer(39, 19)} AS at,
  {integer(58, 1)} AS ends, nullif(CAST(substr(value, 59) AS TEXT), '') AS node FROM carray(?1)) AS given"""
OF_CONNECTION = "wills.device = given.device AND wills.epoch = given.epoch AND NOT wills.given"
AT_ONCE = f"""
UPDATE wills SET due = iif(given.node IS NULL, given.at, NULL), awaits = given.node FROM {GIVEN}
 WHERE {OF_CONNECTION} AND (given.ends OR wills.delay = 0) AND (wills.due IS NULL OR wills.due > given.at)"""
NOT_YET_DUE = f"""
DELETE FROM wills WHERE n IN
 (SELECT n FROM {GIVEN}
   CROSS JOIN wills ON {OF_CONNECTION} AND wills.awaits IS NULL
         AND (wills.due IS NULL OR wills.due > given.at))"""
HEARD = f"""
UPDATE wills SET due = given.at, awaits = NULL FROM {GIVEN}
 WHERE {OF_CONNECTION} AND awaits IS NOT NULL"""
UNHEARD = """
UPDATE wills SET due = ?2, awaits = NULL WHERE n IN (SELECT n FROM wills WHERE awaits = ?1 LIMIT ?3)"""
FORGET = f"DELETE FROM wills WHERE n IN (SELECT n FROM {GIVEN} CROSS JOIN wills ON {OF_CONNECTION})"

# A departure's record: device, epoch, at, when the session is over.
DEPARTURE = b"%019d%019d%019d%019d"
ARM = f"""
UPDATE wills SET due = min(given.at + wills.delay, given.over)
  FROM (SELECT {integer(1, 19)} AS device, {integer(20, 19)} AS epoch, {integer(39, 19)} AS at,
               {integer(58, 19)} AS over FROM carray(?1)) AS given
 WHERE {OF_CONNECTION}"""
ARM_ABANDONED = f"""
UPDATE wills SET due = max(?2 + ?3, min(?2 + wills.delay,
                                        ?2 + iif(s.expires_in = {FOREVER}, 1 << 60, s.expires_in * 1000)))
  FROM carray(?1) AS over CROSS JOIN sessions AS s ON s.device = over.value
 WHERE wills.device = s.device AND wills.epoch = s.epoch AND NOT wills.given"""

# A renaming's record: device, epoch before, epoch from now on.
RENAMING = b"%019d%019d%019d"
WAIT_AGAIN = f"""
UPDATE wills SET due = NULL, epoch = given.now
  FROM (SELECT {integer(1, 19)} AS device, {integer(20, 19)} AS epoch, {integer(39, 19)} AS now
          FROM carray(?1)) AS given
 WHERE {OF_CONNECTION}"""

TRIM = """
DELETE FROM wills WHERE n IN
 (SELECT old.n FROM carray(?1) AS crowded CROSS JOIN wills AS old ON old.device = crowded.value
   WHERE coalesce(old.due, old.awaits) IS NOT NULL
     AND old.n <= (SELECT n FROM wills AS newer
                    WHERE newer.device = crowded.value AND coalesce(newer.due, newer.awaits) IS NOT NULL
                    ORDER BY n DESC LIMIT 1 OFFSET ?2))"""

# Those of an app that was deleted have no address.
DUE = """
SELECT json_group_array(json_array(n, device, address, hex(id), hex(body))) FROM
 (SELECT page.*,
         (SELECT d.address FROM devices AS d CROSS JOIN apps ON number = d.device >> 32 AND NOT deleted
           WHERE d.device = page.device) AS address
    FROM (SELECT * FROM wills WHERE due IS NOT NULL AND due <= ?1 ORDER BY due LIMIT ?2) AS page)"""

# A published will's record: device, id.
PUBLISHED = b"%019d%b"
DELETE = f"""
DELETE FROM wills WHERE n IN
 (SELECT n FROM carray(?1) CROSS JOIN wills ON device = {integer(1, 19)} AND id = substr(value, 20))"""


class Wills:
    """For the writer's thread, inside its transactions."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.forgotten = 0  # for want of room
        self._ids = WillIds()

    def leave(self, wills: Iterable[tuple[int, int, int, StoredWill]]) -> None:
        """Keeps the wills of connections: device, epoch, now, will."""
        rows = tuple(
            [
                WILL % (device, epoch, will.delay * 1000, will.qos, self._ids.make(now), _pack(will))
                for device, epoch, now, will in wills
            ]
        )
        if rows:
            self._database.run(INSERT, rows)

    def follow(self, connections: Sequence[tuple[int, int, int, bool, bytes]]) -> None:
        """Another connection follows these: device, epoch, now, whether the session ends by it; and their
        node, where that has not told of their end yet: wills wait for it."""
        if connections:
            rows = tuple([CONNECTION % connection for connection in connections])
            if self._database.run(AT_ONCE, rows):
                self._trim(tuple({connection[0] for connection in connections}))
            self._database.run(NOT_YET_DUE, rows)

    def arm(self, departures: Sequence[tuple[int, int, int, int]]) -> None:
        """Clients of these connections went without a word: device, epoch, at, when the session is over."""
        if departures and self._database.run(ARM, tuple([DEPARTURE % item for item in departures])):
            self._trim(tuple({item[0] for item in departures}))

    def arm_abandoned(self, devices: tuple[int, ...], now: int, grace: int) -> None:
        """So did those of a node that died."""
        if self._database.run(ARM_ABANDONED, devices, now, grace):
            self._trim(devices)

    def drop(self, connections: Sequence[tuple[int, int]]) -> None:
        """Clients of these connections (device, epoch) said that they go."""
        if connections:
            self._database.run(FORGET, tuple([CONNECTION % (*item, 0, False, b"") for item in connections]))

    def hear(self, connections: Sequence[tuple[int, int, int]]) -> None:
        """Clients of these connections (device, epoch, at), which others follow, went without a word."""
        if connections:
            self._database.run(HEARD, tuple([CONNECTION % (*item, False, b"") for item in connections]))

    def give_up(self, node: str, now: int, limit: int) -> int:
        """No word will come from a node: at most `limit` wills are due that waited for it; how many."""
        return self._database.run(UNHEARD, node, now, limit)

    def rename(self, connections: Sequence[tuple[int, int, int]]) -> None:
        """These connections (device, epoch before, epoch now) are there after all."""
        if connections:
            self._database.run(WAIT_AGAIN, tuple([RENAMING % item for item in connections]))

    def _trim(self, devices: tuple[int, ...]) -> None:
        self.forgotten += self._database.run(TRIM, devices, WILLS)

    def due(self, now: int, limit: int, lease: int) -> list[DueWill]:
        """As the port's `due_wills`."""
        found = _due.decode(self._database.text(DUE, now, limit))
        if not found:
            return []
        wills = {row[0]: _unpack(bytes.fromhex(row[4])) for row in found}
        again = tuple([n for n, _, address, _, _ in found if address is not None and wills[n].qos])
        gone = tuple(wills.keys() - set(again))
        if again:
            self._database.run(
                "UPDATE wills SET due = ?2, given = 1 WHERE n IN (SELECT value FROM carray(?1))",
                again,
                now + lease,
            )
        if gone:
            self._database.run("DELETE FROM wills WHERE n IN (SELECT value FROM carray(?1))", gone)
        return [
            DueWill(
                device >> 32, address.partition("/")[2], device & 0xFFFF_FFFF, str(UUID(digits)), wills[n]
            )
            for n, device, address, digits, _ in found
            if address is not None
        ]

    def published(self, wills: Iterable[tuple[int, str]]) -> None:
        """These (device, id) are published."""
        rows = tuple([PUBLISHED % (device, UUID(id).bytes) for device, id in wills])
        if rows:
            self._database.run(DELETE, rows)
