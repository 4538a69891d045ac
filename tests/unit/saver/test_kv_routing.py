"""What nobody has routed, as it is read from the store."""

import asyncio
from collections.abc import Sequence
from typing import cast
from unittest.mock import create_autospec

import pytest

from longline.model.commands import Target, Unicast
from longline.model.devices import Binding
from longline.model.messages import Message
from longline.saver.kv.bodies import Bodies
from longline.saver.kv.carrying import Carrying
from longline.saver.kv.journal import Journal
from longline.saver.kv.partitions import Partitions
from longline.saver.kv.received import ReceivedMessages
from longline.saver.kv.routing import UNROUTED, YIELD_EVERY, KvRouting
from longline.store.redis import Reply, Word
from longline.store.script import Script
from longline.telemetry.faults import Faults


class Lost:
    """So many partitions, each with so many messages that nobody has routed."""

    def __init__(self, count: int, each: int) -> None:
        self.count = count
        self._each = each

    async def run_all(self, script: Script, args: Sequence[Word]) -> list[Reply]:
        row: list[Reply] = [b"1", b"2", b"phone", b"3 4 0 room", b"entry", None]
        return [row * self._each if script is UNROUTED else [] for _ in range(self.count)]


async def test_the_loop_serves_others_while_very_many_lost_messages_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Hundreds from each partition, and each may be as large as messages get."""
    message = create_autospec(Message, instance=True)
    found = Unicast(1, message, (Target("phone", 2, 3, cast(Binding, None), 2, 2),))
    monkeypatch.setattr(KvRouting, "_unicast", lambda self, partition, lost: found)
    routing = KvRouting(
        cast(Partitions, Lost(4, 100)),
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
