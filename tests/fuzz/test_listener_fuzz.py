"""The fuzz of a live listener as a test: LONGLINE_FUZZ_SECONDS seconds, three unless set."""

import os
import random
from pathlib import Path

import pytest

from tests.fuzz.listener_fuzz import attack


@pytest.mark.fuzz
async def test_no_bytes_disturb_a_node_or_stay_in_its_memory(tmp_path: Path) -> None:
    seconds = float(os.environ.get("LONGLINE_FUZZ_SECONDS", "3"))
    seed = random.randrange(1 << 32)
    report = await attack(seconds, seed, tmp_path / "data")
    print(report)
    assert not report.failures, (seed, report.failures)
    assert not report.grown, (seed, report.memory_before, report.memory_after)
    assert report.connections
    assert report.answers
    assert report.pushes
