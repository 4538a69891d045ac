"""What engines index of a device's profile: the labels that it has, each of a kind.

A label is a set of devices. A tag, an alias, a platform and a time zone is one; so is having an attribute of
some name, and having a certain word (a text or a boolean) for it. Numbers are compared, and there may be as
many as devices; so they are not labels by their values but by their digits: a device whose attribute is a
number has, for each bit of the number that is set, the label of that bit (a bit-sliced index: O'Neil and
Quass, "Improved query performance with variant indexes", 1997). Who is above 18 is then a matter of at most
65 sets.

A number's bits are those of its IEEE double, so turned that they rise with the number.
"""

import hashlib
import struct
from collections.abc import Iterable
from typing import Final, TypeGuard

from longline.model.audience import (
    Equal,
    Expression,
    Having,
    InGroup,
    InZone,
    OnPlatform,
    Ordered,
    Tagged,
    parts_of,
)
from longline.model.devices import Profile

TAG: Final = 0
ALIAS: Final = 1
PLATFORM: Final = 2
HAS: Final = 3  # an attribute of this name
WORD: Final = 4  # an attribute with this word
NUMBER: Final = 5  # an attribute of this name that is a number
ZONE: Final = 6
GROUP: Final = 7  # being a member of it: no part of a profile
BIT: Final = 64  # and up to 127, the highest bit of a number: this one is set in it

LONGEST: Final = 120  # bytes of a name or a word that stands for itself
_SIGN: Final = 1 << 63
_ALL: Final = (1 << 64) - 1

Label = tuple[int, str]

_DOUBLE = struct.Struct(">d")


def bits_of(number: float) -> int:
    """64 bits that rise with the number, for any two."""
    try:
        packed = _DOUBLE.pack(number + 0.0)  # so that there is one zero
    except OverflowError:  # an integer beyond all doubles
        packed = _DOUBLE.pack(float("inf") if number > 0 else float("-inf"))
    bits = int.from_bytes(packed)
    return bits ^ _ALL if bits & _SIGN else bits | _SIGN


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a value is one that has an order."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def name_label(name: str) -> str:
    """What stands for an attribute's name."""
    return _short(f":{name}")


def word_label(name: str, value: bool | str) -> str:
    """What stands for an attribute with this word."""
    text = ("t" if value else "f") if isinstance(value, bool) else f"={value}"
    return _short(f"{len(name)}:{name}{text}")


def _short(text: str) -> str:
    packed = text.encode()
    # Nothing that stands for itself begins like this.
    return text if len(packed) <= LONGEST else "#" + hashlib.sha256(packed).hexdigest()


def labels_of(profile: Profile) -> set[Label]:
    """All labels that a device of this profile has."""
    labels: set[Label] = {(TAG, tag) for tag in profile.tags}
    labels.update((ALIAS, alias) for alias in profile.aliases)
    if profile.platform is not None:
        labels.add((PLATFORM, profile.platform))
    if profile.timezone is not None:
        labels.add((ZONE, profile.timezone))
    for name, value in profile.attributes.items():
        label = name_label(name)
        labels.add((HAS, label))
        if isinstance(value, bool | str):
            labels.add((WORD, word_label(name, value)))
        elif is_number(value):
            labels.add((NUMBER, label))
            bits = bits_of(value)
            labels.update((BIT + bit, label) for bit in range(64) if bits >> bit & 1)
    return labels


def divided(expression: Equal) -> tuple[list[str], list[int]]:
    """The labels of the words among its values, and the bits of the numbers."""
    words: list[str] = []
    numbers: list[int] = []
    for value in expression.values:
        if isinstance(value, bool | str):
            words.append(word_label(expression.name, value))
        else:
            numbers.append(bits_of(value))
    return words, numbers


def wanted(expression: Expression) -> set[Label]:
    """The labels whose sets an expression is worked out from."""
    found: set[Label] = set()
    waiting = [expression]
    while waiting:
        each = waiting.pop()
        waiting += parts_of(each)
        match each:
            case Tagged(tags):
                found.update((TAG, tag) for tag in tags)
            case OnPlatform(platforms):
                found.update((PLATFORM, platform) for platform in platforms)
            case InZone(zones):
                found.update((ZONE, zone) for zone in zones)
            case Having(name):
                found.add((HAS, name_label(name)))
            case InGroup(group):
                found.add((GROUP, group))
            case Ordered(name):
                found.update(_number_labels(name))
            case Equal(name):
                words, numbers = divided(each)
                found.update((WORD, text) for text in words)
                if numbers:
                    found.update(_number_labels(name))
            case _:
                pass
    return found


def _number_labels(name: str) -> Iterable[Label]:
    label = name_label(name)
    yield NUMBER, label
    for bit in range(64):
        yield BIT + bit, label
