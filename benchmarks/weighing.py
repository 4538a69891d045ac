"""What holds how much memory in a node, by kind, while it serves.

    python -m benchmarks.weighing REPORT --data DIR --room.port 1884 …

Runs a node as `longline serve` does. At SIGUSR2 it forks, and the child goes through every Python object and
writes what it found to the file REPORT as JSON, so that neither the time nor the memory that this takes is
the node's. An object counts for the nearest of our objects that holds it: a message in a queue for the queue,
an entry of a cache for whose cache it is.
"""

import asyncio
import ctypes
import gc
import os
import re
import signal
import sys
import types
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import apsw
import msgspec

from longline.cli.flags import load_settings
from longline.node.embedded import embedded
from longline.node.loop import loop_factory
from longline.node.running import run
from longline.telemetry import logs

LONGEST: Final = 300  # s that a weighing may take
OURS: Final = "longline."
# What is held by others rather than holding something of its own: it counts for whoever has it.
HELD: Final = ("longline.flow.", "longline.model.", "longline.errors", "longline.telemetry.counters")
# Code, and what belongs to it.
CODE: Final = (
    types.ModuleType,
    type,
    types.FunctionType,
    types.BuiltinFunctionType,
    types.CodeType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
)


class Weights(msgspec.Struct, frozen=True):
    """Bytes. `kinds`: Python objects by who holds them; `counts`: how many of those holders there are.

    `sqlite` is what SQLite has allocated, its page caches above all. `python_free` and `malloc_free` are held
    by the two allocators and used by nobody.
    """

    kinds: dict[str, int]
    counts: dict[str, int]
    sqlite: int
    python_used: int
    python_free: int
    malloc_used: int
    malloc_free: int


class _Mallinfo(ctypes.Structure):
    """mallinfo2(3)."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def weigh(sqlite: int) -> Weights:
    """Weighs this process. To be called in a child: it leaves the collector's state behind it."""
    gc.unfreeze()
    kinds, counts = held_by(gc.get_objects())
    python_used, python_free = _python_allocator()
    malloc = _malloc()
    return Weights(
        kinds,
        counts,
        sqlite,
        python_used,
        python_free,
        malloc.uordblks + malloc.hblkhd,
        malloc.fordblks,
    )


def held_by(everything: list[object]) -> tuple[dict[str, int], dict[str, int]]:
    """Bytes of these and of all that they hold, by kind of holder, and how many of each kind there are."""
    kinds: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    seen = {id(kinds), id(counts), id(everything)}
    seen.add(id(seen))
    for thing in everything:
        if holds(thing) and id(thing) not in seen:
            kind = f"{type(thing).__module__.removeprefix(OURS)}.{type(thing).__qualname__}"
            counts[kind] += 1
            kinds[kind] += _claim(thing, seen)
    for thing in everything:
        if id(thing) not in seen and not isinstance(thing, CODE):
            kind = f"{type(thing).__qualname__}, held by none of ours"
            counts[kind] += 1
            kinds[kind] += _claim(thing, seen)
    return dict(kinds), dict(counts)


def holds(thing: object) -> bool:
    """Whether it is one of ours that others count for."""
    module = str(type(thing).__module__)  # of a class that was made by hand it can be anything
    return module.startswith(OURS) and not module.startswith(HELD)


def _claim(holder: object, seen: set[int]) -> int:
    """The bytes of this and of all that it holds and nobody has claimed yet; other holders count apart."""
    size = 0
    things = [holder]
    while things:
        thing = things.pop()
        if id(thing) in seen or isinstance(thing, CODE) or (holds(thing) and thing is not holder):
            continue
        seen.add(id(thing))
        size += sys.getsizeof(thing, 0)
        things.extend(gc.get_referents(thing))
        if isinstance(thing, dict):
            things.extend(thing)  # keys that are texts are none of the collector's business
    return size


def _python_allocator() -> tuple[int, int]:
    """Bytes in use and free in the arenas of Python's own allocator, as it tells at the level of C."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    os.dup2(writing, 2)
    sys._debugmallocstats()
    os.close(writing)
    os.close(2)
    said = b""
    while part := os.read(reading, 65_536):
        said += part
    arenas = _number(rb"^# arenas allocated current += +([\d,]+)$", said)
    each = _number(rb"^\d+ arenas \* (\d+) bytes/arena", said)
    used = _number(rb"^# bytes in allocated blocks += +([\d,]+)$", said)
    return used, arenas * each - used


def _number(pattern: bytes, said: bytes) -> int:
    found = re.search(pattern, said, re.MULTILINE)
    return int(found[1].replace(b",", b"")) if found else 0


def _malloc() -> _Mallinfo:
    mallinfo = ctypes.CDLL(None).mallinfo2
    mallinfo.restype = _Mallinfo
    info = mallinfo()
    assert isinstance(info, _Mallinfo)
    return info


def write_weights(report: Path) -> None:
    """Leaves the weights of this process in `report`, a moment later, by the work of a child."""
    sqlite, _ = apsw.status(apsw.SQLITE_STATUS_MEMORY_USED)  # here: one of its locks may be held at the fork
    if os.fork():
        return
    status = 1
    try:
        signal.alarm(LONGEST)
        weights = msgspec.json.encode(weigh(sqlite))
        part = report.with_suffix(".part")
        part.write_bytes(weights)
        part.rename(report)
        status = 0
    finally:
        os._exit(status)


def main(arguments: Iterable[str]) -> int:
    """Runs the node until SIGTERM."""
    report, *overrides = arguments
    settings = load_settings(None, None, tuple(overrides)).settings
    logs.configure(settings.node.log_level, settings.node.log_format)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that weigh
    with asyncio.Runner(loop_factory=loop_factory(settings.node.loop)) as runner:
        runner.get_loop().add_signal_handler(signal.SIGUSR2, write_weights, Path(report))
        return runner.run(run(embedded(settings), lambda _: None))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
