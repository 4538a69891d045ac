"""`send-id`: a user property by which a device names what it sends, the same each time that it sends it.

DUP cannot do that: in a new session a publish that is sent again is the first of its kind [MQTT-3.3.1-1], so
the event of a copy has an id of its own, and no mark.
"""

from typing import Final

from longline.model.events import SEND_ID

LONGEST: Final = 64  # characters; a longer one is a user property like others


def take_send_id(said: list[tuple[str, str]]) -> str | None:
    """Takes the name out of what a device said, its user properties; None where there is none."""
    for place, (name, value) in enumerate(said):
        if name == SEND_ID and 0 < len(value) <= LONGEST:
            del said[place]
            return value
    return None
