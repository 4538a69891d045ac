"""Profiles, all of them in one slot.

- `{profiles}heads` HASH id → packed head; `{profiles}sizes` HASH id → bytes of what is in it;
- `{profiles}all` ZSET of ids, all with score 0: an id is a UUIDv7, so they stand in the order of time;
- `{profiles}c:<id>` STRING: what is in it.
"""

from collections.abc import Sequence

import msgspec

from longline.model.profiles import ProcessProfile, ProfileBounds, ProfileChoice, ProfileHead
from longline.saver.kv import layout
from longline.saver.kv.partitions import Partitions, script
from longline.saver.kv.routing import a_token
from longline.store.redis import Word

PROFILES = b"profiles"
TAG = b"{profiles}"
PAGE = 200  # heads read at once

PUT = script("put_profile.lua")
FIND = script("find_profile.lua")
LIST = script("list_profiles.lua")
DELETE = script("delete_profile.lua")

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(ProfileHead).decode


class KvProfiles:
    """Fulfils `ProfileStore`."""

    def __init__(self, partitions: Partitions, bounds: ProfileBounds) -> None:
        self._store = partitions.store
        self._bounds = bounds

    async def put(self, profile: ProcessProfile) -> None:
        """One script."""
        args: list[Word] = [layout.id_bytes(profile.head.id), _pack(profile.head), profile.content]
        args += self._bounds.entries, self._bounds.size
        await self._store.run(PROFILES, PUT, [TAG], args, durable=True)

    async def find(self, id: str) -> ProcessProfile | None:
        """One script."""
        found = await self._store.run(PROFILES, FIND, [TAG], [layout.id_bytes(id)])
        if not found:
            return None
        head, content = msgspec.convert(found, tuple[bytes, bytes])
        return ProcessProfile(_unpack(head), content)

    async def latest(self, choice: ProfileChoice, limit: int) -> list[ProfileHead]:
        """By the order of ids, from the end, page by page: there are never many."""
        chosen: list[ProfileHead] = []
        before = b"(" + layout.id_bytes(choice.before) if choice.before else b"+"
        least = b"[" + layout.id_bytes(choice.least) if choice.least else b"-"
        while len(chosen) < limit:
            found = await self._store.run(PROFILES, LIST, [TAG], [before, least, PAGE])
            heads = [_unpack(stored) for stored in msgspec.convert(found, list[bytes])]
            chosen += [
                head for head in heads if choice.node in ("", head.node) and choice.kind in ("", head.kind)
            ]
            if len(heads) < PAGE:
                break
            before = b"(" + layout.id_bytes(heads[-1].id)
        return chosen[:limit]

    async def delete(self, id: str) -> bool:
        """One script."""
        args: Sequence[Word] = [layout.id_bytes(id), a_token()]
        return await self._store.run(PROFILES, DELETE, [TAG], args, durable=True) == 1
