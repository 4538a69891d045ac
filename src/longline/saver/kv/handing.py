"""What sessions that are over have left of groups goes to other sessions of these, in whatever partition.

That takes several steps, of which any may be the last of whoever takes them: who is to have a message is
noted with it first, and whoever comes later goes on with the same; it enters a queue under a name, once; then
it is taken out of the queue of the session that is over.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
from msgspec.structs import replace

from longline.model.pubsub import Publication
from longline.saver.kv.choosing import Choosing
from longline.saver.kv.entering import Entering, Errand
from longline.saver.kv.entries import read_entry
from longline.saver.kv.layout import prefix
from longline.saver.kv.matching import Matching
from longline.saver.kv.partitions import Partitions, script
from longline.saver.port.queues import Given, HandedOver, LeftForGroup, Queued, QueuePublication
from longline.saver.subscriptions import AS_PUBLISHED
from longline.store.scatter import ask_all, gathered

LEFT = script("left_queues.lua")
CLAIM = script("claim_left.lua")
TAKE = script("take_left.lua")
FORGET = script("forget_names.lua")

MOST: Final = 64  # messages in one script
FORGOTTEN_AFTER: Final = (
    300_000  # ms from when a message was handed over; longer than that and a call of the store
)
NOBODY: Final = b""
NOTHING: Final = Publication("", "", b"", 0)  # in the place of what cannot be read


class _Message(NamedTuple):
    """What a session has left for a group: where it is, and whom it is handed to, if that is noted."""

    partition: int
    session: bytes  # <app>:<place>:<number>
    place: bytes
    to: bytes
    item: QueuePublication
    group: str
    fresh: bool = False  # that was chosen just now


class Handing:
    """See the paragraph above."""

    def __init__(
        self, partitions: Partitions, matching: Matching, choosing: Choosing, entering: Entering
    ) -> None:
        self._partitions = partitions
        self._matching = matching
        self._choosing = choosing
        self._entering = entering

    async def hand_over(self, now: int, limit: int) -> HandedOver:
        """As the port's."""
        sessions = await ask_all(
            self._partitions.count,
            lambda partition: self._partitions.call(partition, "ZCARD", prefix(partition) + b"mO"),
        )
        some = [partition for partition, count in enumerate(sessions) if count]
        if not some:
            return HandedOver()
        share = min(MOST, max(1, limit // len(some)))
        replies = await gathered(
            [self._partitions.run(partition, LEFT, [share], durable=True) for partition in some]
        )
        messages: list[_Message] = []
        over: list[_Message] = []
        more = False
        for partition, reply in zip(some, replies, strict=True):
            words = msgspec.convert(reply, list[bytes | int | None])
            more = more or len(words) // 7 >= share
            for at in range(0, len(words), 7):
                self._sort(partition, words[at : at + 7], now, messages, over)
        await self._take(over)
        queued, left = await self._hand(await self._claimed(messages))
        return HandedOver(tuple(queued), tuple(left), more)

    def _sort(
        self,
        partition: int,
        words: Sequence[bytes | int | None],
        now: int,
        messages: list[_Message],
        over: list[_Message],
    ) -> None:
        session, place, group, to, sent, packed, apart = words
        assert isinstance(session, bytes)
        assert isinstance(place, bytes)
        assert isinstance(group, bytes)
        assert isinstance(to, bytes)
        entry = read_entry(packed, apart)
        publication = NOTHING if entry is None else replace(entry.publication, qos=entry.qos)
        app = int(session.partition(b":")[0])
        item = QueuePublication(app, publication, now, matching=False)
        message = _Message(partition, session, place, to, item, group.decode())
        # What was sent with QoS 2 the client has, or may have [MQTT-4.8.2-5].
        sent_once = sent == 1 and publication.qos == 2
        if entry is None or sent_once or 0 < publication.expires_at <= now:
            over.append(message)
        else:
            messages.append(message)

    async def _claimed(self, messages: Sequence[_Message]) -> list[_Message]:
        """With whom each is handed to, or NOBODY."""
        fresh = [message for message in messages if not message.to]
        topics = {(message.item.app, message.item.publication.topic): False for message in fresh}
        _, shared = await self._matching.match(topics) if topics else ({}, {})
        groups = []
        for message in fresh:
            found = shared.get((message.item.app, message.item.publication.topic), {})
            groups.append({message.group: found[message.group]} if message.group in found else {})
        chosen = await self._choosing.choose([message.item for message in fresh], groups)
        named = [
            message._replace(to=_pack(given[0]))
            for message, (given, _) in zip(fresh, chosen, strict=True)
            if given
        ]
        to = await self._partitions.each(
            CLAIM,
            named,
            lambda message: message.partition,
            lambda message: (message.session, message.place, message.group, message.to),
            lambda message, reply: msgspec.convert(reply, bytes),
            durable=True,
        )
        claimed = {_at(message): who for message, who in zip(named, to, strict=True)}
        gone = {place for place, who in claimed.items() if not who}
        return [
            message if message.to else message._replace(to=claimed.get(_at(message), NOBODY), fresh=True)
            for message in messages
            if _at(message) not in gone
        ]

    async def _hand(
        self, messages: Sequence[_Message]
    ) -> tuple[list[tuple[int, Queued]], list[LeftForGroup]]:
        """Has them enter the queues that they are for; those that are for nobody are left.

        What somebody has carried out before tells of no queue, like what is for a session that is over by
        now: whoever was chosen just now, and has nothing, is that.
        """
        handed = [message for message in messages if message.to]
        errands = [
            Errand(replace(message.item, given=(_given(message),)), {}, _name_of(message))
            for message in handed
        ]
        await self._entering.enter(errands)
        queued: list[tuple[int, Queued]] = []
        again: list[_Message] = []
        done: list[_Message] = []
        for message, errand in zip(handed, errands, strict=True):
            queued += [(message.item.app, place) for place in errand.queued]
            missed = errand.full or (message.fresh and not errand.queued)
            (again if missed else done).append(message)
        left = [message for message in messages if not message.to]
        await self._take([*done, *left])
        await self._partitions.each(
            CLAIM,
            again,
            lambda message: message.partition,
            lambda message: (message.session, message.place, message.group, NOBODY),
            lambda message, reply: None,
            durable=True,
        )
        count = self._partitions.count
        await self._partitions.each(
            FORGET,
            [(_given(message).ordinal % count, _name_of(message)) for message in done],
            lambda known: known[0],
            lambda known: [known[1]],
            lambda known, reply: None,
            head=lambda: [FORGOTTEN_AFTER],
        )
        return queued, [
            LeftForGroup(message.item.app, message.group, message.item.publication) for message in left
        ]

    async def _take(self, messages: Sequence[_Message]) -> None:
        await self._partitions.each(
            TAKE,
            messages,
            lambda message: message.partition,
            lambda message: (message.session, message.place),
            lambda message, reply: None,
            durable=True,
        )


def _at(message: _Message) -> tuple[int, bytes, bytes]:
    """Where a message is."""
    return message.partition, message.session, message.place


def _pack(to: Given) -> bytes:
    """Whom a message is handed to, as it is noted with it."""
    options = to.qos | (AS_PUBLISHED if to.as_published else 0)
    return b"%d %d %d %d" % (to.ordinal, to.number, options, to.identifier)


def _given(message: _Message) -> Given:
    ordinal, number, options, identifier = map(int, message.to.split())
    return Given(ordinal, number, options & 3, bool(options & AS_PUBLISHED), identifier, message.group)


def _name_of(message: _Message) -> bytes:
    """The name under which it enters the queue of whom it is handed to, once."""
    return b"left:%d:%b:%b:%b" % (
        message.partition,
        message.session,
        message.place,
        message.to.replace(b" ", b"."),
    )
