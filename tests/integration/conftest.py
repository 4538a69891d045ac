"""A node for tests that need every role together and no process of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.integration.live_node import LiveNode


@pytest_asyncio.fixture
async def node(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[LiveNode]:
    """A node on the test's loop; parametrize it indirectly with a dict of settings by dotted name."""
    async with LiveNode(tmp_path / "data", getattr(request, "param", None)) as node:
        yield node
