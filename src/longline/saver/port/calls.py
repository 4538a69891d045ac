"""The duties of the store of calls: commands to devices whose callers wait for the answer.

A call lives as long as its caller waits, a minute at most, and nobody needs it after a crash: nothing here
has to be durable. What matters is that whoever has the device finds the call, and whoever has the caller the
answer.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec


class DeviceCall(msgspec.Struct, frozen=True):
    """Somebody waits for what the device with this ordinal answers to a message, for `timeout` ms."""

    app: int
    message_id: str
    ordinal: int
    timeout: int


class CallResult(msgspec.Struct, frozen=True):
    """What a device has answered to a message, and when (ms)."""

    app: int
    message_id: str
    ordinal: int
    payload: bytes
    at: int

    def __repr__(self) -> str:  # what devices say must not reach a log by way of a repr
        return f"CallResult({self.message_id!r}, app={self.app}, ordinal={self.ordinal})"


class CallStore(Protocol):
    """The port. What holds for every port of the saver stands in the folder's first paragraph, but for
    durability. A `message_id` that is no UUID is that of no call.
    """

    async def open(self, call: DeviceCall) -> None:
        """From now on there is an answer to be had."""
        ...

    async def answer(self, batch: Sequence[CallResult]) -> list[bool]:
        """Gives answers. False: nobody waits for it, or not of this device, or it has another answer."""
        ...

    async def answers(self, calls: Sequence[DeviceCall]) -> list[CallResult | None]:
        """What these calls were answered by now."""
        ...

    async def close(self, call: DeviceCall) -> None:
        """Nobody waits any more."""
        ...
