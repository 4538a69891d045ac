"""How many of something an app has, so that it gets no more of it than it may.

To count costs a look at the store, and an app that is far from its limit needs none: what it has is what was
counted last and what was added here since. It is counted again, once in `LOOK_AGAIN` at most, when others
might have added as much as there was room for, at `ASSUMED` a second, and when what was added here may have
been there before. Only where it is too much, somebody looks who of those that come is new.

One process is exact. Where several add to one app that is at its limit, it may get as many too many as come
to the others within `LOOK_AGAIN`.
"""

import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Final

from longline.flow.lru import LruCache
from longline.register.port import Register
from longline.saver.port.devices import DeviceStore

LOOK_AGAIN: Final = 0.25  # s
ASSUMED: Final = 10_000  # a second
REMEMBERED: Final = 10_000  # apps

Count = Callable[[int], Awaitable[int]]
Present = Callable[[int, Sequence[str]], Awaitable[Collection[str]]]
NOBODY: Final[frozenset[str]] = frozenset()


class _Known:
    """What an app has: `count`, of which `unsure` may have been there before; `coming` are being added."""

    __slots__ = ("at", "coming", "count", "unsure")

    def __init__(self, count: int, at: float) -> None:
        self.count = count
        self.at = at
        self.unsure = 0
        self.coming = 0


class Adding:
    """`new` are being added, or fewer: they are `sure` to be new, or some may have been there before."""

    __slots__ = ("_known", "_new", "_refused", "_sure")

    def __init__(self, known: _Known, new: int, sure: bool, refused: Collection[str]) -> None:
        self._known = known
        self._new = new
        self._sure = sure
        self._refused = refused

    def __enter__(self) -> Collection[str]:
        self._known.coming += self._new
        return self._refused

    def __exit__(self, *exc: object) -> None:
        known = self._known
        known.coming -= self._new
        known.count += self._new
        if not self._sure:
            known.unsure += self._new


class Headcounts:
    """One for what is counted. `count`: how many an app has; `present`: which of these it has already.

    `refused` counts those that were.
    """

    def __init__(
        self, count: Count, present: Present, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.refused = 0
        self._count = count
        self._present = present
        self._monotonic = monotonic
        self._apps: LruCache[int, _Known] = LruCache(REMEMBERED)

    async def adding(self, app: int, most: int, names: Sequence[str]) -> Adding:
        """To be entered at once. Gives those of these that an app with `most` may not have, while the others
        are added in the block.

        Raises what the store raises. 0 is without limit.
        """
        if not most or not names:
            return Adding(_Known(0, 0.0), 0, True, NOBODY)
        known, fits = await self._look(app, most, len(names))
        if fits:
            return Adding(known, len(names), False, NOBODY)
        there = await self._present(app, names)
        some = [name for name in dict.fromkeys(names) if name not in there]
        room = max(0, most - known.count - known.coming)
        refused = frozenset(some[room:])
        self.refused += len(refused)
        return Adding(known, min(len(some), room), True, refused)

    def forget(self, app: int) -> None:
        """The app has lost some: it is counted anew."""
        known = self._apps.get(app)
        if known is not None:
            known.at = float("-inf")

    async def _look(self, app: int, most: int, more: int) -> tuple[_Known, bool]:
        """What an app has, and whether so many more fit in any case."""
        known = self._apps.get(app)
        if known is None:
            known = _Known(0, float("-inf"))
            self._apps.put(app, known)
        now = self._monotonic()
        room = most - known.count - known.coming - more
        age = now - known.at
        if (age >= LOOK_AGAIN and room < ASSUMED * age) or (room < 0 and known.unsure):
            known.count = await self._count(app)
            known.unsure = 0
            known.at = now
            room = most - known.count - known.coming - more
        return known, room >= 0


def registered(devices: DeviceStore) -> Present:
    """Which devices of an app are registered already."""

    async def present(app: int, names: Sequence[str]) -> Collection[str]:
        return {device.device for device in await devices.find(app, names) if device is not None}

    return present


def bound(register: Register) -> Present:
    """Which devices of an app are connected already, or linger."""

    async def present(app: int, names: Sequence[str]) -> Collection[str]:
        found = await register.locate(app, names)
        return {name for name, binding in zip(names, found, strict=True) if binding is not None}

    return present


async def nobody(app: int, names: Sequence[str]) -> Collection[str]:
    """Whoever comes is known to be new."""
    return NOBODY
