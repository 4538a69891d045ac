"""Events for app servers: their queue's figures, and which of them stand for others."""

from itertools import pairwise

from longline.model.events import OFFLINE
from longline.saver.findings import Findings
from longline.saver.port.audits import AuditStep
from longline.saver.sql.audits.step import ROWS
from longline.saver.sql.event_rows import unpacked as event_of
from longline.saver.sql.latest import unpacked
from longline.saver.sql.snapshot import Snapshot

# Of a device that is gone: nobody reads it, and it goes in slices.
HIDDEN = "EXISTS (SELECT 1 FROM forgotten AS f WHERE f.app = e.app AND f.device = e.device AND f.n >= e.n)"


def check_event_queue(snapshot: Snapshot, app: int, after: str) -> AuditStep:
    """A queue is as long and as large as its events, none of which is above its last."""
    found = Findings("event_queue", app)
    counted = snapshot.rows(
        "SELECT count(*), coalesce(sum(length(body)), 0), coalesce(max(n), 0) FROM events WHERE app = ?1", app
    )
    length, size, last = counted[0]
    rows = snapshot.rows("SELECT length, bytes, last FROM queues WHERE app = ?1", app)
    if rows:
        stored = rows[0]
        found.same("length and bytes of the queue", (length, size), stored[:2])
        if stored[2] < last:
            found.differs("last number of the queue", f"{last} or more", stored[2])
    elif length:
        found.differs("the queue", f"{length} events", "no row")
    return found.step(length)


def check_standings(snapshot: Snapshot, app: int, after: str) -> AuditStep:
    """Where a device stands is what the latest event says that tells of it."""
    found = Findings("standings", app)
    start = int(after or -1)
    rows = snapshot.rows(
        f"SELECT n, device, body, {HIDDEN} FROM events AS e WHERE app = ?1 AND n > ?2 ORDER BY n LIMIT ?3",
        app,
        start,
        ROWS,
    )
    for n, device, body, hidden in rows:
        event = event_of(app, device, body)
        if not event.state or hidden:
            continue
        standing = snapshot.rows("SELECT n, data FROM standings WHERE app = ?1 AND device = ?2", app, device)
        stands, data = standing[0] if standing else (None, None)
        if stands is None or stands < n:
            found.differs(f"standing of {device}", f"event {n} or a later one", f"event {stands}")
        elif stands == n:
            expected = None if event.state == OFFLINE else event.data
            found.same(f"what the standing of {device} says", expected, data)
        elif not snapshot.number("SELECT 1 FROM past WHERE app = ?1 AND n = ?2", app, n):
            found.differs(f"event {n} of {device}", f"past: {stands} stands for it", "not past")
    return found.step(len(rows), str(rows[-1][0]) if len(rows) == ROWS else None)


def check_standing_rows(snapshot: Snapshot, app: int, after: str) -> AuditStep:
    """A standing is by an event of its device, which may have gone if the device is there by it."""
    found = Findings("standing_rows", app)
    rows = snapshot.rows(
        "SELECT s.device, s.n, s.data IS NULL, e.device FROM standings AS s"
        " LEFT JOIN events AS e ON e.app = s.app AND e.n = s.n"
        " WHERE s.app = ?1 AND s.device > ?2 ORDER BY s.device LIMIT ?3",
        app,
        after,
        ROWS,
    )
    removed = snapshot.number("SELECT removed FROM queues WHERE app = ?1", app)
    for device, n, gone, of in rows:
        if of is None and (gone or n > removed):
            found.differs(f"standing of {device}", f"event {n}", "none")
        elif of is not None and of != device:
            found.differs(f"standing of {device}", f"an event of it at {n}", f"one of {of}")
    return found.step(len(rows), rows[-1][0] if len(rows) == ROWS else None)


def check_latest(snapshot: Snapshot, app: int, after: str) -> AuditStep:
    """The latest events of a device that are the last to go are in the queue, rising, and are its own."""
    found = Findings("latest", app)
    rows = snapshot.rows(
        "SELECT device, numbers FROM latest WHERE app = ?1 AND device > ?2 ORDER BY device LIMIT ?3",
        app,
        after,
        ROWS // 10,
    )
    for device, packed in rows:
        numbers = unpacked(packed)
        if not numbers or any(one >= other for one, other in pairwise(numbers)):
            found.differs(f"latest events of {device}", "rising numbers", numbers)
            continue
        known = snapshot.rows(
            "SELECT n, device, p.n IS NOT NULL FROM (SELECT value AS v FROM carray(?2)) JOIN events AS e"
            " ON e.app = ?1 AND e.n = v LEFT JOIN past AS p USING (app, n)",
            app,
            tuple(numbers),
        )
        own = {n for n, of, past in known if of == device and not past}
        if own != set(numbers):
            found.differs(f"latest events of {device}", numbers, sorted(own))
    return found.step(len(rows), rows[-1][0] if len(rows) == ROWS // 10 else None)


def check_fleeting_events(snapshot: Snapshot, app: int, after: str) -> AuditStep:
    """An event that tells of no state is among the latest of its device, or past."""
    found = Findings("events", app)
    start = int(after or -1)
    rows = snapshot.rows(
        f"SELECT e.n, e.device, e.body, l.numbers, p.n, {HIDDEN} FROM events AS e"
        " LEFT JOIN latest AS l ON l.app = e.app AND l.device = e.device"
        " LEFT JOIN past AS p ON p.app = e.app AND p.n = e.n"
        " WHERE e.app = ?1 AND e.n > ?2 ORDER BY e.n LIMIT ?3",
        app,
        start,
        ROWS,
    )
    for n, device, body, numbers, past, hidden in rows:
        if hidden or event_of(app, device, body).state or past is not None:
            continue
        if n not in unpacked(numbers or b""):
            found.differs(f"event {n} of {device}", "past, or one of its latest", "neither")
    return found.step(len(rows), str(rows[-1][0]) if len(rows) == ROWS else None)


def check_presence(snapshot: Snapshot, app: int, after: str) -> AuditStep:
    """Who is there by the latest event is registered."""
    found = Findings("presence", app)
    rows = snapshot.rows(
        "SELECT s.device, d.device FROM standings AS s LEFT JOIN devices AS d ON d.address = ?4 || s.device"
        " WHERE s.app = ?1 AND s.device > ?2 AND s.data IS NOT NULL ORDER BY s.device LIMIT ?3",
        app,
        after,
        ROWS,
        f"{app}/",
    )
    for device, key in rows:
        if key is None:
            found.differs(f"presence of {device}", "gone: it is not registered", "there")
    return found.step(len(rows), rows[-1][0] if len(rows) == ROWS else None)
