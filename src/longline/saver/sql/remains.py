"""What is left of sessions that are over, and of messages in queues that are: taken away, in slices.

A session is over when its row is gone, or has another number. Its filters, its queue and its packet
identifiers count for nothing from then on, and are found here by device and number. A message goes with the
last queue that it is in.
"""

import msgspec

from longline.saver.port.queues import Step
from longline.saver.sql.database import Database, integer

_integers = msgspec.json.Decoder(list[int])
_places = msgspec.json.Decoder(list[tuple[int, int, int]])

LEAVE = """
INSERT OR IGNORE INTO remains (device, number, sent)
SELECT s.device, s.number, iif(s.node IS NULL AND NOT s.given_up, s.sent, s.latest)
  FROM carray(?1) CROSS JOIN sessions AS s ON s.device = value
 WHERE EXISTS (SELECT 1 FROM filters AS f WHERE f.device = s.device AND f.number = s.number)
    OR EXISTS (SELECT 1 FROM waiting AS w WHERE w.device = s.device AND w.number = s.number)
    OR EXISTS (SELECT 1 FROM received AS r WHERE r.device = s.device AND r.number = s.number)
    OR EXISTS (SELECT 1 FROM flights AS i WHERE i.device = s.device AND i.number = s.number)"""

# Rows of one table that belong to the first sessions in `remains`. What is of groups is handed over instead.
CLEAR = """
DELETE FROM {0} WHERE ({1}) IN
 (SELECT {1} FROM (SELECT device AS gone, number AS which FROM remains LIMIT ?1)
   CROSS JOIN {0} ON device = gone AND number = which {2} LIMIT ?1)"""
OF_NO_GROUP = "WHERE share IS NULL"
BODIES_TO_CLEAR = """
SELECT json_group_array(publication) FROM
 (SELECT publication FROM (SELECT device AS gone, number AS which FROM remains LIMIT ?1)
   CROSS JOIN waiting ON device = gone AND number = which WHERE share IS NULL LIMIT ?1)
 WHERE publication IS NOT NULL"""
CLEARED = """
DELETE FROM remains WHERE (device, number) IN
 (SELECT device, number FROM (SELECT device, number FROM remains LIMIT ?1) AS page
   WHERE NOT EXISTS (SELECT 1 FROM filters AS f WHERE f.device = page.device AND f.number = page.number)
     AND NOT EXISTS (SELECT 1 FROM waiting AS w WHERE w.device = page.device AND w.number = page.number)
     AND NOT EXISTS (SELECT 1 FROM received AS r WHERE r.device = page.device AND r.number = page.number)
     AND NOT EXISTS (SELECT 1 FROM flights AS i WHERE i.device = page.device AND i.number = page.number))"""

# What the first sessions in `remains` have left of groups: device, session, place, message, options, group,
# whether it may have been written to a connection, and the message itself.
OF_GROUPS = """
SELECT json_group_array(json_array(w.device, w.number, w.place, w.publication, w.options, w.share,
                                   w.place <= w.sent, hex(coalesce(p.body, x''))))
  FROM (SELECT waiting.*, sent FROM (SELECT device AS gone, number AS which, sent FROM remains)
         CROSS JOIN waiting ON device = gone AND number = which WHERE share IS NOT NULL LIMIT ?1) AS w
  LEFT JOIN publications AS p ON p.n = w.publication"""

# A place's record: device, session, place.
LEFT_PLACE = b"%019d%019d%019d"
TAKE_OUT = f"""
DELETE FROM waiting WHERE (device, number, place) IN
 (SELECT {integer(1, 19)}, {integer(20, 19)}, {integer(39, 19)} FROM carray(?1))"""

# A step's record: device, number, place, step.
STEP = b"%019d%019d%019d%d"
GIVEN = f"""(SELECT {integer(1, 19)} AS device, {integer(20, 19)} AS number, {integer(39, 19)} AS place,
  {integer(58, 1)} AS step FROM carray(?1)) AS given"""
CONCERNED = f"""{GIVEN} CROSS JOIN waiting AS w
    ON w.device = given.device AND w.number = given.number AND w.place = given.place"""
BODIES = f"SELECT json_group_array(w.publication) FROM {CONCERNED} WHERE w.publication IS NOT NULL"
MAKE_ROOM = f"""
UPDATE sessions SET length = sessions.length - page.places, bytes = sessions.bytes - page.bytes
  FROM (SELECT w.device AS device, w.number AS number, sum(given.step = {Step.SETTLED:d}) AS places,
               sum(w.bytes) AS bytes
          FROM {CONCERNED} GROUP BY w.device, w.number) AS page
 WHERE sessions.device = page.device AND sessions.number = page.number"""
RELEASE = f"""
UPDATE waiting SET publication = NULL, bytes = 0 WHERE (device, number, place) IN
 (SELECT device, number, place FROM {GIVEN} WHERE step = {Step.RELEASED:d})"""
SETTLE = f"""
DELETE FROM waiting WHERE (device, number, place) IN
 (SELECT device, number, place FROM {GIVEN} WHERE step = {Step.SETTLED:d})"""
DROP = """
DELETE FROM publications WHERE n IN (SELECT value FROM carray(?1))
   AND NOT EXISTS (SELECT 1 FROM waiting WHERE publication = n)"""

EXPIRED = """
SELECT json_group_array(json_array(device, number, place)) FROM
 (SELECT device, number, place
    FROM (SELECT n FROM publications WHERE expires_at > 0 AND expires_at <= ?1 ORDER BY expires_at LIMIT ?2)
   CROSS JOIN waiting ON publication = n LIMIT ?2)"""

NEXT_DUE = """
SELECT expires_at FROM (SELECT expires_at FROM publications WHERE expires_at > 0 ORDER BY expires_at LIMIT 1)
 UNION ALL SELECT 0 WHERE EXISTS (SELECT 1 FROM remains)"""


def end_sessions(database: Database, devices: tuple[int, ...]) -> None:
    """The sessions of these devices are over."""
    if devices:
        database.run(LEAVE, devices)
        database.run("DELETE FROM sessions WHERE device IN (SELECT value FROM carray(?1))", devices)


def end_sessions_of(database: Database, devices: tuple[int, int], limit: int) -> int:
    """Ends sessions of devices from the first of these keys to the second, at most `limit`; how many."""
    found = database.text(
        "SELECT json_group_array(device) FROM"
        " (SELECT device FROM sessions WHERE device BETWEEN ?1 AND ?2 LIMIT ?3)",
        *devices,
        limit,
    )
    keys = tuple(_integers.decode(found))
    end_sessions(database, keys)
    return len(keys)


def clear(database: Database, limit: int) -> int:
    """Removes what sessions that are over have left, at most `limit` rows; how many."""
    done = database.run(CLEAR.format("filters", "app, filter, device", ""), limit)
    if done < limit:
        publications = _integers.decode(database.text(BODIES_TO_CLEAR, limit - done))
        done += database.run(CLEAR.format("waiting", "device, number, place", OF_NO_GROUP), limit - done)
        drop(database, publications)
    if done < limit:
        done += database.run(CLEAR.format("received", "device, number, packet_id", ""), limit - done)
    if done < limit:
        done += database.run(CLEAR.format("flights", "device, number, packet_id", ""), limit - done)
    if done < limit:
        done += database.run(CLEARED, limit - done)
    return done


def take_on(database: Database, steps: tuple[bytes, ...]) -> None:
    """Takes places of queues on: records of steps, one a place, `RELEASED` or `SETTLED`."""
    publications = _integers.decode(database.text(BODIES, steps))
    database.run(MAKE_ROOM, steps)
    database.run(RELEASE, steps)
    database.run(SETTLE, steps)
    drop(database, publications)


def end_publications(database: Database, now: int, limit: int) -> int:
    """Takes messages that are over out of their queues, at most `limit` places; how many."""
    places = _places.decode(database.text(EXPIRED, now, limit))
    if places:
        take_on(database, tuple([STEP % (*place, Step.SETTLED) for place in places]))
    return len(places)


def drop(database: Database, publications: list[int]) -> None:
    """Removes those of these messages that are in no queue any more."""
    if publications:
        database.run(DROP, tuple(set(publications)))
