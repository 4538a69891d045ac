"""Apps by name, remembered for a short while, so that a request or a CONNECT costs no look-up of its app."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from longline.errors import LonglineError
from longline.flow.lru import LruCache
from longline.model.apps import App, valid_app_name
from longline.saver.port.apps import AppStore

LIMIT: Final = 10_000  # names remembered, with an app and without alike
PATIENCE: Final = 0.25  # s that the store has to answer in, where what is remembered may stand in for it


class AppCache:
    """Asks `apps` for what is not remembered.

    `known_for` and `unknown_for`: seconds for which it is remembered that a name has an app, or has none. A
    change that this process is told of (`forget`, `clear`) is seen at once; any other after at most so long,
    and `PATIENCE`. An app that was read up to `stands_in_for` seconds ago stands in for a store that does not
    answer by then, or refuses: nobody can have changed it there meanwhile, as far as anybody was told.
    `clock` gives seconds, rising.
    """

    def __init__(
        self,
        apps: AppStore,
        *,
        known_for: float,
        unknown_for: float,
        stands_in_for: float = 0.0,
        limit: int = LIMIT,
        clock: Callable[[], float] = time.monotonic,
        patience: float = PATIENCE,
    ) -> None:
        self._apps = apps
        self._known_for = known_for
        self._stands_in_for = stands_in_for
        self._patience = patience
        self._unknown_for = unknown_for
        self._clock = clock
        # Each with the moment when it was asked for.
        self._entries: LruCache[str, tuple[App | None, float]] = LruCache(limit)
        self._generation = 0
        # One look serves all that come meanwhile; bounded by those who wait for it.
        self._asking: dict[tuple[str, int], asyncio.Task[App | None]] = {}

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

    def is_older(self, name: str, age: float) -> bool:
        """Whether what is remembered of a name is so many seconds old, or nothing is."""
        entry = self._entries.get(name)
        return entry is None or self._clock() - entry[1] >= age

    async def look_again(self, name: str) -> App | None:
        """The app as it is stored, whatever is remembered; one look serves all that come meanwhile.

        Raises what the store raises.
        """
        return await asyncio.shield(self._ask_for(name))

    async def find(self, name: str, *, max_age: float | None = None) -> App | None:
        """The app, or None where there is none, as it was at most `max_age` seconds ago, if given.

        Raises what the store raises.
        """
        entry = self._entries.get(name)
        if entry is not None and self._fresh(entry, max_age):
            return entry[0]
        if not valid_app_name(name):
            return None  # and nothing is remembered of what peers make up
        if max_age is not None or not self._stands_in_for:  # a look that is under way may be older than that
            return await self._ask(name, self._generation, self._clock())
        asking = self._ask_for(name)
        if entry is None or entry[0] is None or self._clock() - entry[1] >= self._stands_in_for:
            return await asyncio.shield(asking)
        try:
            return await asyncio.wait_for(asyncio.shield(asking), self._patience)
        except (TimeoutError, LonglineError):
            return entry[0]

    def _ask_for(self, name: str) -> "asyncio.Task[App | None]":
        # Who comes after a change was told needs an answer from after it, too.
        key = (name, self._generation)
        asking = self._asking.get(key)
        if asking is None or asking.done():
            asking = self._asking[key] = asyncio.create_task(self._ask(*key, self._clock()), name="saver.app")
            asking.add_done_callback(lambda done: self._answered(key, done))
        return asking

    async def _ask(self, name: str, generation: int, now: float) -> App | None:
        app = await self._apps.find(name)
        # If the generation is another by now, the app may have changed while we asked.
        if generation == self._generation:
            if app is not None or self._unknown_for:
                self._entries.put(name, (app, now))
            else:
                self._entries.forget(name)
        return app

    def _answered(self, key: tuple[str, int], asking: "asyncio.Task[App | None]") -> None:
        if self._asking.get(key) is asking:
            del self._asking[key]
        if not asking.cancelled():
            asking.exception()  # seen, also when nobody is left who would raise it

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
