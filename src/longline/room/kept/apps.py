"""In which apps anybody has a session that is kept and has filters.

Only there do publications go to the queues. The store knows it, and is asked once for each app that comes
here. A room that commits the first such filter of an app that it has seen has all rooms hear of it before its
client does (`pubsub/hearing.py`); so what was answered before stays true, until it is said that it changes.
Whatever is not certain counts as a yes, which costs time and is right.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import structlog

from longline.bus.port import Bus
from longline.errors import LonglineError
from longline.flow.lru import LruCache
from longline.model.commands import SessionsKept
from longline.room.pubsub.hearing import Hearing
from longline.room.session.session import Tenant
from longline.saver.port.sessions import SessionStore

REMEMBERED: Final = 100_000  # apps

log = structlog.get_logger()


class KeptApps:
    """One for a room. `tenants` are the apps of which somebody is here."""

    def __init__(
        self,
        node: Callable[[], str],
        store: SessionStore,
        bus: Bus,
        hearing: Hearing,
        tenants: Mapping[int, Tenant],
    ) -> None:
        self._node = node
        self._store = store
        self._bus = bus
        self._hearing = hearing
        self._tenants = tenants
        self._known: LruCache[int, bool] = LruCache(REMEMBERED)
        self._told: LruCache[int, None] = LruCache(REMEMBERED)  # that all rooms know of

    def unknown(self, apps: Iterable[int]) -> list[int]:
        """Those of these apps of which the store is to be asked; of the others, their tenants know."""
        asked = []
        for app in set(apps):
            known = self._known.get(app)
            if known is None:
                asked.append(app)
            elif known:
                self.there(app)
        return asked

    async def learn(self, apps: list[int]) -> None:
        """Asks the store. Raises what keeps it from answering."""
        for app, wanted in zip(apps, await self._store.wanted(apps), strict=True):
            if wanted:
                self.there(app)
            else:  # unless somebody has told otherwise meanwhile
                self._known.add(app, False)

    def there(self, app: int) -> None:
        """There are such sessions in an app."""
        self._known.put(app, True)
        tenant = self._tenants.get(app)
        if tenant is not None:
            tenant.queues = True

    def forget(self) -> None:
        """Commands were lost, which may have told of some: `look` is to follow."""
        self._known.clear()

    async def look(self) -> None:
        """Asks again for every app that is here, and is not known to have any."""
        apps = [app for app, tenant in self._tenants.items() if not tenant.queues]
        if not apps:
            return
        try:
            await self.learn(apps)
        except LonglineError as error:
            log.warning("sessions_unknown", code=error.code, error=error.message)
            for app in apps:
                self.there(app)

    async def announce(self, apps: Iterable[int]) -> None:
        """Has every room know of these apps, which the store does already. Raises what the bus raises."""
        news = [app for app in apps if app not in self._told]
        if not news:
            return
        for app in news:
            self.there(app)
        rooms = [node for node in await self._bus.nodes() if node != self._node()]
        await asyncio.gather(*(self._announce(app, rooms) for app in news))

    async def _announce(self, app: int, rooms: Sequence[str]) -> None:
        number, heard = self._hearing.ask_for(rooms)
        try:
            for room in rooms:
                await self._bus.send(room, [SessionsKept(app, self._node(), number)])
        except BaseException:
            self._hearing.withdraw(number)
            raise
        self._hearing.sent(number)
        await heard
        self._told.put(app, None)
