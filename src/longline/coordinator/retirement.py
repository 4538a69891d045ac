"""Retires devices that have not come for as long as their app says, in small steps.

All devices are looked at, a page each second, app after app; then there is a rest. How far that is nobody
needs to know but who leads: another one begins at the first.
"""

import time
from collections.abc import Callable
from typing import Final

from longline.model.apps import App
from longline.model.times import wall_clock
from longline.saver.port.apps import AppStore
from longline.saver.port.retirement import DONE, RetirementStore

PAGE: Final = 1000  # devices looked at in one step
LOOK: Final = 10.0  # s until the next look for such an app, where there is none
REST: Final = 3600.0  # s between the end of all and the next beginning, at most: a 24th of the shortest time


class Retirement:
    """`round` does a step. `after` says how long (s) an app's devices may be away, 0 for any time.

    `retired` counts devices.
    """

    def __init__(
        self,
        apps: AppStore,
        store: RetirementStore,
        after: Callable[[App], int],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._apps = apps
        self._store = store
        self.after = after
        self._monotonic = monotonic
        self._app: App | None = None  # the one at work
        self._behind = ""  # name of the last app that was done
        self._at = 0
        self._shortest = 0  # s, of all apps since the beginning
        self._resume = 0.0
        self.retired = 0

    async def round(self) -> bool:
        """Never wants to go on at once."""
        if self._monotonic() < self._resume:
            return False
        app = self._app or await self._next()
        if app is None:
            self._resume = self._monotonic() + min(REST, self._shortest / 24 or LOOK)
            self._behind, self._shortest = "", 0
            return False
        now = wall_clock()
        done = await self._store.retire(app.number, self._at, now - self.after(app) * 1000, now, PAGE)
        self.retired += done.devices
        self._at = max(0, done.after)
        if done.after == DONE:
            self._app = None
        return False

    async def _next(self) -> App | None:
        """The next app whose devices may not be away for any time; None when there is none."""
        while apps := await self._apps.list(self._behind, 100):
            for app in apps:
                self._behind = app.app
                after = self.after(app)
                if after:
                    self._shortest = min(self._shortest or after, after)
                    self._app, self._at = app, 0
                    return app
        return None
