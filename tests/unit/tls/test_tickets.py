"""Keys of session tickets: shared by the processes of a host, and gone after two days."""

import itertools
from pathlib import Path

import pytest

from longline.tls import tickets
from longline.tls.tickets import FILE, PERIOD, SLACK, TicketKeys, read

NOW = 1_800_000_000


class Host:
    """Processes that share a folder and a clock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = float(NOW)

    def process(self) -> TicketKeys:
        keys = TicketKeys(self.folder, lambda: self.now)
        keys.look()
        return keys


def test_the_processes_of_a_host_have_the_same_keys_in_a_file_that_only_they_read(tmp_path: Path) -> None:
    host = Host(tmp_path / "data")
    first, second = host.process(), host.process()
    assert first.current == second.current
    assert first.former is None
    assert len(first.current.secret) == 80
    assert first.current.name == first.current.secret[:16]
    assert (host.folder / FILE).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in host.folder.iterdir()] == [FILE]


def test_a_key_is_used_for_a_day_good_for_another_and_then_gone(tmp_path: Path) -> None:
    host = Host(tmp_path)
    process = host.process()
    first = process.current
    host.now += PERIOD
    process.look()
    second = process.current
    assert second != first
    assert process.former == first
    host.now += PERIOD
    process.look()
    assert process.former == second
    assert first.secret.hex() not in (tmp_path / FILE).read_text()
    assert host.process().current == process.current


def test_a_key_is_in_the_file_a_day_before_it_is_used(tmp_path: Path) -> None:
    """So a process that has not looked for hours changes to it at the same moment as the others."""
    host = Host(tmp_path)
    one, other = host.process(), host.process()
    host.now += PERIOD
    assert one.current == other.current  # neither has looked
    one.look()
    assert one.current == other.current
    assert one.former == other.former


def test_after_days_of_rest_there_are_new_keys(tmp_path: Path) -> None:
    host = Host(tmp_path)
    before = host.process().current
    host.now += 10 * PERIOD
    process = host.process()
    assert process.former is None
    assert process.current != before
    assert process.current.since == int(host.now) - SLACK


def test_a_clock_that_was_set_back_finds_a_key_all_the_same(tmp_path: Path) -> None:
    host = Host(tmp_path)
    process = host.process()
    host.now -= 100 * PERIOD
    assert len(process.current.secret) == 80
    process.look()
    assert process.current.since <= host.now
    assert len(read(tmp_path / FILE)) == 2


def test_a_file_that_holds_no_keys_is_replaced(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"\xff\xfe\n12 abc\nx y\n7 " + b"00" * 80 + b"\n")
    host = Host(tmp_path)
    assert host.process().current == host.process().current
    assert len(read(tmp_path / FILE)) == 2


def test_where_nothing_can_be_written_a_process_has_keys_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("no folder")
    host = Host(tmp_path / "data")
    one, other = host.process(), host.process()
    assert one.current != other.current
    host.now += PERIOD
    before = one.current
    one.look()
    assert one.former is not None
    assert one.current == before


def test_without_a_folder_keys_are_a_process_s_own_and_change_too() -> None:
    now = float(NOW)
    keys = TicketKeys(None, lambda: now)
    keys.look()
    first = keys.current
    now += PERIOD
    keys.look()
    assert keys.former == first


def test_of_processes_that_start_together_the_first_ones_keys_are_everybodys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between a look at what is there and its own file in its place, another process may have been faster."""
    host = Host(tmp_path)
    theirs = host.process()
    real = tickets.read
    looks = itertools.count()  # there was none at the first; and when we came with ours, there was
    monkeypatch.setattr(tickets, "read", lambda path: real(path) if next(looks) else [])
    monkeypatch.setattr(Path, "exists", lambda path: False)
    mine = host.process()
    assert mine.current == theirs.current
