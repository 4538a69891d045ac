"""A node for tests that need every role together in one process, and a server of the shape asked for."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.cluster.cluster import Cluster
from tests.integration.live_node import LiveNode
from tests.integration.shapes import Server, emptied, started


@pytest_asyncio.fixture
async def node(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[LiveNode]:
    """A node on the test's loop; parametrize it indirectly with a dict of settings by dotted name."""
    async with LiveNode(tmp_path / "data", getattr(request, "param", None)) as node:
        yield node


@pytest_asyncio.fixture
async def server(shape: str, cluster: Cluster | None, tmp_path: Path) -> AsyncIterator[Server]:
    """A server without apps."""
    if cluster is not None:
        yield cluster
        await emptied(cluster)
        return
    async with started(shape, tmp_path) as server:
        yield server
