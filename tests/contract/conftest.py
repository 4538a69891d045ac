"""Fresh engines for the suites."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from longline.bus.port import Bus
from longline.keeper.port import Keeper
from longline.register.port import Register
from tests.contract.engines import BUSES, KEEPERS, REGISTERS, SAVERS, SaverEngine
from tests.contract.scene import Scene


@pytest.fixture(params=sorted(SAVERS))
def saver_engine(request: pytest.FixtureRequest) -> SaverEngine:
    return SAVERS[request.param]


@pytest.fixture
async def scene(saver_engine: SaverEngine, tmp_path: Path) -> AsyncIterator[Scene]:
    """A store with one app, "news"."""
    with saver_engine.place(tmp_path) as place:
        scene = Scene(saver_engine, place)
        await scene.open()
        await scene.begin()
        yield scene
        await scene.saver.close()


@pytest.fixture(params=sorted(REGISTERS))
def register(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Register]:
    with REGISTERS[request.param](tmp_path) as register:
        yield register


@pytest.fixture(params=sorted(BUSES))
def bus(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bus]:
    with BUSES[request.param](tmp_path) as bus:
        yield bus


@pytest.fixture(params=sorted(KEEPERS))
def keeper(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Keeper]:
    with KEEPERS[request.param](tmp_path) as keeper:
        yield keeper
