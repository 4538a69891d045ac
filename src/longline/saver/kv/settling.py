"""Moving deliveries out of pending: receipts, cancelling, and the cursors of the log."""

import asyncio
import struct
from collections.abc import Iterator, Sequence

from longline.model.ledger import State
from longline.saver.kv import layout
from longline.saver.port.inboxes import Cursor, Receipt
from longline.store.redis import Script, Store, Word

SETTLE = Script("longline.saver.lua", "settle.lua")
ADVANCE = Script("longline.saver.lua", "advance.lua")
CANCEL = Script("longline.saver.lua", "cancel.lua")

CANCELLED = "cancelled"
PLACES = 1024  # devices of a broadcast in one receipt
SLICE = 256  # receipts or cursors in one script, so that it holds up nobody for long


class Settling:
    """Fulfils `Saver.settle`, `Saver.advance` and `Saver.cancel`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def settle(self, batch: Sequence[Receipt]) -> None:
        """The receipts of one partition are one script. Devices that took the same broadcast are one of them.

        The first outcome of a device counts, so they stay before whatever else became of one.
        """
        partitions = self._store.partitions
        words: dict[int, list[Word]] = {}
        taken: dict[int, _Taken] = {}
        for receipt in batch:
            place, partition = divmod(receipt.ordinal, partitions)
            if receipt.broadcast:
                if receipt.state == State.ACKED:
                    group = taken.setdefault(partition, {})
                    group.setdefault((receipt.app, receipt.position, receipt.sent_at > 0), []).append(place)
                    continue
                if receipt.state != State.PENDING and partition in taken:
                    words.setdefault(partition, []).extend(_together(taken.pop(partition)))
            words.setdefault(partition, []).extend(
                (
                    1 if receipt.broadcast else 0,
                    receipt.app,
                    place,
                    receipt.position,
                    int(receipt.state),
                    receipt.at,
                    receipt.sent_at,
                    receipt.reason or b"",
                    # That a device took a push is true whoever says so.
                    0 if receipt.state == State.ACKED else receipt.epoch,
                )
            )
        for partition, group in taken.items():
            words.setdefault(partition, []).extend(_together(group))
        await self._run(SETTLE, words, 9, durable=True)

    async def advance(self, batch: Sequence[Cursor]) -> None:
        """The cursors of one partition are one script. One that is lost costs a device a second look."""
        partitions = self._store.partitions
        words: dict[int, list[Word]] = {}
        for cursor in batch:
            words.setdefault(cursor.ordinal % partitions, []).extend(
                (cursor.app, cursor.ordinal // partitions, cursor.log_after, cursor.epoch)
            )
        await self._run(ADVANCE, words, 4, durable=False)

    async def _run(self, script: Script, words: dict[int, list[Word]], width: int, *, durable: bool) -> None:
        calls = [
            self._store.run(
                layout.tag(partition),
                script,
                [layout.prefix(partition)],
                all_of_it[start : start + SLICE * width],
                durable=durable,
            )
            for partition, all_of_it in words.items()
            for start in range(0, len(all_of_it), SLICE * width)
        ]
        if len(calls) == 1:
            await calls[0]
        else:
            await asyncio.gather(*calls)

    async def cancel(self, app: int, message_id: str, now: int) -> bool:
        """Partition by partition: to be repeated when it is interrupted."""
        packed = layout.id_bytes(message_id)
        if not packed:
            return False
        found = await asyncio.gather(
            *(
                self._store.run(
                    layout.tag(partition),
                    CANCEL,
                    [layout.prefix(partition)],
                    [app, packed, CANCELLED, now],
                    durable=True,
                )
                for partition in range(self._store.partitions)
            )
        )
        return 1 in found


_Taken = dict[tuple[int, int, bool], list[int]]  # app, position, whether it was written to: places


def _together(taken: _Taken) -> Iterator[Word]:
    """The receipts of devices that took broadcasts, as the script wants them."""
    for (app, position, written), places in taken.items():
        places.sort()
        for start in range(0, len(places), PLACES):
            some = places[start : start + PLACES]
            packed: Word = some[0] if len(some) == 1 else struct.pack(f">{len(some)}I", *some)
            yield from (len(some), app, packed, position, int(State.ACKED), 0, int(written), b"", 0)
