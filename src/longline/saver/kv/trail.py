"""The audit log, all of it in one slot: see `lua/trail.lua`."""

import msgspec

from longline.model.trail import TrailBounds, TrailEntry
from longline.saver.kv import layout
from longline.saver.kv.partitions import Partitions, script
from longline.saver.kv.routing import a_token
from longline.store.redis import Word

TRAIL = b"trail"
TAG = b"{trail}"
SLICE = 100  # entries that one script removes

PUT = script("put_trail.lua")
LIST = script("list_trail.lua")
SWEEP = script("sweep_trail.lua")

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(TrailEntry).decode


class KvTrail:
    """Fulfils `TrailStore`. `forgotten` counts what went before its time, for entries of this process."""

    def __init__(self, partitions: Partitions, bounds: TrailBounds) -> None:
        self._store = partitions.store
        self._bounds = bounds
        self.forgotten = 0

    async def put(self, entry: TrailEntry) -> None:
        """One script."""
        bounds = self._bounds
        args: list[Word] = [layout.id_bytes(entry.id), entry.app, _pack(entry)]
        args += bounds.entries, bounds.of_an_app, SLICE, a_token()
        gone = await self._store.run(TRAIL, PUT, [TAG], args, durable=True)
        assert isinstance(gone, int)
        self.forgotten += gone

    async def latest(self, app: str | None, least: str, before: str, limit: int) -> list[TrailEntry]:
        """By the order of ids, from the end."""
        args: list[Word] = ["all" if app is None else f"of:{app}"]
        args += b"(" + layout.id_bytes(before) if before else b"+", b"[" + layout.id_bytes(least), limit
        found = await self._store.run(TRAIL, LIST, [TAG], args)
        return [_unpack(stored.split(b":", 1)[1]) for stored in msgspec.convert(found, list[bytes])]

    async def next_due(self) -> int | None:
        """When the first of them is too old."""
        found = msgspec.convert(await self._store.call(TRAIL, "ZRANGE", TAG + b"all", 0, 0), list[bytes])
        return int.from_bytes(found[0][:6]) + self._bounds.age if found else None

    async def sweep(self, now: int, limit: int) -> int:
        """Removes entries that are too old, at most `limit`; how many."""
        least = max(now - self._bounds.age + 1, 0).to_bytes(6)  # ids begin with their time
        args: list[Word] = [b"(" + least + bytes(10), min(limit, SLICE), a_token()]
        removed = await self._store.run(TRAIL, SWEEP, [TAG], args, durable=True)
        assert isinstance(removed, int)
        return removed
