"""Names of what a device sends to its app server, by which it knows copies."""

import secrets
from typing import Final

from longline.model.topics import ATTACHED_MARK, EVENT_PREFIX, UP_PREFIX

RANDOM_BYTES: Final = 9  # no two of a device's are alike


def new_send_id() -> str:
    """12 characters."""
    return secrets.token_urlsafe(RANDOM_BYTES)


def tells_app_server(topic: str) -> bool:
    """Whether what is published there becomes an event of its app, which may be the device's or attached."""
    if topic.startswith(ATTACHED_MARK):
        topic = topic.partition("/")[2]
    return topic.startswith((UP_PREFIX, EVENT_PREFIX))
