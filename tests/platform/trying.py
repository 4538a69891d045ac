"""Sequences of the machine, as many as are asked for, on one stand."""

import os
import time
from typing import Final

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.platform.machine import Platform
from tests.platform.stand import Stand

SHRINKING: Final = "LONGLINE_PLATFORM_SHRINK" in os.environ  # which takes minutes, with a node that lives
PHASES: Final = [Phase.generate, Phase.shrink] if SHRINKING else [Phase.generate]
STEPS: Final = 20
TOLD: Final = 50  # sequences between two lines of how far it is


class Tried:
    """Counts sequences and messages. `run` fails with what the machine finds."""

    def __init__(self, stand: Stand) -> None:
        self._stand = stand
        self._began = time.monotonic()
        self.sequences = 0
        self.messages = 0

    def run(self, many: int, *, slow: bool) -> None:
        """Tries so many sequences."""
        tried = self

        class Counted(Platform):
            def teardown(self) -> None:
                super().teardown()
                tried.sequences += 1
                tried.messages += sum(len(side.expected.sent) for side in self.sides())
                if tried.sequences % TOLD == 0:
                    print(tried, flush=True)

        Counted.stand, Counted.slow = self._stand, slow
        run_state_machine_as_test(
            Counted,
            settings=settings(
                max_examples=many,
                stateful_step_count=STEPS,
                suppress_health_check=[*HealthCheck],
                print_blob=False,
                deadline=None,
                phases=PHASES,
                database=None,
            ),
        )

    def __str__(self) -> str:
        took = time.monotonic() - self._began
        return (
            f"{self.sequences} sequences, {self.messages} messages, {self._stand.restarts} restarts, "
            f"{took:.0f} s"
        )
