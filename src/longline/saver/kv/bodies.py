"""Messages of broadcasts, which are stored once and read by everybody."""

import asyncio
from collections.abc import Awaitable, Iterable

from longline.flow.lru import LruCache
from longline.model.messages import Message
from longline.saver.kv import layout
from longline.saver.kv.partitions import Partitions
from longline.store.redis import Reply

OVERHEAD = 1024  # bytes that a message takes up in memory beside its payload, about


class Bodies:
    """Those read lately are remembered, at most about `limit` bytes: one object for all who get it."""

    def __init__(self, partitions: Partitions, limit: int) -> None:
        self._partitions = partitions
        self._messages: LruCache[bytes, Message] = LruCache(
            limit, lambda message: len(message.payload) + OVERHEAD
        )

    @property
    def size(self) -> int:
        """Bytes held in memory, about."""
        return self._messages.weight

    async def read(self, ids: Iterable[bytes]) -> dict[bytes, Message]:
        """The messages that are (still) there, by id."""
        found: dict[bytes, Message] = {}
        missing: list[bytes] = []
        for message_id in dict.fromkeys(ids):
            message = self._messages.get(message_id)
            if message is None:
                missing.append(message_id)
            else:
                found[message_id] = message
        if not missing:
            return found
        for message_id, body in zip(missing, await asyncio.gather(*map(self._body, missing)), strict=True):
            if isinstance(body, bytes):
                message = layout.unpack_message(body, message_id)
                # Two may have read it side by side; all get the one that is remembered.
                self._messages.add(message_id, message)
                found[message_id] = self._messages.get(message_id) or message
        return found

    def _body(self, message_id: bytes) -> Awaitable[Reply]:
        home = layout.home_of(message_id, self._partitions.count)
        return self._partitions.call(home, b"GET", layout.body_key(home, message_id))
