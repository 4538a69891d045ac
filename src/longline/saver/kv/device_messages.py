"""The messages for one device: those of its partition that the ledger has, gone through from the latest; and
one of them."""

import msgspec

from longline.saver.kv import layout
from longline.saver.kv.partitions import Partitions, script
from longline.saver.port.ledgers import DevicePage, DeviceRecord
from longline.store.redis import Word

DEVICE_MESSAGES = script("device_messages.lua")
DEVICE_MESSAGE = script("device_message.lua")

_Told = tuple[bytes, bytes, bytes | None, bytes]  # id, row, label, delivery


async def read_device_message(
    partitions: Partitions, app: int, message_id: str, ordinal: int
) -> DeviceRecord | None:
    """One script in the device's partition."""
    packed = layout.id_bytes(message_id)
    if not packed:
        return None
    place, partition = divmod(ordinal, partitions.count)
    reply = await partitions.run(partition, DEVICE_MESSAGE, [app, place, packed])
    return None if reply is None else _message(*msgspec.convert(reply, _Told))


async def read_device_messages(
    partitions: Partitions, app: int, ordinal: int, before: str | None, limit: int, waiting: bool
) -> DevicePage:
    """One script in the device's partition."""
    place, partition = divmod(ordinal, partitions.count)
    bound = b"" if before is None else layout.id_bytes(before)
    args: list[Word] = [app, place, bound, limit + 1, int(waiting)]
    reply = await partitions.run(partition, DEVICE_MESSAGES, args)
    assert isinstance(reply, list)
    reached, looked, *rest = reply
    assert isinstance(reached, bytes)
    assert isinstance(looked, int)
    told = msgspec.convert(rest, list[_Told])
    page = [_message(*each) for each in told[:limit]]
    if len(told) > limit:
        return DevicePage(tuple(page), page[-1].message_id, looked)
    return DevicePage(tuple(page), layout.id_text(reached) if reached else None, looked)


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
