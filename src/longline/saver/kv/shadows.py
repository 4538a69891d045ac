"""Shadows: each in the partition of its device.

- `sd:<app>:<place>` HASH: v version, w the version with which `desired` changed last, s the latest that the
  device has acknowledged, d desired, r reported, t the token of the call that changed it last.
- `sp:<app>` SET of places of devices that are to be told what is desired: what `arrive.lua` looks at.
"""

from collections.abc import Awaitable, Sequence

import msgspec

from longline.saver.kv.apps import KvApps
from longline.saver.kv.partitions import Partitions, script
from longline.saver.kv.routing import a_token
from longline.saver.port.shadows import Changed, Shadow, ShadowChange, ShadowSeen
from longline.store.redis import Reply, Word
from longline.store.scatter import Spare, scatter
from longline.telemetry.faults import Faults

FIND = script("find_shadows.lua")
CHANGE = script("change_shadows.lua")
SEEN = script("seen_shadows.lua")

_Row = list[bytes | None]


class KvShadows:
    """Fulfils `ShadowStore`."""

    def __init__(self, partitions: Partitions, apps: KvApps, faults: Faults) -> None:
        self._partitions = partitions
        self._apps = apps
        self._found: Spare[int, Shadow | None] = Spare(faults, "saver.shadows", lambda ordinal: None)
        self._changed: Spare[ShadowChange, Changed] = Spare(
            faults, "saver.shadows", lambda item: Changed.NO_DEVICE
        )
        self._noted: Spare[ShadowSeen, None] = Spare(faults, "saver.shadows", lambda item: None)

    async def find(self, app: int, ordinals: Sequence[int]) -> list[Shadow | None]:
        """One script in each partition."""
        if not ordinals or await self._apps.name_of(app) is None:
            return [None] * len(ordinals)
        count = self._partitions.count

        def ask(partition: int, part: Sequence[int]) -> Awaitable[Reply]:
            places = [ordinal // count for ordinal in part]
            return self._partitions.run(partition, FIND, [app, *places], work=len(part))

        def read(partition: int, part: Sequence[int], reply: Reply) -> list[Shadow | None]:
            return [
                None if row is None else _shadow(row) for row in msgspec.convert(reply, list[_Row | None])
            ]

        return await scatter(ordinals, lambda ordinal: ordinal % count, ask, read, self._found)

    async def change(self, batch: Sequence[ShadowChange]) -> list[Changed]:
        """One script in each partition; a call that is carried out again finds its token."""
        count = self._partitions.count
        tokens = {id(item): a_token() for item in batch}

        def ask(partition: int, part: Sequence[ShadowChange]) -> Awaitable[Reply]:
            args: list[Word] = []
            for item in part:
                shadow = item.shadow
                args += item.app, item.ordinal // count, item.before, tokens[id(item)]
                args += shadow.version, shadow.wanted, shadow.desired, shadow.reported
            return self._partitions.run(partition, CHANGE, args, durable=True)

        def read(partition: int, part: Sequence[ShadowChange], reply: Reply) -> list[Changed]:
            return [Changed(code) for code in msgspec.convert(reply, list[int])]

        return await scatter(batch, lambda item: item.ordinal % count, ask, read, self._changed)

    async def seen(self, batch: Sequence[ShadowSeen]) -> None:
        """One script in each partition."""
        count = self._partitions.count

        def ask(partition: int, part: Sequence[ShadowSeen]) -> Awaitable[Reply]:
            args: list[Word] = []
            for item in part:
                args += item.app, item.ordinal // count, item.version
            return self._partitions.run(partition, SEEN, args, durable=True)

        def read(partition: int, part: Sequence[ShadowSeen], reply: Reply) -> list[None]:
            return [None] * len(part)

        await scatter(batch, lambda item: item.ordinal % count, ask, read, self._noted)


def _shadow(row: _Row) -> Shadow:
    version, wanted, seen, desired, reported = row
    return Shadow(desired or b"{}", reported or b"{}", int(version or 0), int(wanted or 0), int(seen or 0))
