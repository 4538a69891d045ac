"""What SQLite keeps of devices' connections: no more than it may, also of devices that stay away."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import apsw
import pytest

from longline.model.devices import NODE_DIED, Came
from longline.register.memory import Left, MemoryRegister
from longline.register.port import Bind, Unbind
from longline.saver.port.inboxes import Arrive
from longline.saver.sql.visits import APART, TOGETHER, WALK, SqlVisits
from tests.contract.engines import CONNECTIONS, SAVERS
from tests.contract.store_fixture import StoreFixture
from tests.waiting import until

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
    await store.saver.visits.find(store.app, [0])  # what waits is written before
    return written(store)


def written(store: StoreFixture) -> int:
    """Connections that are on disk."""
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


class Writing:
    """A database that counts what it is to write."""

    def __init__(self) -> None:
        self.statements = 0

    def run(self, sql: str, /, *values: object) -> int:
        self.statements += 1
        return 0


def test_one_of_many_transactions_writes_what_waits() -> None:
    """The first after a while, or when enough waits."""
    writing = Writing()
    now = [100.0]
    nobody = cast(Any, None)
    visits = SqlVisits(
        *(nobody, nobody, cast(Any, writing), nobody, nobody, set()),
        CONNECTIONS,
        clock=lambda: now[0],
    )
    assert not visits.due()
    visits.left(1, "phone", 5)
    assert visits.due()
    visits.flush()
    assert writing.statements == 1
    visits.left(1, "phone", 6)
    assert not visits.due()
    now[0] += APART
    assert visits.due()
    visits.flush()
    for number in range(TOGETHER):
        assert not visits.due()
        visits.left(1, f"d{number}", 7)
    assert visits.due()


async def test_what_waits_is_written_though_no_transaction_follows(store: StoreFixture) -> None:
    await come(store, "first")
    await store.saver.check()
    await come(store, "second")
    await store.saver.check()  # too soon after the one before, unless the machine is slow
    await until(lambda: written(store) == 2)


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
