"""The engines of one process: what a life before this one has left, and who may use its directory."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from longline.coordinator.presence import PresenceDuty
from longline.errors import DataDirInUse
from longline.model.devices import Binding
from longline.model.pubsub import StoredWill
from longline.model.times import wall_clock
from longline.node.data_folder import held
from longline.node.embedded import open_engines
from longline.node.engines import Engines
from longline.register.port import Bind, Unbind
from longline.saver.port.inboxes import Arrive
from longline.saver.port.sessions import CloseSession, OpenSession
from longline.saver.sql.engine import SqliteSaver
from longline.settings import Settings
from longline.telemetry.faults import Faults
from tests.contract.store_fixture import an_app


@asynccontextmanager
async def a_life(data: Path) -> AsyncIterator[Engines]:
    """Whatever is not in the store by its end is gone, as after a kill."""
    async with AsyncExitStack() as opened:
        yield await open_engines(Settings(data_dir=data), Faults(), opened)


async def tell(engines: Engines) -> None:
    await PresenceDuty(engines.register, engines.saver.events, Faults()).round()


async def told(engines: Engines, app: int) -> list[tuple[str, str, int]]:
    await tell(engines)
    page = await engines.saver.events.read(app, "", 100)
    return [(event.device, event.state, msgspec.json.decode(event.data)["epoch"]) for _, event in page.events]


async def bind(engines: Engines, app: int, device: str) -> Binding:
    (bound,) = await engines.register.bind([Bind(app, device, "node", wall_clock())])
    return bound.binding


async def test_a_restart_leaves_no_device_online_that_does_not_come_back(tmp_path: Path) -> None:
    async with a_life(tmp_path) as engines:
        app = (await engines.saver.apps.create(an_app("news"))).number
        stays, comes, leaves, left = [
            await bind(engines, app, name) for name in ("stays", "comes", "leaves", "left")
        ]
        await engines.register.unbind([Unbind(app, "left", left.epoch, wall_clock())])
        await tell(engines)
        await engines.register.unbind([Unbind(app, "leaves", leaves.epoch, wall_clock())])
        await bind(engines, app, "untold")
    events: list[tuple[str, str, int]] = []
    for _ in range(2):  # the second start has nothing more to say
        async with a_life(tmp_path) as engines:
            events = await told(engines, app)
    by_device = {name: [event[1:] for event in events if event[0] == name] for name, _, _ in events}
    assert by_device == {
        "stays": [("online", stays.epoch), ("offline", stays.epoch)],
        "comes": [("online", comes.epoch), ("offline", comes.epoch)],
        "leaves": [("online", leaves.epoch), ("offline", leaves.epoch)],
        "left": [("online", left.epoch), ("offline", left.epoch)],
    }
    async with a_life(tmp_path) as engines:
        again = await bind(engines, app, "comes")
        assert (await told(engines, app))[-1] == ("comes", "online", again.epoch)
    assert again.epoch > comes.epoch


async def test_a_clock_that_stepped_back_silences_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_life(tmp_path) as engines:
        app = (await engines.saver.apps.create(an_app("news"))).number
        before = await bind(engines, app, "phone")
        await tell(engines)
    monkeypatch.setattr("time.time_ns", lambda: 1_000_000_000)
    async with a_life(tmp_path) as engines:
        after = await bind(engines, app, "phone")
        assert after.epoch > before.epoch
        assert [state for _, state, _ in await told(engines, app)] == ["online", "offline", "online"]


async def test_sessions_of_a_life_before_are_closed_and_their_clients_have_the_grace_to_come_back(
    tmp_path: Path,
) -> None:
    names = ("stays away", "comes back", "said goodbye")
    asked: list[OpenSession] = []
    async with a_life(tmp_path) as engines:
        saver = sqlite(engines)
        app = (await saver.apps.create(an_app("news"))).number
        arrivals = await saver.inboxes.arrive([Arrive(app, name, wall_clock()) for name in names])
        for name, arrival in zip(names, arrivals, strict=True):
            assert arrival is not None
            epoch = (await bind(engines, app, name)).epoch
            will = StoredWill(topic="gone", payload=name.encode(), qos=1, delay=1)
            asked.append(
                OpenSession(app, name, arrival.ordinal, "node", epoch, wall_clock(), False, 3600, will)
            )
        await saver.sessions.open(asked)
        goodbye = asked[2]
        await saver.sessions.close([CloseSession(app, goodbye.ordinal, goodbye.epoch, wall_clock(), False)])
    started = wall_clock()
    async with a_life(tmp_path) as engines:
        saver = sqlite(engines)
        assert await saver.sessions.nodes() == []
        back = msgspec.structs.replace(
            asked[1], epoch=(await bind(engines, app, "comes back")).epoch, will=None, now=wall_clock()
        )
        (opened,) = await saver.sessions.open([back])
        assert opened is not None
        assert opened.present
        grace = int(Settings().room.linger * 1000)
        assert await saver.sessions.due_wills(started + grace - 1, 10, 1000) == []
        due = await saver.sessions.due_wills(wall_clock() + grace, 10, 1000)
        assert [will.device for will in due] == ["stays away"]


def sqlite(engines: Engines) -> SqliteSaver:
    assert isinstance(engines.saver, SqliteSaver)
    return engines.saver


async def test_one_directory_serves_one_node_of_whatever_shape(tmp_path: Path) -> None:
    """`serve` and the agent of `serve --workers` hold the same lock."""
    async with a_life(tmp_path):
        with pytest.raises(DataDirInUse), held(tmp_path):
            pass
    with held(tmp_path), pytest.raises(DataDirInUse):
        async with a_life(tmp_path):
            pass
    async with a_life(tmp_path):
        pass
