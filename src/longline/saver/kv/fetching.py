"""What waits for devices: the reads of a device that comes, for many devices at a time."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from longline.model.messages import Message
from longline.saver.kv import layout
from longline.saver.kv.bodies import Bodies
from longline.saver.port.inboxes import Fetch, Page, Push
from longline.store.redis import Reply, Script, Store, Word

FETCH = Script("longline.saver.lua", "fetch.lua")
COUNT_PENDING = Script("longline.saver.lua", "count_pending.lua")

# Entries, position of the first that was left out, messages whose bodies are elsewhere, how far the log was
# read, whether that is its end, and what is in it: position, id, whether it was written.
_Waiting = tuple[bytes, int, list[bytes | None], int, int, list[int | bytes]]


class _Found(NamedTuple):
    """A push that is to be on a page. `message` is None for a broadcast's, which is read apart."""

    position: int
    message_id: bytes
    message: Message | None
    written: bool


class Fetching:
    """Fulfils `Saver.fetch` and `Saver.count_pending`."""

    def __init__(self, store: Store, bodies: Bodies) -> None:
        self._store = store
        self._bodies = bodies

    async def count_pending(self, app: int, ordinals: Sequence[int], now: int) -> list[int]:
        """One script a partition."""
        partitions = self._store.partitions
        parts: dict[int, list[int]] = {}
        for index, ordinal in enumerate(ordinals):
            parts.setdefault(ordinal % partitions, []).append(index)
        replies = await asyncio.gather(
            *(
                self._store.run(
                    layout.tag(partition),
                    COUNT_PENDING,
                    [layout.prefix(partition)],
                    [app, now, *(ordinals[index] // partitions for index in indexes)],
                )
                for partition, indexes in parts.items()
            )
        )
        counts = [0] * len(ordinals)
        for indexes, reply in zip(parts.values(), replies, strict=True):
            for index, count in zip(indexes, msgspec.convert(reply, list[int]), strict=True):
                counts[index] = count
        return counts

    async def fetch(self, batch: Sequence[Fetch]) -> list[Page]:
        """One script a partition, which sees one moment."""
        partitions = self._store.partitions
        parts: dict[int, list[int]] = {}
        for index, fetch in enumerate(batch):
            parts.setdefault(fetch.ordinal % partitions, []).append(index)
        replies = await asyncio.gather(
            *(
                self._store.run(
                    layout.tag(partition),
                    FETCH,
                    [layout.prefix(partition)],
                    [word for index in indexes for word in _words(batch[index], partitions)],
                )
                for partition, indexes in parts.items()
            )
        )
        chosen: list[tuple[list[_Found], int, bool]] = [([], 0, True)] * len(batch)
        for indexes, reply in zip(parts.values(), replies, strict=True):
            assert isinstance(reply, list)
            for index, waiting in zip(indexes, reply, strict=True):
                chosen[index] = _choose(batch[index], waiting)
        broadcasts = await self._bodies.read(
            found.message_id for entries, _, _ in chosen for found in entries if found.message is None
        )
        return [_page(entries, broadcasts, log_after, complete) for entries, log_after, complete in chosen]


def _words(fetch: Fetch, partitions: int) -> tuple[Word, ...]:
    return (
        fetch.app,
        fetch.ordinal // partitions,
        fetch.inbox_after,
        fetch.log_after,
        fetch.limit,
        fetch.now,
        fetch.limit_bytes,
    )


def _choose(fetch: Fetch, reply: Reply) -> tuple[list[_Found], int, bool]:
    """The oldest of what waits, how far the log was read with it, and whether that is all."""
    packed, left_out, elsewhere, read, at_end, log = msgspec.convert(reply, _Waiting)
    found: list[_Found] = []
    bodies = iter(elsewhere)
    at = 0
    while at < len(packed):
        entry, at = layout.unpack_entry(packed, at)
        if entry.body is not None:
            message = layout.unpack_body(
                entry.body, entry.message_id, entry.expires_at, entry.collapse_key, entry.online_only
            )
        else:
            body = next(bodies)
            if body is None:
                continue
            message = layout.unpack_message(body, entry.message_id)
        found.append(_Found(entry.position, entry.message_id, message, bool(entry.flags & layout.WRITTEN)))
    for position, message_id, written in zip(log[::3], log[1::3], log[2::3], strict=True):
        assert isinstance(position, int)
        assert isinstance(message_id, bytes)
        found.append(_Found(position, message_id, None, bool(written)))
    found.sort()
    fitting = [
        entry
        for entry in found
        if (not left_out or entry.position < left_out) and (at_end or entry.position <= read)
    ][: fetch.limit]
    if len(fitting) == len(found) and not left_out and at_end:
        return fitting, read, True
    last = max((entry.position for entry in fitting if entry.message is None), default=fetch.log_after)
    return fitting, last, False


def _page(
    entries: Sequence[_Found], broadcasts: dict[bytes, Message], log_after: int, complete: bool
) -> Page:
    pushes: list[Push] = []
    for entry in entries:
        message = entry.message or broadcasts.get(entry.message_id)
        if message is not None:  # else it came to its end a moment ago
            pushes.append(Push(message, entry.position, entry.message is None, entry.written))
    return Page(tuple(pushes), log_after, complete)
