"""The machine finds a node that forgets a duty. It takes minutes: `LONGLINE_PLATFORM_FAULTS` has it tried."""

import os
from pathlib import Path

import pytest

from tests.platform.planted import FAULTS
from tests.platform.stand import standing
from tests.platform.trying import Tried

SEQUENCES = 400  # in which a fault is to be found; most are in ten
FOUND = (AssertionError, ExceptionGroup)  # or a group of such where a sequence finds several, or another time


@pytest.mark.skipif("LONGLINE_PLATFORM_FAULTS" not in os.environ, reason="a minute for each fault")
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str, tmp_path: Path) -> None:
    with standing("sqlite", tmp_path, fault) as stand:
        tried = Tried(stand)
        with pytest.raises(FOUND) as found:
            tried.run(SEQUENCES, slow=False)
        print(f"{fault}: after {tried}: {str(found.value).partition(chr(10))[0][:300]}")
