"""When devices were last there, and how they came: fields of a device's hash.

`v` is `<came at> <how, packed>`, which `arrive.lua` writes; `e` is when its last session ended, which the
scripts of the register write in the step in which they end it; `b` is until when it is kept out.
"""

from collections.abc import Awaitable, Sequence

import msgspec

from longline.model.devices import Came, Visit
from longline.saver.kv.partitions import Partitions, script
from longline.store.redis import Reply
from longline.store.scatter import Spare, scatter
from longline.telemetry.faults import Faults

FIND = script("find_visits.lua")

_pack = msgspec.json.Encoder().encode
_unpack = msgspec.json.Decoder(tuple[str, str, str, str]).decode

_Row = tuple[bytes | None, bytes | None, bytes | None, bytes | None, bytes | None]


class KvVisits:
    """Fulfils `VisitStore`."""

    def __init__(self, partitions: Partitions, faults: Faults) -> None:
        self._partitions = partitions
        self._spare: Spare[int, Visit] = Spare(faults, "saver.visits", lambda ordinal: Visit())

    async def find(self, app: int, ordinals: Sequence[int]) -> list[Visit]:
        """One script in each partition."""
        count = self._partitions.count

        def ask(partition: int, part: Sequence[int]) -> Awaitable[Reply]:
            return self._partitions.run(partition, FIND, [app, *(ordinal // count for ordinal in part)])

        def read(partition: int, part: Sequence[int], reply: Reply) -> list[Visit]:
            return [_visit(row) for row in msgspec.convert(reply, list[_Row])]

        return await scatter(ordinals, lambda ordinal: ordinal % count, ask, read, self._spare)


def pack_came(came: Came | None) -> bytes:
    """What `arrive.lua` is to note; nothing for None."""
    return b"" if came is None else _pack(msgspec.structs.astuple(came))


def _visit(row: _Row) -> Visit:
    came, left, expires_in, ends_at, banned_until = row
    at, _, how = (came or b"0").partition(b" ")
    return Visit(
        int(at),
        int(left or 0),
        Came(*_unpack(how)) if how else None,
        expires_in not in (None, b"0"),
        int(ends_at or 0),
        int(banned_until or 0),
    )
