"""What belongs to nobody, in the whole store."""

from longline.saver.findings import Findings
from longline.saver.port.audits import STORE, AuditStep
from longline.saver.sql.audits.belongings import BY_DEVICE, OF_APP, OF_DEVICE, OF_MESSAGE, OF_SESSION
from longline.saver.sql.audits.step import ROWS
from longline.saver.sql.database import device_range
from longline.saver.sql.snapshot import Snapshot

# The apps that a table has rows of, each found by a seek: there may be millions of rows.
APPS_OF = """
WITH RECURSIVE found (app) AS (
  SELECT (SELECT min(app) FROM {0})
  UNION ALL SELECT (SELECT min(app) FROM {0} WHERE app > found.app) FROM found WHERE found.app IS NOT NULL)
SELECT app FROM found WHERE app IS NOT NULL AND app NOT IN (SELECT number FROM apps)"""
APPS_BY_DEVICE = """
WITH RECURSIVE found (app) AS (
  SELECT (SELECT min(device) >> 32 FROM {0})
  UNION ALL SELECT (SELECT min(device) >> 32 FROM {0} WHERE device >= (found.app + 1) << 32)
    FROM found WHERE found.app IS NOT NULL)
SELECT app FROM found WHERE app IS NOT NULL AND app NOT IN (SELECT number FROM apps)"""


def check_apps(snapshot: Snapshot, app: int, after: str) -> AuditStep:
    """Rows are of apps that there are, or that are being taken away. One table a step."""
    found = Findings("apps", STORE)
    tables = [*((table, APPS_OF) for table in OF_APP)]
    tables += [
        (table, APPS_BY_DEVICE) for table in (*OF_DEVICE, *BY_DEVICE, *OF_SESSION) if table != "filters"
    ]
    number = int(after or 0)
    table, query = tables[number]
    rows = snapshot.rows(query.format(table))
    for (of,) in rows:
        found.differs(f"{table} of app {of}", "no row: there is no such app", "rows", app=of)
    return found.step(len(rows), str(number + 1) if number + 1 < len(tables) else None)


def check_messages(snapshot: Snapshot, app: int, after: str) -> AuditStep:
    """Deliveries and sets are of messages that there are."""
    found = Findings("messages", STORE)
    table, _, start = after.partition("/") if after else (OF_MESSAGE[0], "", "-1")
    rows = snapshot.rows(
        f"SELECT t.position, m.position FROM (SELECT DISTINCT position FROM {table} WHERE position > ?1"
        " ORDER BY position LIMIT ?2) AS t LEFT JOIN messages AS m ON m.position = t.position",
        int(start),
        ROWS,
    )
    for position, message in rows:
        if message is None:
            found.differs(f"{table} at {position}", "a message", "none")
    if len(rows) == ROWS:
        return found.step(len(rows), f"{table}/{rows[-1][0]}")
    following = OF_MESSAGE.index(table) + 1
    return found.step(len(rows), f"{OF_MESSAGE[following]}/-1" if following < len(OF_MESSAGE) else None)


def check_publications(snapshot: Snapshot, app: int, after: str) -> AuditStep:
    """A message of publish/subscribe is kept as long as it is in a queue."""
    found = Findings("publications", STORE)
    start = int(after or -1)
    rows = snapshot.rows(
        "SELECT n, EXISTS (SELECT 1 FROM waiting WHERE publication = n) FROM publications"
        " WHERE n > ?1 ORDER BY n LIMIT ?2",
        start,
        ROWS,
    )
    for n, waits in rows:
        if not waits:
            found.differs(f"publication {n}", "in a queue", "in none")
    return found.step(len(rows), str(rows[-1][0]) if len(rows) == ROWS else None)


def check_sayings(snapshot: Snapshot, app: int, after: str) -> AuditStep:
    """What was said was said in a group that there is."""
    found = Findings("sayings", STORE)
    rows = snapshot.rows(
        "SELECT said.grp, g.number FROM"
        " (SELECT DISTINCT grp FROM sayings WHERE grp > ?1 ORDER BY grp LIMIT ?2) AS said"
        " LEFT JOIN chat_groups AS g ON g.number = said.grp",
        int(after or -1),
        ROWS,
    )
    for number, group in rows:
        if group is None:
            found.differs(f"sayings of group number {number}", "a group", "none")
    return found.step(len(rows), str(rows[-1][0]) if len(rows) == ROWS else None)


def check_trail(snapshot: Snapshot, app: int, after: str) -> AuditStep:
    """As many changes are noted as are counted, of each app and of all; keys are of apps that there are."""
    found = Findings("trail", STORE)
    counted = dict(snapshot.rows("SELECT app, count(*) FROM trail GROUP BY app"))
    whole = sum(counted.values())
    expected = {**counted, "*": whole} if whole else counted
    stored = dict(snapshot.rows("SELECT app, entries FROM trail_totals WHERE entries <> 0"))
    for name in sorted(expected.keys() | stored.keys()):
        found.same(f"changes that are noted of {name!r}", expected.get(name, 0), stored.get(name, 0))
    strangers = snapshot.rows(
        "SELECT DISTINCT number FROM keys WHERE number > 0 AND number NOT IN (SELECT number FROM apps)"
    )
    for (number,) in strangers:
        found.differs(f"keys of app {number}", "no row: there is no such app", "rows", app=number)
    return found.step(whole)


def check_app_numbers(snapshot: Snapshot, app: int, after: str) -> AuditStep:
    """No app has a number, and no device one, that could be given again."""
    found = Findings("app_numbers", STORE)
    rows = snapshot.rows("SELECT number, app, next_ordinal FROM apps")
    last = snapshot.number("SELECT value FROM meta WHERE name = 'last_app'")
    for number, name, next_ordinal in rows:
        if number > last:
            found.differs(f"app {name}", f"a number up to {last}", number, app=number)
        highest = snapshot.rows(
            "SELECT max(device) FROM devices WHERE device BETWEEN ?1 AND ?2", *device_range(number)
        )
        if highest[0][0] is not None and highest[0][0] & 0xFFFF_FFFF >= next_ordinal:
            found.differs(
                f"app {name}, next device", f"above {highest[0][0] & 0xFFFF_FFFF}", next_ordinal, app=number
            )
    return found.step(len(rows))
