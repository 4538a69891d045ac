"""The public keys of identity providers, read from where each serves its set, and kept for a while.

Nobody waits for a set that is there: one that is not fresh any more is read again beside the work, and one
that cannot be read again stays good for a bounded time. A token that names a key which the set does not have
makes it be read again, but not often, whatever keys are made up.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import urlsplit

import structlog

from longline.errors import LonglineError
from longline.flow.breaker import Breaker
from longline.flow.lru import LruCache
from longline.flow.outbound import Outbound
from longline.jose.keys import BadKey, PublicKey, read_set
from longline.room.life.authority_counters import AuthorityCounters
from longline.settings import AuthoritySettings

AT_ONCE: Final = 16  # reads
FIRST_PAUSE: Final = 1.0  # s, after a read that failed; twice as long each time, up to
LONGEST_PAUSE: Final = 60.0

log = structlog.get_logger("longline.room")


class KeySet:
    """What is known of one address. `read_at` and `asked_at`: seconds, rising, None for never."""

    __slots__ = ("asked_at", "breaker", "keys", "read_at", "reading")

    def __init__(self, clock: Callable[[], float]) -> None:
        self.keys: Sequence[PublicKey] = ()
        self.read_at: float | None = None
        self.asked_at: float | None = None
        self.breaker = Breaker(1, FIRST_PAUSE, LONGEST_PAUSE, clock)
        self.reading: asyncio.Task[None] | None = None


class KeySets:
    """One for a room. `clock` gives seconds, rising."""

    def __init__(
        self,
        settings: AuthoritySettings,
        counters: AuthorityCounters,
        *,
        outbound: Outbound | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._counters = counters
        self._outbound = outbound or Outbound(
            plain=settings.jwks_http,
            private=settings.jwks_private_addresses,
            most=settings.jwks_size,
            timeout=settings.jwks_timeout,
        )
        self._clock = clock
        self._sets: LruCache[str, KeySet] = LruCache(settings.jwks_sets)
        self._places = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()  # one an address; AT_ONCE of them do anything

    def usable(self, url: str) -> Sequence[PublicKey] | None:
        """The keys of a set; None while nobody knows them, or has for too long."""
        known = self._sets.get(url)
        if known is None or known.read_at is None:
            return None
        age = self._clock() - known.read_at
        if age >= self._settings.jwks_fresh and known.reading is None and known.breaker.ask():
            self._begin(url, known)
        return known.keys if age < self._settings.jwks_stale else None

    def worth_asking(self, url: str) -> bool:
        """Whether the set may have a key that was not found in it, and be asked for it now."""
        known = self._sets.get(url)
        if known is None or known.reading is not None:
            return True
        if known.breaker.open:
            return False
        lately = known.asked_at is not None and (
            self._clock() - known.asked_at < self._settings.jwks_unknown_key
        )
        return not lately or self.usable(url) is None

    async def read(self, url: str) -> None:
        """Reads a set, unless it may not be asked now. What comes of it is known afterwards."""
        known = self._sets.get(url)
        if known is None:
            known = KeySet(self._clock)
            self._sets.put(url, known)
        if known.reading is None:
            if not known.breaker.ask():
                return
            self._begin(url, known)
        reading = known.reading
        if reading is not None:
            await asyncio.shield(reading)

    async def close(self) -> None:
        """Nobody wants to know any more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, url: str, known: KeySet) -> None:
        known.asked_at = self._clock()
        known.reading = task = asyncio.create_task(self._read(url, known), name="room.key-set")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _read(self, url: str, known: KeySet) -> None:
        try:
            async with self._places:
                keys = read_set(await self._outbound.get(url))
        except (LonglineError, BadKey) as error:
            known.breaker.failed()
            self._counters.key_sets_failed += 1
            log.warning("key_set_unread", host=urlsplit(url).hostname, reason=str(error))
        else:
            known.breaker.answered()
            known.keys = keys
            known.read_at = self._clock()
            self._counters.key_sets_read += 1
        finally:
            known.breaker.unknown()
            known.reading = None
