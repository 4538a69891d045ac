"""What is said in groups: its sequence and its history, each group's in its home, the partition of its name.

A message gets its sequence there, and is then stored in every partition as any broadcast, for who is a member
there. A partition takes what is said in one group in the order of its sequence, and tells where one is
missing; whoever hears that stores the missing ones first: they are in the history, from the moment that they
have a sequence.

- `gp:<app>:<name>` HASH of a group in its home: `i` its number, `c` created at, `s` the latest sequence, `u`
  bytes of all payloads that were ever said, `m` how many members it had after the latest change, `x` when it
  is being deleted, and places for who comes (`lua/seat_members.lua`). A later group of the same name has
  another number.
- `gn:<app>` ZSET of the names of those, all with score 0.
- `gh:<app>:<number>` LIST: the history, see `lua/say.lua`. `gi:<app>:<number>` ZSET id → sequence, of the
  latest.
- `gq:<app>` HASH number → the latest sequence that a partition has stored.
- `gl:<app>:<number>` ZSET id → end: messages that a partition has stored, and that are open, perhaps.
"""

import struct
from binascii import crc32
from collections.abc import Awaitable, Sequence
from typing import Final, NamedTuple

import msgspec

from longline.model.groups import GroupBounds, Saying
from longline.model.messages import Message, Said
from longline.saver.kv import layout
from longline.saver.kv.partitions import Partitions, script
from longline.store.redis import Reply, Word
from longline.store.scatter import scatter

FIND = script("find_group.lua")
SAY = script("say.lua")
READ = script("read_sayings.lua")

SETTLED: Final = (
    60_000  # ms for which a message stays in the history in any case: it may not be stored everywhere
)

_HEAD = struct.Struct(">HIHI")
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Message).decode


class GroupPlace(NamedTuple):
    """Where a message stands: the number of its group, and its sequence there."""

    group: bytes
    sequence: int


class GroupRecord(NamedTuple):
    """A group as its home has it."""

    number: bytes
    created_at: int
    sequence: int
    members: int


class Sayings:
    """`bounds`: of histories."""

    def __init__(self, partitions: Partitions, bounds: GroupBounds) -> None:
        self._partitions = partitions
        self._bounds = bounds

    def home_of(self, app: int, group: str) -> int:
        """The partition of a group."""
        return crc32(b"%d:%b" % (app, group.encode())) % self._partitions.count

    async def find(self, app: int, group: str) -> GroupRecord | None:
        """The group, None when there is none, or it is being deleted."""
        reply = await self._partitions.run(self.home_of(app, group), FIND, [app, group])
        if reply is None:
            return None
        number, created_at, sequence, members = msgspec.convert(reply, tuple[bytes, bytes, bytes, bytes])
        return GroupRecord(number, int(created_at), int(sequence), int(members))

    async def add(self, app: int, messages: Sequence[Message], now: int) -> list[GroupPlace | None]:
        """Gives messages to groups their places, in their order, and puts them into the histories.

        One that comes again has the place that it had. None: there is no such group.
        """
        bounds = self._bounds
        head: tuple[Word, ...] = (
            now,
            bounds.history_messages,
            bounds.history_bytes,
            bounds.history_ms,
            SETTLED,
        )

        def ask(home: int, part: Sequence[Message]) -> Awaitable[Reply]:
            args: list[Word] = [*head]
            for message in part:
                args += (
                    app,
                    _said(message).group,
                    layout.id_bytes(message.id),
                    len(message.payload),
                    _pack(message),
                )
            return self._partitions.run(home, SAY, args, durable=True)

        def read(home: int, part: Sequence[Message], reply: Reply) -> list[GroupPlace | None]:
            rows = msgspec.convert(reply, list[tuple[bytes, int] | None])
            return [None if row is None else GroupPlace(*row) for row in rows]

        return await scatter(messages, lambda message: self.home_of(app, _said(message).group), ask, read)

    async def between(
        self, app: int, group: str, number: bytes, after: int, limit: int
    ) -> list[tuple[int, Message]]:
        """What was said after a sequence, as far as it is kept, at most `limit`."""
        home = self.home_of(app, group)
        reply = await self._partitions.run(home, READ, [app, number, group, after, limit])
        assert isinstance(reply, list)
        if not reply:
            return []
        first, *packed = reply
        assert isinstance(first, int)
        found: list[tuple[int, Message]] = []
        for sequence, entry in enumerate(packed, first):
            assert isinstance(entry, bytes)
            found.append((sequence, in_place(_unpack(entry[_HEAD.size :]), sequence)))
        return found

    async def history(self, app: int, group: str, after: int, limit: int, now: int) -> list[Saying] | None:
        """The same, of what is to be shown; None when there is no such group."""
        record = await self.find(app, group)
        if record is None:
            return None
        since = now - self._bounds.history_ms
        after = max(after, record.sequence - self._bounds.history_messages)
        while True:
            found = await self.between(app, group, record.number, after, limit)
            shown = [_saying(sequence, message) for sequence, message in found if message.created_at > since]
            if shown or len(found) < limit:
                return shown
            after = found[-1][0]


def in_place(message: Message, sequence: int) -> Message:
    """The message with its place in its group."""
    said = _said(message)
    return msgspec.structs.replace(message, said=Said(said.group, sequence, said.sender))


def _said(message: Message) -> Said:
    assert message.said is not None, "a message to a group says to which"
    return message.said


def _saying(sequence: int, message: Message) -> Saying:
    sender = _said(message).sender
    return Saying(sequence, message.id, sender, message.created_at, message.content_type, message.payload)
