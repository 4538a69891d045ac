"""Named keys as one process knows them: their texts, and a bounded memory of what the store has of them.

`lln_` begins the text of one, so that whoever searches for leaks finds it; then comes its id, by which it is
looked up, and what is secret: 256 random bits.
"""

import asyncio
import re
import secrets
import time
from collections.abc import Callable
from typing import Final

from longline.errors import LonglineError
from longline.flow.lru import LruCache
from longline.model.keys import ApiKey
from longline.saver.port.keys import KeyStore

PREFIX: Final = "lln_"
KNOWN_FOR: Final = 0.75  # s for which a key deleted through another process still opens something here
USES_TOLD: Final = 60_000  # ms from one use of a key that the store is told of to the next
UNKNOWN_FOR: Final = 0.25  # s for which the store is not asked again for an id that it does not have
LIMIT: Final = 10_000  # keys remembered
STRANGERS: Final = (
    1000  # ids without a key remembered, apart from them: whoever makes some up pushes out no key
)

_TEXT: Final = re.compile(rf"{PREFIX}([0-9a-f]{{32}})_[A-Za-z0-9_-]{{43}}")


def new_key_text(id: str) -> str:
    """The text of a new key with this id (a UUID in its 36-character form)."""
    return f"{PREFIX}{id.replace('-', '')}_{secrets.token_urlsafe(32)}"


def id_in(text: str) -> str | None:
    """The id in what looks like the text of a named key; None for anything else."""
    found = _TEXT.fullmatch(text)
    if found is None:
        return None
    digits = found[1]
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


class NamedKeys:
    """Asks the store for what is not remembered; those who ask at once for one key are served by one look.

    `clock` gives seconds, rising.
    """

    def __init__(self, store: KeyStore, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._known: LruCache[str, tuple[ApiKey, float]] = LruCache(LIMIT)  # each with when it was asked for
        self._unknown: LruCache[str, float] = LruCache(STRANGERS)
        self._used: LruCache[str, int] = LruCache(LIMIT)  # when a use was told last, in ms
        self._telling: set[asyncio.Task[None]] = set()  # bounded as that
        # Bounded by the requests at once.
        self._asking: dict[str, asyncio.Task[ApiKey | None]] = {}

    def __contains__(self, id: str) -> bool:
        """Whether there was a key with this id lately, so that it is worth a look at the store."""
        return id in self._known

    def is_unknown(self, id: str) -> bool:
        """Whether the store has just said that it has no such key."""
        asked = self._unknown.get(id)
        return asked is not None and self._clock() - asked < UNKNOWN_FOR

    def is_asked(self, id: str) -> bool:
        """Whether somebody is asking for it now."""
        return id in self._asking

    def remembered(self, id: str) -> ApiKey | None:
        """The key if that is known without asking, as it was at most `KNOWN_FOR` ago."""
        entry = self._known.get(id)
        return entry[0] if entry is not None and self._clock() - entry[1] < KNOWN_FOR else None

    def latest(self, id: str) -> ApiKey | None:
        """The key as it was read last, however long ago."""
        entry = self._known.get(id)
        return entry[0] if entry is not None else None

    def used(self, id: str, now: int) -> None:
        """A key has opened something (ms): the store is told once a minute, and nobody waits for that."""
        told = self._used.get(id)
        if told is not None and now - told < USES_TOLD:
            return
        self._used.put(id, now)
        telling = asyncio.create_task(self._tell(id, now), name="center.key-use")
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)

    async def _tell(self, id: str, now: int) -> None:
        try:
            await self._store.use(id, now)
        except LonglineError:  # told again at its next use
            self._used.forget(id)

    async def close(self) -> None:
        """Waits for what is being told."""
        await asyncio.gather(*self._telling)

    async def find(self, id: str) -> ApiKey | None:
        """The key, or None where there is none, likewise; raises what the store raises."""
        known = self.remembered(id)
        if known is not None:
            return known
        asking = self._asking.get(id)
        if asking is None:
            asking = self._asking[id] = asyncio.create_task(self._ask(id), name="center.key")
            asking.add_done_callback(lambda done: self._answered(id, done))
        return await asyncio.shield(asking)

    def forget(self, id: str) -> None:
        """The key was deleted: what is being read of it may be older than that."""
        self._known.forget(id)
        self._asking.pop(id, None)

    async def _ask(self, id: str) -> ApiKey | None:
        now, me = self._clock(), asyncio.current_task()
        key = await self._store.find(id)
        if self._asking.get(id) is me:  # else it was deleted meanwhile
            if key is None:
                self._known.forget(id)
                self._unknown.put(id, now)
            else:
                self._known.put(id, (key, now))
        return key

    def _answered(self, id: str, asking: asyncio.Task[ApiKey | None]) -> None:
        if self._asking.get(id) is asking:
            del self._asking[id]
        if not asking.cancelled():
            asking.exception()  # seen, also when nobody is left who would raise it
