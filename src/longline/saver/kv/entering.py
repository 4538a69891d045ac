"""How messages enter queues: each into the partitions that have filters for it, slice by slice.

A message with a *name* enters each queue once, however often and by whomever it is carried out: a partition
knows by the name how far it was done there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from longline.errors import AppNotFound, TopicTooCostly
from longline.saver.kv import layout
from longline.saver.kv.matching import Places
from longline.saver.kv.partitions import Partitions, script
from longline.saver.port.queues import QueueBounds, Queued, QueuePublication
from longline.saver.publications import bytes_of, pack_publication
from longline.saver.subscriptions import AS_PUBLISHED
from longline.store.redis import Word
from longline.store.scatter import gathered

ENTER = script("enter_queues.lua")

QUEUES: Final = 512  # that one script looks at, so that it holds up nobody for long
MESSAGES: Final = 64  # that one script has; and
SENT_BYTES: Final = 1024 * 1024  # what they may be in all, but one always
KNOWN_FOR: Final = 7 * 86_400_000  # ms for which it is known how far a message with a name was done

GONE: Final = -2
COSTLY: Final = -3
DONE: Final = -1


@dataclass
class Errand:
    """A message on its way, and what became of it. `counted`: how many sessions have filters that match is
    known not to be too much. `declined`: the code of an error."""

    item: QueuePublication
    places: Places
    name: bytes = b""
    counted: bool = True
    queued: list[Queued] = field(default_factory=list)
    full: int = 0
    declined: str = ""
    groups: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.packed = pack_publication(self.item.publication)

    def partitions(self, count: int) -> list[int]:
        """Where it enters queues, of so many partitions."""
        return list(dict.fromkeys([*self.places, *(to.ordinal % count for to in self.item.given)]))


class Entering:
    """`bounds`: of the queues."""

    def __init__(self, partitions: Partitions, bounds: QueueBounds) -> None:
        self._partitions = partitions
        self._bounds = bounds

    async def enter(self, errands: Sequence[Errand]) -> None:
        """Partitions side by side; the messages of each in the order given."""
        shares: dict[int, list[Errand]] = {}
        for errand in errands:
            for partition in errand.partitions(self._partitions.count):
                shares.setdefault(partition, []).append(errand)
        if shares:
            await gathered([self._into(partition, share) for partition, share in shares.items()])

    async def _into(self, partition: int, errands: Sequence[Errand]) -> None:
        at, after = 0, -1
        while at < len(errands):
            bounds = self._bounds
            args: list[Word] = [*self._partitions.repeatable(), bounds.messages, bounds.bytes]
            args += QUEUES, KNOWN_FOR
            size = 0
            for number, errand in enumerate(errands[at : at + MESSAGES]):
                size += len(errand.packed)
                if number and size > SENT_BYTES:
                    break
                args += self._words(errand, partition, -1 if number else after)
            reply = await self._partitions.run(partition, ENTER, args, durable=True)
            for told in msgspec.convert(reply, list[list[int | bytes | None]]):
                after = self._note(errands[at], partition, told)
                if after >= 0:
                    break
                at += 1

    def _words(self, errand: Errand, partition: int, after: int) -> list[Word]:
        item, publication, count = errand.item, errand.item.publication, self._partitions.count
        filters = errand.places.get(partition, ())
        given = [to for to in item.given if to.ordinal % count == partition]
        words: list[Word] = [item.app, item.now, publication.qos, int(publication.retain)]
        words += publication.expires_at, bytes_of(publication), item.sender or b"", after
        words.append(0 if errand.counted or after >= 0 else self._bounds.match_limit)
        words += errand.name, publication.topic, errand.packed, len(filters)
        words += filters
        words.append(len(given))
        for to in given:
            options = to.qos | (AS_PUBLISHED if to.as_published else 0)
            words.append(f"{to.ordinal // count} {to.number} {options} {to.identifier} {to.share}".rstrip())
        return words

    def _note(self, errand: Errand, partition: int, told: Sequence[int | bytes | None]) -> int:
        """Adds what became of a message in a call; the place up to which it was done, -1 when it was."""
        up_to = told[0]
        assert isinstance(up_to, int)
        if up_to in (GONE, COSTLY):
            errand.declined = AppNotFound.code if up_to == GONE else TopicTooCostly.code
            return DONE
        full = told[1]
        assert isinstance(full, int)
        errand.full += full
        for place, device, binding, at in zip(*(told[n::4] for n in range(2, 6)), strict=True):
            assert isinstance(place, int)
            assert isinstance(at, bytes)
            assert isinstance(device, bytes)
            ordinal = place * self._partitions.count + partition
            bound = layout.unpack_binding(binding) if isinstance(binding, bytes) else None
            errand.queued.append(Queued(device.decode(), ordinal, bound, int(at)))
        return up_to
