"""The fuzz of the codec as a test: LONGLINE_FUZZ_SECONDS seconds, two unless set."""

import os
import random

import pytest

from tests.fuzz.codec_fuzz import run


@pytest.mark.fuzz
def test_no_bytes_make_the_codec_raise_or_keep_memory() -> None:
    seconds = float(os.environ.get("LONGLINE_FUZZ_SECONDS", "2"))
    seed = random.randrange(1 << 32)
    report = run(seconds, seed)
    blocks = f"{report.blocks_before} → {report.blocks_after}"
    print(f"{report.inputs} inputs, {report.packets} packets, {report.faults} faults, blocks {blocks}")
    assert not report.failures, (seed, report.failures)
    assert not report.grown, (seed, report.blocks_before, report.blocks_after)
    assert report.packets
    assert report.faults
