"""Shadows: a row for each device of which anything was said.

What says whether a device is to be told something stands before the documents in the row: who connects is
looked up without reading them.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

import msgspec

from longline.saver.port.shadows import Changed, Shadow, ShadowChange, ShadowSeen
from longline.saver.sql.database import Database, device_key
from longline.saver.sql.members import Members
from longline.saver.sql.worker import Worker

_Row = tuple[int, int, int, str, str]
_rows = msgspec.json.Decoder(list[_Row | None])

FIND = """
SELECT json_group_array(iif(d.device IS NULL, NULL, json_array(coalesce(version, 0), coalesce(wanted, 0),
         coalesce(seen, 0), coalesce(CAST(desired AS TEXT), '{}'), coalesce(CAST(reported AS TEXT), '{}'))))
  FROM carray(?1) AS asked
  LEFT JOIN devices AS d ON d.device = asked.value
  LEFT JOIN shadows AS s ON s.device = d.device"""


class SqlShadows:
    """Fulfils `ShadowStore`."""

    def __init__(
        self,
        writer: Worker,
        reader: Worker,
        writing: Database,
        reading: Database,
        *,
        members: Members,
        deleted: AbstractSet[int],
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._writing = writing
        self._reading = reading
        self._members = members
        self._deleted = deleted

    async def find(self, app: int, ordinals: Sequence[int]) -> list[Shadow | None]:
        """One statement for all of them."""
        if app in self._deleted:
            return [None] * len(ordinals)
        return await self._reader.call(self._find, (app, ordinals), len(ordinals))

    def _find(self, calls: list[tuple[int, Sequence[int]]]) -> list[list[Shadow | None]]:
        keys = tuple([device_key(app, ordinal) for app, ordinals in calls for ordinal in ordinals])
        if not keys:
            return [[] for _ in calls]
        rows = iter(_rows.decode(self._reading.text(FIND, keys)))
        return [[_shadow(next(rows)) for _ in ordinals] for _, ordinals in calls]

    async def change(self, batch: Sequence[ShadowChange]) -> list[Changed]:
        """A statement for each: the writer's transaction is the one step."""
        size = sum(len(item.shadow.desired) + len(item.shadow.reported) for item in batch)
        return await self._writer.call(self._change, batch, len(batch), size)

    def _change(self, calls: list[Sequence[ShadowChange]]) -> list[list[Changed]]:
        return [[self._change_one(item) for item in batch] for batch in calls]

    def _change_one(self, item: ShadowChange) -> Changed:
        database, shadow = self._writing, item.shadow
        key = device_key(item.app, item.ordinal)
        if self._members.of(item.app) is None:
            return Changed.NO_DEVICE
        if not database.number("SELECT count(*) FROM devices WHERE device = ?1", key):
            return Changed.NO_DEVICE
        statement = (
            "UPDATE shadows SET version = ?3, wanted = ?4, desired = ?5, reported = ?6"
            " WHERE device = ?1 AND version = ?2"
        )
        if item.before == 0:
            statement = (
                "INSERT OR IGNORE INTO shadows (device, version, wanted, seen, desired, reported)"
                " VALUES (?1, ?3, ?4, ?2, ?5, ?6)"
            )
        values = (key, item.before, shadow.version, shadow.wanted, shadow.desired, shadow.reported)
        return Changed.DONE if database.run(statement, *values) else Changed.CONFLICT

    async def seen(self, batch: Sequence[ShadowSeen]) -> None:
        """A statement for each."""
        await self._writer.call(self._seen, batch, len(batch))

    def _seen(self, calls: list[Sequence[ShadowSeen]]) -> list[None]:
        for batch in calls:
            for item in batch:
                self._writing.run(
                    "UPDATE shadows SET seen = ?2 WHERE device = ?1 AND seen < ?2",
                    device_key(item.app, item.ordinal),
                    item.version,
                )
        return [None] * len(calls)


def _shadow(row: _Row | None) -> Shadow | None:
    if row is None:
        return None
    version, wanted, seen, desired, reported = row
    return Shadow(desired.encode(), reported.encode(), version, wanted, seen)
