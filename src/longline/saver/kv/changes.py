"""What becomes of devices, in their partitions, until it is in the event queues of their apps, which are
elsewhere.

It is written in the step in which it happens (`lua/changes.lua`), and carried on by whoever has that duty;
the events name partition and number, so a step that is done again changes nothing.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from longline.model.events import DELETED, DEVICE, REGISTERED, RETIRED, DeviceData, Event
from longline.saver.kv.partitions import Partitions, script
from longline.store.redis import Word

READ = script("read_changes.lua")
FORGET = script("forget_changes.lua")

SHARE: Final = 256  # of one partition in one call

_encode = msgspec.json.Encoder().encode
STATES: Final = {b"r": REGISTERED, b"d": DELETED, b"o": RETIRED}
_DATA: Final = {what: _encode(DeviceData(state)) for what, state in STATES.items()}


class GoneDevice(msgspec.Struct, frozen=True):
    """A device that is not registered any more, by the event with this number."""

    app: int
    device: str
    number: int


class Changes(msgspec.Struct, frozen=True):
    """What waits in a partition: events of it, the devices that are gone by them, and how many it had no
    place for. `hidden`: it has queues with events of devices that are gone."""

    partition: int
    hidden: bool
    events: list[Event]
    gone: list[GoneDevice]
    lost: int


class ChangeStreams:
    """The streams of the partitions."""

    def __init__(self, partitions: Partitions) -> None:
        self._partitions = partitions

    async def waiting(self, limit: int) -> list[Changes]:
        """The oldest of each partition that has some, at most `limit`; and of each that has hidden events."""
        count = self._partitions.count
        share = max(1, min(SHARE, limit // count))
        replies = await self._partitions.run_all(READ, [share])
        found = [_changes(partition, reply) for partition, reply in enumerate(replies)]
        return [changes for changes in found if changes.events or changes.hidden]

    async def forget(self, changes: Changes) -> None:
        """They are where they belong."""
        args: list[Word] = [changes.events[-1].sequence, changes.lost]
        await self._partitions.run(changes.partition, FORGET, args)


def _changes(partition: int, reply: object) -> Changes:
    hidden, lost, fields = msgspec.convert(reply, tuple[int, int, list[bytes]])
    rows = _rows(fields)
    last_gone = {
        (app, name): int(number) for number, app, what, _, name in rows if STATES[what] != REGISTERED
    }
    events: list[Event] = []
    gone: list[GoneDevice] = []
    for number, app, what, at, name in rows:
        device, told_before = name.decode(), int(number) < last_gone.get((app, name), 0)
        if STATES[what] != REGISTERED:
            gone.append(GoneDevice(int(app), device, int(number)))
        if not told_before:  # else nobody would read it
            source, missed = f"d{partition}", lost > 0 and not events
            event = Event(int(app), DEVICE, device, int(at), _DATA[what], source, int(number), missed=missed)
            events.append(event)
    return Changes(partition, hidden == 1, events, gone, lost)


def _rows(fields: Sequence[bytes]) -> list[tuple[bytes, bytes, bytes, bytes, bytes]]:
    return list(zip(*(fields[n::5] for n in range(5)), strict=True))
