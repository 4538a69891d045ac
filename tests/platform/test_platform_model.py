"""What was promised is delivered, or told why not, whatever app servers and devices do, in any order.

`LONGLINE_PLATFORM_SEQUENCES` says how many sequences are tried with each store, `LONGLINE_PLATFORM_SLOW` how
many in which time passes, and the node is killed or stopped; with `LONGLINE_PLATFORM_SHRINK` one that fails
is made short.
"""

import os
from pathlib import Path

import pytest

from tests.platform.stand import standing
from tests.platform.trying import Tried

SEQUENCES = int(os.environ.get("LONGLINE_PLATFORM_SEQUENCES", "12"))
SLOW = int(os.environ.get("LONGLINE_PLATFORM_SLOW", str(SEQUENCES // 25)))


@pytest.mark.timeout(600 + 60 * (SEQUENCES + SLOW))
@pytest.mark.parametrize("store", ["sqlite", "redis"])
def test_every_message_is_accounted_for_after_every_step(store: str, tmp_path: Path) -> None:
    """The ledger balances, an audit finds nothing, order holds, nothing is lost."""
    with standing(store, tmp_path) as stand:
        tried = Tried(stand)
        for many, slow in ((SEQUENCES, False), (SLOW, True)):
            if many:
                tried.run(many, slow=slow)
        assert stand.differences(None) == []
        print(f"{store}: {tried}")
