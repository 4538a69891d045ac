"""What the rounds have seen is worth reading also when they pass: it is printed after the results."""

import os
import random
from collections.abc import Callable

import pytest

LINES = pytest.StashKey[list[str]]()


@pytest.fixture
def rounds() -> int:
    """How often to kill: LONGLINE_ROUNDS, 50 unless set."""
    return int(os.environ.get("LONGLINE_ROUNDS", "50"))


@pytest.fixture
def chance(tell: Callable[[str], None]) -> random.Random:
    """Randomness that can be had again: LONGLINE_SEED repeats a run's choices, if not its timing."""
    seed = int(os.environ.get("LONGLINE_SEED") or random.SystemRandom().randrange(1 << 32))
    tell(f"seed {seed}")
    return random.Random(seed)


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Adds a line to what is printed at the end."""
    lines = request.config.stash.setdefault(LINES, [])
    return lambda line: lines.append(f"{request.node.name}: {line}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    lines = config.stash.get(LINES, [])
    if lines:
        terminalreporter.section("adversity")
        for line in lines:
            terminalreporter.line(line)
