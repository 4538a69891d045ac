"""Whose task a broadcast is, and what nobody has routed."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence

import msgspec

from longline.model.commands import Broadcast, Target, Unicast
from longline.model.messages import Message
from longline.saver.kv import layout
from longline.saver.kv.audiences import part_of
from longline.saver.kv.bodies import Bodies
from longline.saver.kv.carrying import Carrying, Route
from longline.saver.kv.journal import Journal
from longline.saver.kv.partitions import Partitions, script
from longline.saver.kv.received import ReceivedMessages
from longline.store.redis import Reply, Word
from longline.store.scatter import ask_all, is_of_an_item
from longline.telemetry.faults import Faults

ASSIGN = script("assign.lua")
FINISH_TASK = script("finish_task.lua")
FINISH_REST = script("finish_rest.lua")
UNROUTED = script("unrouted.lua")
UNASSIGNED = script("unassigned.lua")
PENDING = script("pending.lua")

OFFLINE = "offline"
SHOWN_AGAIN = 30_000  # ms after which something unrouted is shown again
LOOK_BYTES = 65_536  # of messages after which one look at a partition ends, the last one beside that
YIELD_EVERY = 32  # messages read, of up to 256 KiB each, before the loop may serve others

# App, place, name, binding, inbox entry, and the message when it is not in the entry: empty where it was told
# before.
_Lost = tuple[bytes, bytes, bytes, bytes, bytes, bytes | None]


class KvRouting:
    """Fulfils `RoutingStore`."""

    def __init__(
        self,
        partitions: Partitions,
        bodies: Bodies,
        journal: Journal,
        carrying: Carrying,
        received: ReceivedMessages,
        faults: Faults,
    ) -> None:
        self._partitions = partitions
        self._bodies = bodies
        self._journal = journal
        self._carrying = carrying
        self._received = received
        self._faults = faults

    async def assign(self, app: int, message_id: str, nodes: Sequence[str]) -> None:
        """One step in the broadcast's home partition."""
        packed = layout.id_bytes(message_id)
        await self._partitions.run(self._home(packed), ASSIGN, [app, packed, *nodes], durable=True)

    async def finish(self, app: int, message_id: str, node: str, at: int) -> None:
        """After the last node, partition by partition: it ends by its time where that is interrupted."""
        packed = layout.id_bytes(message_id)
        over = await self._partitions.run(self._home(packed), FINISH_TASK, [app, packed, node], durable=True)
        if over:
            await self._partitions.run_all(FINISH_REST, [app, packed, OFFLINE], durable=True)

    async def unfinished(self, node: str, limit: int) -> list[tuple[int, str]]:
        """Asks all home partitions."""
        replies = await ask_all(
            self._partitions.count,
            lambda home: self._partitions.call(
                home, b"SRANDMEMBER", layout.prefix(home) + b"kn:" + node.encode(), limit
            ),
        )
        members = [member for reply in replies for member in msgspec.convert(reply, list[bytes])]
        return [(app, layout.id_text(packed)) for app, packed in map(_member, members[:limit])]

    async def complete(self, before: int, limit: int) -> list[Route]:
        """Carries out plans of the journal, and those of messages that came from sessions, of which nothing
        is to be routed. One that the store refuses holds up no other."""
        await self._received.complete(before, limit)
        routes: list[Route] = []
        for plan in await self._journal.interrupted(before, limit):
            try:
                results, found = await self._carrying.carry_out(plan)
                await self._journal.finish(plan, results)
            except Exception as error:
                if not is_of_an_item(error):
                    raise
                self._faults.note("saver.routing", error)
            else:
                routes += found
        return routes

    async def unrouted(self, before: int, limit: int) -> list[Route]:
        """What was returned is not returned again for `SHOWN_AGAIN` ms.

        It is looked for a little at a time, since whoever waits for the store waits for each look.
        """
        again = itertools.count(before + SHOWN_AGAIN)  # by which a look that is repeated finds its own
        broadcasts = await self._unassigned(before, max(1, limit // 2), again)
        return [*await self._unwritten(before, limit - len(broadcasts), again), *broadcasts]

    async def _unwritten(self, before: int, limit: int, again: Iterator[int]) -> list[Unicast]:
        routes: list[Unicast] = []

        async def look(partition: int, most: int) -> int:
            asked: list[Word] = [before, most, next(again), a_token(), LOOK_BYTES]
            reply = await self._partitions.run(partition, UNROUTED, asked)
            looked, values = msgspec.convert(reply, tuple[int, list[bytes | None]])
            routes.extend([unicast async for unicast in self._unicasts(partition, values)])
            return looked

        while len(routes) < limit and await self._partitions.share(
            limit - len(routes), lambda partition: self._due(partition, b"unr", before), look
        ):
            pass
        return routes

    async def _unassigned(self, before: int, limit: int, again: Iterator[int]) -> list[Broadcast]:
        found: list[bytes] = []

        async def look(partition: int, most: int) -> int:
            asked: list[Word] = [before, most, next(again), a_token()]
            members = msgspec.convert(await self._partitions.run(partition, UNASSIGNED, asked), list[bytes])
            found.extend(members)
            return len(members)

        await self._partitions.share(limit, lambda partition: self._due(partition, b"br", before), look)
        broadcasts: list[Broadcast] = []
        for member in found:
            try:
                broadcasts += await self._broadcast(*_member(member))
            except Exception as error:
                if not is_of_an_item(error):
                    raise
                self._faults.note("saver.routing", error)
        return broadcasts

    def _due(self, partition: int, which: bytes, before: int) -> Awaitable[Reply]:
        """How many of a partition are to be looked at."""
        return self._partitions.call(partition, b"ZCOUNT", layout.prefix(partition) + which, b"-inf", before)

    async def _unicasts(self, partition: int, values: Sequence[bytes | None]) -> AsyncIterator[Unicast]:
        """Those of one look at a partition."""
        whole: dict[bytes, Message] = {}  # those that are not in the entries, by id
        for start in range(0, len(values), 6):
            try:
                yield self._unicast(partition, msgspec.convert(values[start : start + 6], _Lost), whole)
            except Exception as error:
                self._faults.note("saver.routing", error)
            if start // 6 % YIELD_EVERY == 0:
                await asyncio.sleep(0)

    def _home(self, packed: bytes) -> int:
        return layout.home_of(packed, self._partitions.count)

    def _unicast(self, partition: int, lost: _Lost, whole: dict[bytes, Message]) -> Unicast:
        app, place, name, binding, packed, apart = lost
        entry, _ = layout.unpack_entry(packed, 0)
        if apart is not None:
            message = whole.get(entry.message_id) or layout.unpack_message(apart, entry.message_id)
            whole[entry.message_id] = message
        else:
            message = layout.unpack_body(
                entry.body or b"", entry.message_id, entry.expires_at, entry.collapse_key, entry.online_only
            )
        target = Target(
            name.decode(),
            int(place) * self._partitions.count + partition,
            entry.position,
            layout.unpack_binding(binding),
            entry.position - 1,  # what was before it is not known: it may be anything
            entry.position - 1,
        )
        return Unicast(int(app), message, (target,))

    async def _broadcast(self, app: int, message_id: bytes) -> Sequence[Broadcast]:
        """A broadcast for those for whom it is pending; none when it is over."""
        found = await self._bodies.read([message_id])
        replies = await self._partitions.run_all(PENDING, [app, message_id])
        if message_id not in found:
            return ()
        return (Broadcast(app, found[message_id], tuple(part_of(reply)[0] for reply in replies)),)


def a_token() -> bytes:
    """Tells a call that is carried out again from another call."""
    return os.urandom(8)


def _member(packed: bytes) -> tuple[int, bytes]:
    app, _, message_id = packed.partition(b":")
    return int(app), message_id
