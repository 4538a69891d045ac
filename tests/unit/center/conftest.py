"""A center on the embedded engines, called in process."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from longline.bus.local import LocalBus
from longline.center.api import application
from longline.center.gate.auth import digest
from longline.center.service import CenterService, Metrics
from longline.keeper.local import LocalKeeper
from longline.model.commands import Command
from longline.model.devices import JsonObject
from longline.model.events import EventBounds
from longline.register.memory import MemoryRegister
from longline.register.port import Bind
from longline.saver.bounds import SaverBounds
from longline.saver.sql.engine import SqliteSaver
from longline.settings import CenterSettings
from longline.telemetry.faults import Faults
from longline.telemetry.logs import OncePerPeer

ADMIN = "the-admin-key"
ROOM = "room-1"
START = 1_800_000_000_000  # ms


@dataclass
class Api:
    """A center, what is around it, and a client with the admin key."""

    center: CenterService
    saver: SqliteSaver
    register: MemoryRegister
    bus: LocalBus
    keeper: LocalKeeper
    http: httpx.AsyncClient
    now: int = START
    ready: bool = True
    keys: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)

    async def app(self, name: str = "news") -> str:
        """Makes an app; returns its path."""
        answer = await self.http.post("/v1/apps", json={"app": name})
        assert answer.status_code == 201, answer.text
        self.keys[name] = answer.json()["server_key"]
        self.secrets[name] = answer.json()["device_secret"]
        await self.commands()
        return f"/v1/apps/{name}"

    async def device(self, path: str, name: str, **profile: object) -> None:
        answer = await self.http.put(f"{path}/devices/{name}", json=profile)
        assert answer.status_code in (200, 201), answer.text

    async def connect(self, app: str, *devices: str) -> None:
        """Binds devices to the room, as their connections would."""
        known = await self.saver.apps.find(app)
        assert known is not None
        await self.register.bind([Bind(known.number, device, ROOM, self.now) for device in devices])

    async def commands(self) -> list[Command]:
        """What has been sent to the room since the last call."""
        return await self.bus.receive(ROOM) if self.bus.waiting(ROOM) else []

    async def ledger(self, path: str, message_id: str) -> JsonObject:
        answer = await self.http.get(f"{path}/messages/{message_id}")
        assert answer.status_code == 200, answer.text
        ledger: JsonObject = answer.json()["ledger"]
        return ledger


async def open_api(folder: Path, settings: CenterSettings, event_limit: int) -> Api:
    register = MemoryRegister()
    saver = await SqliteSaver.open(
        folder / "longline.db",
        locate=register.locate_now,
        bounds=SaverBounds(events=EventBounds(event_limit)),
    )
    register.left, register.parted = saver.visits.left, saver.visits.parted
    bus = LocalBus(1000)
    await bus.open(ROOM)
    keeper = LocalKeeper()
    api: Api

    async def obstacle() -> str:
        return "" if api.ready else "it drains"

    center = CenterService(
        saver=saver,
        register=register,
        bus=bus,
        keeper=keeper,
        settings=settings,
        admin_key_hash=digest(ADMIN),
        ready=lambda: api.ready,
        obstacle=obstacle,
        metrics=lambda: Metrics(b"longline_up 1\n", "text/plain; version=0.0.4; charset=utf-8"),
        refusals=OncePerPeer(100, 60.0),
        faults=Faults(),
        clock=lambda: api.now,
    )
    http = httpx.AsyncClient(
        transport=httpx.ASGITransport(application(center)),
        base_url="http://longline.test",
        headers={"Authorization": f"Bearer {ADMIN}"},
    )
    api = Api(center, saver, register, bus, keeper, http)
    return api


async def close_api(api: Api) -> None:
    await api.http.aclose()
    await api.center.close()
    await api.saver.close()


@pytest.fixture
def settings() -> CenterSettings:
    return CenterSettings()


@pytest.fixture
def event_limit() -> int:
    return 100_000


@pytest.fixture
async def api(tmp_path: Path, settings: CenterSettings, event_limit: int) -> AsyncIterator[Api]:
    made = await open_api(tmp_path, settings, event_limit)
    yield made
    await close_api(made)


@pytest.fixture
async def news(api: Api) -> str:
    """The path of an app called news."""
    return await api.app("news")
