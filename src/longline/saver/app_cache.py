"""Apps by name, remembered for a short while, so that a request or a CONNECT costs no look-up of its app."""

import time
from collections.abc import Callable
from typing import Final

from longline.flow.lru import LruCache
from longline.model.apps import App, valid_app_name
from longline.saver.port.apps import AppStore

LIMIT: Final = 10_000  # names remembered, with an app and without alike


class AppCache:
    """Asks `apps` for what is not remembered.

    `known_for` and `unknown_for`: seconds for which it is remembered that a name has an app, or has none. A
    change that this process is told of (`forget`, `clear`) is seen at once; any other after at most so long.
    `clock` gives seconds, rising.
    """

    def __init__(
        self,
        apps: AppStore,
        *,
        known_for: float,
        unknown_for: float,
        limit: int = LIMIT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._apps = apps
        self._known_for = known_for
        self._unknown_for = unknown_for
        self._clock = clock
        # Each with the moment when it was asked for.
        self._entries: LruCache[str, tuple[App | None, float]] = LruCache(limit)
        self._generation = 0

    def __contains__(self, name: str) -> bool:
        """Whether anything was remembered of the name lately, however old it is by now."""
        return name in self._entries

    def remembered(self, name: str) -> App | None:
        """The app if that is known without asking."""
        entry = self._entries.get(name)
        return entry[0] if entry is not None and self._fresh(entry) else None

    def latest(self, name: str) -> App | None:
        """The app as it was read last, however long ago; None if nobody knows it, or it has changed since."""
        entry = self._entries.get(name)
        return entry[0] if entry is not None else None

    async def find(self, name: str, *, max_age: float | None = None) -> App | None:
        """The app, or None where there is none, as it was at most `max_age` seconds ago, if given.

        Raises what the store raises.
        """
        entry = self._entries.get(name)
        if entry is not None and self._fresh(entry, max_age):
            return entry[0]
        if not valid_app_name(name):
            return None  # and nothing is remembered of what peers make up
        generation, now = self._generation, self._clock()
        app = await self._apps.find(name)
        # If the generation is another by now, the app may have changed while we asked.
        if generation == self._generation:
            if app is not None or self._unknown_for:
                self._entries.put(name, (app, now))
            else:
                self._entries.forget(name)
        return app

    def forget(self, name: str) -> None:
        """The app has changed."""
        self._generation += 1
        self._entries.forget(name)

    def clear(self) -> None:
        """Any app may have changed."""
        self._generation += 1
        self._entries.clear()

    def _fresh(self, entry: tuple[App | None, float], max_age: float | None = None) -> bool:
        app, asked = entry
        lasts = self._unknown_for if app is None else self._known_for
        if max_age is not None and max_age < lasts:
            lasts = max_age
        return self._clock() - asked < lasts
