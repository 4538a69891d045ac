"""The files that this process may have open: each connection is one, and they must not use up all of them.

Without a file to spare the node could not connect to its store, nor be asked how it is. So devices get what
is left above a reserve, and beyond it are closed at once, counted and logged, as beyond
`room.max_connections`. Should all be used up all the same, the loop lets new connections go (uvloop) or
leaves them to the kernel for a second (asyncio), and this is where it is noticed.
"""

import asyncio
import errno
import fcntl
import os
import resource
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Final, final

import msgspec
import structlog

from longline.settings import RoomSettings

LEAST_RESERVE: Final = 64  # files for listeners, stores, the database
SHARE: Final = 80  # one in so many is for the HTTP API besides, when devices have all they may have
AHEAD: Final = 1 << 16  # files that there is room for from the beginning, in 0.5 MiB of the kernel's memory
LOOK_EVERY: Final = 1.0  # s
TELL_EVERY: Final = 60.0  # s

log = structlog.get_logger("longline.node")


@final
class Files:
    """One for a process, which runs `run` as a task. `exhausted` counts how often there was none to spare."""

    __slots__ = ("_clock", "_sleep", "_told", "exhausted", "limit")

    def __init__(
        self,
        wanted: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.limit = claim(wanted_for(wanted))
        make_room(min(self.limit, AHEAD))
        self.exhausted = 0
        self._clock = clock
        self._sleep = sleep
        self._told: float | None = None

    @property
    def connections(self) -> int:
        """How many of the files are for devices."""
        return for_devices(self.limit)

    def within(self, room: RoomSettings) -> RoomSettings:
        """The settings of a room whose devices leave the reserve alone."""
        if room.max_connections <= self.connections:
            return room
        log.warning(
            "connections_limited",
            reason="by the limit of open files, see `longline doctor`",
            files=self.limit,
            connections=self.connections,
            max_connections=room.max_connections,
        )
        return msgspec.structs.replace(room, max_connections=self.connections)

    def statistics(self) -> Mapping[str, int]:
        return {"limit": self.limit, "exhausted": self.exhausted}

    async def run(self) -> None:
        """Looks once a second whether a file can be opened, for as long as the process lives."""
        while True:
            await self._sleep(LOOK_EVERY)
            self.look()

    def look(self) -> None:
        """Whether a file can be opened now; it is told once a minute when not."""
        try:
            os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self.note(error)

    def heard(self, loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        """A loop's exception handler: asyncio tells of each connection that it could not accept."""
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            self.note(error)
        else:
            loop.default_exception_handler(context)

    def note(self, error: OSError) -> None:
        """There was no file to be had."""
        self.exhausted += 1
        now = self._clock()
        if self._told is None or now - self._told >= TELL_EVERY:
            self._told = now
            log.error(
                "open_files_exhausted",
                reason=error.strerror,
                limit=self.limit,
                so_far=self.exhausted,
            )


def wanted_for(connections: int) -> int:
    """How many files it takes that so many are for devices."""
    return connections + max(LEAST_RESERVE, (connections - 1) // (SHARE - 1))


def for_devices(limit: int) -> int:
    """How many of so many files are for devices."""
    return max(1, limit - max(LEAST_RESERVE, limit // SHARE))


def claim(wanted: int) -> int:
    """Has this process allowed as many files as wanted, where its hard limit lets it; how many it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft


def make_room(files: int) -> None:
    """Has the kernel's table of this process's files be large enough for so many.

    It doubles whenever it is full. In a process with threads, whoever opens that file waits until no
    processor can be reading the former table: 10 ms, and up to 0.2 s on a busy machine. That would be the
    event loop, as very many connect at once.
    """
    with suppress(OSError):  # there is none to be had, which is noticed later
        file = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.close(fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, files - 1))
        finally:
            os.close(file)
