"""How a check walks over rows and tells of differences."""

from collections.abc import Callable
from typing import Final

from longline.saver.port.audits import AuditStep
from longline.saver.sql.database import device_key
from longline.saver.sql.snapshot import Snapshot

MESSAGES: Final = 100  # looked at in one step: each may have a thousand deliveries
ROWS: Final = 2000
ORDINALS: Final = 10_000  # devices

Check = Callable[[Snapshot, int, str], AuditStep]


def ordinals(snapshot: Snapshot, app: int, after: str) -> tuple[int, int, str | None]:
    """The first and the last key of the devices that are next, and where to go on after them."""
    first = int(after or 0)
    end = snapshot.number("SELECT next_ordinal FROM apps WHERE number = ?1", app)
    last = first + ORDINALS
    # The last step takes all keys that are above, of which no device should be.
    if last >= end:
        return device_key(app, first), device_key(app, 0xFFFF_FFFF), None
    return device_key(app, first), device_key(app, last - 1), str(last)


def device(key: int) -> str:
    """What a device is called in a difference."""
    return f"device {key & 0xFFFF_FFFF}"


def id_text(id: bytes) -> str:
    """The 36-character form of an id."""
    text = id.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
