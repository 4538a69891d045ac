"""What is too much for a device: the oldest of it is dropped, in the transaction that brings what is newer.

To count what an inbox has with each message would cost more than to store it. So it is remembered, for the
devices that messages came for lately, how many more may come before it has to be counted again: what devices
take meanwhile makes that more, and never less.
"""

from collections.abc import Iterable, Sequence

import msgspec
from pyroaring import BitMap

from longline.model.ledger import State
from longline.saver.port.inboxes import INBOX_FULL, InboxBounds
from longline.saver.sql.broadcasts import DROPPED, BroadcastLedgers
from longline.saver.sql.database import Database, device_key
from longline.saver.sql.gaps import LISTED, add_dropped, note_gaps

REMEMBERED = 65_536  # devices
AT_ONCE = 64  # of the oldest messages that are looked at together, or as many as are too many

_counts = msgspec.json.Decoder(list[tuple[int, int, int]])
_oldest = msgspec.json.Decoder(list[tuple[int, int, int]])
_log = msgspec.json.Decoder(list[tuple[int, int]])

COUNT = """
SELECT json_group_array(json_array(device, count, bytes)) FROM
 (SELECT device, count(*) AS count, sum(load >> 1) AS bytes FROM carray(?1) CROSS JOIN inbox ON device = value
   GROUP BY device)"""
OLDEST = """
SELECT json_group_array(json_array(load & 1, position, load >> 1)) FROM
 (SELECT load, position FROM inbox WHERE device = ?1 AND load & 1 = ?2 AND position > ?3
   ORDER BY position LIMIT ?4)"""
OPEN = """
SELECT json_group_array(json_array(high, position)) FROM
 (SELECT high, position FROM log WHERE app = ?1 AND kept AND grp = 0 AND position > ?2 AND expires_at > ?3
   UNION ALL
  SELECT log.high, log.position FROM group_members AS m CROSS JOIN log ON log.grp = m.grp AND log.grp > 0
     AND log.kept AND log.position > ?2 AND log.expires_at > ?3 WHERE m.device = ?4)"""
LEAVE = """
DELETE FROM inbox WHERE (device, position) IN (SELECT value ->> 1, value ->> 0 FROM json_each(?1))"""
DROP = f"""
UPDATE deliveries SET state = {State.DROPPED:d}, reason = '{INBOX_FULL}', settled_at = ?2 WHERE {LISTED}"""


class Crowded(msgspec.Struct, frozen=True):
    """A device for which too much waits, perhaps, with what is in the log after its cursor; `most` may."""

    app: int
    ordinal: int
    log_after: int
    now: int
    most: int


class Overflow:
    """For the writer's thread. `dropped`: how many messages were."""

    def __init__(self, database: Database, broadcasts: BroadcastLedgers, bounds: InboxBounds) -> None:
        self._database = database
        self._broadcasts = broadcasts
        self.bounds = bounds
        self.dropped = 0
        self._own: dict[int, InboxBounds] = {}  # of apps that have others
        self._room: dict[int, list[int]] = {}  # how many messages, and bytes of them, may come

    def rolled_back(self) -> None:
        """What was counted may not be so."""
        self._room.clear()

    def bound(self, app: int, own: InboxBounds | None) -> None:
        """From now on this is what may wait for a device of an app; None: what holds for all."""
        if self._own.get(app) == own:
            return
        if own is None:
            del self._own[app]
        else:
            self._own[app] = own
        self._room.clear()

    def _bounds_of(self, device: int) -> InboxBounds:
        return self._own.get(device >> 32, self.bounds) if self._own else self.bounds

    def add(self, added: Sequence[tuple[Sequence[int], int]], now: int) -> None:
        """Messages were put into the inboxes of devices, with so many bytes each."""
        full: dict[int, None] = {}
        room = self._room
        for devices, size in added:
            for device in devices:
                left = room.get(device)
                if left is None or left[0] < 1 or left[1] < size:
                    full[device] = None
                else:
                    left[0] -= 1
                    left[1] -= size
        if not full:
            return
        if len(room) > REMEMBERED:
            room.clear()
        for device, count, size in _counts.decode(self._database.text(COUNT, tuple(full))):
            bounds = self._bounds_of(device)
            if count > bounds.messages or (size > bounds.payload_bytes and count > 1):
                count, size = self._drop_oldest(device, count, size, now)
            room[device] = [bounds.messages - count, bounds.payload_bytes - size]

    def _drop_oldest(self, device: int, count: int, size: int, now: int) -> tuple[int, int]:
        """Makes room in an inbox; what it has then."""
        bounds = self._bounds_of(device)
        going: list[int] = []
        after = high = 0
        while count > bounds.messages or (size > bounds.payload_bytes and count > 1):
            page = max(AT_ONCE, count - bounds.messages)
            found = _oldest.decode(self._database.text(OLDEST, device, high, after, page))
            for _, position, length in found:
                if count <= bounds.messages and (size <= bounds.payload_bytes or count == 1):
                    break
                going.append(position)
                count, size, after = count - 1, size - length, position
            if len(found) < page:
                if high:
                    break
                high, after = 1, 0
        self._drop(device, going, now)
        return count, size

    def _drop(self, device: int, positions: Sequence[int], now: int) -> None:
        if not positions:
            return
        listed = msgspec.json.encode([(position, device) for position in positions]).decode()
        note_gaps(self._database, "dropped", LISTED, listed, now)
        self._database.run(DROP, listed, now)
        self._database.run(LEAVE, listed)
        self.dropped += len(positions)

    def trim(self, calls: list[list[Crowded]]) -> list[None]:
        """Drops what is too much for devices that come, in their inboxes and in the log."""
        for call in calls:
            for item in call:
                self._trim(item)
        return [None] * len(calls)

    def _trim(self, item: Crowded) -> None:
        device = device_key(item.app, item.ordinal)
        waiting: list[tuple[int, int, bool]] = []
        found_open = self._database.text(OPEN, item.app, item.log_after, item.now, device)
        for high, position in _log.decode(found_open):
            if item.ordinal in self._broadcasts.get(position, self._database).pending():
                waiting.append((high, position, True))
        everything = item.most + len(waiting) + 1
        for high in (0, 1):
            found = _oldest.decode(self._database.text(OLDEST, device, high, 0, everything))
            waiting += [(high, position, False) for _, position, _ in found]
        waiting.sort()
        going = waiting[: max(0, len(waiting) - item.most)]
        self._drop(device, [position for _, position, broadcast in going if not broadcast], item.now)
        self._drop_broadcasts(item, [position for _, position, broadcast in going if broadcast])

    def _drop_broadcasts(self, item: Crowded, positions: Iterable[int]) -> None:
        unseen = []
        for position in positions:
            ledger = self._broadcasts.get(position, self._database)
            if item.ordinal not in ledger.written():
                unseen.append(device_key(item.app, item.ordinal))
            self._broadcasts.settle(position, DROPPED + INBOX_FULL, BitMap([item.ordinal]), self._database)
            self.dropped += 1
        add_dropped(self._database, unseen, item.now)
