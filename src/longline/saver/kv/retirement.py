"""Devices that have not come for long: each partition looks at its own, place by place."""

from collections.abc import Sequence
from typing import Final

import msgspec

from longline.model.messages import MAX_TTL
from longline.saver.kv.apps import KvApps
from longline.saver.kv.changes import GoneDevice
from longline.saver.kv.events import KvEvents
from longline.saver.kv.partitions import Partitions, script
from longline.saver.kv.retained import KvRetained
from longline.saver.kv.webhooks import KvWebhooks
from longline.saver.port.retirement import DONE, Retired
from longline.store.redis import Reply, Word
from longline.store.scatter import gathered

RETIRE = script("retire_devices.lua")

MOST: Final = 20  # devices that one call of the script removes: each may have much that waits for it


class KvRetirement:
    """Fulfils `RetirementStore`: `after` is a place, the same in all partitions.

    `retention`: ms for which ledgers are kept after a message's end.
    """

    def __init__(
        self,
        partitions: Partitions,
        apps: KvApps,
        events: KvEvents,
        webhooks: KvWebhooks,
        retained: KvRetained,
        retention: int,
    ) -> None:
        self._retained = retained
        self._partitions = partitions
        self._apps = apps
        self._events = events
        self._webhooks = webhooks
        self._retention = retention

    async def retire(self, app: int, after: int, before: int, now: int, limit: int) -> Retired:
        """Partitions side by side. Where one has more to remove than a call may, all go on from there."""
        steps = max(1, limit // self._partitions.count)
        retention = max(self._retention, (await self._apps.retentions()).get(app, 0))
        kept = MAX_TTL * 1000 + retention
        args: list[Word] = [*self._partitions.repeatable(), app, after, steps, before, now, kept, MOST]
        replies = await self._partitions.run_all(RETIRE, args, durable=True)
        gone: list[GoneDevice] = []
        following: list[int] = []
        for reply in replies:
            place, some = _read(app, reply)
            gone += some
            if place != DONE:
                following.append(place)
        await self._events.hide(gone)
        await self._retained.leave(app, [device.device for device in gone], now)
        await gathered([self._webhooks.forget_dead(app, device.device) for device in gone])
        return Retired(len(gone), min(following, default=DONE))


def _read(app: int, reply: Reply) -> tuple[int, Sequence[GoneDevice]]:
    place, fields = msgspec.convert(reply, tuple[int, list[bytes]])
    pairs = zip(fields[::2], fields[1::2], strict=True)
    return place, [GoneDevice(app, name.decode(), int(number)) for name, number in pairs]
