"""When devices were last there, and how they came: fields of a device's hash; and the connections that they
had before.

`v` is `<came at> <how, packed>`, which `arrive.lua` writes; `e` is when its last session ended, which the
scripts of the register write in the step in which they end it; `b` is until when it is kept out.

`hc:<app>:<place>` LIST: what is told of a device's connections, in MessagePack, the last last: by
`arrive.lua`, which keeps two entries for each that is to be kept, `[epoch, at, node, address, protocol,
client, version]`, and of ends by the register, `[epoch, at, why]`, which has the list end by itself when the
device stays away.
"""

from collections.abc import Awaitable, Sequence

import msgspec

from longline.model.devices import Came, ConnectionBounds, ConnectionRecord, Visit, since_ended
from longline.saver.kv.layout import prefix
from longline.saver.kv.partitions import Partitions, script
from longline.saver.port.inboxes import Arrive
from longline.store.redis import Reply
from longline.store.scatter import Spare, scatter
from longline.telemetry.faults import Faults

FIND = script("find_visits.lua")
LIST = b"hc:%d:%d"

_pack = msgspec.json.Encoder().encode
_unpack = msgspec.json.Decoder(tuple[str, str, str, str]).decode

_pack_entry = msgspec.msgpack.Encoder().encode
_unpack_entry = msgspec.msgpack.Decoder(list[int | str]).decode
_Begin = tuple[int, int, str, str, str, str, str]
_End = tuple[int, int, str]

_Row = tuple[bytes | None, bytes | None, bytes | None, bytes | None, bytes | None]


class KvVisits:
    """Fulfils `VisitStore`."""

    def __init__(self, partitions: Partitions, bounds: ConnectionBounds, faults: Faults) -> None:
        self._partitions = partitions
        self._bounds = bounds
        self._spare: Spare[int, Visit] = Spare(faults, "saver.visits", lambda ordinal: Visit())

    async def find(self, app: int, ordinals: Sequence[int]) -> list[Visit]:
        """One script in each partition."""
        count = self._partitions.count

        def ask(partition: int, part: Sequence[int]) -> Awaitable[Reply]:
            places = [ordinal // count for ordinal in part]
            return self._partitions.run(partition, FIND, [app, *places], work=len(part))

        def read(partition: int, part: Sequence[int], reply: Reply) -> list[Visit]:
            return [_visit(row) for row in msgspec.convert(reply, list[_Row])]

        return await scatter(ordinals, lambda ordinal: ordinal % count, ask, read, self._spare)

    async def connections(self, app: int, ordinal: int, now: int) -> list[ConnectionRecord]:
        """One command."""
        place, partition = divmod(ordinal, self._partitions.count)
        key = prefix(partition) + LIST % (app, place)
        reply = await self._partitions.call(partition, b"LRANGE", key, 0, -1)
        found = _connections(msgspec.convert(reply, list[bytes]))
        return since_ended(found[: self._bounds.kept], now - self._bounds.age)


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


def pack_connection(item: Arrive) -> bytes:
    """What `arrive.lua` is to add to the list; nothing for what is left out of it."""
    if item.came is None or not item.epoch:
        return b""
    return _pack_entry((item.epoch, item.now, item.node, *msgspec.structs.astuple(item.came)))


def _connections(entries: Sequence[bytes]) -> list[ConnectionRecord]:
    """The connections that are told of, the latest first."""
    begun: dict[int, ConnectionRecord] = {}
    ends: list[_End] = []
    for entry in entries:
        told = tuple(_unpack_entry(entry))
        if len(told) == 3:
            ends.append(msgspec.convert(told, _End))
        else:
            epoch, at, node, *how = msgspec.convert(told, _Begin)
            begun[epoch] = ConnectionRecord(epoch, at, node, Came(*how))
    for epoch, at, reason in sorted(ends):
        whose = max((each for each in begun if each <= epoch), default=0)
        if whose and not begun[whose].ended_at:
            begun[whose] = msgspec.structs.replace(begun[whose], ended_at=at, reason=reason)
    return [begun[epoch] for epoch in sorted(begun, reverse=True)]
