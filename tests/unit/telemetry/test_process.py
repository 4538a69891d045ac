"""What the kernel says of the process."""

import resource
import time
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, ProcessCollector

from longline.telemetry import process
from longline.telemetry.process import ProcessFigures


def test_the_figures_are_those_of_prometheus() -> None:
    """By the same names, of the same types and texts, and with what its own client finds."""
    expected = {family.name: family for family in ProcessCollector(registry=CollectorRegistry()).collect()}
    found = {family.name: family for family in ProcessFigures().families()}
    assert found.keys() == expected.keys()
    for name, family in found.items():
        assert (family.type, family.documentation) == (expected[name].type, expected[name].documentation)
        assert [each.name for each in family.samples] == [each.name for each in expected[name].samples]
    for name in ("process_start_time_seconds", "process_max_fds"):
        assert found[name].samples[0].value == expected[name].samples[0].value


def test_open_files_memory_and_processor_time_are_those_of_this_moment(tmp_path: Path) -> None:
    figures = ProcessFigures()
    before = figures.read()
    files = [(tmp_path / str(n)).open("w") for n in range(10)]
    taken = bytearray(b"x") * 50_000_000
    after = figures.read()
    for file in files:
        file.close()
    assert after["process_open_fds"] - before["process_open_fds"] == 10
    assert after["process_resident_memory_bytes"] - before["process_resident_memory_bytes"] > len(taken) / 2
    assert after["process_virtual_memory_bytes"] > after["process_resident_memory_bytes"]
    assert before["process_cpu_seconds"] < after["process_cpu_seconds"] <= time.process_time()
    assert after["process_max_fds"] == resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def test_files_that_have_to_be_counted_are_counted_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before Linux 6.2, in a thousandth of the time."""
    clock, counts = [0.0], [3, 7]

    def count() -> int:
        clock[0] += 0.5
        return counts.pop(0)

    def open_files(now: float) -> float:
        clock[0] = now
        return figures.read()["process_open_fds"]

    monkeypatch.setattr(process, "told_files", lambda: 0)
    monkeypatch.setattr(process, "counted_files", count)
    figures = ProcessFigures(clock=lambda: clock[0])
    assert [open_files(now) for now in (0.0, 1.0, 499.0, 501.0)] == [3, 3, 3, 7]


def test_a_process_that_can_open_no_file_tells_how_many_it_has() -> None:
    figures = ProcessFigures()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = figures.read()
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        found = figures.read()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert found["process_open_fds"] == before["process_open_fds"]
    assert found["process_max_fds"] == 3
    assert before.keys() - found.keys() == {"process_resident_memory_bytes", "process_virtual_memory_bytes"}


def test_where_there_is_no_proc_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.path.isdir", lambda path: False)
    assert ProcessFigures().read() == {}
