"""Entries of the queues of sessions, as `queues.py` says what they are."""

import struct
from typing import Final

from longline.saver.port.queues import QueueEntry
from longline.saver.publications import unpack_publication

RETAIN: Final = 4
APART: Final = 8

_PLACED: Final = struct.Struct(">BHIHIIH")  # options, place, expiry, bytes, how many identifiers


def read_entry(packed: object, apart: object) -> QueueEntry | None:
    """An entry with its body, which may lie `apart`; None for what is none."""
    if not isinstance(packed, bytes):
        return None
    options, high, low, _, _, _, told = _PLACED.unpack_from(packed)
    body_at = _PLACED.size + 4 * told
    body = apart if options & APART else packed[body_at:]
    if not isinstance(body, bytes):
        return None
    topic_end = 2 + int.from_bytes(body[:2])
    return QueueEntry(
        place=high << 32 | low,
        publication=unpack_publication(body[2:topic_end].decode(), body[topic_end:]),
        qos=options & 3,
        retain=bool(options & RETAIN),
        identifiers=struct.unpack(f">{told}I", packed[_PLACED.size : body_at]),
    )
