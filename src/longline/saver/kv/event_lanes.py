"""The lanes that the queue of events of an app is divided into, so that one app is not one key.

All events of a device are in one lane, that of its partition in the session table, so a source that tells of
one partition is in one lane, too. Lanes are in partitions of their own, far from each other, and all scripts
of a lane are as those of a queue.

A reader goes through all lanes by one number, in one order. Two things make that so.

- Numbers differ between lanes: those of lane 3 of 8 leave 3 when they are divided by 8.
- Behind a number that a reader was told, nothing comes up any more. Before it is told number M, it has every
  lane whose last number is lower take M for its last (`read_events.lua`): what is appended there later gets a
  higher one. So the order needs no clock that is the same everywhere; clocks that differ make one round more.

How many there are was decided when the store was first used (`store.event_lanes`): one where it is a single
server, which lanes would only cost something. Whatever divides devices or numbers in another way is another
layout (`store.redis.LAYOUT`).
"""

from longline.saver.kv.partitions import Partitions


class EventLanes:
    """Which lane an event goes into, and in which partition that is."""

    def __init__(self, partitions: Partitions) -> None:
        self._partitions = partitions
        self.count = partitions.store.event_lanes
        self._stride = partitions.count // self.count

    def of(self, app: int, device: str) -> int:
        """The lane of a device."""
        return self._partitions.of(app, device) % self.count if self.count > 1 else 0

    def home(self, app: int, lane: int) -> int:
        """The partition that keeps a lane; it keeps no other one of the app."""
        return (app + lane * self._stride) % self._partitions.count

    def homes(self, app: int) -> list[int]:
        """Those of all lanes of an app, in their order."""
        return [self.home(app, lane) for lane in range(self.count)]

    def kept_in(self, app: int, partition: int) -> int | None:
        """The lane of an app that a partition keeps, if any."""
        homes = self.homes(app)
        return homes.index(partition) if partition in homes else None
