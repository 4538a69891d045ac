"""Profiles: a row each, and another for what is in it, so that a list reads nothing of that."""

import msgspec

from longline.model.profiles import ProcessProfile, ProfileBounds, ProfileChoice, ProfileHead
from longline.saver.sql.database import Database, id_bytes
from longline.saver.sql.worker import Worker

_heads = msgspec.json.Decoder(list[ProfileHead])
_found = msgspec.json.Decoder(tuple[ProfileHead, str] | None)
_sizes = msgspec.json.Decoder(list[tuple[str, int]])
_encode = msgspec.json.Encoder().encode

PUT = "INSERT OR REPLACE INTO profiles (id, node, kind, size, head) VALUES (?1, ?2, ?3, ?4, ?5)"
PUT_CONTENT = "INSERT OR REPLACE INTO profile_contents (id, content) VALUES (?1, ?2)"
SIZES = """
SELECT json_group_array(json_array(hex(id), size))
 FROM (SELECT id, size FROM profiles WHERE id <> ?1 ORDER BY id DESC)"""
FIND = """
SELECT json_array(json(head), hex(content)) FROM profiles JOIN profile_contents USING (id) WHERE id = ?1"""
LATEST = """
SELECT '[' || coalesce(group_concat(head, ','), '') || ']' FROM
 (SELECT head FROM profiles WHERE id >= ?1 AND id < ?2 AND (?3 = '' OR node = ?3) AND (?4 = '' OR kind = ?4)
   ORDER BY id DESC LIMIT ?5)"""


class SqlProfiles:
    """Fulfils `ProfileStore`."""

    def __init__(
        self, writer: Worker, reader: Worker, writing: Database, reading: Database, *, bounds: ProfileBounds
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._writing = writing
        self._reading = reading
        self._bounds = bounds

    async def put(self, profile: ProcessProfile) -> None:
        """One transaction with whatever else waits."""
        await self._writer.call(self._put, profile, size=len(profile.content))

    def _put(self, calls: list[ProcessProfile]) -> list[None]:
        for profile in calls:
            head, content = profile.head, profile.content
            id = id_bytes(head.id)
            self._writing.run(PUT, id, head.node, head.kind, len(content), _encode(head).decode())
            self._writing.run(PUT_CONTENT, id, content)
            self._make_room(id, len(content))
        return [None] * len(calls)

    def _make_room(self, id: bytes, total: int) -> None:
        """Removes all that are older than the first, from the latest on, that does not fit beside this
        one."""
        kept = 1
        for other, size in _sizes.decode(self._writing.text(SIZES, id)):
            if kept < self._bounds.entries and total + size <= self._bounds.size:
                kept, total = kept + 1, total + size
                continue
            bound = bytes.fromhex(other)
            self._writing.run("DELETE FROM profile_contents WHERE id <= ?1 AND id <> ?2", bound, id)
            self._writing.run("DELETE FROM profiles WHERE id <= ?1 AND id <> ?2", bound, id)
            return

    async def find(self, id: str) -> ProcessProfile | None:
        """By the primary key."""
        return await self._reader.call(self._find, id)

    def _find(self, calls: list[str]) -> list[ProcessProfile | None]:
        found = (_found.decode(self._reading.text(FIND, id_bytes(id))) for id in calls)
        return [None if each is None else ProcessProfile(each[0], bytes.fromhex(each[1])) for each in found]

    async def latest(self, choice: ProfileChoice, limit: int) -> list[ProfileHead]:
        """By the primary key, from its end: there are never many."""
        return await self._reader.call(self._latest, (choice, limit))

    def _latest(self, calls: list[tuple[ProfileChoice, int]]) -> list[list[ProfileHead]]:
        return [_heads.decode(self._latest_one(*call)) for call in calls]

    def _latest_one(self, choice: ProfileChoice, limit: int) -> str:
        before = id_bytes(choice.before) if choice.before else b"\xff" * 17
        least = id_bytes(choice.least)
        return self._reading.text(LATEST, least, before, choice.node, choice.kind, limit)

    async def delete(self, id: str) -> bool:
        """One transaction with whatever else waits."""
        return await self._writer.call(self._delete, id)

    def _delete(self, calls: list[str]) -> list[bool]:
        removed = []
        for id in calls:
            self._writing.run("DELETE FROM profile_contents WHERE id = ?1", id_bytes(id))
            removed.append(self._writing.run("DELETE FROM profiles WHERE id = ?1", id_bytes(id)) > 0)
        return removed
