"""The directory of apps.

Apps are few and stand together in one slot. An app that is deleted leaves the directory, and then its number
enters the set `gone` of every partition, which every script reads first; what the app takes up there is freed
later, when what is over is ended.
"""

import os
from collections.abc import Sequence

import msgspec

from longline.errors import AppExists, AppNotFound
from longline.flow.lru import LruCache
from longline.model.apps import App
from longline.saver.kv.partitions import Partitions, script
from longline.saver.sealing import Seals

APPS = b"apps"
DIRECTORY = b"{apps}directory"  # HASH name -> token, number, ":", packed app
NAMES = b"{apps}names"  # ZSET of names, in order
NUMBERS = b"{apps}numbers"  # HASH number -> name
RETENTIONS = b"{apps}retentions"  # HASH number -> ms for which its ledgers are kept, of apps that have that
LAST = b"{apps}last"  # the last number that was given
PURGES = (
    b"{apps}purges"  # HASH number -> the partitions below this are purged; -1: not all know of the deletion
)

CREATE = script("create_app.lua")
LIST = script("list_apps.lua")
UPDATE = script("update_app.lua")
DELETE = script("delete_app.lua")
TELL = script("delete_partition.lua")
PURGED = script("purged_app.lua")

TOKEN = 16  # bytes that tell a call carried out again from another call
REMEMBERED = 10_000  # names of apps

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(App).decode


class KvApps:
    """Fulfils `AppStore`, and remembers the names of apps asked for lately by number.

    A number never gets another name, and that an app was deleted is said by every partition, so what is
    remembered cannot be wrong.
    """

    def __init__(self, partitions: Partitions, seals: Seals) -> None:
        self._partitions = partitions
        self._seals = seals
        self._store = partitions.store
        self._names: LruCache[int, str] = LruCache(REMEMBERED)

    async def create(self, app: App) -> App:
        """One script; of two calls with one name, one raises `AppExists`."""
        packed = _pack(msgspec.structs.replace(self._seals.seal_app(app), number=0))
        number = await self._store.run(
            APPS,
            CREATE,
            [DIRECTORY, NAMES, NUMBERS, LAST],
            [app.app, os.urandom(TOKEN), packed],
            durable=True,
        )
        if not isinstance(number, int) or number == 0:
            raise AppExists(f"there is an app {app.app!r} already")
        return msgspec.structs.replace(app, number=number)

    async def find(self, name: str) -> App | None:
        """One read of the directory."""
        stored = await self._store.call(APPS, "HGET", DIRECTORY, name)
        return self._seals.open_app(_app(stored)) if isinstance(stored, bytes) else None

    async def numbered(self, numbers: Sequence[int]) -> Sequence[App | None]:
        """By the names that are remembered, or read."""
        names = [await self.name_of(number) for number in numbers]
        found = [None if name is None else await self.find(name) for name in names]
        return [
            app if app is not None and app.number == number else None
            for number, app in zip(numbers, found, strict=True)
        ]

    async def name_of(self, number: int) -> str | None:
        """The name of the app with this number; None when there is none (any more, perhaps)."""
        known = self._names.get(number)
        if known is not None:
            return known
        found = await self._store.call(APPS, "HGET", NUMBERS, number)
        if not isinstance(found, bytes):
            return None
        name = found.decode()
        self._names.put(number, name)
        return name

    async def update(self, app: App, before: App) -> bool:
        """Compares and replaces."""
        stored = await self._store.call(APPS, "HGET", DIRECTORY, app.app)
        present = self._seals.open_app(_app(stored)) if isinstance(stored, bytes) else None
        if not isinstance(stored, bytes) or present is None or present.number != app.number:
            raise AppNotFound(f"there is no app {app.app!r}")
        if present != before:
            return False
        changed = msgspec.structs.replace(
            present,
            number=0,
            name=app.name,
            server_key_hash=app.server_key_hash,
            device_secret=app.device_secret,
            pubsub=app.pubsub,
            generation=app.generation,
            client_certificates=app.client_certificates,
            access=app.access,
            limits=app.limits,
        )
        return await self._replace(stored, changed, app.number)

    async def _replace(self, stored: bytes, app: App, number: int) -> bool:
        """Puts an app in the place of exactly these bytes."""
        head = stored[: stored.index(b":", TOKEN) + 1]
        sealed = head + _pack(msgspec.structs.replace(self._seals.seal_app(app), number=0))
        done = await self._store.run(
            APPS,
            UPDATE,
            [DIRECTORY, RETENTIONS],
            [app.app, stored, sealed, number, app.limits.ledger_retention or 0],
            durable=True,
        )
        return done == 1

    async def seal(self, name: str) -> bool:
        """Compares and replaces; again where somebody else was faster."""
        while True:
            stored = await self._store.call(APPS, "HGET", DIRECTORY, name)
            if not isinstance(stored, bytes):
                return False
            present = _app(stored)
            if self._seals.latest(present):
                return False
            if await self._replace(stored, self._seals.open_app(present), present.number):
                return True

    async def retentions(self) -> dict[int, int]:
        """For how long (ms) the ledgers are kept of apps that have that of their own."""
        found = msgspec.convert(await self._store.call(APPS, "HGETALL", RETENTIONS), list[bytes])
        return {int(app): int(kept) for app, kept in zip(found[::2], found[1::2], strict=True)}

    async def delete(self, app: int) -> None:
        """Called again after it was interrupted, it goes on where it was."""
        keys = [DIRECTORY, NAMES, NUMBERS, PURGES, RETENTIONS]
        await self._store.run(APPS, DELETE, keys, [app], durable=True)
        if await self._store.call(APPS, "HGET", PURGES, app) == b"-1":
            await self.tell_deleted(app)

    async def tell_deleted(self, app: int) -> None:
        """Makes every partition know that an app is deleted; only then may it be purged."""
        await self._partitions.run_all(TELL, [app], durable=True)
        await self.purged(app, 0)

    async def purged(self, app: int, partition: int) -> None:
        """Notes that what a deleted app had in the partitions below this one is gone."""
        await self._store.run(APPS, PURGED, [PURGES], [app, partition, self._partitions.count])

    async def purges(self) -> dict[int, int]:
        """Deleted apps that still take up something, and from which partition on (-1: not all know of it)."""
        found = msgspec.convert(await self._store.call(APPS, "HGETALL", PURGES), list[bytes])
        return {int(app): int(partition) for app, partition in zip(found[::2], found[1::2], strict=True)}

    async def list(self, after: str, limit: int) -> list[App]:
        """By name, in the order of bytes."""
        first = b"(" + after.encode() if after else b"-"
        stored = await self._store.run(APPS, LIST, [DIRECTORY, NAMES], [first, limit])
        return [self._seals.open_app(_app(one)) for one in msgspec.convert(stored, list[bytes])]


def _app(stored: bytes) -> App:
    colon = stored.index(b":", TOKEN)
    return msgspec.structs.replace(_unpack(stored[colon + 1 :]), number=int(stored[TOKEN:colon]))
