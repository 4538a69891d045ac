"""The keys of session tickets, the same for all processes of a host that share a data folder.

A ticket is the state of a session, enciphered for nobody but us, which the client keeps: with it, the next
handshake needs no signature. A client that comes back finds another process behind the same port, so the
processes share the keys, in a file that only their user reads. They are random, each is used for a day and
good for another one, and then it is gone: what was written down of former connections (TLS 1.2) cannot be
opened with what is found here today (RFC 5077, section 5.5; RFC 9325, section 4.4).

Each key is in the file a day before it is used, so that a process that has not looked for a while has it.
"""

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog
from msgspec import Struct

from longline.tls.openssl import NAME, TICKET_KEYS

FILE: Final = "tls-tickets.key"
PERIOD: Final = 86_400  # s that a key is used for new tickets
SLACK: Final = 60  # s that another process's clock reading may be older than ours
LONGEST: Final = 4096  # bytes of the file

log = structlog.get_logger("longline.tls")


class TicketKey(Struct, frozen=True):
    """A key; `since` is the second (Unix time) from which on tickets are made with it."""

    since: int
    secret: bytes

    @property
    def name(self) -> bytes:
        """What every ticket that was made with it begins with."""
        return self.secret[:NAME]


class TicketKeys:
    """The keys of a folder. `clock` is Unix time in seconds.

    `current` makes tickets, `former` still opens them. Without a folder, or while the file can neither be
    read nor written, keys are this process's own.
    """

    def __init__(self, folder: Path | None, clock: Callable[[], float]) -> None:
        self._folder = folder
        self._clock = clock
        self._keys: list[TicketKey] = []  # by `since`
        self._told = ""

    @property
    def current(self) -> TicketKey:
        """What new tickets are made with."""
        now = self._clock()
        return next((key for key in reversed(self._keys) if key.since <= now), self._keys[0])

    @property
    def former(self) -> TicketKey | None:
        """What was used before, and still opens tickets."""
        at = self._keys.index(self.current)
        return self._keys[at - 1] if at else None

    def look(self) -> None:
        """Takes the keys as the file has them, and adds what is due to it. Never raises."""
        now = int(self._clock())
        folder = self._folder
        try:
            if folder is None:
                self._keys = renewed(self._keys, now)
            else:
                self._keys = shared(folder / FILE, now)
            self._told = ""
        except OSError as error:
            self._keys = renewed(self._keys, now)
            problem = f"{folder}: {error.strerror or error}"
            if problem != self._told:
                self._told = problem
                log.warning("tls_tickets_not_shared", reason=problem)


def shared(path: Path, now: int) -> list[TicketKey]:
    """The keys in a file, which is written where something is due to it."""
    there = path.exists()
    found = read(path)
    if not due(found, now):
        return found
    found = renewed(found, now)
    write(path, found, replace=there)
    # Another process may have done so at the same moment; what is there now holds for both.
    return read(path) or found


def due(keys: list[TicketKey], now: int) -> bool:
    """Whether there is no key for now, or none for what comes after it, or one too many."""
    return len([key for key in keys if key.since <= now]) not in (1, 2) or keys[-1].since <= now


def renewed(keys: list[TicketKey], now: int) -> list[TicketKey]:
    """The keys that there should be: one that was, where there was one; one that is; one that will be."""
    past = [key for key in keys if key.since <= now and now < key.since + 2 * PERIOD]
    # The clock was set back, by more than what it can be early: nothing that is there can be gone by.
    ahead = [key for key in keys if now < key.since <= now + PERIOD]
    if not past or now >= past[-1].since + PERIOD:
        past.append(fresh(now - SLACK))
        ahead = []
    return [*past[-2:], *(ahead[:1] or [fresh(past[-1].since + PERIOD)])]


def fresh(since: int) -> TicketKey:
    """A new key."""
    return TicketKey(since, secrets.token_bytes(TICKET_KEYS))


def read(path: Path) -> list[TicketKey]:
    """The keys in a file; none when there is no file, or when it is not one of ours."""
    try:
        with path.open("rb") as file:
            lines = file.read(LONGEST).split(b"\n")
    except FileNotFoundError:
        return []
    found = []
    for line in lines:
        since, _, secret = line.partition(b" ")
        with suppress(ValueError):
            key = TicketKey(int(since), bytes.fromhex(secret.decode("ascii")))
            if len(key.secret) == TICKET_KEYS:
                found.append(key)
    return sorted(found, key=lambda key: key.since)


def write(path: Path, keys: list[TicketKey], *, replace: bool) -> None:
    """Puts keys into a file that only its owner reads, and that is never there in part.

    Unless it is to `replace` one, a file that is there stays: the processes of a host start together, and the
    first one's keys are everybody's.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.writelines(b"%d %b\n" % (key.since, key.secret.hex().encode()) for key in keys)
        if replace:
            os.replace(draft, path)
        else:
            with suppress(FileExistsError):
                os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)
