"""Sessions of the console that somebody has logged out of, as all centers know them.

A session is in its cookie alone, and a copy of that would go on after logging out. So the numbers of those
that were ended stand in the keeper until they would have ended by themselves. Reading them costs nothing
but memory: each process has heard of what the keeper has.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec

from longline.errors import Conflict
from longline.keeper.port import Keeper

KEY: Final = "sessions/ended"
MOST: Final = 2000  # 40 kB; of more, those that would end first are forgotten
ATTEMPTS: Final = 8
PAUSE: Final = 0.01  # s until another is tried, doubled each time: others log out too

_decode = msgspec.msgpack.Decoder(dict[str, int]).decode
_encode = msgspec.msgpack.Encoder().encode


class EndedSessions:
    """By their numbers, with when they would have ended (ms). `clock` gives ms since the Unix epoch."""

    def __init__(self, keeper: Keeper, clock: Callable[[], int]) -> None:
        self._keeper = keeper
        self._clock = clock
        self._ended: dict[str, int] = {}
        self._version = 0

    async def add(self, session: str, ends_at: int) -> None:
        """Ends one everywhere. `Unavailable` while the keeper cannot be written to."""
        for attempt in range(ATTEMPTS):
            await self._read()
            now = self._clock()
            ended = {number: at for number, at in self._ended.items() if at > now}
            ended[session] = ends_at
            latest = sorted(ended.items(), key=lambda entry: entry[1])[-MOST:]
            try:
                await self._keeper.write(KEY, _encode(dict(latest)), self._version)
            except Conflict:
                await asyncio.sleep(PAUSE * 2**attempt)
                continue
            return
        raise Conflict(retry_after=1.0)

    async def has(self, session: str) -> bool:
        """Whether it was ended, as far as this process has heard."""
        await self._read()
        return session in self._ended

    async def _read(self) -> None:
        kept = await self._keeper.read(KEY)
        version = 0 if kept is None else kept.version
        if version != self._version:
            self._ended = {} if kept is None else _decode(kept.value)
            self._version = version
