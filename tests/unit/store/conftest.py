"""Servers and stores for the tests of the store."""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from longline.settings import StoreSettings
from longline.store.redis import Store
from tests.servers.redis_server import RedisCluster, RedisServer
from tests.servers.shared import KINDS, shared

Open = Callable[..., Coroutine[Any, Any, Store]]


@pytest.fixture(params=sorted(KINDS))
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer | RedisCluster]:
    """A server of each kind, empty."""
    with shared(request.param) as server:
        yield server


@pytest.fixture
async def open_store() -> AsyncIterator[Open]:
    """Opens stores, given a URL and settings, and closes them after the test."""
    async with AsyncExitStack() as stack:

        async def open_store(url: str, **settings: object) -> Store:
            chosen = msgspec.structs.replace(StoreSettings(url=url), **settings)
            store = await Store.open(chosen)
            stack.push_async_callback(store.close)
            return store

        yield open_store


@pytest.fixture
async def store(server: RedisServer | RedisCluster, open_store: Open) -> Store:
    """A store on a server of each kind."""
    return await open_store(server.url)


@pytest.fixture
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Short enough for a Unix socket in it."""
    return tmp_path_factory.mktemp("s")
