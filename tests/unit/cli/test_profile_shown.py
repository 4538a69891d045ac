"""What a person sees of a profile."""

import pytest

from longline.cli.profiles import _show
from longline.profiling.content import AtLock, LockUse, QueueDepth, QueuesContent


def test_of_queues_and_locks_least_most_and_last_are_shown_and_who_is_at_a_lock(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lock = LockUse(
        name="Desk.turn",
        waiting=[0, 3, 2],
        held=[1, 1, 1],
        longest_wait=0.5,
        longest_hold=1.5,
        waiters=[AtLock("request", "want (desk.py:9)", 5)],
        holders=[AtLock("holder", "hold (desk.py:3)", 3)],
    )
    queues = [QueueDepth("saver_write_queue", [4.0, 90.0, 7.0]), QueueDepth("bus_waiting", [0.0, 0.0, 0.0])]
    _show(QueuesContent(at=[0.0, 0.1, 0.2], queues=queues, locks=[lock]))
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["saver_write_queue", "4", "90", "7"] in rows
    assert ["Desk.turn:", "wait", "0", "3", "2", "request", "at", "want", "(desk.py:9)"] in rows
    assert ["Desk.turn:", "hold", "1", "1", "1", "holder", "at", "hold", "(desk.py:3)"] in rows
    assert not any("bus_waiting" in row for row in rows), "nothing ever waited there"
