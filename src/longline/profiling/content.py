"""What is in a profile, by kind, and how it is packed.

Frames are texts, `function (file:line)`, outermost first. Files are named from their package on, such as
`longline/room/room.py`: where something is installed is nobody's business.
"""

import zlib
from collections.abc import Iterable
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from longline.errors import ProfileUnreadable
from longline.model.profiles import ProfileKind

MAX_STACKS: Final = 4000  # of a profile; samples of rarer ones are counted in `left_out`
MAX_FRAMES: Final = 128  # of a stack: those in the middle go
MAX_FRAME: Final = 200  # characters
MAX_PLACES: Final = 500  # of a heap profile
MAX_KINDS: Final = 500  # of tasks
MAX_THREADS: Final = 32
MAX_BYTES: Final = 4 * 1024 * 1024  # of a content as JSON

Frame = Annotated[
    str, Meta(description="Function, file and line.", examples=["Room.start (longline/room/room.py:210)"])
]


class Stack(Struct, frozen=True):
    """Where the process was, and in how many samples. `frames`: outermost first."""

    frames: list[Frame]
    samples: int


class ThreadTime(Struct, frozen=True):
    """A thread, and for how many seconds it had a processor meanwhile, by the kernel's clock."""

    name: Annotated[str, Meta(examples=["MainThread", "saver-write"])]
    seconds: float


class Limitation(Struct, frozen=True):
    """What keeps a profile from showing all that it could, and what to do about it."""

    code: Annotated[str, Meta(description="`no_py_spy`, `no_ptrace` or `py_spy_failed`.")]
    message: str
    hint: str


class CpuContent(Struct, frozen=True, kw_only=True, tag="cpu", tag_field="kind", omit_defaults=True):
    """Where the process used its processor: threads that wait are left out."""

    samples: Annotated[int, Meta(description="In all.")]
    rate: Annotated[int, Meta(description="Samples a second.")]
    native: Annotated[
        bool, Meta(description="Functions of compiled modules and of libraries in C are among the frames.")
    ]
    by: Annotated[str, Meta(description="What took the samples: `py-spy`, or a `thread` of the process.")]
    stacks: Annotated[list[Stack], Meta(description="The most frequent first.")]
    threads: Annotated[
        list[ThreadTime],
        Meta(
            description="The busiest first. Samples are of the thread that has the interpreter's lock: what "
            "others do without it, such as reading from a disk, is in their time alone."
        ),
    ] = []
    left_out: Annotated[int, Meta(description="Samples of stacks for which there was no room.")] = 0
    limitation: Annotated[Limitation | None, Meta(description="Why it is not `native`.")] = None


class GrowingPlace(Struct, frozen=True):
    """A place that allocates."""

    place: Annotated[str, Meta(description="File and line.", examples=["longline/room/room.py:210"])]
    bytes: Annotated[int, Meta(description="Allocated since the beginning and alive at the end.")]
    grown: Annotated[
        int, Meta(description="Of these, more than at half time: what only comes and goes has no part in it.")
    ]
    blocks: Annotated[int, Meta(description="Allocations alive at the end.")]


class HeapContent(Struct, frozen=True, kw_only=True, tag="heap", tag_field="kind", omit_defaults=True):
    """What was allocated while it was traced, and stayed. Memory from before, and that of C, is not in it."""

    bytes: Annotated[int, Meta(description="Allocated since the beginning and alive at the end.")]
    process_bytes: Annotated[int, Meta(description="Resident memory of the process at the end.")]
    places: Annotated[list[GrowingPlace], Meta(description="What grew most first.")]
    ended_early: Annotated[
        bool, Meta(description="As many allocations were alive as one can look at without harm.")
    ] = False


class TasksOfKind(Struct, frozen=True):
    """The tasks of one name."""

    name: Annotated[str, Meta(description="Numbers in it are `*`.", examples=["node.reconciler"])]
    count: int
    oldest_seconds: Annotated[
        float, Meta(description="Since the oldest was first seen; they are looked at every ten seconds.")
    ]
    where: Annotated[str, Meta(description="Where most of them wait: the innermost frame of Longline.")]


class TaskContent(Struct, frozen=True, kw_only=True, tag="tasks", tag_field="kind", omit_defaults=True):
    """The tasks alive on the event loop."""

    kinds: Annotated[list[TasksOfKind], Meta(description="Those with most tasks first.")]
    left_out: Annotated[int, Meta(description="Tasks of names for which there was no room.")] = 0


class Stall(Struct, frozen=True):
    """The event loop was late. `stack`: what ran in its thread then, outermost first."""

    at: Annotated[str, Meta(description="When it was noticed.", examples=["2026-03-01T12:00:00.000Z"])]
    seconds: Annotated[float, Meta(description="How long the loop stood still, at least.")]
    stack: list[Frame]
    gc_seconds: Annotated[float, Meta(description="Of these, for the garbage collector.")]


class WaitsUpTo(Struct, frozen=True):
    """How many were at most so many seconds."""

    seconds: Annotated[str, Meta(description="`+Inf` for all.", examples=["0.005"])]
    count: int


class Waits(Struct, frozen=True):
    """A distribution of seconds."""

    count: int
    total: float
    highest: float
    buckets: list[WaitsUpTo]


class LoopContent(Struct, frozen=True, kw_only=True, tag="loop", tag_field="kind", omit_defaults=True):
    """What held up the event loop."""

    stalls: Annotated[
        list[Stall], Meta(description="The latest first, also from before: a process remembers some.")
    ]
    lag: Annotated[Waits, Meta(description="How much later than asked for the loop woke somebody.")]
    gc: Annotated[Waits, Meta(description="Pauses of the garbage collector.")]
    forgotten: Annotated[int, Meta(description="Stalls for which there was no room.")] = 0


class QueueDepth(Struct, frozen=True):
    """A queue, and what was in it at each look: the figure of this name."""

    name: Annotated[str, Meta(examples=["saver_write_queue"])]
    depth: list[float]


class AtLock(Struct, frozen=True):
    """Tasks of one name at a lock, all at one line, and in how many looks."""

    task: Annotated[str, Meta(description="Numbers in it are `*`.", examples=["center.figures"])]
    where: Annotated[str, Meta(description="The innermost frame of Longline.")]
    looks: int


class LockUse(Struct, frozen=True, kw_only=True):
    """A lock, or all of one name: how many tasks waited for it and held it at each look, and who they were.

    `longest_wait` and `longest_hold` in seconds: for how long the same task was seen to.
    """

    name: Annotated[
        str,
        Meta(description="The attribute that it is in.", examples=["center.figures.overview.Overview._lock"]),
    ]
    waiting: list[int]
    held: list[int]
    longest_wait: float
    longest_hold: float
    waiters: Annotated[list[AtLock], Meta(description="The most frequent first.")]
    holders: Annotated[list[AtLock], Meta(description="The most frequent first, and what they were at.")]


class QueuesContent(Struct, frozen=True, kw_only=True, tag="queues", tag_field="kind", omit_defaults=True):
    """How full the queues were, and who waited for locks. Each series has a value for each look."""

    at: Annotated[list[float], Meta(description="When it looked: seconds since the beginning.")]
    queues: list[QueueDepth]
    locks: Annotated[
        list[LockUse],
        Meta(description="Those that were held or waited for in a look, the most waited for first."),
    ]
    left_out: Annotated[int, Meta(description="Tasks that it had no time to look at, at once.")] = 0


Content = CpuContent | HeapContent | TaskContent | LoopContent | QueuesContent

_decoder: msgspec.json.Decoder[Content] = msgspec.json.Decoder(Content)


def pack(content: Content) -> bytes:
    """A content for the store: JSON, deflated. What is over `MAX_BYTES` gives up its rarest stacks."""
    data = msgspec.json.encode(content)
    while len(data) > MAX_BYTES and isinstance(content, CpuContent):
        kept = content.stacks[: len(content.stacks) // 2]
        lost = sum(stack.samples for stack in content.stacks[len(kept) :])
        content = msgspec.structs.replace(content, stacks=kept, left_out=content.left_out + lost)
        data = msgspec.json.encode(content)
    return zlib.compress(data, 6)


def unpack(packed: bytes) -> Content:
    """The content that was packed. Raises `ProfileUnreadable`."""
    try:
        inflating = zlib.decompressobj()
        data = inflating.decompress(packed, 2 * MAX_BYTES)
        return _decoder.decode(data)
    except (zlib.error, msgspec.MsgspecError) as error:
        raise ProfileUnreadable(f"the profile cannot be read: {error}") from None


def kind_of(content: Content) -> ProfileKind:
    """Of which kind it is."""
    match content:
        case CpuContent():
            return "cpu"
        case HeapContent():
            return "heap"
        case TaskContent():
            return "tasks"
        case LoopContent():
            return "loop"
        case QueuesContent():
            return "queues"


def bounded_stacks(counted: Iterable[tuple[tuple[str, ...], int]]) -> tuple[list[Stack], int]:
    """The most frequent stacks, each within its bound, and how many samples the others have."""
    ranked = sorted(counted, key=lambda item: (-item[1], item[0]))
    kept = [Stack(bounded_frames(frames), samples) for frames, samples in ranked[:MAX_STACKS]]
    return kept, sum(samples for _, samples in ranked[MAX_STACKS:])


def bounded_frames(frames: Iterable[str]) -> list[str]:
    """A stack that has no more frames than it may, and none that is longer than it may be."""
    cut = [frame if len(frame) <= MAX_FRAME else f"{frame[: MAX_FRAME - 1]}…" for frame in frames]
    if len(cut) <= MAX_FRAMES:
        return cut
    half = MAX_FRAMES // 2
    return [*cut[: half - 1], "…", *cut[-half:]]
