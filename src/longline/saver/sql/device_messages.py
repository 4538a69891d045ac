"""The messages for one device, the latest first.

Deliveries have no index by device, which every message would have to be written to; nor do broadcasts have a
row a device. So the messages of the app are gone through, a bounded number of them at a time. What waits is
found by the inbox and the log.
"""

from uuid import UUID

import msgspec

from longline.model.ledger import State
from longline.saver.port.ledgers import DevicePage, DeviceRecord
from longline.saver.sql.broadcasts import HAS_SETS, SET_WORK, BroadcastLedgers
from longline.saver.sql.database import Database, device_key, id_bytes

ROWS = 2000  # messages that one page looks at
BROADCASTS = 100  # of them, whose sets may have to be loaded
BEYOND = b"\xff" * 17  # no id is above it

_Row = tuple[int, str, int, str | None]  # position, id, created_at, label
_Delivery = tuple[State, str | None, int | None, int | None]
_Unicast = tuple[_Row, _Delivery]
_walked = msgspec.json.Decoder(tuple[int, str | None, list[_Unicast], list[_Row]])
_one = msgspec.json.Decoder(tuple[_Row, _Delivery | None, int] | None)

# Both sources are indexes that have the ids, or rowids, of the messages.
ALL = "SELECT position, id FROM messages WHERE app = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?4"
WAITING = """
SELECT m.position, m.id
  FROM (SELECT position FROM inbox WHERE device = ?3
        UNION SELECT position FROM log WHERE app = ?1 AND kept = 1 AND grp = 0
        UNION SELECT log.position FROM group_members AS g
          CROSS JOIN log ON log.grp = g.grp AND log.grp > 0 AND log.kept = 1 WHERE g.device = ?3) AS source
 CROSS JOIN messages AS m ON m.position = source.position
 WHERE m.id < ?2 ORDER BY m.id DESC LIMIT ?4"""

# What was walked is always the outer loop, and rows of messages are read only for what is found: the planner
# knows of no bound on the former, and left to itself begins with all deliveries there are.
WALK = f"""
WITH walked AS MATERIALIZED (%s)
SELECT json_array(
  (SELECT count(*) FROM walked),
  (SELECT hex(min(id)) FROM walked),
  json((SELECT json_group_array(json_array(json_array(m.position, hex(m.id), created_at, label),
                                           json_array(state, reason, sent_at, settled_at)))
          FROM (SELECT walked.position, state, reason, sent_at, settled_at
                  FROM walked
                 CROSS JOIN deliveries AS d ON d.position = walked.position AND d.device = ?3
                 ORDER BY walked.id DESC LIMIT ?5) AS found
         CROSS JOIN messages AS m ON m.position = found.position)),
  json((SELECT json_group_array(json_array(m.position, hex(m.id), created_at, label))
          FROM (SELECT walked.position
                  FROM walked
                 WHERE {HAS_SETS.format("walked")}
                 ORDER BY walked.id DESC LIMIT ?6) AS found
         CROSS JOIN messages AS m ON m.position = found.position)))"""
WALK_ALL, WALK_WAITING = WALK % ALL, WALK % WAITING

ONE = f"""
SELECT json_array(json_array(m.position, hex(m.id), created_at, label),
         json((SELECT json_array(state, reason, sent_at, settled_at) FROM deliveries AS d
                WHERE d.position = m.position AND d.device = ?3)),
         {HAS_SETS.format("m")})
  FROM messages AS m WHERE m.app = ?1 AND m.id = ?2"""


def read_device_message(
    database: Database, broadcasts: BroadcastLedgers, app: int, message_id: str, ordinal: int
) -> DeviceRecord | None:
    """One statement, and of a broadcast its sets."""
    key = device_key(app, ordinal)
    found = _one.decode(database.text(ONE, app, id_bytes(message_id), key))
    if found is None:
        return None
    row, delivery, is_broadcast = found
    if delivery is not None:
        return _message(row, *delivery)
    if is_broadcast:
        ledger = broadcasts.get(row[0], database)
        if ordinal in ledger.targets:
            return _message(row, *ledger.standing(ordinal), None, None)
    return None


def read_device_messages(
    database: Database,
    broadcasts: BroadcastLedgers,
    app: int,
    ordinal: int,
    before: str | None,
    limit: int,
    waiting: bool,
) -> DevicePage:
    """One statement, and the sets of broadcasts."""
    text = database.text(
        WALK_WAITING if waiting else WALK_ALL,
        app,
        BEYOND if before is None else id_bytes(before),
        device_key(app, ordinal),
        ROWS,
        limit + 1,
        BROADCASTS,
    )
    looked, last, unicasts, sets = _walked.decode(text)
    work = looked + SET_WORK * len(sets)
    floors = [_id(last)] if last is not None and looked == ROWS else []
    if len(sets) == BROADCASTS:
        floors.append(_id(sets[-1][1]))
    floor = max(floors, default="")
    found = [_message(row, *delivery) for row, delivery in unicasts]
    for row in sets:
        ledger = broadcasts.get(row[0], database)
        if ordinal in ledger.targets:
            found.append(_message(row, *ledger.standing(ordinal), None, None))
    found = [each for each in found if each.message_id >= floor]
    if waiting:
        found = [each for each in found if each.state == State.PENDING]
    found.sort(key=lambda each: each.message_id, reverse=True)
    if len(found) > limit:
        return DevicePage(tuple(found[:limit]), found[limit - 1].message_id, work)
    return DevicePage(tuple(found), floor or None, work)


def _id(digits: str) -> str:
    return str(UUID(digits))


def _message(
    row: _Row, state: State, reason: str | None, sent_at: int | None, settled_at: int | None
) -> DeviceRecord:
    _, digits, created_at, label = row
    return DeviceRecord(
        message_id=_id(digits),
        label=label,
        state=state,
        reason=reason,
        accepted_at=created_at,
        sent_at=sent_at,
        settled_at=settled_at,
    )
