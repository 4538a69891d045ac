"""What the API tells rooms besides messages: connections to end, and what has changed."""

import asyncio
import time
from collections.abc import Callable

import structlog

from longline.bus.port import Bus
from longline.errors import LonglineError
from longline.flow.lru import LruCache
from longline.model.apps import App
from longline.model.commands import AppChanged, Close, CloseReason, Command, Looked
from longline.register.port import Register, Unbind
from longline.saver.app_cache import AppCache

LOOK_EVERY = 0.04  # s: so often are rooms told that somebody looks at an app's messages
LOOKS = 1000  # apps of which is remembered when that was

log = structlog.get_logger("longline.center")


class Rooms:
    """The rooms of all nodes, as seen from the API. `apps` is what this process remembers itself."""

    def __init__(self, bus: Bus, register: Register, apps: AppCache, clock: Callable[[], int]) -> None:
        self._bus = bus
        self._register = register
        self._apps = apps
        self._clock = clock
        self._looked: LruCache[int, float] = LruCache(LOOKS)

    async def tell_all(self, command: Command) -> None:
        """Puts a command into every node's queue; a full one holds up no other."""
        nodes = await self._bus.nodes()
        await asyncio.gather(*(self._bus.send(node, [command]) for node in nodes))

    async def tell(self, node: str, command: Command) -> None:
        """Puts a command into a node's queue."""
        await self._bus.send(node, [command])

    async def look(self, app: App) -> None:
        """Has the rooms tell the store what they wrote to the app's devices, if not asked just now."""
        now = time.monotonic()
        before = self._looked.get(app.number)
        if before is None or now - before >= LOOK_EVERY:
            self._looked.put(app.number, now)
            await self.tell_all(Looked(app.number))

    async def app_changed(self, app: App, reason: CloseReason | None = None) -> None:
        """Lets this process and every node forget what they remember of the app.

        What was changed is changed, so nobody's answer, with the keys in it, may be lost because a node
        could not be told: that one goes by what it remembers until it looks by itself, which every room does
        once a minute for the apps of its devices. Connections that are to end do then.
        """
        self._apps.forget(app.app)
        try:
            await self.tell_all(AppChanged(app.number, app.app, reason, app.generation))
        except LonglineError as error:
            log.warning("app_change_untold", app=app.app, code=error.code, error=error.message)

    async def end_connection(self, app: App, device: str, reason: CloseReason) -> None:
        """Ends the device's connection, if it has one; also what lingers of one that broke."""
        (binding,) = await self._register.locate(app.number, [device])
        if binding is not None:
            await self._bus.send(binding.node, [Close(app.number, device, binding.epoch, reason)])
            await self._register.unbind(
                [Unbind(app.number, device, binding.epoch, self._clock(), reason=reason.value)]
            )
