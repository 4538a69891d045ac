"""Profiles as other tools read them."""

import gzip
from collections import defaultdict

import msgspec

from longline.profiling.content import (
    AtLock,
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
from longline.profiling.pprof import pprof
from longline.profiling.speedscope import parts, speedscope
from longline.profiling.weighted import Weighted, weighted

CPU = CpuContent(
    samples=300,
    rate=20,
    native=True,
    by="py-spy",
    stacks=[
        Stack(["main (app.py:3)", "work (app.py:9)"], 299),
        Stack(["main (app.py:3)", "work (app.py:12)", "? (libc.so.6)"], 1),
    ],
)

Fields = dict[int, list[int | bytes]]


def fields(data: bytes) -> Fields:
    """A message of Protocol Buffers, decoded by the rules of the format alone."""
    found: Fields = defaultdict(list)
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = varint()
        number, kind = key >> 3, key & 7
        assert kind in (0, 2)
        if kind == 0:
            found[number].append(varint())
        else:
            length = varint()
            found[number].append(data[at : at + length])
            at += length
    assert at == len(data)
    return found


def messages(of: Fields, number: int) -> list[Fields]:
    return [fields(each) for each in of[number] if isinstance(each, bytes)]


def packed(data: int | bytes) -> list[int]:
    """The integers of a packed field, as those of a message with one of them each."""
    assert isinstance(data, bytes)
    numbers, value, shift = [], 0, 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(value)
            value = shift = 0
    return numbers


def test_a_file_for_pprof_says_what_the_profile_does() -> None:
    profile = fields(gzip.decompress(pprof(weighted(CPU), at=1_800_000_000_123, seconds=15.0, rate=20)))
    texts = [text.decode() for text in profile[6] if isinstance(text, bytes)]
    assert texts[0] == "", "by the format"

    def text(index: int | bytes) -> str:
        assert isinstance(index, int)
        return texts[index]

    kinds = [(text(kind[1][0]), text(kind[2][0])) for kind in messages(profile, 1)]
    assert kinds == [("samples", "count"), ("cpu", "nanoseconds")]
    functions = {each[1][0]: (text(each[2][0]), text(each[4][0])) for each in messages(profile, 5)}
    locations = {}
    for each in messages(profile, 4):
        (line,) = messages(each, 4)
        locations[each[1][0]] = (*functions[line[1][0]], line[2][0])
    samples = [
        ([locations[id] for id in packed(each[1][0])], packed(each[2][0])) for each in messages(profile, 2)
    ]
    main = ("main", "app.py", 3)
    assert samples == [
        ([("work", "app.py", 9), main], [299, 299 * 50_000_000]),
        ([("?", "libc.so.6", 0), ("work", "app.py", 12), main], [1, 50_000_000]),
    ], "innermost first"
    assert len(functions) == 3, "one for each function, whatever its lines"
    assert (profile[9], profile[10], profile[12]) == (
        [1_800_000_000_123_000_000],
        [15_000_000_000],
        [50_000_000],
    )
    (period,) = messages(profile, 11)
    assert (text(period[1][0]), text(period[2][0])) == ("cpu", "nanoseconds")


def test_a_file_for_speedscope_says_what_the_profile_does() -> None:
    told = msgspec.json.decode(speedscope(weighted(CPU), "room-1"))
    assert told["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    (profile,) = told["profiles"]
    frames = told["shared"]["frames"]
    assert frames[0] == {"name": "main", "file": "app.py", "line": 3}
    named = [[frames[index]["name"] for index in sample] for sample in profile["samples"]]
    assert named == [["main", "work"], ["main", "work", "?"]], "outermost first"
    assert profile["weights"] == [299, 1]
    assert (profile["type"], profile["unit"]) == ("sampled", "none")
    assert (profile["startValue"], profile["endValue"]) == (0, 300)


def test_every_kind_is_stacks_with_weights() -> None:
    nothing = Waits(0, 0.0, 0.0, [])
    assert weighted(
        HeapContent(bytes=5, process_bytes=9, places=[GrowingPlace("app.py:3", 5, 2, 1)])
    ) == Weighted("heap", "bytes", [(["app.py:3"], 5)])
    assert weighted(TaskContent(kinds=[TasksOfKind("node.files", 4, 2.5, "run (app.py:3)")])) == Weighted(
        "tasks", "tasks", [(["node.files", "run (app.py:3)"], 4)]
    )
    stall = Stall("", 0.25, ["main (app.py:3)"], 0.0)
    assert weighted(LoopContent(stalls=[stall], lag=nothing, gc=nothing)) == Weighted(
        "stalls", "milliseconds", [(["main (app.py:3)"], 250)]
    )
    used = LockUse(
        name="Overview._lock",
        waiting=[2],
        held=[1],
        longest_wait=0.0,
        longest_hold=0.0,
        waiters=[AtLock("center.request", "problems (app.py:3)", 2)],
        holders=[AtLock("center.request", "look (app.py:9)", 1)],
    )
    queue = QueueDepth("saver_write_queue", [5.0])
    assert weighted(QueuesContent(at=[0.0], queues=[queue], locks=[used])) == Weighted(
        "waits", "looks", [(["Overview._lock", "center.request", "problems (app.py:3)"], 2)]
    )


def test_frames_come_in_parts() -> None:
    assert parts("Room.start (longline/room/room.py:210)") == ("Room.start", "longline/room/room.py", 210)
    assert parts("f (g) (h.py:1)") == ("f (g)", "h.py", 1)
    assert parts("codec.Decoder.feed (compiled)") == ("codec.Decoder.feed", "compiled", 0)
    assert parts("…") == ("…", "", 0)
