"""What a device keeps in its file: whatever becomes of the process, the file and the disk."""

import asyncio
import errno
import os
import stat
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from longline.sdk import state_file as module
from longline.sdk.state import DeviceMemory, FoundEndpoints


async def opened(path: Path) -> DeviceMemory:
    state = DeviceMemory(path)
    await state.open()
    return state


async def test_what_was_learnt_is_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "state"
    state = await opened(path)
    await state.was_handled("", "m1")
    first, second = await state.post("up/a", b"\x00one"), await state.post("up/b", b"two")
    state.settled(first.number)
    state.learn_endpoints("home", FoundEndpoints((("host", 1883),), 1e9))
    state.learn_idle("home", 42.0)
    await state.close()
    again = await opened(path)
    assert list(again.handled) == [("", "m1")]
    assert list(again.outbox.values()) == [second]
    assert again.waiting == second.size
    assert again.found == {"home": FoundEndpoints((("host", 1883),), 1e9)}
    assert again.idle == {"home": 42.0}
    assert (await again.post("up/c", b"")).number > second.number
    assert path.stat().st_mode & 0o077 == 0


async def test_wherever_a_process_was_killed_the_lines_before_are_whole_and_those_after_too(
    tmp_path: Path,
) -> None:
    path = tmp_path / "state"
    state = await opened(path)
    for number in range(3):
        await state.post("up/x", b"%d" % number)
    await state.close()
    written = path.read_bytes()
    for cut in range(len(written) + 1):
        path.write_bytes(written[:cut])
        state = await opened(path)
        kept = [each.payload for each in state.outbox.values()]
        assert kept == [b"0", b"1", b"2"][: len(kept)]
        assert len(kept) >= written[:cut].count(b"\n")
        await state.post("up/x", b"later")
        await state.close()
        again = await opened(path)
        assert [each.payload for each in again.outbox.values()] == [*kept, b"later"]
        await again.close()


@pytest.mark.parametrize(
    "line",
    [b"7", b"[]", b"{}", b'{"p":[1]}', b'{"p":["x","t","!"]}', b'{"n":["a","b",[["h"]]]}', b"\xff\x00"],
)
async def test_a_line_that_says_nothing_is_passed_over(line: bytes, tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_bytes(line + b'\n{"h":["","m1"]}\n')
    state = await opened(path)
    assert list(state.handled) == [("", "m1")]
    assert (state.outbox, state.found) == ({}, {})


async def test_the_file_stays_small_and_holds_what_is_worth_keeping(tmp_path: Path) -> None:
    path = tmp_path / "state"
    state = await opened(path)
    kept = await state.post("up/x", b"kept")
    for first in range(0, 20_000, 100):
        handled = (state.was_handled("", f"m{number}") for number in range(first, first + 100))
        await asyncio.gather(*handled)
    assert path.stat().st_size < 5 * module.LEAST
    await state.close()
    again = await opened(path)
    assert list(again.outbox.values()) == [kept]
    assert list(again.handled) == [("", f"m{number}") for number in range(19_000, 20_000)]
    assert os.listdir(tmp_path) == ["state"]


async def test_a_full_disk_costs_what_was_not_promised_and_refuses_what_would_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state"
    state = await opened(path)
    await state.was_handled("", "m1")
    write = os.write

    def full(file: int, data: bytes) -> int:
        if len(data) > 5:
            write(file, data[:5])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    await state.was_handled("", "m2")
    assert ("", "m2") in state.handled
    with pytest.raises(OSError, match="No space"):
        await state.post("up/x", b"lost")
    assert state.outbox == {}
    monkeypatch.undo()
    await state.post("up/x", b"kept")
    await state.close()
    again = await opened(path)
    assert [each.payload for each in again.outbox.values()] == [b"kept"]
    assert ("", "m1") in again.handled


@pytest.mark.parametrize("refused", ["all but the end of the line", "to make it safe"])
async def test_what_was_refused_is_not_there_after_a_restart(
    refused: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would reach the server although its sender was told that it would not, and sends it again."""
    path = tmp_path / "state"
    state = await opened(path)
    await state.post("up/x", b"kept")
    write = os.write

    def full(file: int, data: bytes = b"") -> int:
        if data:
            write(file, data[:-1])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write" if refused.startswith("all") else "fsync", full)
    with pytest.raises(OSError, match="No space"):
        await state.post("up/x", b"refused")
    await state.close()
    monkeypatch.undo()
    again = await opened(path)
    assert [each.payload for each in again.outbox.values()] == [b"kept"]
    await again.close()


DISK = ("open", "write", "fsync", "replace", "ftruncate")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What was asked of the disk, and by which thread."""
    found: list[tuple[str, int]] = []

    def watched(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def asking(*given: Any, **named: Any) -> Any:
            of = name
            if name == "fsync" and stat.S_ISDIR(os.fstat(given[0]).st_mode):
                of = "fsync of the folder"
            found.append((of, threading.get_ident()))
            return call(*given, **named)

        return asking

    for name in DISK:
        monkeypatch.setattr(os, name, watched(name, getattr(os, name)))
    return found


async def test_the_loop_never_waits_for_the_disk(tmp_path: Path, asked: list[tuple[str, int]]) -> None:
    """Whatever is remembered, and when the file is written anew."""
    state = await opened(tmp_path / "state")
    for number in range(20):
        await state.was_handled("", f"m{number}")
        state.settled((await state.post("up/x", bytes(20_000))).number)
    state.learn_idle("home", 42.0)
    await state.close()
    counted = Counter(name for name, _ in asked)
    assert counted["write"] > 40
    assert counted["fsync"] > 20
    assert counted["replace"] > 0
    assert threading.get_ident() not in {thread for _, thread in asked}


async def test_a_file_is_safe_before_it_takes_the_place_of_another(
    tmp_path: Path, asked: list[tuple[str, int]]
) -> None:
    """A host that crashes then has one of the two, whole: what was posted is promised to survive that."""
    state = await opened(tmp_path / "state")
    await state.post("up/x", b"kept")
    for _ in range(10):
        state.settled((await state.post("up/x", bytes(20_000))).number)
    await state.close()
    names = [name for name, _ in asked]
    assert names[:2] == ["open", "open"]  # the file, and its folder
    assert names[2] == "fsync of the folder"
    replaced = names.index("replace")
    assert names[replaced - 3 : replaced + 3] == [
        *("open", "write", "fsync"),
        *("replace", "open", "fsync of the folder"),
    ]


async def test_what_waits_is_written_at_once(tmp_path: Path, asked: list[tuple[str, int]]) -> None:
    state = await opened(tmp_path / "state")
    posts = [state.post("up/x", b"%d" % number) for number in range(100)]
    await asyncio.gather(*posts)
    await state.close()
    assert Counter(name for name, _ in asked)["fsync"] <= 2
    again = await opened(tmp_path / "state")
    assert [each.payload for each in again.outbox.values()] == [b"%d" % number for number in range(100)]
    await again.close()


async def test_networks_are_bounded() -> None:
    state = DeviceMemory()
    for number in range(100):
        state.learn_idle(f"n{number}", 1.0)
    assert list(state.idle) == [f"n{number}" for number in range(84, 100)]
