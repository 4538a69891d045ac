"""Messages of broadcasts, which are stored once and read by everybody."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable

from longline.model.messages import Message
from longline.saver.kv import layout
from longline.store.redis import Store

OVERHEAD = 1024  # bytes that a message takes up in memory beside its payload, about


class Bodies:
    """Those read lately are remembered, at most about `limit` bytes: one object for all who get it."""

    def __init__(self, store: Store, limit: int) -> None:
        self._store = store
        self._limit = limit
        self._messages: OrderedDict[bytes, Message] = OrderedDict()
        self.size = 0

    async def read(self, ids: Iterable[bytes]) -> dict[bytes, Message]:
        """The messages that are (still) there, by id."""
        found: dict[bytes, Message] = {}
        missing: list[bytes] = []
        for message_id in dict.fromkeys(ids):
            message = self._messages.get(message_id)
            if message is None:
                missing.append(message_id)
            else:
                self._messages.move_to_end(message_id)
                found[message_id] = message
        homes = [layout.home_of(message_id, self._store.partitions) for message_id in missing]
        bodies = await asyncio.gather(
            *(
                self._store.call(layout.tag(home), b"GET", layout.body_key(home, message_id))
                for home, message_id in zip(homes, missing, strict=True)
            )
        )
        for message_id, body in zip(missing, bodies, strict=True):
            if isinstance(body, bytes):
                found[message_id] = layout.unpack_message(body, message_id)
                self._remember(message_id, found[message_id])
        return found

    def _remember(self, message_id: bytes, message: Message) -> None:
        if self._messages.setdefault(message_id, message) is not message:
            return
        self.size += len(message.payload) + OVERHEAD
        while self.size > self._limit:
            _, forgotten = self._messages.popitem(last=False)
            self.size -= len(forgotten.payload) + OVERHEAD
