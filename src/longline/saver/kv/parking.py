"""Devices that take messages and acknowledge none: the field `ks` of a device's hash, `<strikes> <at> <parked
since>`, there only while it has any.
"""

from collections.abc import Awaitable, Sequence
from typing import Final

import msgspec

from longline.saver.kv.partitions import Partitions, script
from longline.saver.port.parking import Release, Standing, Strike
from longline.store.redis import Reply
from longline.store.scatter import Spare, scatter
from longline.telemetry.faults import Faults

STRIKE: Final = script("strike.lua")
RELEASE: Final = script("release.lua")
STANDINGS: Final = script("standings.lua")


def standing_of(packed: bytes | None) -> Standing | None:
    """What a device's hash says."""
    return None if packed is None else Standing(*map(int, packed.split()))


class KvParking:
    """Fulfils `ParkingStore`."""

    def __init__(self, partitions: Partitions, faults: Faults) -> None:
        self._partitions = partitions
        self._unknown: Spare[int, Standing | None] = Spare(faults, "saver.parking", lambda ordinal: None)

    def _of(self, item: Strike | Release) -> int:
        return item.ordinal % self._partitions.count

    def _place(self, ordinal: int) -> int:
        return ordinal // self._partitions.count

    async def strike(self, batch: Sequence[Strike]) -> None:
        """Those of one partition in one step."""
        await self._partitions.each(
            STRIKE,
            batch,
            self._of,
            lambda item: (item.app, self._place(item.ordinal), item.at, item.parks_at),
            lambda item, reply: None,
        )

    async def release(self, batch: Sequence[Release]) -> None:
        """Those of one partition in one step."""
        await self._partitions.each(
            RELEASE,
            batch,
            self._of,
            lambda item: (item.app, self._place(item.ordinal)),
            lambda item, reply: None,
        )

    async def standings(self, app: int, ordinals: Sequence[int]) -> list[Standing | None]:
        """Those of one partition in one step."""

        def ask(partition: int, part: Sequence[int]) -> Awaitable[Reply]:
            places = map(self._place, part)
            return self._partitions.run(partition, STANDINGS, [app, *places], work=len(part))

        def read(partition: int, part: Sequence[int], reply: Reply) -> list[Standing | None]:
            return [standing_of(packed) for packed in msgspec.convert(reply, list[bytes | None])]

        count = self._partitions.count
        return await scatter(ordinals, lambda ordinal: ordinal % count, ask, read, self._unknown)
