"""Whom an expression describes, and who goes by an alias."""

import time
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from random import Random
from typing import Final

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
from longline.saver.labels import (
    ALIAS,
    BIT,
    GROUP,
    HAS,
    NUMBER,
    PLATFORM,
    TAG,
    WORD,
    ZONE,
    Label,
    bits_of,
    divided,
    name_label,
    wanted,
)
from longline.saver.port.audiences import Described
from longline.saver.sql.database import Database, device_key, device_range
from longline.saver.sql.labels import read_sets
from longline.saver.sql.worker import Worker

PART: Final = 250  # names of a sample that are read at once
PATIENCE: Final = 0.04
"""Seconds after which no more of a sample is read. Each of its devices is on another page of the file: what
the system does not have in memory takes a read of the disk each, and everybody who reads waits meanwhile.
"""

_departed = msgspec.json.Decoder(list[int])
_names = msgspec.json.Decoder(list[tuple[int, str]])


def resolve(expression: Expression, app: int, database: Database, everyone: Callable[[], BitMap]) -> BitMap:
    """The ordinals that an expression describes at this moment of the transaction, or of the snapshot."""
    if isinstance(expression, Everyone):
        return everyone()
    found = _Resolving(read_sets(database, app, wanted(expression)), everyone).solve(expression)
    found.run_optimize()
    return found


class _Resolving:
    """`sets`: who has each of the labels that the expression speaks of."""

    def __init__(self, sets: Mapping[Label, BitMap], everyone: Callable[[], BitMap]) -> None:
        self._sets = sets
        self._everyone = everyone

    def solve(self, expression: Expression) -> BitMap:
        """A set that nobody else has, to be changed by whoever gets it."""
        match expression:
            case Everyone():
                return self._everyone()
            case Tagged(tags):
                return self._with_any(TAG, tags)
            case OnPlatform(platforms):
                return self._with_any(PLATFORM, platforms)
            case InZone(zones):
                return self._with_any(ZONE, zones)
            case Having(name):
                return self._with_any(HAS, (name_label(name),))
            case InGroup(group):
                return self._with_any(GROUP, (group,))
            case Equal():
                return self._equal(expression)
            case Ordered():
                return self._ordered(expression)
            case AnyOf(of):
                return self._either(of)
            case AllOf(of):
                found = self.solve(of[0])
                for each in of[1:]:
                    if not found:
                        break
                    found &= self.solve(each)
                return found
            case NoneOf(of):
                return self._everyone() - self._either(of)

    def _equal(self, expression: Equal) -> BitMap:
        words, numbers = divided(expression)
        found = self._with_any(WORD, words)
        for bits in numbers:
            found |= self._compared(expression.name, bits)[1]
        return found

    def _ordered(self, expression: Ordered) -> BitMap:
        below, same, above = self._compared(expression.name, bits_of(expression.number))
        found = above if expression.order in ("gt", "gte") else below
        return found | same if expression.order in ("gte", "lte") else found

    def _either(self, of: Sequence[Expression]) -> BitMap:
        found = BitMap()
        for each in of:
            found |= self.solve(each)
        return found

    def _with_any(self, kind: int, labels: Sequence[str]) -> BitMap:
        return BitMap().union(*(self._sets[kind, label] for label in labels))

    def _compared(self, name: str, bits: int) -> tuple[BitMap, BitMap, BitMap]:
        """Who has a number below, who has this one, and who has one above, bit by bit from the highest."""
        label = name_label(name)
        same = self._sets[NUMBER, label]
        below, above = BitMap(), BitMap()
        for bit in reversed(range(64)):
            if not same:
                break
            having = self._sets[BIT + bit, label]
            if bits >> bit & 1:
                below |= same - having
                same = same & having
            else:
                above |= same & having
                same = same - having
        return below, same, above


class SqlAudiences:
    """Fulfils `AudienceStore`. `deleted`: apps that are not there any more."""

    def __init__(self, reader: Worker, database: Database, deleted: AbstractSet[int]) -> None:
        self._reader = reader
        self._database = database
        self._deleted = deleted

    async def describe(self, app: int, expression: Expression, limit: int) -> Described:
        """The sets of its labels, then the names of some of who came out."""
        if app in self._deleted:
            return Described(0, ())
        return await self._reader.call(self._describe, (app, expression, limit))

    def _describe(self, calls: list[tuple[int, Expression, int]]) -> list[Described]:
        return [self._describe_one(*call) for call in calls]

    def _describe_one(self, app: int, expression: Expression, limit: int) -> Described:
        found = resolve(expression, app, self._database, lambda: self._everyone(app))
        step = max(1, len(found) // limit) if limit else 0
        # One of each step, any: devices that are connected may follow each other in steps, too. The same ones
        # when it is asked for again, whose rows are in memory then.
        anywhere = Random(step)
        first = range(0, min(step * limit, len(found) - step + 1), step or 1)
        some = [found[at + anywhere.randrange(step)] for at in first]
        names = self._names(app, BitMap(some)) if step == 1 else self._sampled(app, some)
        return Described(len(found), tuple(names.values()))

    def _sampled(self, app: int, some: Sequence[int]) -> dict[int, str]:
        """The names of some, or, where that takes too long, of fewer that are spread as evenly."""
        names: dict[int, str] = {}
        parts, until = max(1, len(some) // PART), time.monotonic() + PATIENCE
        for part in range(parts):
            names |= self._names(app, BitMap(some[part::parts]))
            if time.monotonic() >= until:
                break
        return names

    def _everyone(self, app: int) -> BitMap:
        given = self._database.number("SELECT next_ordinal FROM apps WHERE number = ?1", app)
        left = self._database.text(
            "SELECT json_group_array(device & 0xFFFFFFFF) FROM departed WHERE device BETWEEN ?1 AND ?2",
            *device_range(app),
        )
        return BitMap(range(given or 0)) - BitMap(_departed.decode(left))

    async def holders(self, app: int, aliases: Sequence[str], limit: int) -> list[list[str]]:
        """One statement for the sets of all aliases, one for all names."""
        if app in self._deleted:
            return [[] for _ in aliases]
        return await self._reader.call(self._holders, (app, aliases, limit), len(aliases))

    def _holders(self, calls: list[tuple[int, Sequence[str], int]]) -> list[list[list[str]]]:
        return [self._holders_of(*call) for call in calls]

    def _holders_of(self, app: int, aliases: Sequence[str], limit: int) -> list[list[str]]:
        sets = read_sets(self._database, app, {(ALIAS, alias) for alias in aliases})
        some = {label: ordinals[:limit] for label, ordinals in sets.items()}
        names = self._names(app, BitMap().union(*some.values()))
        return [[names[n] for n in some[ALIAS, alias] if n in names] for alias in aliases]

    def _names(self, app: int, ordinals: BitMap) -> dict[int, str]:
        """By ordinal; without those who have just left."""
        if not ordinals:
            return {}
        found = self._database.text(
            "SELECT json_group_array(json_array(device & 0xFFFFFFFF, address))"
            " FROM carray(?1) CROSS JOIN devices ON device = value",
            tuple([device_key(app, ordinal) for ordinal in ordinals]),
        )
        return {ordinal: address.partition("/")[2] for ordinal, address in _names.decode(found)}
