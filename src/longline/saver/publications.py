"""Publications in the form in which both engines keep them, beside their topics.

A fixed head, then the sender, the properties and the payload as they are: nothing is encoded twice, and the
size of what is kept follows from its length. All integers are big-endian.
"""

import struct
from typing import Final
from uuid import UUID

from longline.model.pubsub import Publication

# When it is over, when it was published, QoS and retain, id, lengths of the sender and the properties.
_HEAD: Final = struct.Struct(">QQB16sHI")
_RETAIN: Final = 4
OVERHEAD: Final = 200  # bytes that a message counts besides topic, payload and properties


def pack_publication(publication: Publication) -> bytes:
    """All of a publication but its topic."""
    sender = publication.sender.encode()
    head = _HEAD.pack(
        publication.expires_at,
        publication.at,
        publication.qos | (_RETAIN if publication.retain else 0),
        UUID(publication.id).bytes,
        len(sender),
        len(publication.properties),
    )
    return b"".join((head, sender, publication.properties, publication.payload))


def unpack_publication(topic: str, packed: bytes) -> Publication:
    """The publication that was packed."""
    expires_at, at, flags, id, named, length = _HEAD.unpack_from(packed)
    properties = _HEAD.size + named
    start = properties + length
    return Publication(
        id=str(UUID(bytes=id)),
        topic=topic,
        payload=packed[start:],
        qos=flags & 3,
        retain=bool(flags & _RETAIN),
        properties=packed[properties:start],
        at=at,
        expires_at=expires_at,
        sender=packed[_HEAD.size : properties].decode(),
    )


def bytes_of(publication: Publication) -> int:
    """What a message takes up in the queue of a session."""
    return len(publication.topic.encode()) + len(publication.payload) + len(publication.properties)


def size_of(topic: bytes, packed: bytes) -> int:
    """What a publication counts in bytes."""
    return OVERHEAD - _HEAD.size + len(topic) + len(packed)
