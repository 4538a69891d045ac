"""What a device keeps in its file: whatever becomes of the process, the file and the disk."""

import errno
import os
from pathlib import Path

import pytest

from longline.sdk import state as module
from longline.sdk.state import DeviceMemory, FoundEndpoints


def opened(path: Path) -> DeviceMemory:
    state = DeviceMemory(path)
    state.open()
    return state


def test_what_was_learnt_is_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "state"
    state = opened(path)
    state.was_handled("", "m1")
    first, second = state.post("up/a", b"\x00one"), state.post("up/b", b"two")
    state.settled(first.number)
    state.learn_endpoints("home", FoundEndpoints((("host", 1883),), 1e9))
    state.learn_idle("home", 42.0)
    state.close()
    again = opened(path)
    assert list(again.handled) == [("", "m1")]
    assert list(again.outbox.values()) == [second]
    assert again.waiting == second.size
    assert again.found == {"home": FoundEndpoints((("host", 1883),), 1e9)}
    assert again.idle == {"home": 42.0}
    assert again.post("up/c", b"").number > second.number
    assert path.stat().st_mode & 0o077 == 0


def test_wherever_a_process_was_killed_the_lines_before_are_whole_and_those_after_too(tmp_path: Path) -> None:
    path = tmp_path / "state"
    state = opened(path)
    for number in range(3):
        state.post("up/x", b"%d" % number)
    state.close()
    written = path.read_bytes()
    for cut in range(len(written) + 1):
        path.write_bytes(written[:cut])
        state = opened(path)
        kept = [each.payload for each in state.outbox.values()]
        assert kept == [b"0", b"1", b"2"][: len(kept)]
        assert len(kept) >= written[:cut].count(b"\n")
        state.post("up/x", b"later")
        state.close()
        again = opened(path)
        assert [each.payload for each in again.outbox.values()] == [*kept, b"later"]
        again.close()


@pytest.mark.parametrize(
    "line",
    [b"7", b"[]", b"{}", b'{"p":[1]}', b'{"p":["x","t","!"]}', b'{"n":["a","b",[["h"]]]}', b"\xff\x00"],
)
def test_a_line_that_says_nothing_is_passed_over(line: bytes, tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_bytes(line + b'\n{"h":["","m1"]}\n')
    state = opened(path)
    assert list(state.handled) == [("", "m1")]
    assert (state.outbox, state.found) == ({}, {})


def test_the_file_stays_small_and_holds_what_is_worth_keeping(tmp_path: Path) -> None:
    path = tmp_path / "state"
    state = opened(path)
    kept = state.post("up/x", b"kept")
    for number in range(20_000):
        state.was_handled("", f"m{number}")
    assert path.stat().st_size < 5 * module.LEAST
    state.close()
    again = opened(path)
    assert list(again.outbox.values()) == [kept]
    assert list(again.handled) == [("", f"m{number}") for number in range(19_000, 20_000)]
    assert [each.name for each in tmp_path.iterdir()] == ["state"]


def test_a_full_disk_costs_what_was_not_promised_and_refuses_what_would_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state"
    state = opened(path)
    state.was_handled("", "m1")
    write = os.write

    def full(file: int, data: bytes) -> int:
        if len(data) > 5:
            write(file, data[:5])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    state.was_handled("", "m2")
    assert ("", "m2") in state.handled
    with pytest.raises(OSError, match="No space"):
        state.post("up/x", b"lost")
    assert state.outbox == {}
    monkeypatch.undo()
    state.post("up/x", b"kept")
    state.close()
    again = opened(path)
    assert [each.payload for each in again.outbox.values()] == [b"kept"]
    assert ("", "m1") in again.handled


def test_networks_are_bounded() -> None:
    state = DeviceMemory()
    for number in range(100):
        state.learn_idle(f"n{number}", 1.0)
    assert list(state.idle) == [f"n{number}" for number in range(84, 100)]
