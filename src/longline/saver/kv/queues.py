"""The queues of sessions, in the partition of their device.

- `mq:<app>:<place>:<number>` ZSET entry → place: the queue of the session with that number. An entry: options
  (QoS, + 4 retain, + 8 its body lies apart, + 16 it is for a group), place, expiry, bytes, how many
  identifiers, these; then its body, or in its place the number of that. A body: the topic with its length,
  and the rest as `saver/publications.py` packs it.
- `mm:<n>` HASH: `b` a body that is in several queues or is large, `r` in how many entries. `mi`: the last of
  these numbers.
- `mr:<app>:<place>:<number>` ZSET: places of messages that were released.
- `mu` ZSET `<app>:<place>:<number>:<place>` → when a message is over, of those that ever are.
- `ml` ZSET `<app>:<place>` → since when (ms) a session with a connection is behind: something is in its queue
  of which nobody has said that it was sent.
- `mS:<app>:<place>:<number>` HASH place → group that the message is for, of those that are for one; once the
  session is over, with `\\0<ordinal> <number> <options> <identifier>` behind it of whom it is handed to. `mO`
  ZSET `<app>:<place>:<number>` → up to where it was sent: sessions that are over and have left such messages.
- `mp:<app>:<place>:<number>` HASH packet identifier → id and name of the message that has it.
- `mj` HASH name → plan, `mk` ZSET name → when it was begun, `mz:<name>` how far it was done: see
  `received.py`.

A publication is first matched, which changes nothing; then it enters the queues, partition by partition. One
that costs too much in any of them is thus queued nowhere.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from longline.errors import AppNotFound, Fenced
from longline.saver.kv import layout
from longline.saver.kv.apps import KvApps
from longline.saver.kv.choosing import Choosing
from longline.saver.kv.entering import Errand
from longline.saver.kv.entries import read_entry
from longline.saver.kv.handing import Handing
from longline.saver.kv.matching import Found, Matching, Shared, Topic
from longline.saver.kv.partitions import Partitions, script
from longline.saver.kv.received import FENCED, GONE, Known, ReceivedMessages
from longline.saver.kv.routing import SHOWN_AGAIN
from longline.saver.port.queues import (
    Complete,
    Declined,
    GroupChoice,
    HandedOver,
    Published,
    Queued,
    QueueEntry,
    QueuePage,
    QueuePublication,
    Read,
    Settle,
)
from longline.store.redis import Reply
from longline.store.scatter import Spare
from longline.telemetry.faults import Faults

READ = script("read_queues.lua")
SETTLE = script("settle_queues.lua")
FREE = script("forget_received.lua")
EXPIRE = script("expire_queues.lua")
UNTOLD = script("untold.lua")

READS: Final = 32  # queues that one script reads


class KvQueues:
    """Fulfils `QueueStore`."""

    def __init__(
        self,
        partitions: Partitions,
        apps: KvApps,
        matching: Matching,
        received: ReceivedMessages,
        choosing: Choosing,
        handing: Handing,
        faults: Faults,
    ) -> None:
        self._choosing = choosing
        self._handing = handing
        self._partitions = partitions
        self._apps = apps
        self._matching = matching
        self._received = received
        self._not_read: Spare[Read, QueuePage] = Spare(
            faults, "saver.queues", lambda read: QueuePage((), True)
        )

    def _of(self, item: Read | Settle | Complete) -> int:
        return item.ordinal % self._partitions.count

    def _place(self, ordinal: int) -> int:
        return ordinal // self._partitions.count

    # --- into queues ---

    async def publish(self, batch: Sequence[QueuePublication]) -> list[Published | Declined]:
        """A round trip to match, one where QoS 2 messages are received, and one to enter the queues."""
        started = self._received.now
        there = {app for app in {item.app for item in batch} if await self._apps.name_of(app) is not None}
        topics: dict[Topic, bool] = {}
        for item in batch:
            if item.app in there and (item.matches or item.shares is not None):
                topic = (item.app, item.publication.topic)
                topics[topic] = topics.get(topic, False) or item.received is not None
        found, shared = await self._matching.match(topics)
        answers: dict[int, Published | Declined] = {}
        errands: dict[int, Errand] = {}
        for index, item in enumerate(batch):
            topic = (item.app, item.publication.topic)
            places: Found = found.get(topic, AppNotFound.code)
            if item.app in there and not item.matches:
                places = {}  # also where what matches costs too much
            if isinstance(places, str):
                answers[index] = Declined(places)
            else:
                name = b"" if item.received is None else self._received.name()
                counted = len(places) != 1 or topics.get(topic, True)
                errands[index] = Errand(item, places, name, counted)
        await self._choose(errands, shared)
        named = [index for index, errand in errands.items() if errand.name]
        own = {errand.name for errand in errands.values()}
        unfinished: dict[int, Errand] = {}
        heard = await self._received.receive([errands[index] for index in named])
        for index, told in zip(named, heard, strict=True):
            if isinstance(told, Known):
                answers[index] = Published(told.id, again=True)
                if told.unfinished is not None and told.unfinished.name not in own:
                    unfinished[index] = told.unfinished
            elif told == FENCED:
                answers[index] = Declined(Fenced.code)
            elif told == GONE:
                answers[index] = Declined(AppNotFound.code)
            if index in answers:
                del errands[index]
        errands |= unfinished
        await self._received.carry_out([errands[index] for index in sorted(errands)], started)
        for index, errand in errands.items():
            id, queued = errand.item.publication.id, tuple(errand.queued)
            answers[index] = (
                Declined(errand.declined)
                if errand.declined
                else Published(id, queued, errand.full, index in unfinished, errand.groups)
            )
        return [answers[index] for index in range(len(batch))]

    async def _choose(self, errands: dict[int, Errand], shared: Mapping[Topic, Shared]) -> None:
        """Gives publications to sessions of groups for which the store is to choose."""
        asked: dict[int, Shared] = {}
        for index, errand in errands.items():
            item = errand.item
            if item.shares is not None:
                groups = _asked_for(item.shares, shared.get((item.app, item.publication.topic), {}))
                if groups:
                    asked[index] = groups
        if not asked:
            return
        chosen = await self._choosing.choose([errands[index].item for index in asked], list(asked.values()))
        for index, (given, full) in zip(asked, chosen, strict=True):
            errand = errands[index]
            errand.item = replace(errand.item, given=(*errand.item.given, *given))
            errand.groups = tuple([to.share for to in given])
            errand.full += full

    # --- out of queues ---

    async def read(self, batch: Sequence[Read]) -> list[QueuePage]:
        """Queues of one partition in one step."""
        return await self._partitions.each(
            READ,
            batch,
            self._of,
            lambda read: (
                *(read.app, self._place(read.ordinal), read.number, read.after, read.limit, read.now),
                read.limit_bytes,
            ),
            _page,
            size=READS,
            spare=self._not_read,
        )

    async def settle(self, batch: Sequence[Settle]) -> None:
        """Steps of one partition in one step, which is durable before this returns."""
        await self._partitions.each(
            SETTLE,
            batch,
            self._of,
            lambda item: (item.app, self._place(item.ordinal), item.number, item.place, int(item.step)),
            lambda item, reply: None,
            durable=True,
        )

    async def untold(self, before: int, limit: int) -> list[tuple[int, Queued]]:
        """Partitions share the limit. What was returned is not returned again for `SHOWN_AGAIN` ms."""
        found: list[tuple[int, Queued]] = []

        async def work(partition: int, share: int) -> int:
            args = [*self._partitions.repeatable(), before, share, before + SHOWN_AGAIN]
            count, *words = msgspec.convert(
                await self._partitions.run(partition, UNTOLD, args), list[int | bytes]
            )
            assert isinstance(count, int)
            told = msgspec.convert(words, list[bytes])
            for app, place, device, binding in zip(*(told[n::4] for n in range(4)), strict=True):
                ordinal = int(place) * self._partitions.count + partition
                bound = layout.unpack_binding(binding) if binding else None
                found.append((int(app), Queued(device.decode(), ordinal, bound)))
            return count

        await self._partitions.share(
            limit,
            lambda partition: self._partitions.call(
                partition, b"ZCOUNT", layout.prefix(partition) + b"ml", b"-inf", before
            ),
            work,
        )
        return found

    async def complete(self, batch: Sequence[Complete]) -> None:
        """Identifiers of one partition in one step."""
        await self._partitions.each(
            FREE,
            batch,
            self._of,
            lambda item: (item.app, self._place(item.ordinal), item.number, item.packet_id),
            lambda item, reply: None,
            durable=True,
        )

    # --- what is over ---

    async def hand_over(self, now: int, limit: int) -> HandedOver:
        """See `handing.py`."""
        return await self._handing.hand_over(now, limit)

    async def sweep(self, partition: int, now: int, limit: int) -> int:
        """Removes at most `limit` messages that are over, and remains of sessions; how many it removed."""
        args = [*self._partitions.repeatable(), now, limit]
        return msgspec.convert(await self._partitions.run(partition, EXPIRE, args), int)


def _asked_for(shares: GroupChoice, found: Shared) -> Shared:
    """Of the groups that match, those for which the store is to choose."""
    only = shares.only
    return {
        key: partitions
        for key, partitions in found.items()
        if key not in shares.served and (only is None or key in only)
    }


def _page(read: Read, reply: Reply) -> QueuePage:
    complete, *found = msgspec.convert(reply, list[int | bytes | None])
    entries: list[QueueEntry] = []
    for packed, apart in zip(found[::2], found[1::2], strict=True):
        entry = read_entry(packed, apart)
        if entry is not None:  # else it is not what it should be
            entries.append(entry)
    return QueuePage(tuple(entries), complete == 1)
