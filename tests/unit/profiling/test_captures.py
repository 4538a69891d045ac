"""Profiles of the process that the tests run in."""

import asyncio
import os
import stat
import threading
import time
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from longline.errors import ProfileFailed, ProfileUnderWay
from longline.profiling import cpu, heap, sampling
from longline.profiling.captures import Captures
from longline.profiling.content import CpuContent, HeapContent, QueuesContent
from longline.telemetry.loop import GcPauses
from longline.telemetry.tasks import TaskWatch
from tests.waiting import until, wait_until


@pytest.fixture
async def captures() -> AsyncIterator[Captures]:
    captures = Captures(GcPauses(), lambda: {"saver_write_queue": 3.0}, TaskWatch(time.monotonic))
    captures.start()
    yield captures
    captures.close()


def script(folder: Path, text: str) -> str:
    """A program in the place of py-spy."""
    path = folder / "py-spy"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def burn(ended: threading.Event) -> None:
    while not ended.is_set():
        sum(range(1000))


def test_what_may_not_look_is_told_with_a_remedy(tmp_path: Path) -> None:
    said = "Error: Permission Denied: Try running again with elevated permissions"
    content, told = cpu.take(1, threading.Event(), script(tmp_path, f'echo "{said}" >&2; exit 1'))
    assert (content.native, content.by) == (False, "thread")
    assert content.limitation is not None
    assert content.limitation.code == "no_ptrace"
    assert "SYS_PTRACE" in content.limitation.hint
    assert said in told


def test_what_a_filter_of_system_calls_ends_is_refused_too(tmp_path: Path) -> None:
    content, _ = cpu.take(1, threading.Event(), script(tmp_path, "kill -SYS $$"))
    assert content.limitation is not None
    assert content.limitation.code == "no_ptrace"


def test_what_fails_otherwise_is_told_too(tmp_path: Path) -> None:
    content, told = cpu.take(1, threading.Event(), script(tmp_path, "exit 3"))
    assert content.limitation is not None
    assert content.limitation.code == "py_spy_failed"
    assert told == "it ended with 3"
    content, told = cpu.take(1, threading.Event(), None)
    assert content.limitation is not None
    assert content.limitation.code == "no_py_spy"


def test_py_spy_gets_nothing_of_ours_that_may_be_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LONGLINE_ADMIN_KEY", "a-secret")
    seen = tmp_path / "seen"
    cpu.take(1, threading.Event(), script(tmp_path, f'{{ env; echo "$@"; }} > {seen}'))
    told = seen.read_text()
    assert f"--pid {os.getpid()}" in told
    assert "a-secret" not in told


def test_what_py_spy_writes_is_read(tmp_path: Path) -> None:
    text = "while [ $# -gt 1 ]; do shift; done; echo 'main (app.py:3);work (app.py:9) 17' > $1"
    content, told = cpu.take(1, threading.Event(), script(tmp_path, text))
    assert (content.native, content.by, content.samples, told) == (True, "py-spy", 17, "")
    assert content.stacks[0].frames == ["main (app.py:3)", "work (app.py:9)"]


def test_whoever_ends_does_not_wait_for_py_spy(tmp_path: Path) -> None:
    ended = threading.Event()
    ended.set()
    with pytest.raises(ProfileFailed):
        cpu.take(60, ended, script(tmp_path, "exec sleep 1000"))


def test_a_thread_that_works_is_seen_and_one_that_waits_is_not() -> None:
    ended, over = threading.Event(), threading.Event()
    threads = [threading.Thread(target=burn, args=(ended,)), threading.Thread(target=over.wait)]
    for thread in threads:
        thread.start()
    try:
        counted = sampling.sample(1.0, 20, threading.Event())
    finally:
        ended.set()
        over.set()
        for thread in threads:
            thread.join()
    stacks = [" ".join(frames) for frames in counted]
    assert any("burn (" in stack for stack in stacks)
    assert not any("Event.wait (" in stack for stack in stacks)


def test_what_grows_is_found_by_its_place() -> None:
    ended = threading.Event()
    kept: list[bytes] = []

    def grow() -> None:
        while not ended.wait(0.005):
            kept.append(bytes(1000))
            bytes(100_000)  # comes and goes

    def found() -> HeapContent | None:
        """A profile, unless the machine left the thread too little of a processor."""
        content = heap.take(1.0, threading.Event())
        assert not content.ended_early
        enough = any(place.blocks >= 10 and place.grown > 10_000 for place in content.places)
        return content if enough else None

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        content = wait_until(found, "ten blocks in half a second")
    finally:
        ended.set()
        thread.join()
    assert not tracemalloc.is_tracing()
    assert content.places[0].place.startswith("test_captures.py:")
    assert content.places[0].grown > 10_000
    assert content.process_bytes > content.bytes


def test_a_heap_with_too_much_in_it_is_looked_at_before_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap, "MAX_TRACES_BYTES", 0)
    assert heap.take(60.0, threading.Event()).ended_early


def test_what_is_traced_already_is_left_alone() -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ProfileUnderWay):
            heap.take(1.0, threading.Event())
        assert tracemalloc.is_tracing()
    finally:
        tracemalloc.stop()


async def test_one_is_taken_at_a_time_and_the_next_afterwards(captures: Captures) -> None:
    first = asyncio.create_task(captures.take("heap", 1))
    await until(tracemalloc.is_tracing)
    with pytest.raises(ProfileUnderWay):
        await captures.take("tasks", 1)
    assert isinstance(await first, HeapContent)
    await captures.take("tasks", 1)
    assert captures.statistics()["taken"] == 2


async def test_queues_are_those_that_the_process_names(captures: Captures) -> None:
    content = await captures.take("queues", 1)
    assert isinstance(content, QueuesContent)
    assert [(queue.name, set(queue.depth)) for queue in content.queues] == [("saver_write_queue", {3.0})]


async def test_who_may_not_go_on_ends_early(captures: Captures) -> None:
    asked: list[bool] = []

    async def going_on() -> bool:
        asked.append(True)
        return len(asked) < 2

    content = await captures.take("heap", 60, going_on)
    assert isinstance(content, HeapContent)
    assert content.ended_early
    assert len(asked) == 2


async def test_who_is_cancelled_leaves_nothing_behind(captures: Captures) -> None:
    taking = asyncio.create_task(captures.take("heap", 60))
    await until(tracemalloc.is_tracing)
    taking.cancel()
    await asyncio.gather(taking, return_exceptions=True)
    assert not tracemalloc.is_tracing()


async def test_py_spy_looks_into_this_process(captures: Captures) -> None:
    if cpu.find_py_spy() is None:
        pytest.skip("there is no py-spy")
    ended = threading.Event()
    thread = threading.Thread(target=burn, args=(ended,))
    thread.start()
    try:
        content = await captures.take("cpu", 2)
    finally:
        ended.set()
        thread.join()
    assert isinstance(content, CpuContent)
    if content.limitation is not None and content.limitation.code == "no_ptrace":
        pytest.skip("tracing is not allowed here")
    assert content.native
    assert content.threads[0].name == thread.name
    assert any(
        frame.startswith("burn (test_captures.py:") for each in content.stacks for frame in each.frames
    )


async def test_the_process_may_end_while_one_is_taken(captures: Captures) -> None:
    taking = asyncio.create_task(captures.take("heap", 60))
    await until(tracemalloc.is_tracing)
    captures.close()
    content = await taking
    assert isinstance(content, HeapContent)
    assert content.ended_early
