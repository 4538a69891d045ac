"""Which events of each device are the last to go: the latest few of those that tell of no state.

When one more comes than that, the oldest of them is past: it is among the first to go.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from longline.saver.sql.database import Database, integer

WIDTH = 8  # bytes of a number

_rows = msgspec.json.Decoder(list[tuple[int, str, str]])

Whose = tuple[int, str]  # an app, a device

# A name's record: app, device.
NAME = b"%010d%b"
FIND = f"""
SELECT json_group_array(json_array(app, device, hex(numbers)))
  FROM carray(?1) CROSS JOIN latest ON app = {integer(1, 10)} AND device = CAST(substr(value, 11) AS TEXT)"""
# A row's record: app, length of the numbers, these, device.
ROW = b"%010d%05d%b%b"
LENGTH = integer(11, 5)
DEVICE = f"CAST(substr(value, 16 + {LENGTH}) AS TEXT)"
KEEP = f"""
INSERT INTO latest (app, device, numbers)
SELECT {integer(1, 10)}, {DEVICE}, substr(value, 16, {LENGTH}) FROM carray(?1) WHERE true
    ON CONFLICT (app, device) DO UPDATE SET numbers = excluded.numbers"""
DROP = f"""
DELETE FROM latest WHERE (app, device) IN
 (SELECT {integer(1, 10)}, CAST(substr(value, 11) AS TEXT) FROM carray(?1))"""


class LatestEvents:
    """The table of them, in the transaction of whoever calls. `most`: how many of each device."""

    def __init__(self, database: Database, most: int) -> None:
        self._database = database
        self._most = most

    def add(self, new: Mapping[Whose, list[int]]) -> list[tuple[int, int]]:
        """Adds numbers, in rising order; returns app and number of those that are past by it."""
        past: list[tuple[int, int]] = []
        kept: list[bytes] = []
        known = self._find(new)
        for whose, numbers in new.items():
            numbers = known.get(whose, []) + numbers
            over = max(0, len(numbers) - self._most)
            past += [(whose[0], n) for n in numbers[:over]]
            kept.append(_row(whose, numbers[over:]))
        self._database.run(KEEP, tuple(kept))
        return past

    def remove(self, whose: Iterable[Whose], up_to: int) -> None:
        """The numbers up to this one are gone."""
        kept: list[bytes] = []
        gone: list[bytes] = []
        for name, numbers in self._find(whose).items():
            left = [n for n in numbers if n > up_to]
            if left:
                kept.append(_row(name, left))
            else:
                gone.append(NAME % (name[0], name[1].encode()))
        if kept:
            self._database.run(KEEP, tuple(kept))
        if gone:
            self._database.run(DROP, tuple(gone))

    def _find(self, whose: Iterable[Whose]) -> dict[Whose, list[int]]:
        names = tuple([NAME % (app, device.encode()) for app, device in whose])
        if not names:
            return {}
        found = _rows.decode(self._database.text(FIND, names))
        return {(app, device): unpacked(bytes.fromhex(digits)) for app, device, digits in found}


def packed(numbers: Sequence[int]) -> bytes:
    """Numbers as the table has them."""
    return struct.pack(f">{len(numbers)}q", *numbers)


def unpacked(numbers: bytes) -> list[int]:
    """Numbers from the table."""
    return list(struct.unpack(f">{len(numbers) // WIDTH}q", numbers))


def _row(whose: Whose, numbers: list[int]) -> bytes:
    packed_numbers = packed(numbers)
    return ROW % (whose[0], len(packed_numbers), packed_numbers, whose[1].encode())
