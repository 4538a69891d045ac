"""What the API stands on: the ports, the settings, and what several operations share."""

import asyncio
import hashlib
from collections.abc import Callable
from typing import NamedTuple

from longline.bus.port import Bus
from longline.center.auth import Apps, Keys
from longline.center.counters import CenterCounters
from longline.center.sending import Sender
from longline.center.waiting import Waiting
from longline.keeper.port import Keeper
from longline.model.apps import App
from longline.model.commands import AppChanged, Close, CloseReason, Command
from longline.model.times import wall_clock
from longline.register.port import Register, Unbind
from longline.saver.bundle import Saver
from longline.settings import CenterSettings
from longline.telemetry.logs import OncePerPeer

_STRIPES = 64


class Metrics(NamedTuple):
    """An exposition of the node's figures, and its Content-Type."""

    body: bytes
    content_type: str


class Center:
    """The role: its ports, its secrets' checks, its send pipeline, its figures.

    `admin_key_hash` is SHA-256 of the admin key. `ready` says whether the node takes traffic. `metrics`
    renders `/metrics`. `faults` keeps the log of refused requests short. `clock` gives ms since the Unix
    epoch.
    """

    def __init__(
        self,
        *,
        saver: Saver,
        register: Register,
        bus: Bus,
        keeper: Keeper,
        settings: CenterSettings,
        admin_key_hash: bytes,
        ready: Callable[[], bool],
        metrics: Callable[[], Metrics],
        faults: OncePerPeer,
        clock: Callable[[], int] = wall_clock,
    ) -> None:
        self.saver = saver
        self.register = register
        self.bus = bus
        self.keeper = keeper
        self.settings = settings
        self.ready = ready
        self.metrics = metrics
        self.faults = faults
        self.clock = clock
        self.counters = CenterCounters()
        self.apps = Apps(saver)
        self.keys = Keys(self.apps, admin_key_hash)
        self.sender = Sender(
            saver,
            bus,
            self.counters,
            default_ttl=settings.default_ttl,
            idempotency_ttl=settings.idempotency_ttl,
            online_grace=settings.online_grace,
        )
        # At most half of the requests may wait for events, so that the others still get their turn.
        self.waiting = Waiting(
            saver, self.counters, limit=lambda: max(1, self.settings.max_requests // 2), ready=ready
        )
        self._stripes = tuple(asyncio.Lock() for _ in range(_STRIPES))

    def reconfigure(self, settings: CenterSettings) -> None:
        """Goes by other settings from now on, as far as they are dynamic."""
        self.settings = settings

    async def close(self) -> None:
        """Waits for the messages that are being stored and routed. No request may come any more."""
        await self.sender.close()

    def exclusive(self, app: str, device: str = "") -> asyncio.Lock:
        """A lock for reading, merging and writing back an app or a device.

        It holds among the requests of this process. Some names share one, which costs a wait and no more.
        """
        name = hashlib.blake2b(f"{app}/{device}".encode(), digest_size=2).digest()
        return self._stripes[int.from_bytes(name) % _STRIPES]

    async def app_changed(self, app: App, reason: CloseReason | None = None) -> None:
        """Lets this process and every node forget what they remember of the app."""
        self.apps.forget(app.app)
        command = AppChanged(app.number, app.app, reason)
        await self.to_all_nodes(command)

    async def to_all_nodes(self, command: Command) -> None:
        """Puts a command into every node's queue; a full one holds up no other."""
        nodes = await self.bus.nodes()
        await asyncio.gather(*(self.bus.send(node, [command]) for node in nodes))

    async def end_connection(self, app: App, device: str, reason: CloseReason) -> None:
        """Ends the device's connection, if it has one; also what lingers of one that broke."""
        (binding,) = await self.register.locate(app.number, [device])
        if binding is not None:
            await self.bus.send(binding.node, [Close(app.number, device, binding.epoch, reason)])
            await self.register.unbind([Unbind(app.number, device, binding.epoch, self.clock())])
