"""Collapse keys: what is newer takes the place of what is older and of the same key, for the devices of both.

Broadcasts are looked for once a key, whatever the number of devices, and who is in which is a matter of sets:
a row for each device and broadcast would be what the writer's thread holds the interpreter lock for, and the
event loop waits. A broadcast that nobody waits for any more is taken out of the index by key, so what is sent
again and again under one looks at the latest and not at all that came before.
"""

import msgspec
from pyroaring import BitMap

from longline.model.ledger import State
from longline.model.messages import Message
from longline.saver.sql.broadcasts import COLLAPSED, BroadcastLedgers
from longline.saver.sql.database import Database, device_key, device_range
from longline.saver.sql.gaps import note_gaps
from longline.saver.sql.rows import COLLAPSE, DEVICE, POSITION, SubmissionRows

_pairs = msgspec.json.Decoder(list[tuple[int, int]])
_integers = msgspec.json.Decoder(list[int])

# Older entries of the same device and collapse key. CROSS JOIN: the array is the outer loop.
OLDER = f"""
  FROM carray(?1) AS newer
 CROSS JOIN inbox AS old ON old.collapse = {COLLAPSE} AND old.device = {DEVICE}
                        AND old.position < {POSITION}"""
OLDER_PENDING = f"(position, device) IN (SELECT old.position, old.device {OLDER}) AND state = 0"
COLLAPSE_DELIVERIES = f"""
UPDATE deliveries SET state = {State.COLLAPSED:d}, settled_at = ?2 WHERE {OLDER_PENDING}"""
COLLAPSE_INBOX = f"DELETE FROM inbox WHERE (device, position) IN (SELECT old.device, old.position {OLDER})"
# Older entries of one collapse key, of devices that a broadcast is for.
WAITING = """
  FROM carray(?1) AS newer CROSS JOIN inbox ON collapse = ?2 AND device = newer.value AND position < ?3"""
WAITING_PENDING = f"(position, device) IN (SELECT inbox.position, inbox.device {WAITING}) AND state = 0"
COLLAPSE_WAITING_DELIVERIES = f"""
UPDATE deliveries SET state = {State.COLLAPSED:d}, settled_at = ?4 WHERE {WAITING_PENDING}"""
COLLAPSE_WAITING_INBOX = f"""
DELETE FROM inbox WHERE (device, position) IN (SELECT inbox.device, inbox.position {WAITING})"""
# By its place among those that are asked for: app, collapse key, and the latest position that is newer.
OLDER_BROADCASTS = """
SELECT json_group_array(json_array(newer.key, log.position))
  FROM json_each(?1) AS newer
 CROSS JOIN log ON log.app = newer.value ->> 0 AND log.collapse = newer.value ->> 1
               AND log.position < newer.value ->> 2
 WHERE log.kept"""
NOBODY_WAITS = "UPDATE log SET collapse = NULL WHERE position IN (SELECT value FROM carray(?1))"


class Collapsing:
    """Of the writer's thread."""

    def __init__(self, database: Database, broadcasts: BroadcastLedgers) -> None:
        self._database = database
        self._broadcasts = broadcasts

    def collapse(self, group: SubmissionRows) -> None:
        """Has what a group of submissions brought, and has stored, take the place of what is older."""
        if group.collapsing:
            newer = tuple(group.collapsing)
            note_gaps(self._database, "collapsed", OLDER_PENDING, newer, group.now)
            self._database.run(COLLAPSE_DELIVERIES, newer, group.now)
            self._database.run(COLLAPSE_INBOX, newer)
            self._broadcasts_before(group.keyed)
        for position, app, message in group.broadcasts:
            self._before(position, app, message)

    def _broadcasts_before(self, keyed: dict[tuple[int, str], list[tuple[int, list[int]]]]) -> None:
        """Collapses broadcasts that are older than what named devices get, for these."""
        asked = [(app, key, pushes[-1][0]) for (app, key), pushes in keyed.items()]
        found: dict[int, list[int]] = {}
        text = self._database.text(OLDER_BROADCASTS, msgspec.json.encode(asked).decode())
        for place, position in _pairs.decode(text):
            found.setdefault(place, []).append(position)
        over: list[int] = []
        for place, older in found.items():
            app, key, _ = asked[place]
            pushes = keyed[app, key].copy()
            ordinals = BitMap()  # of those for whom something is newer than the broadcast
            for position in sorted(older, reverse=True):
                while pushes and pushes[-1][0] > position:
                    ordinals.update([device & 0xFFFF_FFFF for device in pushes.pop()[1]])
                if self._replaced(position, ordinals):
                    over.append(position)
        self._forget(over)

    def _before(self, position: int, app: int, message: Message) -> None:
        """Collapses what is older than a broadcast, for the devices of both."""
        targets = self._broadcasts.get(position, self._database).targets
        older = self._database.text(
            "SELECT json_group_array(position) FROM log"
            " WHERE app = ?1 AND collapse = ?2 AND position < ?3 AND kept",
            app,
            message.collapse_key,
            position,
        )
        self._forget([old for old in _integers.decode(older) if self._replaced(old, targets)])
        waiting = self._database.text(
            "SELECT json_group_array(DISTINCT device & 0xFFFFFFFF) FROM inbox"
            " WHERE collapse = ?1 AND device BETWEEN ?2 AND ?3 AND position < ?4",
            message.collapse_key,
            *device_range(app),
            position,
        )
        devices = tuple([device_key(app, n) for n in targets & BitMap(_integers.decode(waiting))])
        if devices:
            found = (devices, message.collapse_key, position)
            note_gaps(self._database, "collapsed", WAITING_PENDING, *found, message.created_at)
            self._database.run(COLLAPSE_WAITING_DELIVERIES, *found, message.created_at)
            self._database.run(COLLAPSE_WAITING_INBOX, *found)

    def _replaced(self, position: int, ordinals: BitMap) -> bool:
        """Collapses a broadcast for these devices; whether nobody waits for it any more."""
        self._broadcasts.settle(position, COLLAPSED, ordinals, self._database)
        return not self._broadcasts.get(position, self._database).pending()

    def _forget(self, over: list[int]) -> None:
        if over:
            self._database.run(NOBODY_WAITS, tuple(over))
