"""What an app may have and do, beside what all of them share: its limits."""

from typing import Final

import msgspec

KIB: Final = 1024
GIB: Final = 1024**3

# What a limit may be: the least, and the most. 0 is without limit.
BOUNDS: Final[dict[str, tuple[int, int]]] = {
    "messages_per_second": (0, 10_000_000),
    "deliveries_per_second": (0, 100_000_000),
    "devices": (0, 4_000_000_000),
    "connections": (0, 4_000_000_000),
    "sessions": (0, 4_000_000_000),
    "groups": (0, 100_000_000),
    "requests": (0, 1_000_000),
    "inbox_messages": (1, 1_000_000),
    "inbox_bytes": (64 * KIB, 64 * GIB),
    "retained_messages": (1, 100_000_000),
    "retained_bytes": (64 * KIB, 64 * GIB),
    "waiting_messages": (1, 10_000_000),
    "schedules": (1, 1_000_000),
    "ledger_retention": (60, 31_536_000),
    "retire_after": (0, 315_360_000),
}


class AppLimits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The limits that an app has of its own; None is the default, which the settings say."""

    messages_per_second: int | None = None
    deliveries_per_second: int | None = None
    devices: int | None = None
    connections: int | None = None
    sessions: int | None = None
    groups: int | None = None
    requests: int | None = None
    inbox_messages: int | None = None
    inbox_bytes: int | None = None
    retained_messages: int | None = None
    retained_bytes: int | None = None
    waiting_messages: int | None = None
    schedules: int | None = None
    ledger_retention: int | None = None
    retire_after: int | None = None


NONE_OWN: Final = AppLimits()


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits that are in force for an app, or those of an app that has none of its own.

    0 is without limit. `messages_per_second` are taken in, from anybody; `deliveries_per_second` are those of
    messages to everyone, tags and groups, to devices that are connected, in all rooms together.
    `devices` are registered ones, `connections` sessions that are connected, in all rooms, `sessions` MQTT
    sessions that outlive their connections. `requests` are under way at once at one center. What is bounded
    by `inbox_*` waits for one device. `ledger_retention` in seconds from a message's end. A device that was
    away for `retire_after` seconds is retired.
    """

    messages_per_second: int = 0
    deliveries_per_second: int = 0
    devices: int = 0
    connections: int = 0
    sessions: int = 0
    groups: int = 100_000
    requests: int = 0
    inbox_messages: int = 5000
    inbox_bytes: int = 64 * KIB * KIB
    retained_messages: int = 1_000_000
    retained_bytes: int = 256 * KIB * KIB
    waiting_messages: int = 100_000
    schedules: int = 1000
    ledger_retention: int = 604_800
    retire_after: int = 0

    def with_own(self, own: AppLimits) -> "Limits":
        """Those in force for an app that has limits of its own, where these are the defaults."""
        if own == NONE_OWN:
            return self  # most apps, and it is asked for with each of their requests
        given = {name: value for name, value in msgspec.structs.asdict(own).items() if value is not None}
        return msgspec.structs.replace(self, **given)
