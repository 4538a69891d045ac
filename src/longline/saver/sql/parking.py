"""Devices that take messages and acknowledge none: a row each."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from itertools import chain
from typing import Final

import msgspec

from longline.saver.port.parking import Release, Standing, Strike
from longline.saver.sql.database import Database, device_key, integer
from longline.saver.sql.states import divided
from longline.saver.sql.worker import Worker

_standings = msgspec.json.Decoder(list[tuple[int, int, int] | None])

# A strike's record: device, when, from how many on it parks.
STRIKE: Final = b"%019d%019d%09d"
COUNT: Final = f"""
INSERT INTO unanswered (device, strikes, at, parked_since)
SELECT device, 1, given.at, iif(parks_at <= 1, given.at, 0)
  FROM (SELECT {integer(1, 19)} AS key, {integer(20, 19)} AS at, {integer(39, 9)} AS parks_at
          FROM carray(?1)) AS given
 CROSS JOIN devices ON device = key
 WHERE true
    ON CONFLICT (device) DO UPDATE SET strikes = strikes + 1, at = excluded.at
 WHERE unanswered.at < excluded.at"""
PARK: Final = f"""
UPDATE unanswered SET parked_since = unanswered.at
  FROM (SELECT {integer(1, 19)} AS key, {integer(39, 9)} AS parks_at FROM carray(?1)) AS given
 WHERE device = key AND parked_since = 0 AND strikes >= parks_at"""


class SqlParking:
    """Fulfils `ParkingStore`. `deleted`: apps that are not there any more."""

    def __init__(
        self,
        writer: Worker,
        reader: Worker,
        writing: Database,
        reading: Database,
        *,
        deleted: AbstractSet[int],
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._writing = writing
        self._reading = reading
        self._deleted = deleted

    async def strike(self, batch: Sequence[Strike]) -> None:
        """Two statements for a call, or more where a device has several."""
        await self._writer.call(self._strike, batch, len(batch))

    def _strike(self, calls: list[Sequence[Strike]]) -> list[None]:
        rest = [item for call in calls for item in call if item.app not in self._deleted]
        while rest:
            turn: dict[int, Strike] = {}
            for item in rest:
                turn.setdefault(device_key(item.app, item.ordinal), item)
            rows = tuple([STRIKE % (key, item.at, item.parks_at) for key, item in turn.items()])
            self._writing.run(COUNT, rows)
            self._writing.run(PARK, rows)
            rest = [item for item in rest if turn[device_key(item.app, item.ordinal)] is not item]
        return [None] * len(calls)

    async def release(self, batch: Sequence[Release]) -> None:
        """One statement for all."""
        await self._writer.call(self._release, batch, len(batch))

    def _release(self, calls: list[Sequence[Release]]) -> list[None]:
        keys = tuple([device_key(item.app, item.ordinal) for item in chain.from_iterable(calls)])
        if keys:
            self._writing.run("DELETE FROM unanswered WHERE device IN (SELECT value FROM carray(?1))", keys)
        return [None] * len(calls)

    async def standings(self, app: int, ordinals: Sequence[int]) -> list[Standing | None]:
        """One statement for all."""
        if app in self._deleted or not ordinals:
            return [None] * len(ordinals)
        return await self._reader.call(self._standings, (app, ordinals), len(ordinals))

    def _standings(self, calls: list[tuple[int, Sequence[int]]]) -> list[list[Standing | None]]:
        keys = tuple([device_key(app, ordinal) for app, ordinals in calls for ordinal in ordinals])
        found = self._reading.text(
            "SELECT json_group_array(iif(u.device IS NULL, NULL, json_array(strikes, at, parked_since)))"
            " FROM carray(?1) LEFT JOIN unanswered AS u ON u.device = value",
            keys,
        )
        rows = [None if row is None else Standing(*row) for row in _standings.decode(found)]
        return divided([ordinals for _, ordinals in calls], rows)
