"""Profiles as pprof reads them: `profile.proto` of github.com/google/pprof, gzipped.

The encoding of Protocol Buffers is a few lines (https://protobuf.dev/programming-guides/encoding): a field is
its number and its kind of value as one integer, then the value; integers are written seven bits a byte, the
least first, and texts, messages and packed lists with their length before them.

    message Profile {
      repeated ValueType sample_type = 1; repeated Sample sample = 2; repeated Location location = 4;
      repeated Function function = 5; repeated string string_table = 6; int64 time_nanos = 9;
      int64 duration_nanos = 10; ValueType period_type = 11; int64 period = 12; }
    message ValueType { int64 type = 1; int64 unit = 2; }  // indexes of the string table
    message Sample { repeated uint64 location_id = 1; repeated int64 value = 2; }  // innermost first
    message Location { uint64 id = 1; repeated Line line = 4; }
    message Line { uint64 function_id = 1; int64 line = 2; }
    message Function { uint64 id = 1; int64 name = 2; int64 system_name = 3; int64 filename = 4; }
"""

import gzip
from collections.abc import Iterable
from typing import Final

from longline.profiling.speedscope import parts
from longline.profiling.weighted import Weighted

MEDIA_TYPE: Final = "application/octet-stream"

_VARINT: Final = 0
_LENGTH: Final = 2


def pprof(profile: Weighted, *, at: int, seconds: float, rate: int = 0) -> bytes:
    """A file of one profile that was begun `at` (ms). `rate`: samples a second, where it is of these."""
    texts: dict[str, int] = {"": 0}  # the first is empty, by the format

    def text(word: str) -> int:
        return texts.setdefault(word, len(texts))

    functions: dict[tuple[str, str], int] = {}
    locations: dict[str, int] = {}
    written = bytearray()
    kinds = [(profile.what if profile.unit != "samples" else "samples", _unit(profile.unit))]
    if rate:
        kinds.append(("cpu", "nanoseconds"))  # what pprof shows unless asked for another
    for kind, unit in kinds:
        written += _message(1, _integer(1, text(kind)) + _integer(2, text(unit)))
    for frames, weight in profile.stacks:
        ids = [locations.setdefault(frame, len(locations) + 1) for frame in reversed(frames)]
        values = [weight, weight * 1_000_000_000 // rate] if rate else [weight]
        written += _message(2, _packed(1, ids) + _packed(2, values))
    for frame, id in locations.items():
        name, file, line = parts(frame)
        function = functions.setdefault((name, file), len(functions) + 1)
        written += _message(4, _integer(1, id) + _message(4, _integer(1, function) + _integer(2, line)))
    for (name, file), id in functions.items():
        fields = _integer(1, id) + _integer(2, text(name)) + _integer(3, text(name)) + _integer(4, text(file))
        written += _message(5, fields)
    period = b""
    if rate:
        period = _message(11, _integer(1, text("cpu")) + _integer(2, text("nanoseconds")))
        period += _integer(12, 1_000_000_000 // rate)
    for word in texts:
        written += _message(6, word.encode())
    written += _integer(9, at * 1_000_000) + _integer(10, round(seconds * 1e9)) + period
    return gzip.compress(bytes(written), mtime=0)


def _unit(unit: str) -> str:
    return "count" if unit in ("samples", "tasks") else unit


def _varint(value: int) -> bytes:
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def _integer(field: int, value: int) -> bytes:
    return _varint(field << 3 | _VARINT) + _varint(value)


def _message(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | _LENGTH) + _varint(len(data)) + data


def _packed(field: int, values: Iterable[int]) -> bytes:
    return _message(field, b"".join(map(_varint, values)))
