"""A fault of one item is counted each time, logged once, and ends nothing."""

import pytest
import structlog
from structlog.testing import capture_logs

from longline.telemetry import faults as module
from longline.telemetry.collector import NodeCollector
from longline.telemetry.faults import KINDS, Faults


def raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:
        return caught


def test_each_is_counted_and_the_first_of_its_kind_is_logged() -> None:
    faults = Faults()
    with capture_logs() as logs:
        for number in range(3):
            faults.note("room.commands", raised(ValueError(number)))
    assert faults.counts == {"room.commands": 3}
    assert [(entry["event"], entry["place"], str(entry["exc_info"])) for entry in logs] == [
        ("fault", "room.commands", "0")
    ]


def test_another_place_kind_or_line_is_another_fault() -> None:
    faults = Faults()
    with capture_logs() as logs:
        faults.note("a", raised(ValueError()))
        faults.note("b", raised(ValueError()))
        faults.note("a", raised(KeyError()))
        try:
            raise ValueError
        except ValueError as error:
            faults.note("a", error)
        faults.note("a", ValueError("never raised"))
    assert len(logs) == 5
    assert faults.counts == {"a": 4, "b": 1}


def test_no_more_kinds_are_remembered_or_logged_than_there_may_be() -> None:
    faults = Faults()
    with capture_logs() as logs:
        for number in range(KINDS + 10):
            faults.note(f"place-{number}", ValueError())
    assert len(logs) == KINDS
    assert sum(faults.counts.values()) == KINDS + 10


def test_a_log_that_cannot_be_written_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*event: object) -> str:
        raise OSError("no space left on device")

    monkeypatch.setattr(module, "log", structlog.wrap_logger(None, processors=[full]))
    faults = Faults()
    faults.note("room.turn", ValueError())
    assert faults.counts == {"room.turn": 1, "telemetry.log": 1}


def test_metrics_tell_them_by_place() -> None:
    faults = Faults()
    collector = NodeCollector(compiled=False)
    collector.tally("faults", "Contained faults.", "place", faults.counts)
    faults.note("coordinator.presence", ValueError())
    faults.note("coordinator.presence", ValueError())
    assert b'longline_faults_total{place="coordinator.presence"} 2.0\n' in collector.exposition()
