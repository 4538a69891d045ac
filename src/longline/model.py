"""The values that cross roles. All are frozen; none knows a wire format or a database.

Times are integers: milliseconds since the Unix epoch, UTC. An *ordinal* is the small integer that a
device gets in its app when it is registered and never loses; sets of devices are sets of ordinals.
A *position* is the place of a message in the order in which an engine accepted messages; it only
ever grows, for one device as for one app.
"""

import re
import time
from collections.abc import Mapping
from enum import IntEnum

import msgspec

JsonObject = dict[str, object]

MAX_PAYLOAD = 256 * 1024  # bytes
MAX_TTL = 2_419_200  # seconds: four weeks
MAX_NAMES = 1000  # devices in one audience, messages or devices in one batch

# An app's name is a level of topics and a part of URLs and of its server key.
APP_NAME = r"[a-z0-9][a-z0-9_-]{0,63}"

# A device's name is an MQTT client id, a level of topics and a segment of URLs. So it has no `/`, `+` or `#`
# (topic separator and wildcards), does not begin with `$` or `@` (reserved topics, other apps' topics), is
# not `.` or `..` (which HTTP clients resolve away, RFC 3986, section 5.2.4), and has no control character
# [MQTT5 1.5.4].
DEVICE_NAME = r"(?!\.{1,2}$)[^$@/+#\x00-\x1f\x7f-\x9f][^/+#\x00-\x1f\x7f-\x9f]{0,127}"

_APP_NAME = re.compile(APP_NAME)
_DEVICE_NAME = re.compile(DEVICE_NAME)


def wall_clock() -> int:
    """Milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000


def valid_app_name(name: str) -> bool:
    """Whether an app may have this name: 1 to 64 of `a-z`, `0-9`, `_`, `-`, the last two not in front."""
    return _APP_NAME.fullmatch(name) is not None


def valid_device_name(name: str) -> bool:
    """Whether a device may have this name: 1 to 128 characters, see `DEVICE_NAME` for which."""
    return _DEVICE_NAME.fullmatch(name) is not None


class App(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant. `number` is its small integer; `server_key_hash` is SHA-256 of the server key."""

    app: str
    number: int
    name: str
    server_key_hash: bytes
    device_secret: str
    pubsub: bool
    created_at: int

    def __repr__(self) -> str:  # the secret must not reach a log by way of a repr
        return f"App({self.app!r}, number={self.number}, pubsub={self.pubsub})"


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What an app server says about a device."""

    aliases: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    attributes: JsonObject = {}
    timezone: str | None = None
    platform: str | None = None


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """A registered device of an app."""

    app: str
    device: str
    ordinal: int
    profile: Profile
    created_at: int


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One push as it travels; the same object for every device that gets it.

    `id` is a UUIDv7 in its 36-character form. `content_type` is a MIME type. An `online_only`
    message is for who is connected at the moment of sending and is never kept for later. One to everyone is
    written to those who are connected over `spread_over` seconds, evenly.
    """

    id: str
    app: str
    payload: bytes
    content_type: str
    created_at: int
    expires_at: int
    qos: int = 1
    priority: str = "normal"
    collapse_key: str | None = None
    online_only: bool = False
    spread_over: int = 0


class Everyone(msgspec.Struct, frozen=True, tag="all"):
    """The audience of all devices registered at the moment of sending."""


class Devices(msgspec.Struct, frozen=True, tag="devices"):
    """An audience of devices by name, without repetition, in the order given."""

    devices: tuple[str, ...]


Audience = Everyone | Devices


class Binding(msgspec.Struct, frozen=True):
    """Where a device is connected. `epoch` rises with every bind of the device; `since` in ms."""

    node: str
    epoch: int
    since: int


class State(IntEnum):
    """Where one message stands for one device. PENDING may become any other; no other changes."""

    PENDING = 0
    ACKED = 1
    EXPIRED = 2
    COLLAPSED = 3
    DROPPED = 4


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """How many devices of a message's audience stand where.

    `targeted` is the sum of `pending`, `acked`, `expired`, `collapsed` and all of `dropped` (by
    reason), at any moment. `routed` counts devices whose delivery was handed to a room, `sent`
    those to whose connection it was written; both are progress, not outcome.
    """

    targeted: int
    pending: int
    acked: int
    expired: int
    collapsed: int
    dropped: Mapping[str, int]
    routed: int
    sent: int


class DeliveryRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One device's row in a message's ledger; times in ms, None for what has not happened."""

    device: str
    state: State
    reason: str | None
    accepted_at: int
    sent_at: int | None
    settled_at: int | None
