"""Random valid sequences of packets of several clients, at two rooms, against a small model of a broker.

`LONGLINE_MODEL_SEQUENCES` says how many sequences are tried with each store; with
`LONGLINE_MODEL_SHRINK` one that fails is made short.
"""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model.machine import Clients
from tests.model.stand import STORES, standing

SEQUENCES = int(os.environ.get("LONGLINE_MODEL_SEQUENCES", "15"))
SHRINKING = "LONGLINE_MODEL_SHRINK" in os.environ  # which takes minutes, with rooms that live
PHASES = [Phase.generate, Phase.shrink] if SHRINKING else [Phase.generate]


@pytest.mark.timeout(0 if SEQUENCES > 100 else 600)
@pytest.mark.parametrize("store", list(STORES))
def test_clients_get_what_the_specifications_say_and_nothing_else(store: str, tmp_path: Path) -> None:
    """Both versions of the protocol side by side, whichever room each client is at."""
    with standing(store, tmp_path) as stand:
        ran = 0

        class Counted(Clients):
            def teardown(self) -> None:
                nonlocal ran
                super().teardown()
                ran += 1

        Counted.stand = stand
        run_state_machine_as_test(
            Counted,
            settings=settings(
                max_examples=SEQUENCES,
                stateful_step_count=25,
                suppress_health_check=[*HealthCheck],
                print_blob=False,
                phases=PHASES,
            ),
        )
        print(f"{store}: {ran} sequences without a mismatch")
