"""What becomes of devices, told to app servers and counted in the transaction in which it happens."""

from collections.abc import Iterable
from typing import Final

import msgspec

from longline.model.events import DELETED, DEVICE, REGISTERED, RETIRED, DeviceData, Event
from longline.model.statistics import Counted
from longline.saver.sql.counts import SqlCounts
from longline.saver.sql.events import SqlEvents

_encode = msgspec.json.Encoder().encode
DATA: Final = {state: _encode(DeviceData(state)) for state in (REGISTERED, RETIRED, DELETED)}


class SqlChanges:
    """Gathers what a transaction did to devices; `flush` makes events of it. For the writer's thread."""

    def __init__(self, events: SqlEvents, counts: SqlCounts) -> None:
        self._events = events
        self._counts = counts
        self._told: list[Event] = []

    def registered(self, app: int, batch: Iterable[tuple[str, int]]) -> None:
        """Devices are new: name, at."""
        data = DATA[REGISTERED]
        before = len(self._told)
        self._told += [Event(app, DEVICE, name, at, data, "", 0) for name, at in batch]
        if len(self._told) > before:
            self._counts.add(app, self._told[-1].at, Counted.NEW, len(self._told) - before)

    def gone(self, app: int, name: str, at: int, state: str) -> None:
        """A device is not registered any more; what was told of it before is nobody's to read from now on."""
        self._events.forget(app, name)
        self._counts.add(app, at, Counted.GONE, 1)
        self._told.append(Event(app, DEVICE, name, at, DATA[state], "", 0))

    def flush(self) -> None:
        """Writes the events."""
        told, self._told = self._told, []
        self._events.insert(told)

    def rolled_back(self) -> None:
        """The transaction failed: nothing of it has happened."""
        self._told = []
