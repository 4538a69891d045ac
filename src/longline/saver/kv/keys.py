"""Named keys, in the slot of the directory of apps.

- `{apps}keys` HASH id → number of the app, ":", when it is over (ms, 0: never), ":", packed key.
- `{apps}keys:<number>` ZSET of ids, all with score 0, so they stand in the order in which they were made.
- `{apps}keys:last`: the token of the call that deleted one last.
"""

import os

import msgspec

from longline.errors import AppNotFound, QuotaExceeded
from longline.model.keys import ApiKey
from longline.saver.kv import layout
from longline.saver.kv.apps import APPS, NUMBERS, TOKEN
from longline.saver.kv.partitions import Partitions, script
from longline.store.redis import Word

KEYS = b"{apps}keys"
LAST = b"{apps}keys:last"

CREATE = script("create_key.lua")
FIND = script("find_key.lua")
LIST = script("list_keys.lua")
DELETE = script("delete_key.lua")
USE = script("use_key.lua")
PURGE = script("purge_keys.lua")

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(ApiKey).decode


class KvKeys:
    """Fulfils `KeyStore`."""

    def __init__(self, partitions: Partitions) -> None:
        self._store = partitions.store

    async def create(self, key: ApiKey, limit: int, now: int) -> None:
        """One script."""
        stored = b"%d:%d:%b" % (key.number, key.expires_at, _pack(key))
        args: list[Word] = [layout.id_bytes(key.id), key.number, stored, limit, now]
        keys = [NUMBERS, KEYS, _of(key.number)]
        refused = await self._store.run(APPS, CREATE, keys, args, durable=True)
        if refused == b"app_not_found":
            raise AppNotFound(f"there is no app {key.app!r}")
        if refused == b"quota_exceeded":
            raise QuotaExceeded(f"there are {limit} keys already; delete one first")

    async def find(self, id: str) -> ApiKey | None:
        """One read."""
        stored = await self._store.run(APPS, FIND, [NUMBERS, KEYS], [layout.id_bytes(id)])
        return _key(stored) if isinstance(stored, bytes) else None

    async def list(self, number: int, after: str, limit: int) -> list[ApiKey]:
        """By the order of ids."""
        first = b"(" + layout.id_bytes(after) if after else b"-"
        found = await self._store.run(APPS, LIST, [NUMBERS, KEYS, _of(number)], [number, first, limit])
        return [_key(stored) for stored in msgspec.convert(found, list[bytes])]

    async def use(self, id: str, at: int) -> None:
        """Compares and replaces; again where another process was faster."""
        while True:
            stored = await self._store.run(APPS, FIND, [NUMBERS, KEYS], [layout.id_bytes(id)])
            if not isinstance(stored, bytes) or _key(stored).used_at >= at:
                return
            head = stored[: stored.index(b":", stored.index(b":") + 1) + 1]
            used = head + _pack(msgspec.structs.replace(_key(stored), used_at=at))
            if await self._store.run(APPS, USE, [KEYS], [layout.id_bytes(id), stored, used]) == 1:
                return

    async def delete(self, number: int, id: str) -> bool:
        """One script."""
        args: list[Word] = [layout.id_bytes(id), os.urandom(TOKEN)]
        return await self._store.run(APPS, DELETE, [KEYS, _of(number), LAST], args, durable=True) == 1

    async def purge(self, number: int) -> None:
        """Frees what the keys of a deleted app take up."""
        await self._store.run(APPS, PURGE, [KEYS, _of(number)], [], durable=True)


def _of(number: int) -> bytes:
    return b"{apps}keys:%d" % number


def _key(stored: bytes) -> ApiKey:
    return _unpack(stored.split(b":", 2)[2])
