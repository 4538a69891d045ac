"""What SQLite keeps of devices' connections: no more than it may, also of devices that stay away."""

from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest

from longline.model.devices import NODE_DIED, Came
from longline.register.memory import Left, MemoryRegister
from longline.register.port import Bind, Unbind
from longline.saver.port.inboxes import Arrive
from longline.saver.sql.visits import WALK
from tests.contract.engines import CONNECTIONS, SAVERS
from tests.contract.store_fixture import StoreFixture

CAME = Came("192.0.2.7", "MQTT 5.0")
DEVICES = 40


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[StoreFixture]:
    store = StoreFixture(SAVERS["sqlite"], str(tmp_path / "data" / "longline.db"))
    await store.open()
    await store.begin()
    yield store
    await store.close()


async def come(store: StoreFixture, *names: str) -> list[int]:
    """Devices connect; their epochs."""
    bounds = await store.sessions.bind([Bind(store.app, name, "n1", store.now) for name in names])
    epochs = [bound.binding.epoch for bound in bounds]
    came = [
        Arrive(store.app, name, store.now, came=CAME, epoch=epoch, node="n1")
        for name, epoch in zip(names, epochs, strict=True)
    ]
    await store.saver.inboxes.arrive(came)
    return epochs


async def kept(store: StoreFixture) -> int:
    await store.saver.check()  # a transaction, which writes what waits
    database = apsw.Connection(store.place, flags=apsw.SQLITE_OPEN_READONLY)
    ((count,),) = database.execute("SELECT count(*) FROM connections")
    database.close()
    assert isinstance(count, int)
    return count


async def test_what_is_kept_of_who_stays_away_goes_as_others_come(store: StoreFixture) -> None:
    names = [f"d{n}" for n in range(DEVICES)]
    epochs = await come(store, *names)
    gone = [
        Unbind(store.app, name, epoch, store.now, reason="disconnected")
        for name, epoch in zip(names, epochs, strict=True)
    ]
    await store.sessions.unbind(gone)
    assert await kept(store) == DEVICES
    store.now += CONNECTIONS.age + 1
    for n in range(2 * DEVICES // WALK + 2):
        await come(store, f"other{n % 2}")
        await kept(store)
    assert await kept(store) == 2 * CONNECTIONS.kept


async def test_connections_of_a_life_before_this_one_have_ended_with_it(store: StoreFixture) -> None:
    """The latest of a device, whatever was told of it."""
    first, second = (await come(store, "d1"))[0], (await come(store, "d1"))[0]
    ordinal = await store.ordinal("d1")
    await store.reopen()
    register = store.sessions
    assert isinstance(register, MemoryRegister)
    store.now += 5
    register.resume(0, [Left(store.app, "d1", first, "n1")], store.now)
    found = await store.saver.visits.connections(store.app, ordinal, store.now)
    assert [(each.epoch, each.ended_at, each.reason) for each in found] == [
        (second, store.now, NODE_DIED),
        (first, 0, ""),
    ]
