"""Groups, and webhooks: what is counted of them, and whose the rows are."""

from longline.saver.findings import Findings
from longline.saver.port.audits import AuditStep
from longline.saver.sql.audits.step import MESSAGES, ordinals
from longline.saver.sql.snapshot import Snapshot


def check_groups(snapshot: Snapshot, app: int, after: str) -> AuditStep:
    """A group has as many members as it counts, and nothing was said in it beyond its sequence."""
    found = Findings("groups", app)
    rows = snapshot.rows(
        "SELECT name, members, sequence, bytes, (SELECT count(*) FROM group_members WHERE grp = number),"
        " (SELECT max(sequence) FROM sayings WHERE grp = number),"
        " (SELECT max(bytes_before) FROM sayings WHERE grp = number)"
        " FROM chat_groups WHERE app = ?1 AND name > ?2 ORDER BY name LIMIT ?3",
        app,
        after,
        MESSAGES,
    )
    for name, members, sequence, size, counted, last, before in rows:
        found.same(f"members of group {name}", counted, members)
        if last is not None and not (last <= sequence and before <= size):
            stored = f"{sequence} and {size}"
            found.differs(f"sequence and bytes of group {name}", f"{last} and {before}, or more", stored)
    return found.step(len(rows), rows[-1][0] if len(rows) == MESSAGES else None)


def check_memberships(snapshot: Snapshot, app: int, after: str) -> AuditStep:
    """A device is in groups of its app that there are."""
    found = Findings("memberships", app)
    first, last, next = ordinals(snapshot, app, after)
    rows = snapshot.rows(
        "SELECT m.device & 0xFFFFFFFF, m.grp, g.app FROM group_members AS m"
        " LEFT JOIN chat_groups AS g ON g.number = m.grp WHERE m.device BETWEEN ?1 AND ?2",
        first,
        last,
    )
    for ordinal, number, of in rows:
        if of != app:
            found.differs(f"device {ordinal} in group number {number}", "a group of this app", "none")
    return found.step(len(rows), next)


def check_webhooks(snapshot: Snapshot, app: int, after: str) -> AuditStep:
    """What a target never took is as much as is counted."""
    found = Findings("webhooks", app)
    dead = snapshot.rows(
        "SELECT count(*), coalesce(sum(length(body)), 0), coalesce(sum(again), 0)"
        " FROM dead_events WHERE app = ?1",
        app,
    )
    rows = snapshot.rows("SELECT dead, bytes, again FROM webhooks WHERE app = ?1", app)
    found.same("dead events, their bytes, those to be sent again", dead[0], rows[0] if rows else (0, 0, 0))
    return found.step(dead[0][0])
