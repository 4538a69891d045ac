"""Sessions that are kept: their queues' figures, and whose the rows are."""

from longline.saver.findings import Findings
from longline.saver.port.audits import AuditStep
from longline.saver.sql.audits.belongings import OF_SESSION
from longline.saver.sql.audits.step import device, ordinals
from longline.saver.sql.snapshot import Snapshot


def check_session_queues(snapshot: Snapshot, app: int, after: str) -> AuditStep:
    """A session's queue holds as many places and bytes as it says, and none above its last."""
    found = Findings("session_queues", app)
    first, last, next = ordinals(snapshot, app, after)
    rows = snapshot.rows(
        "SELECT s.device, s.length, s.bytes, s.latest, s.sent, count(w.place), coalesce(sum(w.bytes), 0),"
        " coalesce(max(w.place), 0) FROM sessions AS s"
        " LEFT JOIN waiting AS w ON w.device = s.device AND w.number = s.number"
        " WHERE s.device BETWEEN ?1 AND ?2 GROUP BY s.device",
        first,
        last,
    )
    for key, length, size, latest, sent, places, used, highest in rows:
        found.same(f"queue of {device(key)}", (places, used), (length, size))
        if not highest <= latest:
            found.differs(f"last place of {device(key)}", f"{highest} or more", latest)
        if not 0 <= sent <= latest:
            found.differs(f"place up to which {device(key)} was sent", f"up to {latest}", sent)
    return found.step(len(rows), next)


def check_session_ends(snapshot: Snapshot, app: int, after: str) -> AuditStep:
    """A session has a connection or an end; or it has no connection, and is kept for ever."""
    found = Findings("session_ends", app)
    first, last, next = ordinals(snapshot, app, after)
    rows = snapshot.rows(
        "SELECT device, node, ends_at, number, epoch FROM sessions WHERE device BETWEEN ?1 AND ?2",
        first,
        last,
    )
    for key, node, ends_at, number, epoch in rows:
        if node is not None and ends_at is not None:
            found.differs(f"session of {device(key)}", f"no end while it is connected to {node}", ends_at)
        if number > epoch:
            found.differs(f"session of {device(key)}", f"an epoch from {number} on", epoch)
    return found.step(len(rows), next)


def check_session_rows(snapshot: Snapshot, app: int, after: str) -> AuditStep:
    """What a session has is of one that there is, or is noted to go."""
    found = Findings("session_rows", app)
    first, last, next = ordinals(snapshot, app, after)
    looked = 0
    for table in OF_SESSION:
        rows = snapshot.rows(
            f"SELECT DISTINCT t.device, t.number FROM {table} AS t"
            " LEFT JOIN sessions AS s ON s.device = t.device AND s.number = t.number"
            " LEFT JOIN remains AS r ON r.device = t.device AND r.number = t.number"
            " WHERE t.device BETWEEN ?1 AND ?2 AND s.device IS NULL AND r.device IS NULL",
            first,
            last,
        )
        looked += len(rows)
        for key, number in rows:
            found.differs(
                f"{table} of {device(key)}, session {number}", "a session, or noted to go", "neither"
            )
    return found.step(looked, next)


def check_queued_messages(snapshot: Snapshot, app: int, after: str) -> AuditStep:
    """What waits in a queue has its message, and a filter is of its app."""
    found = Findings("queued_messages", app)
    first, last, next = ordinals(snapshot, app, after)
    rows = snapshot.rows(
        "SELECT w.device, w.place FROM waiting AS w LEFT JOIN publications AS p ON p.n = w.publication"
        " WHERE w.device BETWEEN ?1 AND ?2 AND w.publication IS NOT NULL AND p.n IS NULL",
        first,
        last,
    )
    for key, place in rows:
        found.differs(f"place {place} of {device(key)}", "a message", "none")
    return found.step(len(rows), next)


def check_filters(snapshot: Snapshot, app: int, after: str) -> AuditStep:
    """A filter is of the app that its device is of."""
    found = Findings("filters", app)
    rows = snapshot.rows(
        "SELECT filter, device FROM filters WHERE app = ?1 AND device >> 32 != ?1 LIMIT 100", app
    )
    for filter, key in rows:
        found.differs(f"filter {filter!r} of {device(key)}", f"app {app}", key >> 32)
    return found.step(len(rows))
