"""What is in a profile: packed and unpacked, and bounded."""

import zlib

import msgspec
import pytest

from longline.errors import ProfileUnreadable
from longline.profiling.content import (
    MAX_BYTES,
    MAX_FRAME,
    MAX_FRAMES,
    MAX_STACKS,
    AtLock,
    Content,
    CpuContent,
    GrowingPlace,
    HeapContent,
    Limitation,
    LockUse,
    LoopContent,
    QueueDepth,
    QueuesContent,
    Stack,
    TaskContent,
    TasksOfKind,
    Waits,
    bounded_frames,
    bounded_stacks,
    kind_of,
    pack,
    unpack,
)

CONTENTS: dict[str, Content] = {
    "cpu": CpuContent(
        samples=3,
        rate=20,
        native=False,
        by="thread",
        stacks=[Stack(["main (app.py:3)"], 3)],
        limitation=Limitation("no_py_spy", "it is not there", "put it there"),
    ),
    "heap": HeapContent(bytes=5, process_bytes=9, places=[GrowingPlace("app.py:3", 5, 2, 1)]),
    "tasks": TaskContent(kinds=[TasksOfKind("node.files", 1, 2.5, "run (app.py:3)")]),
    "loop": LoopContent(stalls=[], lag=Waits(0, 0.0, 0.0, []), gc=Waits(0, 0.0, 0.0, [])),
    "queues": QueuesContent(
        at=[0.0, 0.1],
        queues=[QueueDepth("saver_write_queue", [0.0, 5.0])],
        locks=[
            LockUse(
                name="center.figures.overview.Overview._lock",
                waiting=[0, 3],
                held=[1, 1],
                longest_wait=0.0,
                longest_hold=0.1,
                waiters=[
                    AtLock("center.request", "Overview.problems (longline/center/figures/overview.py:60)", 3)
                ],
                holders=[],
            )
        ],
        left_out=2,
    ),
}


@pytest.mark.parametrize("kind", CONTENTS)
def test_what_is_packed_is_unpacked(kind: str) -> None:
    content = CONTENTS[kind]
    assert unpack(pack(content)) == content
    assert kind_of(content) == kind


@pytest.mark.parametrize(
    "packed",
    [b"", b"nonsense", zlib.compress(b"{}"), zlib.compress(b'{"kind":"later"}'), pack(CONTENTS["cpu"])[:9]],
)
def test_what_another_version_wrote_is_refused(packed: bytes) -> None:
    with pytest.raises(ProfileUnreadable):
        unpack(packed)


def test_a_profile_that_would_be_too_large_gives_up_its_rarest_stacks() -> None:
    frames = ["f" * MAX_FRAME] * MAX_FRAMES
    stacks = [Stack([*frames, str(n)], 100 - n // 100) for n in range(1000)]
    total = sum(stack.samples for stack in stacks)
    content = CpuContent(samples=total, rate=20, native=True, by="py-spy", stacks=stacks)
    kept = unpack(pack(content))
    assert isinstance(kept, CpuContent)
    assert len(msgspec.json.encode(kept)) <= MAX_BYTES
    assert kept.stacks == stacks[: len(kept.stacks)]
    assert sum(stack.samples for stack in kept.stacks) + kept.left_out == total


def test_the_most_frequent_stacks_are_kept_and_the_others_counted() -> None:
    counted = [((f"f{n}",), n) for n in range(1, MAX_STACKS + 3)]
    stacks, left_out = bounded_stacks(counted)
    assert len(stacks) == MAX_STACKS
    assert stacks[0] == Stack([f"f{MAX_STACKS + 2}"], MAX_STACKS + 2)
    assert left_out == 1 + 2


def test_of_a_deep_stack_both_ends_are_kept() -> None:
    frames = [f"f{n}" for n in range(1000)]
    kept = bounded_frames(frames)
    assert len(kept) <= MAX_FRAMES
    assert (kept[0], kept[-1]) == ("f0", "f999")
    assert bounded_frames(["x" * 1000]) == ["x" * (MAX_FRAME - 1) + "…"]
