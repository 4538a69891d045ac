"""What the API tells rooms besides messages: connections to end, and what has changed."""

import asyncio
from collections.abc import Callable

from longline.bus.port import Bus
from longline.model.apps import App
from longline.model.commands import AppChanged, Close, CloseReason, Command
from longline.register.port import Register, Unbind
from longline.saver.app_cache import AppCache


class Rooms:
    """The rooms of all nodes, as seen from the API. `apps` is what this process remembers itself."""

    def __init__(self, bus: Bus, register: Register, apps: AppCache, clock: Callable[[], int]) -> None:
        self._bus = bus
        self._register = register
        self._apps = apps
        self._clock = clock

    async def tell_all(self, command: Command) -> None:
        """Puts a command into every node's queue; a full one holds up no other."""
        nodes = await self._bus.nodes()
        await asyncio.gather(*(self._bus.send(node, [command]) for node in nodes))

    async def app_changed(self, app: App, reason: CloseReason | None = None) -> None:
        """Lets this process and every node forget what they remember of the app."""
        self._apps.forget(app.app)
        await self.tell_all(AppChanged(app.number, app.app, reason, app.generation))

    async def end_connection(self, app: App, device: str, reason: CloseReason) -> None:
        """Ends the device's connection, if it has one; also what lingers of one that broke."""
        (binding,) = await self._register.locate(app.number, [device])
        if binding is not None:
            await self._bus.send(binding.node, [Close(app.number, device, binding.epoch, reason)])
            await self._register.unbind([Unbind(app.number, device, binding.epoch, self._clock())])
