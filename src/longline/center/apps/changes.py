"""Changes of an app, which other centers may change at the same moment."""

from collections.abc import Callable

import msgspec

from longline.center.requests.locks import Locks
from longline.center.rooms import Rooms
from longline.errors import AppNotFound, Conflict
from longline.model.apps import App
from longline.saver.port.apps import AppStore

_ATTEMPTS = 5


class AppChanges:
    """One for a center."""

    def __init__(self, apps: AppStore, rooms: Rooms, locks: Locks) -> None:
        self._apps = apps
        self._rooms = rooms
        self._locks = locks

    async def make(self, app: App, change: Callable[[App], App], *, disconnect: bool = False) -> App:
        """Changes the app as it is stored, since the one that authentication found may be old.

        Where another center changes it at the same moment, the rest of what that wrote stays. `change` makes
        the new app of the stored one, and may be called several times. Raises `AppNotFound` or `Conflict`.
        """
        written: App | None = None
        async with self._locks.of(app.app):
            for _ in range(_ATTEMPTS):
                current = await self._apps.find(app.app)
                if current is None or current.number != app.number:
                    raise AppNotFound
                if current == written:
                    break  # it was done, though the store lost its answer and was asked again
                generation = current.generation + disconnect
                written = msgspec.structs.replace(change(current), generation=generation)
                if await self._apps.update(written, current):
                    break
            else:
                raise Conflict(retry_after=1.0)
        await self._rooms.app_changed(written)
        return written
