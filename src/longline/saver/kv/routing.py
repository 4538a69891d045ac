"""Whose task a broadcast is, and what nobody has routed."""

import asyncio
import os
from collections.abc import Sequence

import msgspec

from longline.model.commands import Broadcast, Target, Unicast
from longline.saver.kv import layout
from longline.saver.kv.audiences import part_of
from longline.saver.kv.bodies import Bodies
from longline.store.redis import Script, Store, Word

ASSIGN = Script("longline.saver.lua", "assign.lua")
FINISH_TASK = Script("longline.saver.lua", "finish_task.lua")
FINISH_REST = Script("longline.saver.lua", "finish_rest.lua")
UNROUTED = Script("longline.saver.lua", "unrouted.lua")
UNASSIGNED = Script("longline.saver.lua", "unassigned.lua")
AUDIENCE = Script("longline.saver.lua", "audience.lua")

OFFLINE = "offline"
SHOWN_AGAIN = 30_000  # ms after which something unrouted is shown again

# App, place, name, binding, inbox entry, and the message when it is not in the entry.
_Lost = tuple[bytes, bytes, bytes, bytes, bytes, bytes | None]


class Routing:
    """Fulfils `Saver.assign`, `finish`, `unfinished` and `unrouted`."""

    def __init__(self, store: Store, bodies: Bodies) -> None:
        self._store = store
        self._bodies = bodies

    async def assign(self, app: int, message_id: str, nodes: Sequence[str]) -> None:
        """One step in the broadcast's home partition."""
        packed = layout.id_bytes(message_id)
        home = layout.home_of(packed, self._store.partitions)
        await self._store.run(
            layout.tag(home), ASSIGN, [layout.prefix(home)], [app, packed, *nodes], durable=True
        )

    async def finish(self, app: int, message_id: str, node: str, at: int) -> None:
        """After the last node, partition by partition: it ends by its time where that is interrupted."""
        packed = layout.id_bytes(message_id)
        home = layout.home_of(packed, self._store.partitions)
        over = await self._store.run(
            layout.tag(home), FINISH_TASK, [layout.prefix(home)], [app, packed, node], durable=True
        )
        if over:
            await asyncio.gather(
                *(
                    self._store.run(
                        layout.tag(partition),
                        FINISH_REST,
                        [layout.prefix(partition)],
                        [app, packed, OFFLINE],
                        durable=True,
                    )
                    for partition in range(self._store.partitions)
                )
            )

    async def unfinished(self, node: str, limit: int) -> list[tuple[int, str]]:
        """Asks all home partitions."""
        replies = await asyncio.gather(
            *(
                self._store.call(
                    layout.tag(home),
                    b"SRANDMEMBER",
                    layout.prefix(home) + b"kn:" + node.encode(),
                    limit,
                )
                for home in range(self._store.partitions)
            )
        )
        members = [member for reply in replies for member in msgspec.convert(reply, list[bytes])]
        return [(app, layout.id_text(packed)) for app, packed in map(_member, members[:limit])]

    async def unrouted(self, before: int, limit: int) -> list[Unicast | Broadcast]:
        """What was returned is not returned again for `SHOWN_AGAIN` ms."""
        asked: list[Word] = [before, limit, before + SHOWN_AGAIN, a_token()]
        partitions = range(self._store.partitions)
        lost, unassigned = await asyncio.gather(
            *(
                asyncio.gather(
                    *(
                        self._store.run(layout.tag(partition), script, [layout.prefix(partition)], asked)
                        for partition in partitions
                    )
                )
                for script in (UNROUTED, UNASSIGNED)
            )
        )
        routes: list[Unicast | Broadcast] = []
        for partition, reply in zip(partitions, lost, strict=True):
            values = msgspec.convert(reply, list[bytes | None])
            routes += [
                self._unicast(partition, msgspec.convert(values[start : start + 6], _Lost))
                for start in range(0, len(values), 6)
            ]
        for reply in unassigned:
            for member in msgspec.convert(reply, list[bytes]):
                broadcast = await self._broadcast(*_member(member))
                if broadcast is not None:
                    routes.append(broadcast)
        return routes

    def _unicast(self, partition: int, lost: _Lost) -> Unicast:
        app, place, name, binding, packed, elsewhere = lost
        entry, _ = layout.unpack_entry(packed, 0)
        if elsewhere is not None:
            message = layout.unpack_message(elsewhere, entry.message_id)
        else:
            message = layout.unpack_body(
                entry.body or b"", entry.message_id, entry.expires_at, entry.collapse_key, entry.online_only
            )
        target = Target(
            name.decode(),
            int(place) * self._store.partitions + partition,
            entry.position,
            layout.unpack_binding(binding),
            entry.position - 1,  # what was before it is not known: it may be anything
        )
        return Unicast(int(app), message, (target,))

    async def _broadcast(self, app: int, message_id: bytes) -> Broadcast | None:
        """A broadcast for those for whom it is pending; None when it is over."""
        found = await self._bodies.read([message_id])
        replies = await asyncio.gather(
            *(
                self._store.run(
                    layout.tag(partition), AUDIENCE, [layout.prefix(partition)], [app, message_id]
                )
                for partition in range(self._store.partitions)
            )
        )
        if message_id not in found:
            return None
        return Broadcast(app, found[message_id], tuple(part_of(reply)[0] for reply in replies))


def a_token() -> bytes:
    """Tells a call that is carried out again from another call."""
    return os.urandom(8)


def _member(packed: bytes) -> tuple[int, bytes]:
    app, _, message_id = packed.partition(b":")
    return int(app), message_id
