"""What nobody has routed, as it is read from the store."""

import asyncio
from collections.abc import Sequence
from typing import cast
from unittest.mock import create_autospec

import pytest

from longline.model.commands import Target, Unicast
from longline.model.devices import Binding
from longline.model.messages import Message
from longline.saver.kv import layout
from longline.saver.kv.bodies import Bodies
from longline.saver.kv.carrying import Carrying
from longline.saver.kv.journal import Journal
from longline.saver.kv.partitions import Partitions
from longline.saver.kv.received import ReceivedMessages
from longline.saver.kv.routing import UNROUTED, YIELD_EVERY, KvRouting
from longline.store.redis import Reply, Store, Word
from longline.store.script import Script
from longline.telemetry.faults import Faults


class Lost:
    """A store of so many partitions, each with so many messages that nobody has routed."""

    longest_call = 1.0

    def __init__(self, partitions: int, each: int) -> None:
        self.partitions = partitions
        self._left = {layout.tag(partition): each for partition in range(partitions)}

    async def call(self, tag: bytes, *command: Word) -> Reply:
        assert command[0] == b"ZCOUNT"
        return self._left[tag]

    async def run(
        self, tag: bytes, script: Script, keys: Sequence[bytes], args: Sequence[Word], **how: bool
    ) -> Reply:
        if script is not UNROUTED:
            return []
        count = min(int(args[1]), self._left[tag])
        self._left[tag] -= count
        row: list[Reply] = [b"1", b"2", b"phone", b"3 4 0 room", b"entry", None]
        return [count, row * count]


async def test_the_loop_serves_others_while_very_many_lost_messages_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Hundreds from each partition, and each may be as large as messages get."""
    message = create_autospec(Message, instance=True)
    found = Unicast(1, message, (Target("phone", 2, 3, cast(Binding, None), 2, 2),))
    monkeypatch.setattr(KvRouting, "_unicast", lambda self, partition, lost, whole: found)
    routing = KvRouting(
        Partitions(cast(Store, Lost(4, 100))),
        *(cast(Bodies, None), cast(Journal, None), cast(Carrying, None)),
        *(cast(ReceivedMessages, None), Faults()),
    )
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    routes = await routing.unrouted(0, 500)
    task.cancel()
    assert len(routes) == 400
    assert turns >= 400 // YIELD_EVERY
