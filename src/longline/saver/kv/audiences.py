"""Whom an expression describes, and who goes by an alias: how scripts are asked, and what they say.

`lua/audiences.lua` works an expression out in each partition, from the sets that `lua/labels.lua` describes.
What it says is for one partition, and is passed on in routes as a roaring bitmap of places.
"""

import random
import struct
from collections.abc import Iterable, Sequence
from itertools import chain

import msgspec
from pyroaring import BitMap

from longline.model.audience import (
    AllOf,
    AnyOf,
    Equal,
    Everyone,
    Expression,
    Having,
    InGroup,
    InZone,
    NoneOf,
    OnPlatform,
    Ordered,
    Tagged,
)
from longline.model.commands import Part
from longline.saver.kv.partitions import Partitions, script
from longline.saver.kv.sayings import Sayings
from longline.saver.labels import GROUP, HAS, PLATFORM, TAG, WORD, ZONE, bits_of, divided, name_label
from longline.saver.port.audiences import Described
from longline.store.redis import Reply
from longline.store.scatter import gathered

FIND_TARGETS = script("find_targets.lua")
SOME_OF = script("some_of.lua")
FIND_HOLDERS = script("find_holders.lua")

ENOUGH = 4  # times as many as are to be named, in the partitions that name them

NOBODY = Part(0, BitMap().serialize())

_pack = msgspec.msgpack.Encoder().encode

_Step = tuple[str | int, ...]


def pack_expression(expression: Expression) -> bytes:
    """An expression as scripts take it: steps of a machine with a stack, see `lua/audiences.lua`."""
    return _pack(list(_steps(expression)))


def _steps(expression: Expression) -> Iterable[_Step]:
    match expression:
        case Everyone():
            yield ("all",)
        case Tagged(tags):
            yield "has", TAG, *tags
        case OnPlatform(platforms):
            yield "has", PLATFORM, *platforms
        case InZone(zones):
            yield "has", ZONE, *zones
        case Having(name):
            yield "has", HAS, name_label(name)
        case Equal():
            yield from _equal_steps(expression)
        case Ordered(name, order, number):
            yield "number", name_label(name), order, f"{bits_of(number):016x}"
        case AnyOf(of):
            yield from chain.from_iterable(map(_steps, of))
            yield "or", len(of)
        case AllOf(of):
            yield from chain.from_iterable(map(_steps, of))
            yield "and", len(of)
        case NoneOf(of):
            yield from chain.from_iterable(map(_steps, of))
            yield "none", len(of)
        case InGroup():
            raise AssertionError("a group is an audience by itself, and known by its number")


def _equal_steps(expression: Equal) -> Iterable[_Step]:
    words, numbers = divided(expression)
    if words:
        yield "has", WORD, *words
    for bits in numbers:
        yield "number", name_label(expression.name), "eq", f"{bits:016x}"
    if len(numbers) + bool(words) > 1:
        yield "or", len(numbers) + bool(words)


def pack_group(number: bytes) -> bytes:
    """The members of a group, likewise."""
    return _pack([("has", GROUP, number.decode())])


class KvAudiences:
    """Fulfils `AudienceStore`."""

    def __init__(self, partitions: Partitions, sayings: Sayings) -> None:
        self._partitions = partitions
        self._sayings = sayings

    async def describe(self, app: int, expression: Expression, limit: int) -> Described:
        """Partitions count first. Then they name their shares: some of them, where those have enough, since
        devices are spread over partitions by their names."""
        if isinstance(expression, InGroup):
            group = await self._sayings.find(app, expression.group)
            if group is None:
                return Described(0, ())
            packed = pack_group(group.number)
        else:
            packed = pack_expression(expression)
        replies = await self._partitions.run_all(FIND_TARGETS, [app, 1, packed])
        counts = [
            count for (count,) in msgspec.convert([reply or [0] for reply in replies], list[tuple[int]])
        ]
        total, there = sum(counts), 0
        asked: list[int] = []
        for partition in random.sample(range(len(counts)), len(counts)):
            if there >= limit * ENOUGH:
                break
            if counts[partition]:
                asked.append(partition)
                there += counts[partition]
        wanted = min(limit, there)
        calls = [
            self._partitions.run(partition, SOME_OF, [app, packed, -(-wanted * counts[partition] // there)])
            for partition in asked
        ]
        names = msgspec.convert(await gathered(calls) if calls else [], list[list[bytes | None]])
        return Described(total, tuple([name.decode() for some in names for name in some if name is not None]))

    async def holders(self, app: int, aliases: Sequence[str], limit: int) -> list[list[str]]:
        """Every partition is asked for all aliases: whoever has one may be in any."""
        found: list[list[str]] = [[] for _ in aliases]
        if not aliases:
            return found
        for reply in await self._partitions.run_all(FIND_HOLDERS, [app, limit, *aliases]):
            for number, names in msgspec.convert(reply, list[tuple[int, list[bytes | None]]]):
                found[number] += [name.decode() for name in names if name is not None]
        return [names[:limit] for names in found]


def part_of(reply: Reply) -> tuple[Part, int]:
    """The part that a script tells, and how many devices it was for when it was stored.

    {position, how many places there are, how many of them it was not for, bitmap of those it is not for,
    position of the broadcast before it, {place, position of a unicast before it, …}}; or 0 for none.
    """
    if not isinstance(reply, list):
        return NOBODY, 0
    position, places, without, bitmap, before, met = reply
    assert isinstance(position, int)
    assert isinstance(places, int)
    assert isinstance(without, int)
    assert isinstance(bitmap, bytes)
    assert isinstance(before, int)
    assert isinstance(met, list)
    if places == 0:
        return NOBODY, 0
    audience = BitMap(range(places))  # one run
    audience -= roaring(bitmap)
    audience.run_optimize()
    return Part(position, audience.serialize(), before, _met(met)), places - without


def _met(words: list[Reply]) -> dict[int, int]:
    found: dict[int, int] = {}
    for place, position in zip(words[::2], words[1::2], strict=True):
        assert isinstance(place, int)
        assert isinstance(position, int)
        found[place] = position
    return found


_CONTAINER = 8192  # bytes for 65,536 places
_SPARSE = 4096  # places: up to so many, the format has no bitmap for them
_TURNED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_FULL = (1 << 65536) - 1


def roaring(bitmap: bytes) -> BitMap:
    """The places of a Redis bitmap, in which bit 0 is the highest of the first byte.

    Made of what roaring bitmaps are made of, without looking at each place: those of 65,536 that have few are
    made as what is left when all others are taken out (RoaringFormatSpec, "no run containers").
    """
    dense: list[tuple[int, int, bytes]] = []
    sparse: list[tuple[int, int, bytes]] = []
    for key, start in enumerate(range(0, len(bitmap), _CONTAINER)):
        bits = int.from_bytes(bitmap[start : start + _CONTAINER].translate(_TURNED), "little")
        count = bits.bit_count()
        if count > _SPARSE:
            dense.append((key, count, bits.to_bytes(_CONTAINER, "little")))
        elif count:
            sparse.append((key, 65536 - count, (bits ^ _FULL).to_bytes(_CONTAINER, "little")))
    found = _of_containers(dense)
    for container in sparse:
        first = container[0] << 16
        found |= BitMap(range(first, first + 65536)) - _of_containers([container])
    return found


def _of_containers(containers: Sequence[tuple[int, int, bytes]]) -> BitMap:
    """Containers of (key, how many, bits), in the serialized form."""
    count = len(containers)
    if count == 0:
        return BitMap()
    head = struct.pack("<II", 12346, count)
    heads = b"".join([struct.pack("<HH", key, many - 1) for key, many, _ in containers])
    first = len(head) + len(heads) + 4 * count
    offsets = struct.pack(f"<{count}I", *range(first, first + count * _CONTAINER, _CONTAINER))
    return BitMap.deserialize(b"".join((head, heads, offsets, *(bits for _, _, bits in containers))))
