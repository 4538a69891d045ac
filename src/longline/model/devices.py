"""Devices, what app servers say of them, and where they are connected.

An *ordinal* is the small integer that a device gets in its app when it is registered and never loses; sets of
devices are sets of ordinals.
"""

import re
from collections.abc import Sequence

import msgspec

from longline.errors import ValidationFailed

JsonObject = dict[str, object]


# A device's name is an MQTT client id, a level of topics and a segment of URLs. So it has no `/`, `+` or `#`
# (topic separator and wildcards), does not begin with `$` or `@` (reserved topics, other apps' topics), is
# not `.` or `..` (which HTTP clients resolve away, RFC 3986, section 5.2.4), and has no control character
# [MQTT5 1.5.4].
DEVICE_NAME = r"(?!\.{1,2}$)[^$@/+#\x00-\x1f\x7f-\x9f][^/+#\x00-\x1f\x7f-\x9f]{0,127}"


NAME_IN_WORDS = (
    "not a device name: 1 to 128 characters wanted, without `/`, `+`, `#` and control characters, not `$` or "
    "`@` first, nor `.` or `..` alone"
)
_DEVICE_NAME = re.compile(DEVICE_NAME)


def valid_device_name(name: str) -> bool:
    """Whether a device may have this name: 1 to 128 characters, see `DEVICE_NAME` for which."""
    return _DEVICE_NAME.fullmatch(name) is not None


def check_device_name(name: str, field: str = "device") -> None:
    """`ValidationFailed` with `field` when no device can have this name."""
    if _DEVICE_NAME.fullmatch(name) is None:
        raise ValidationFailed("a device's name is not allowed", details=[(field, NAME_IN_WORDS)])


def check_device_names(names: Sequence[str], field: str) -> None:
    """`check_device_name` for each; the error names the place of the first wrong one."""
    for index, name in enumerate(names):
        if _DEVICE_NAME.fullmatch(name) is None:
            check_device_name(name, f"{field}.{index}")


class Profile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an app server says about a device; of most devices nothing, and then a store has nothing of it."""

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


class Came(msgspec.Struct, frozen=True, gc=False):
    """How a client came: from which address, by which protocol, and what it says that it is ("" for
    unknown)."""

    address: str
    protocol: str
    client: str = ""
    version: str = ""


NODE_DIED = "node_died"  # why a connection ended of which its node could not tell any more


class ConnectionRecord(msgspec.Struct, frozen=True):
    """A connection that a device had, or has: the `epoch` of its session, when it came (ms), to which node,
    and how.

    `ended_at` in ms, 0 when nobody has told of its end: it goes on, or another took its place. `reason`: why
    it ended, as `room_closed` counts it.
    """

    epoch: int
    at: int
    node: str
    came: Came
    ended_at: int = 0
    reason: str = ""


def since_ended(connections: Sequence[ConnectionRecord], moment: int) -> list[ConnectionRecord]:
    """Those, the latest first, that ended at this moment (ms) or later, or have not ended. One that another
    followed has ended with that one's beginning at the latest."""
    found: list[ConnectionRecord] = []
    following: ConnectionRecord | None = None
    for each in connections:
        ended_at = each.ended_at or (None if following is None else following.at)
        if ended_at is None or max(each.at, ended_at) >= moment:
            found.append(each)
        following = each
    return found


class ConnectionBounds(msgspec.Struct, frozen=True):
    """Of how many connections of each device is kept what they were, the latest, and for how many ms after
    their end. With none there is no history.
    """

    kept: int = 10
    age: int = 7 * 86_400_000


class Visit(msgspec.Struct, frozen=True):
    """When a device was last there (ms, 0: never as far as is known): when it came, and when it was last
    gone.

    `came`: how it came then. `session`: its MQTT session is kept; `ends_at`: until when, in ms, 0 while it is
    connected, or for ever. `banned_until`: until when it is kept out, in ms; 0: it never was, or no more.
    """

    came_at: int = 0
    left_at: int = 0
    came: Came | None = None
    session: bool = False
    ends_at: int = 0
    banned_until: int = 0

    @property
    def last(self) -> int:
        """The later of the two."""
        return max(self.came_at, self.left_at)


class Binding(msgspec.Struct, frozen=True, gc=False):
    """Where a device is connected. `epoch` rises with every bind of the device; `since` in ms."""

    node: str
    epoch: int
    since: int
