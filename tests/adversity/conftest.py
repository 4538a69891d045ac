"""What the rounds have seen is worth reading also when they pass: it is printed after the results."""

import os
import random
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from longline.bench.dialling import raise_file_limit
from tests.adversity.hostile import Site, a_site

CONNECTIONS = 5000  # that this process may have
LINES = pytest.StashKey[list[str]]()


@pytest.fixture
def rounds() -> int:
    """How often: LONGLINE_ROUNDS, 10 unless set."""
    return int(os.environ.get("LONGLINE_ROUNDS", "10"))


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


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """A node for hostile peers, one for all tests of a file."""
    raise_file_limit(CONNECTIONS)
    async with a_site(tmp_path_factory.mktemp("hostile")) as site:
        yield site


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    lines = config.stash.get(LINES, [])
    if lines:
        terminalreporter.section("adversity")
        for line in lines:
            terminalreporter.line(line)
