"""The messages for one device: those of its partition that the ledger has, gone through from the latest."""

import msgspec

from longline.saver.kv import layout
from longline.saver.kv.partitions import Partitions, script
from longline.saver.port.ledgers import DevicePage, DeviceRecord
from longline.store.redis import Word

DEVICE_MESSAGES = script("device_messages.lua")

_Told = tuple[bytes, bytes, bytes | None, bytes]  # id, row, label, delivery


async def read_device_messages(
    partitions: Partitions, app: int, ordinal: int, before: str | None, limit: int, waiting: bool
) -> DevicePage:
    """One script in the device's partition."""
    place, partition = divmod(ordinal, partitions.count)
    bound = b"" if before is None else layout.id_bytes(before)
    args: list[Word] = [app, place, bound, limit + 1, int(waiting)]
    reply = await partitions.run(partition, DEVICE_MESSAGES, args)
    assert isinstance(reply, list)
    reached, *rest = reply
    assert isinstance(reached, bytes)
    told = msgspec.convert(rest, list[_Told])
    page = [_message(*each) for each in told[:limit]]
    if len(told) > limit:
        return DevicePage(tuple(page), page[-1].message_id)
    return DevicePage(tuple(page), layout.id_text(reached) if reached else None)


def _message(packed: bytes, packed_row: bytes, label: bytes | None, delivery: bytes) -> DeviceRecord:
    created_at = layout.unpack_row(packed_row).created_at
    row = layout.unpack_delivery(delivery, created_at)
    return DeviceRecord(
        message_id=layout.id_text(packed),
        label=None if label is None else label.decode(),
        state=row.state,
        reason=row.reason,
        accepted_at=created_at,
        sent_at=row.sent_at,
        settled_at=row.settled_at,
    )
