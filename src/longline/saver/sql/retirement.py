"""Devices that have not come for long: looked for page by page, and removed in the writer's transactions."""

from collections.abc import Set as AbstractSet
from typing import Final

import msgspec

from longline.model.events import RETIRED
from longline.saver.port.retirement import DONE, Retired
from longline.saver.sql.database import Database, device_range
from longline.saver.sql.devices import SqlDevices
from longline.saver.sql.fencing import Locate
from longline.saver.sql.visits import SqlVisits
from longline.saver.sql.worker import Worker

REASON: Final = "device_retired"
REMOVED: Final = 100  # devices in one transaction: each may have much that waits for it

_Stale = list[tuple[int, str]]  # key and address
_page = msgspec.json.Decoder(tuple[int | None, int, _Stale]).decode
_left = msgspec.json.Decoder(list[str]).decode

# What is known of devices, and of those that were last there before ?1.
STALE = """max(d.created_at, coalesce(v.came_at, 0), coalesce(v.left_at, 0)) < ?1
   AND NOT EXISTS (SELECT 1 FROM sessions AS s WHERE s.device = d.device AND s.expires_in > 0
                      AND (s.node IS NOT NULL OR s.ends_at > ?2))
   AND NOT EXISTS (SELECT 1 FROM wills WHERE wills.device = d.device)"""
LOOK = f"""
SELECT json_array(max(device), count(*), json_group_array(json_array(device, address)) FILTER (WHERE stale))
FROM
 (SELECT d.device AS device, d.address AS address, {STALE} AS stale
    FROM devices AS d LEFT JOIN visits AS v ON v.device = d.device
   WHERE d.device >= ?3 AND d.device <= ?4 ORDER BY d.device LIMIT ?5)"""
STILL = f"""
SELECT json_group_array(d.address)
  FROM carray(?3) CROSS JOIN devices AS d ON d.device = value LEFT JOIN visits AS v ON v.device = d.device
 WHERE {STALE}"""


class SqlRetirement:
    """Fulfils `RetirementStore`. What it removes is named to `visits` first, so that who comes at that moment
    waits for the end of the transaction."""

    def __init__(
        self,
        writer: Worker,
        reader: Worker,
        writing: Database,
        reading: Database,
        *,
        devices: SqlDevices,
        visits: SqlVisits,
        locate: Locate,
        deleted: AbstractSet[int],
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._writing = writing
        self._reading = reading
        self._devices = devices
        self._visits = visits
        self._locate = locate
        self._deleted = deleted

    async def retire(self, app: int, after: int, before: int, now: int, limit: int) -> Retired:
        """Reads a page, and asks the writer only where somebody on it is to go."""
        if app in self._deleted:
            return Retired(0, DONE)
        last, count, found = await self._reader.call(self._look, (app, after, before, now, limit))
        following = DONE if last is None or count < limit else (last & 0xFFFF_FFFF) + 1
        if len(found) > REMOVED:
            found = found[:REMOVED]
            following = (found[-1][0] & 0xFFFF_FFFF) + 1
        if not found:
            return Retired(0, following)
        return Retired(await self._writer.call(self._retire, (app, before, now, found)), following)

    def _look(self, calls: list[tuple[int, int, int, int, int]]) -> list[tuple[int | None, int, _Stale]]:
        return [self._look_one(*call) for call in calls]

    def _look_one(
        self, app: int, after: int, before: int, now: int, limit: int
    ) -> tuple[int | None, int, _Stale]:
        first, last = device_range(app)
        return _page(self._reading.text(LOOK, before, now, first + after, last, limit))

    def _retire(self, calls: list[tuple[int, int, int, _Stale]]) -> list[int]:
        return [self._retire_some(*call) for call in calls]

    def _retire_some(self, app: int, before: int, now: int, found: _Stale) -> int:
        names = {address: address.partition("/")[2] for _, address in found}
        self._visits.going.update(names)
        bound = dict(zip(names, self._locate(app, list(names.values())), strict=True))
        self._visits.flush()  # what was told of who is not bound any more was told before that
        keys = tuple([key for key, address in found if bound[address] is None])
        if not keys:
            return 0
        stale = _left(self._writing.text(STILL, before, now, keys))
        return sum([self._devices.remove(app, names[address], now, RETIRED, REASON) for address in stale])
