"""When something is due that is said in local time: by a cron expression, or as one date and time.

Local time has holes and repetitions where clocks are changed, and each local time is to come once. So a rule
is walked in local time, without any zone, and every time that it gives is then looked up in the zone: one
that exists twice is the first of the two, one that does not exist is the first moment behind the hole, and
times that come to the same moment are one. Only an expression for every hour (its second field begins with
`*`) goes by the time that passes, in a named zone: it is about intervals, and none is to be an hour longer.

`Everywhere` asks for all time zones of the world at once: there are some six hundred of them, and most have
the same local time as many others, for which the rule is walked once.
"""

import asyncio
import re
from collections.abc import Hashable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple, Protocol
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from longline.errors import InvalidCron, InvalidSendAt, InvalidTimezone

MINUTE: Final = timedelta(minutes=1)
MAX_CRON: Final = 200  # characters
MAX_AHEAD: Final = 366 * 86_400_000  # ms from now to a `send_at`
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
UTC_NAME: Final = "UTC"

_SEND_AT = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)?"
)


class Recurrence(Hashable, Protocol):
    """What is due at local times."""

    def following(self, local: datetime) -> Iterator[datetime]:
        """Local times behind this one, rising, without a zone as it is."""
        ...

    def after(self, at: int, zone: ZoneInfo) -> int | None:
        """The next moment in a zone, in ms; None: there is none."""
        ...


class Cron:
    """A cron expression of five fields; `InvalidCron` for what is none, and for one that never comes."""

    def __init__(self, text: str) -> None:
        self._text = text
        fields = text.split()
        if len(fields) != 5 or len(text) > MAX_CRON:
            raise _no_cron("five fields are wanted: minute, hour, day of month, month, day of week")
        self._by_interval = fields[1].startswith("*")
        try:
            next(self.following(EPOCH.replace(tzinfo=None)))
        except CronSimError as error:
            raise _no_cron(f"the expression is not one of cron: {str(error).lower()}") from None
        except StopIteration:
            raise _no_cron("the expression describes a time that never comes") from None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cron) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def following(self, local: datetime) -> Iterator[datetime]:
        """As in `Recurrence`."""
        return iter(CronSim(self._text, local))

    def after(self, at: int, zone: ZoneInfo) -> int | None:
        """As in `Recurrence`."""
        if not self._by_interval:
            return next_moment(self, at, zone)
        found = next(iter(CronSim(self._text, local_time(at, zone, zone))), None)
        return None if found is None else milliseconds(found)


@lru_cache(maxsize=1024)
def cron_of(text: str) -> Cron:
    """The expression; raises as `Cron` does."""
    return Cron(text)


class Once(NamedTuple):
    """One local time."""

    local: datetime

    def following(self, local: datetime) -> Iterator[datetime]:
        """As in `Recurrence`."""
        return iter((self.local,) if self.local > local else ())

    def after(self, at: int, zone: ZoneInfo) -> int | None:
        """As in `Recurrence`."""
        return next_moment(self, at, zone)


def next_moment(recurrence: Recurrence, at: int, zone: ZoneInfo) -> int | None:
    """The first of a rule's local times that comes behind a moment."""
    for local in recurrence.following(local_time(at, zone)):
        found = moment(local, zone)
        if found > at:
            return found
    return None


def local_time(at: int, zone: ZoneInfo, shown: ZoneInfo | None = None) -> datetime:
    """What clocks show at a moment (ms), with a zone or without one."""
    return (EPOCH + timedelta(milliseconds=at)).astimezone(zone).replace(tzinfo=shown)


def milliseconds(at: datetime) -> int:
    """The moment of a time that has a zone."""
    return (at - EPOCH) // timedelta(milliseconds=1)


def moment(local: datetime, zone: ZoneInfo) -> int:
    """When a local time is, in ms: the first time of two, and the end of the hole for one that is not."""
    before = local.replace(tzinfo=zone, fold=0)
    # In a hole, and only there, the zone's offset grows from the one fold to the other (PEP 495).
    hole = local.replace(tzinfo=zone, fold=1).utcoffset() - before.utcoffset()  # type: ignore[operator]
    if hole <= timedelta(0):
        return milliseconds(before)
    missing, there = 0, -(-hole // MINUTE)  # minutes later
    while there - missing > 1:
        middle = (missing + there) // 2
        if _exists(local.replace(second=0, microsecond=0) + middle * MINUTE, zone):
            there = middle
        else:
            missing = middle
    return milliseconds((local.replace(second=0, microsecond=0) + there * MINUTE).replace(tzinfo=zone))


def _exists(local: datetime, zone: ZoneInfo) -> bool:
    at = local.replace(tzinfo=zone)
    return at.astimezone(UTC).astimezone(zone).replace(tzinfo=None) == local


def zone_named(name: str) -> ZoneInfo:
    """A time zone of IANA's; `InvalidTimezone`."""
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        message = f"there is no time zone {name!r}"
        raise InvalidTimezone(message, details=[("timezone", message)]) from None


class Everywhere(NamedTuple):
    """When a rule is due in all time zones, looked at from one moment.

    `zones`: those where it was due between the moment before and this one, which is the last of the time
    between; `next` is when it will be due somewhere again, None for never.
    """

    zones: frozenset[str]
    next: int | None


async def everywhere(recurrence: Recurrence, after: int, until: int) -> Everywhere:
    """Where a rule is due behind `after` and not behind `until`, and when next behind that."""
    # In a thread: it may take a tenth of a second, and reads six hundred files when it is first asked for.
    return await asyncio.to_thread(_everywhere, recurrence, after, until)


# Schedules for one time of day are many, and come to be asked for at the same moments.
@lru_cache(maxsize=256)
def _everywhere(recurrence: Recurrence, after: int, until: int) -> Everywhere:
    was_due = {zone for zone, at in _next_moments(recurrence, after) if at <= until}
    coming = min((at for _, at in _next_moments(recurrence, until)), default=None)
    return Everywhere(frozenset(was_due), coming)


def _next_moments(recurrence: Recurrence, after: int) -> Iterator[tuple[str, int]]:
    """The next moment in each zone where there is one."""
    if isinstance(recurrence, Once):
        yield from ((name, at) for name, at in _moments(recurrence.local).items() if at > after)
        return
    firsts: dict[datetime, datetime | None] = {}  # by what clocks show now
    for name, zone in _world().items():
        shown = local_time(after, zone)
        if shown not in firsts:
            firsts[shown] = next(recurrence.following(shown), None)
        first = firsts[shown]
        if first is not None:
            found = moment(first, zone)
            # Otherwise it was the first time of two, and this is the second.
            at = found if found > after else next_moment(recurrence, after, zone)
            if at is not None:
                yield name, at


@lru_cache(maxsize=256)  # it is looked at anew for each moment, and is the same for many
def _moments(local: datetime) -> Mapping[str, int]:
    """When a local time is in each zone."""
    return {name: moment(local, zone) for name, zone in _world().items()}


@lru_cache(maxsize=1)
def _world() -> Mapping[str, ZoneInfo]:
    """All time zones."""
    return {name: ZoneInfo(name) for name in sorted(available_timezones() | {UTC_NAME})}


def zone_names() -> frozenset[str]:
    """The names of all time zones that this host knows."""
    return frozenset(_world())


def read_send_at(text: str, now: int) -> int | datetime:
    """A moment in ms for one with an offset, else a local time without a zone; `InvalidSendAt`."""
    found = _SEND_AT.fullmatch(text)
    if found is None:
        raise _no_send_at("a date and a time are wanted, as in RFC 3339; without an offset it is local time")
    date, time, fraction, offset = found.groups()
    try:
        digits = (fraction or "").ljust(6, "0")[:6]
        told = datetime.fromisoformat(f"{date}T{time}.{digits}{(offset or 'Z').upper()}")
        at = milliseconds(told)
    except (ValueError, OverflowError):
        raise _no_send_at("there is no such date or time") from None
    if at - now > MAX_AHEAD:
        raise _no_send_at("this is more than a year ahead")
    if at < 0:
        raise _no_send_at("this is before 1970")
    return told.replace(tzinfo=None) if offset is None else at


def read_local(text: str) -> Once:
    """A local time as `datetime.isoformat` writes it."""
    return Once(datetime.fromisoformat(text))


def _no_send_at(message: str) -> InvalidSendAt:
    return InvalidSendAt(message, details=[("options.send_at", message)])


def _no_cron(message: str) -> InvalidCron:
    return InvalidCron(message, details=[("cron", message)])
