"""Connections leave files for everything else, and a process that has none to spare says so, seldom."""

import asyncio
import errno
import os
import resource
import sys

import pytest

from longline.node import files
from longline.node.files import LEAST_RESERVE, Files, claim, make_room
from longline.settings import RoomSettings


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The process's soft and hard limit, the latest last, which a test may set."""
    known = [(1024, 4096)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: known[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: known.append(limits))
    return known


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    events: list[str] = []
    monkeypatch.setattr(files.log, "error", lambda event, **_: events.append(event))
    monkeypatch.setattr(files.log, "warning", lambda event, **_: events.append(event))
    return events


@pytest.mark.parametrize(
    ("limit", "wanted", "claimed"),
    [
        ((1024, 4096), 500, 1024),
        ((1024, 4096), 2000, 2000),
        ((1024, 4096), 10_000, 4096),
        ((1024, resource.RLIM_INFINITY), 10_000, 10_000),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), 10_000, 10_000),
    ],
)
def test_as_many_files_as_connections_are_claimed_within_the_hard_limit(
    limits: list[tuple[int, int]], limit: tuple[int, int], wanted: int, claimed: int
) -> None:
    limits.append(limit)
    assert claim(wanted) == claimed
    assert limits[-1][1] == limit[1]


def test_devices_leave_a_reserve_of_the_files_and_it_is_told(
    limits: list[tuple[int, int]], told: list[str]
) -> None:
    room = Files(1_000_000).within(RoomSettings(max_connections=1_000_000))
    assert room.max_connections == 4096 - LEAST_RESERVE
    assert told == ["connections_limited"]
    limits.append((4096, 10_000_000))
    room = Files(1_000_000).within(RoomSettings(max_connections=900_000))
    assert room.max_connections == 900_000
    assert Files(1_000_000).connections == 1_000_000
    assert told == ["connections_limited"]


def test_a_host_that_allows_hardly_any_files_still_lets_somebody_in(limits: list[tuple[int, int]]) -> None:
    limits.append((32, 32))
    assert Files(100).within(RoomSettings()).max_connections == 1


def test_a_process_without_a_file_to_spare_says_so_once_a_minute(
    monkeypatch: pytest.MonkeyPatch, told: list[str]
) -> None:
    now = 0.0
    files_ = Files(1, clock=lambda: now)
    files_.look()
    assert (files_.exhausted, told) == (0, [])

    def none_left(*_: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "open", none_left)
    for _ in range(100):
        files_.look()
    assert (files_.exhausted, told) == (100, ["open_files_exhausted"])
    now += 61
    files_.look()
    assert told == ["open_files_exhausted"] * 2
    assert files_.statistics()["exhausted"] == 101


async def test_what_asyncio_tells_of_connections_that_it_could_not_accept_is_told_once(
    told: list[str],
) -> None:
    """It tells of every single one, up to a backlog's worth a second."""
    files_ = Files(1)
    loop = asyncio.get_running_loop()
    passed: list[dict[str, object]] = []
    loop.set_exception_handler(files_.heard)
    try:
        for _ in range(1000):
            loop.call_exception_handler(
                {"message": "", "exception": OSError(errno.EMFILE, "Too many open files")}
            )
    finally:
        loop.set_exception_handler(None)
    assert (files_.exhausted, told) == (1000, ["open_files_exhausted"])

    class Other:
        def default_exception_handler(self, context: dict[str, object]) -> None:
            passed.append(context)

    other: dict[str, object] = {"message": "something else"}
    files_.heard(Other(), other)  # type: ignore[arg-type]
    assert passed == [other]


TABLE = """
from longline.node.files import AHEAD, Files

def table():
    with open("/proc/self/status") as status:
        return int(dict(line.split(":", 1) for line in status)["FDSize"])

files = Files(4000)
print(table() >= min(files.limit, AHEAD))
"""


async def test_there_is_room_for_all_files_before_anybody_connects() -> None:
    """Where there was not, the loop stood still for up to 0.2 s when the 256th, 512th, 1024th … came."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", TABLE, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert out == b"True\n"


def test_a_table_that_cannot_be_that_large_is_left_as_it_is() -> None:
    make_room(1 << 31)
    with open(os.devnull) as file:
        assert file.fileno() > 0
