"""The duties of the store of what is to be sent later: a *timer* each, with the time at which it is due.

What a timer means, its body says, which no engine reads: `delivery/timetable.py` packs it and whoever leads
the duty does it. Being due changes nothing by itself: a timer stays due until it is changed, so who dies in
between leaves it to the next. A change compares versions first, so of those who act on one state of a timer,
one is done and the others are told.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Final, Protocol

import msgspec

from longline.saver.port.messages import IdempotencyConflict, Refused

OVERHEAD: Final = 200  # bytes that a timer counts besides its body
PAGE_BYTES: Final = 4 * 1024 * 1024  # of bodies in one answer, but one body always


class TimerKind(IntEnum):
    """What an app's timers are listed and bounded by."""

    MESSAGE = 0
    SCHEDULE = 1


class Timer(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is to be sent later, once or again and again.

    `id` is a UUIDv7 in its 36-character form. `due`: when there is next something to do for it, in ms; 0 for
    never. `open`: it is still to send something; one that is not is kept to be looked at, and counts for
    nothing but its bytes. `version` rises by one with each change.
    """

    id: str
    app: int
    kind: TimerKind
    due: int
    body: bytes
    open: bool = True
    version: int = 1

    def __repr__(self) -> str:  # what is sent must not reach a log by way of a repr
        return f"Timer({self.id!r}, app={self.app}, due={self.due}, version={self.version})"


class TimerBounds(msgspec.Struct, frozen=True):
    """What an app may have: messages that wait for their time, schedules, and bytes of both together."""

    messages: int = 100_000
    schedules: int = 1000
    bytes: int = 256 * 1024 * 1024


class AddTimers(msgspec.Struct, frozen=True):
    """Timers of one app that one request brought, stored together or not at all.

    `idempotency_key`, `digest` and `idempotency_ttl` as in a `Submission`; keys of these have nothing to do
    with keys there. `messages` and `schedules`: how many of each the app may have, where that is another
    number than the engine was opened with; else 0.
    """

    app: int
    timers: tuple[Timer, ...]
    now: int
    idempotency_key: str | None = None
    digest: bytes = b""
    idempotency_ttl: int = 86_400_000
    messages: int = 0
    schedules: int = 0


class Added(msgspec.Struct, frozen=True):
    """The timers are stored under these ids, which are those of the first time when it is `replayed`."""

    ids: tuple[str, ...]
    replayed: bool = False


class DueTimers(msgspec.Struct, frozen=True):
    """Timers that are due, and how many there are that will be some time, these among them."""

    timers: tuple[Timer, ...]
    waiting: int


class TimerPage(msgspec.Struct, frozen=True):
    """Timers by id, and whether there are more behind them."""

    timers: tuple[Timer, ...]
    more: bool


class ScheduleStore(Protocol):
    """The port. What holds for every port of the saver stands in the folder's first paragraph.

    No answer has more than about `PAGE_BYTES` of bodies.
    """

    async def add(self, batch: Sequence[AddTimers]) -> list[Added | Refused | IdempotencyConflict]:
        """Stores timers; refused are `app_not_found`, and `quota_exceeded` where the app has all it may."""
        ...

    async def find(self, app: int, id: str) -> Timer | None: ...

    async def page(self, app: int, kind: TimerKind, after: str, limit: int) -> TimerPage:
        """Those of a kind in the order in which they were made, behind the id `after` ("": all)."""
        ...

    async def due(self, now: int, limit: int) -> DueTimers:
        """Timers of all apps that are due, at most about `limit`; of each app those that are so longest.

        No app's keep those of another from being among them.
        """
        ...

    async def change(self, timer: Timer) -> bool:
        """Puts a timer in the place of the one with the version before its own.

        False, and nothing is changed, when there is no such one: somebody else was faster.
        """
        ...

    async def remove(self, app: int, id: str, version: int = 0) -> bool:
        """Forgets a timer, of this version where one is given. False: there is no such one."""
        ...
