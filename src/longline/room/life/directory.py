"""What the room remembers of apps, so that a CONNECT costs no look-up of its app."""

import time
from collections import OrderedDict
from collections.abc import Callable

from longline.model.apps import App
from longline.saver.bundle import Saver

APPS = 10_000  # apps remembered, known and unknown alike
KNOWN_FOR = 60.0  # s: how long a change may go unnoticed of which this room was not told
UNKNOWN_FOR = 5.0  # s that a name without an app is remembered as such


class Directory:
    """A bounded cache of apps by name; an entry lasts for a while, until `forget`, or until younger ones
    push it out. `clock` gives seconds, rising."""

    def __init__(self, saver: Saver, clock: Callable[[], float] = time.monotonic) -> None:
        self._saver = saver
        self._clock = clock
        self._apps: OrderedDict[str, tuple[App | None, float]] = OrderedDict()
        self._generation = 0

    def remembered(self, name: str) -> App | None:
        """The app if it is known without asking."""
        entry = self._apps.get(name)
        return entry[0] if entry is not None and self._clock() < entry[1] else None

    async def find(self, name: str) -> App | None:
        """The app, or None where there is none. Raises what the store raises."""
        entry = self._apps.get(name)
        if entry is not None and self._clock() < entry[1]:
            self._apps.move_to_end(name)
            return entry[0]
        generation = self._generation
        app = await self._saver.apps.find(name)
        if generation == self._generation:  # else it may have changed while we asked
            self._apps[name] = (app, self._clock() + (UNKNOWN_FOR if app is None else KNOWN_FOR))
            self._apps.move_to_end(name)
            if len(self._apps) > APPS:
                self._apps.popitem(last=False)
        return app

    def forget(self, name: str) -> None:
        """The app has changed."""
        self._generation += 1
        self._apps.pop(name, None)

    def clear(self) -> None:
        """Any app may have changed."""
        self._generation += 1
        self._apps.clear()
