"""Publications in the form in which both engines keep them, beside their topics.

A fixed head, then the properties and the payload as they are: nothing is encoded twice, and the size of what
is kept follows from its length. All integers are big-endian.
"""

import struct
from typing import Final
from uuid import UUID

from longline.model.pubsub import Publication

_HEAD: Final = struct.Struct(">QQB16sI")  # expires at, at, QoS and retain, id, length of the properties
_RETAIN: Final = 4
OVERHEAD: Final = 100  # bytes that a message counts besides topic, payload and properties


def pack_publication(publication: Publication) -> bytes:
    """All of a publication but its topic."""
    head = _HEAD.pack(
        publication.expires_at,
        publication.at,
        publication.qos | (_RETAIN if publication.retain else 0),
        UUID(publication.id).bytes,
        len(publication.properties),
    )
    return b"".join((head, publication.properties, publication.payload))


def unpack_publication(topic: str, packed: bytes) -> Publication:
    """The publication that was packed."""
    expires_at, at, flags, id, length = _HEAD.unpack_from(packed)
    start = _HEAD.size + length
    return Publication(
        id=str(UUID(bytes=id)),
        topic=topic,
        payload=packed[start:],
        qos=flags & 3,
        retain=bool(flags & _RETAIN),
        properties=packed[_HEAD.size : start],
        at=at,
        expires_at=expires_at,
    )


def size_of(topic: bytes, packed: bytes) -> int:
    """What a publication counts in bytes."""
    return OVERHEAD - _HEAD.size + len(topic) + len(packed)
