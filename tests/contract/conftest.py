"""Fresh engines for the suites."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from longline.bus.port import Bus
from longline.register.port import Register
from tests.contract.engines import BUSES, REGISTERS, SAVERS, BusEngine, SaverEngine
from tests.contract.saver.kept import Kept
from tests.contract.store_fixture import StoreFixture

PATIENT = 3600.0  # s
# What an audit finds does not depend on how many servers there are, or how often they are asked.
AUDITED = [SAVERS[name] for name in ("sqlite", "redis")]


@pytest.fixture(params=sorted(SAVERS))
def saver_engine(request: pytest.FixtureRequest) -> SaverEngine:
    return SAVERS[request.param]


@pytest.fixture
async def store(
    saver_engine: SaverEngine, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[StoreFixture]:
    """A store with one app, "news". What a test has made of it agrees with itself at its end."""
    with saver_engine.place(tmp_path) as place:
        store = StoreFixture(saver_engine, place)
        await store.open()
        await store.begin()
        try:
            yield store
            if saver_engine in AUDITED and "tampers" not in request.keywords:
                assert await store.differences() == []
        finally:
            await store.close()


@pytest.fixture
def kept(store: StoreFixture) -> Kept:
    """The same, for those who speak of sessions that are kept."""
    return Kept(store)


@pytest.fixture(params=sorted(REGISTERS))
async def register(request: pytest.FixtureRequest) -> AsyncIterator[Register]:
    async with REGISTERS[request.param]() as register:
        yield register


@pytest.fixture(params=sorted(BUSES))
def bus_engine(request: pytest.FixtureRequest) -> BusEngine:
    return BUSES[request.param]


@pytest.fixture
async def bus(bus_engine: BusEngine) -> AsyncIterator[Bus]:
    """One whose senders wait for longer than any test takes."""
    async with bus_engine.open(PATIENT) as bus:
        yield bus
