"""What a device has missed, as the server tells it on `$link/gap`."""

from datetime import datetime

import msgspec


class Missed(msgspec.Struct, frozen=True):
    """How many messages for a device have ended without reaching it, and since when (in UTC).

    They were dropped since too much waited for the device, or were too large for it; they expired; or newer
    ones of their collapse key took their place.
    """

    dropped: int
    expired: int
    collapsed: int
    since: datetime

    def __str__(self) -> str:
        """Two expired and one collapsed as `2 expired, 1 collapsed, since 2026-01-31T12:00:00+00:00`."""
        counts = {"dropped": self.dropped, "expired": self.expired, "collapsed": self.collapsed}
        told = [f"{count} {what}" for what, count in counts.items() if count]
        return ", ".join([*told, f"since {self.since.isoformat(timespec='seconds')}"])


def read_missed(payload: bytes) -> Missed | None:
    """What a message on the topic says; None where that is nothing this version understands."""
    try:
        return msgspec.json.decode(payload, type=Missed)
    except (msgspec.MsgspecError, RecursionError):  # the latter: brackets by the thousand
        return None
