"""What changed from one profile to another."""

import pytest

from longline.errors import ProfilesDiffer
from longline.profiling.comparing import compare, function_of
from longline.profiling.content import (
    Content,
    CpuContent,
    GrowingPlace,
    HeapContent,
    LockUse,
    LoopContent,
    QueueDepth,
    QueuesContent,
    Stack,
    Stall,
    TaskContent,
    TasksOfKind,
    Waits,
)

NOTHING = Waits(0, 0.0, 0.0, [])


def cpu(**stacks: int) -> CpuContent:
    """Samples by function, each at its line."""
    return CpuContent(
        samples=sum(stacks.values()),
        rate=20,
        native=True,
        by="py-spy",
        stacks=[Stack(["main (app.py:1)", f"{name} (app.py:9)"], count) for name, count in stacks.items()],
    )


def test_what_grew_most_comes_first_and_what_shrank_most_last() -> None:
    found = compare(cpu(read=50, write=50), cpu(read=30, write=30, slow=40))
    assert [change.frame for change in found] == ["slow (app.py)", "read (app.py)", "write (app.py)"]
    assert (found[0].base_share, found[0].share) == (0.0, 0.4)
    assert (found[1].base_share, found[1].share) == (0.5, 0.3)


def test_lines_that_moved_are_no_change_and_the_later_one_is_told() -> None:
    base = CpuContent(samples=4, rate=20, native=True, by="py-spy", stacks=[Stack(["read (app.py:9)"], 4)])
    later = CpuContent(
        samples=4,
        rate=20,
        native=True,
        by="py-spy",
        stacks=[Stack(["read (app.py:12)"], 1), Stack(["read (app.py:13)"], 3)],
    )
    (change,) = compare(base, later)
    assert change == ("read (app.py)", 1.0, 1.0, "read (app.py:13)")


@pytest.mark.parametrize(
    ("frames", "function"),
    [
        (["main (app.py:1)", "sum (app.py:2)"], "sum (app.py:2)"),
        (["main (app.py:1)", "long_add (longobject.c:3)", "? (libc.so.6)"], "main (app.py:1)"),
        (
            ["main (app.py:1)", "codec.Decoder.feed (compiled)", "malloc (libc.so.6)"],
            "codec.Decoder.feed (compiled)",
        ),
        (["clone (libc.so.6)", "uv_run (core.c:4)"], "uv_run (core.c:4)"),
        ([], "?"),
    ],
)
def test_what_runs_in_c_is_the_doing_of_whose_source_called_it(frames: list[str], function: str) -> None:
    assert function_of(frames) == function


def heap(**places: int) -> HeapContent:
    return HeapContent(
        bytes=sum(places.values()),
        process_bytes=0,
        places=[GrowingPlace(f"{name}.py:1", size, size, 1) for name, size in places.items()],
    )


def tasks(**kinds: int) -> TaskContent:
    return TaskContent(kinds=[TasksOfKind(name, count, 1.0, "?") for name, count in kinds.items()])


def loop(**stalls: float) -> LoopContent:
    told = [Stall("", seconds, [f"{name} (app.py:1)"], 0.0) for name, seconds in stalls.items()]
    return LoopContent(stalls=told, lag=NOTHING, gc=NOTHING)


def waits(lock: int, **queues: float) -> QueuesContent:
    used = LockUse(
        name="Overview._lock",
        waiting=[0, lock],
        held=[1, 1],
        longest_wait=0.0,
        longest_hold=0.0,
        waiters=[],
        holders=[],
    )
    depths = [QueueDepth(name, [0.0, depth]) for name, depth in queues.items()]
    return QueuesContent(at=[0.0, 1.0], queues=depths, locks=[used])


@pytest.mark.parametrize(
    ("base", "later", "first"),
    [
        (heap(a=90, b=10), heap(a=10, b=90), "b.py:1"),
        (tasks(a=9, b=1), tasks(a=1, b=9), "b"),
        (loop(a=0.9, b=0.1), loop(a=0.1, b=0.9), "b (app.py)"),
        (cpu(), cpu(b=1), "b (app.py)"),
        (waits(1, a=9.0), waits(1, a=9.0, b=5.0), "b"),
        (waits(1, a=9.0), waits(9, a=9.0), "Overview._lock"),
    ],
)
def test_every_kind_can_be_compared(base: Content, later: Content, first: str) -> None:
    assert compare(base, later)[0].frame == first


def test_bytes_of_what_waits_are_not_weighed_against_how_much_waits() -> None:
    found = compare(waits(1, waiting=1.0), waits(1, waiting=1.0, waiting_bytes=1e9))
    assert [(change.frame, change.share) for change in found] == [("Overview._lock", 0.5), ("waiting", 0.5)]


def test_different_kinds_cannot() -> None:
    with pytest.raises(ProfilesDiffer):
        compare(heap(), tasks())


def test_there_is_a_bound_on_what_is_told() -> None:
    many = cpu(**{f"f{n}": 1 for n in range(3000)})
    assert len(compare(cpu(), many)) == 1000
