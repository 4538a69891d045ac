"""What the room remembers of apps, so that a CONNECT costs no look-up of its app."""

import time
from collections import OrderedDict

from longline.model import App
from longline.saver.port import Saver

APPS = 10_000  # apps remembered, known and unknown alike
UNKNOWN_FOR = 5.0  # s that a name without an app is remembered as such


class Directory:
    """A bounded cache of apps by name; an entry lasts until `forget` or until younger ones push it out."""

    def __init__(self, saver: Saver) -> None:
        self._saver = saver
        self._apps: OrderedDict[str, tuple[App | None, float]] = OrderedDict()
        self._generation = 0

    def remembered(self, name: str) -> App | None:
        """The app if it is known without asking."""
        entry = self._apps.get(name)
        return entry[0] if entry is not None else None

    async def find(self, name: str) -> App | None:
        """The app, or None where there is none. Raises what the store raises."""
        entry = self._apps.get(name)
        if entry is not None and (entry[0] is not None or time.monotonic() < entry[1]):
            self._apps.move_to_end(name)
            return entry[0]
        generation = self._generation
        app = await self._saver.find_app(name)
        if generation == self._generation:  # else it may have changed while we asked
            self._apps[name] = (app, time.monotonic() + UNKNOWN_FOR)
            self._apps.move_to_end(name)
            if len(self._apps) > APPS:
                self._apps.popitem(last=False)
        return app

    def forget(self, name: str) -> None:
        """The app has changed."""
        self._generation += 1
        self._apps.pop(name, None)
