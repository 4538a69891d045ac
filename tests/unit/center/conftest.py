"""A center on the embedded engines, called in process."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from longline.bus.local import LocalBus
from longline.center.api import application
from longline.center.auth import digest
from longline.center.service import Center, Metrics
from longline.keeper.local import LocalKeeper
from longline.model.commands import Command
from longline.model.devices import JsonObject
from longline.register.memory import MemoryRegister
from longline.register.port import Bind
from longline.saver.sql.engine import SqliteSaver
from longline.settings import CenterSettings
from longline.telemetry.logs import OncePerPeer

ADMIN = "the-admin-key"
ROOM = "room-1"
START = 1_800_000_000_000  # ms


@dataclass
class House:
    """A center, what is around it, and a client with the admin key."""

    center: Center
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


async def open_house(folder: Path, settings: CenterSettings) -> House:
    register = MemoryRegister()
    saver = await SqliteSaver.open(folder / "longline.db", locate=register.locate_now)
    bus = LocalBus(1000)
    await bus.open(ROOM)
    keeper = LocalKeeper()
    house: House

    center = Center(
        saver=saver,
        register=register,
        bus=bus,
        keeper=keeper,
        settings=settings,
        admin_key_hash=digest(ADMIN),
        ready=lambda: house.ready,
        metrics=lambda: Metrics(b"longline_up 1\n", "text/plain; version=0.0.4; charset=utf-8"),
        faults=OncePerPeer(100, 60.0),
        clock=lambda: house.now,
    )
    http = httpx.AsyncClient(
        transport=httpx.ASGITransport(application(center)),
        base_url="http://longline.test",
        headers={"Authorization": f"Bearer {ADMIN}"},
    )
    house = House(center, saver, register, bus, keeper, http)
    return house


async def close_house(house: House) -> None:
    await house.http.aclose()
    await house.center.close()
    await house.saver.close()


@pytest.fixture
def settings() -> CenterSettings:
    return CenterSettings()


@pytest.fixture
async def house(tmp_path: Path, settings: CenterSettings) -> AsyncIterator[House]:
    made = await open_house(tmp_path, settings)
    yield made
    await close_house(made)


@pytest.fixture
async def news(house: House) -> str:
    """The path of an app called news."""
    return await house.app("news")
