"""A server for each module, of the shape asked for, and the clients of a test."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.cluster.cluster import Cluster
from tests.conformance.broker import NAMES, Broker, Clients, live_node, with_app
from tests.integration.shapes import emptied


@pytest.fixture(scope="module")
def broker(cluster: Cluster | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A server with an app of the module's own."""
    if cluster is not None:
        yield with_app(cluster)
        asyncio.run(emptied(cluster))
        return
    with live_node(tmp_path_factory.mktemp("node") / "data") as node:
        yield with_app(node)


@pytest.fixture
def clients(broker: Broker) -> Iterator[Clients]:
    clients = Clients(broker)
    yield clients
    clients.close()


@pytest.fixture
def topic() -> str:
    """One that no other test has."""
    return f"topic{next(NAMES)}"
