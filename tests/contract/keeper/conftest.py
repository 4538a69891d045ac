"""Keepers of every engine, one or several at once."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from longline.keeper.port import Keeper
from tests.contract.engines import KEEPERS, KeeperEngine

SESSION = 10.0  # s: a busy machine must not lose it by accident


@pytest.fixture(params=sorted(KEEPERS))
def engine(request: pytest.FixtureRequest) -> KeeperEngine:
    return KEEPERS[request.param]


@pytest.fixture
def place(engine: KeeperEngine, tmp_path: Path) -> Iterator[str]:
    with engine.place(tmp_path) as place:
        yield place


@pytest.fixture
async def keeper(engine: KeeperEngine, place: str) -> AsyncIterator[Keeper]:
    async with engine.open(place, SESSION) as keeper:
        yield keeper


@pytest.fixture(params=sorted(name for name, engine in KEEPERS.items() if engine.shared))
def shared_name(request: pytest.FixtureRequest) -> str:
    """The name of an engine that serves several processes."""
    name: str = request.param
    return name


@pytest.fixture
def shared_place(shared_name: str, tmp_path: Path) -> Iterator[str]:
    with KEEPERS[shared_name].place(tmp_path) as place:
        yield place


@pytest.fixture
async def keepers(shared_name: str, shared_place: str) -> AsyncIterator[list[Keeper]]:
    """Three keepers, as three processes have them."""
    async with AsyncExitStack() as opened:
        yield [
            await opened.enter_async_context(KEEPERS[shared_name].open(shared_place, SESSION))
            for _ in range(3)
        ]
