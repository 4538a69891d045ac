"""The soak drives a node, and says of all memory whose it is."""

import subprocess
import sys
from pathlib import Path

from benchmarks.soak import Mark, largest, table
from benchmarks.weighing import Weights, held_by

from longline.flow.lru import LruCache
from longline.room.wire.wheel import Wheel
from longline.telemetry.faults import Faults

ROOT = Path(__file__).parents[3]
MIB = 1 << 20


def test_what_a_cache_holds_counts_for_whose_cache_it_is() -> None:
    class Owner:
        """Stands for one of ours."""

        def __init__(self) -> None:
            self.cache: LruCache[int, bytes] = LruCache(10)

    Owner.__module__ = "longline.somewhere"
    owner = Owner()
    owner.cache.put(1, bytes(50_000))
    kinds, counts = held_by([owner])
    assert kinds.keys() == {"somewhere." + Owner.__qualname__}
    assert 50_000 < sum(kinds.values()) < 60_000
    assert sum(counts.values()) == 1


def test_one_of_ours_that_another_holds_counts_for_itself() -> None:
    faults = Faults()
    faults.counts.add("x" * 10_000)
    holder = Wheel()
    kinds, counts = held_by([holder, faults, {"held": faults}])
    assert counts["room.wire.wheel.Wheel"] == counts["telemetry.faults.Faults"] == 1
    assert 10_000 < kinds["telemetry.faults.Faults"] < 20_000
    assert counts["dict, held by none of ours"] == 1


def test_the_table_names_the_largest_and_how_fast_they_grow() -> None:
    weights = Weights({}, {}, 0, 0, 0, 0, 0)
    marks = [Mark(seconds, 0, weights, {}) for seconds in (0.0, 600.0, 1200.0)]
    rows = largest([{"b": MIB, "a": 0}, {"b": MIB, "a": MIB}, {"b": MIB, "a": 6 * MIB}])
    assert list(rows) == ["a", "b", "all others"]
    assert table("what", marks, rows).splitlines()[2:] == [
        "| a | 0.00 | 1.00 | 6.00 | +0.50 |",
        "| b | 1.00 | 1.00 | 1.00 | +0.00 |",
        "| all others | 0.00 | 0.00 | 0.00 | +0.00 |",
    ]


def test_a_short_soak_prints_all_tables() -> None:
    few = ("--devices", "4", "--connects", "4", "--pushes", "20", "--batch", "2", "--publications", "20")
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks.soak",
            "--seconds",
            "1",
            *few,
            "--",
            "--saver.cache_bytes",
            "4194304",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    for title in ("memory, MiB", "Python objects by holder, MiB", "database, MiB"):
        assert f"| {title} |" in ran.stdout
    for row in ("resident", "SQLite", "room.wire.wheel.Wheel", "all others"):
        assert f"\n| {row} |" in ran.stdout
