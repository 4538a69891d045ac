"""Calls: each in the home partition of its message.

`cl:<app>:<id>` HASH: o the device's ordinal, then p what it has answered, a when (ms). It ends by itself.
"""

from collections.abc import Awaitable, Sequence

import msgspec

from longline.saver.kv import layout
from longline.saver.kv.partitions import Partitions, script
from longline.saver.port.calls import CallResult, DeviceCall
from longline.store.redis import Reply, Word
from longline.store.scatter import Spare, scatter
from longline.telemetry.faults import Faults

OPEN = script("open_call.lua")
ANSWER = script("answer_calls.lua")
READ = script("read_calls.lua")
CLOSE = script("close_call.lua")


class KvCalls:
    """Fulfils `CallStore`."""

    def __init__(self, partitions: Partitions, faults: Faults) -> None:
        self._partitions = partitions
        self._unanswered: Spare[CallResult, bool] = Spare(faults, "saver.calls", lambda answer: False)
        self._unread: Spare[DeviceCall, CallResult | None] = Spare(faults, "saver.calls", lambda call: None)

    def _home_of(self, call: DeviceCall | CallResult) -> int:
        return layout.home_of(layout.id_bytes(call.message_id), self._partitions.count)

    async def open(self, call: DeviceCall) -> None:
        """A key that ends by itself."""
        id = layout.id_bytes(call.message_id)
        await self._partitions.run(self._home_of(call), OPEN, [call.app, id, call.ordinal, call.timeout])

    async def answer(self, batch: Sequence[CallResult]) -> list[bool]:
        """The first answer stays."""

        def ask(partition: int, part: Sequence[CallResult]) -> Awaitable[Reply]:
            args: list[Word] = []
            for item in part:
                args += item.app, layout.id_bytes(item.message_id), item.ordinal, item.payload, item.at
            return self._partitions.run(partition, ANSWER, args)

        def read(partition: int, part: Sequence[CallResult], reply: Reply) -> list[bool]:
            return [code == 1 for code in msgspec.convert(reply, list[int])]

        return await scatter(batch, self._home_of, ask, read, self._unanswered)

    async def answers(self, calls: Sequence[DeviceCall]) -> list[CallResult | None]:
        """One script in each partition."""

        def ask(partition: int, part: Sequence[DeviceCall]) -> Awaitable[Reply]:
            args: list[Word] = []
            for call in part:
                args += call.app, layout.id_bytes(call.message_id)
            return self._partitions.run(partition, READ, args)

        def read(partition: int, part: Sequence[DeviceCall], reply: Reply) -> list[CallResult | None]:
            rows = msgspec.convert(reply, list[tuple[bytes, bytes] | None])
            return [
                None
                if row is None
                else CallResult(call.app, call.message_id, call.ordinal, row[0], int(row[1]))
                for call, row in zip(part, rows, strict=True)
            ]

        return await scatter(calls, self._home_of, ask, read, self._unread)

    async def close(self, call: DeviceCall) -> None:
        """Removes the key."""
        await self._partitions.run(self._home_of(call), CLOSE, [call.app, layout.id_bytes(call.message_id)])
