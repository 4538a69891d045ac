"""Whom an expression describes: how `lua/audiences.lua`, which resolves it, is asked, and what it says.

What it says is for one partition, and is passed on in routes as a roaring bitmap of places.
"""

import msgspec
from pyroaring import BitMap

from longline.model.audience import Expression
from longline.model.commands import Part
from longline.store.redis import Reply

NOBODY = Part(0, BitMap().serialize())

_pack = msgspec.msgpack.Encoder().encode


def pack_expression(expression: Expression) -> bytes:
    """An expression as scripts take it."""
    return _pack(expression)


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
    audience -= BitMap(_bits(bitmap))
    audience.run_optimize()
    return Part(position, audience.serialize(), before, _met(met)), places - without


def _met(words: list[Reply]) -> dict[int, int]:
    found: dict[int, int] = {}
    for place, position in zip(words[::2], words[1::2], strict=True):
        assert isinstance(place, int)
        assert isinstance(position, int)
        found[place] = position
    return found


def _bits(bitmap: bytes) -> list[int]:
    """The set bits of a Redis bitmap, in which bit 0 is the highest of the first byte."""
    found: list[int] = []
    for index, byte in enumerate(bitmap):
        if byte:
            found += [8 * index + bit for bit in range(8) if byte & 0x80 >> bit]
    return found
