"""Messages as they are read for devices: bodies by position, those of broadcasts remembered."""

from collections.abc import Iterable

import msgspec

from longline.flow.lru import LruCache
from longline.model.messages import Message
from longline.saver.sql.database import Database

AT_ONCE = 2 * 1024 * 1024  # bytes of messages read by one statement
OVERHEAD = 1024  # bytes that a message takes up in memory beside its payload, about

_rows = msgspec.json.Decoder(list[tuple[int, int]])
_unpack = msgspec.msgpack.Decoder(Message).decode


class Bodies:
    """For the reader's thread. Broadcasts read lately are remembered, at most about `limit` bytes.

    So a broadcast is one object for all devices that get it.
    """

    def __init__(self, database: Database, limit: int) -> None:
        self._database = database
        self._broadcasts: LruCache[int, Message] = LruCache(
            limit, lambda message: len(message.payload) + OVERHEAD
        )

    def read(self, wanted: dict[int, bool], lengths: dict[int, int]) -> dict[int, Message]:
        """Messages by position. `wanted`: whether each is a broadcast; `lengths`: bytes, as far as known."""
        messages: dict[int, Message] = {}
        missing: list[int] = []
        for position, broadcast in wanted.items():
            known = self._broadcasts.get(position) if broadcast else None
            if known is None:
                missing.append(position)
            else:
                messages[position] = known
        for part in parts(missing, lengths):
            read, packed = self._database.packed(
                "SELECT json_group_array(json_array(position, length(body))),"
                " CAST(group_concat(body, '') AS BLOB)"
                " FROM carray(?1) CROSS JOIN messages ON position = value",
                part,
            )
            at = 0
            for position, length in _rows.decode(read):
                message = messages[position] = _unpack(packed[at : at + length])
                at += length
                if wanted[position]:
                    self._broadcasts.put(position, message)
        return messages


def parts(positions: list[int], lengths: dict[int, int]) -> Iterable[tuple[int, ...]]:
    """Cuts positions into parts whose messages have at most about `AT_ONCE` bytes."""
    part: list[int] = []
    size = 0
    for position in positions:
        length = lengths.get(position, AT_ONCE // 8)  # a broadcast's is not known, and can be 256 KiB
        if part and size + length > AT_ONCE:
            yield tuple(part)
            part, size = [], 0
        part.append(position)
        size += length
    if part:
        yield tuple(part)
