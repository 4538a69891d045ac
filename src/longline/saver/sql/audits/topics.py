"""Retained messages, and what is to be sent later: what apps have of them."""

from longline.saver.findings import Findings
from longline.saver.port.audits import AuditStep
from longline.saver.port.schedules import OVERHEAD, TimerKind
from longline.saver.publications import size_of
from longline.saver.sql.audits.step import MESSAGES
from longline.saver.sql.snapshot import Snapshot


def check_retained_totals(snapshot: Snapshot, app: int, after: str) -> AuditStep:
    """An app's retained messages are as many, and as large, as is counted."""
    found = Findings("retained_totals", app)
    ((messages, used),) = snapshot.rows(
        "SELECT count(*), coalesce(sum(size), 0) FROM retained WHERE app = ?1", app
    )
    stored = snapshot.rows("SELECT messages, bytes FROM retained_totals WHERE app = ?1", app)
    found.same("retained messages and their bytes", (messages, used), stored[0] if stored else (0, 0))
    return found.step(messages)


def check_retained(snapshot: Snapshot, app: int, after: str) -> AuditStep:
    """A topic has one retained message, which counts what it weighs."""
    found = Findings("retained", app)
    topic, last = after.rsplit("\0", 1) if after else ("", "-1")
    rows = snapshot.rows(
        "SELECT topic, id, size, body FROM retained WHERE app = ?1 AND (topic, id) > (?2, ?3)"
        " ORDER BY topic, id LIMIT ?4",
        app,
        topic,
        int(last),
        MESSAGES,
    )
    before = topic if after else None
    for name, _, size, body in rows:
        if name == before:
            found.differs(f"topic {name!r}", "one message", "more")
        found.same(f"size at {name!r}", size_of(name.encode(), body), size)
        before = name
    return found.step(len(rows), f"{rows[-1][0]}\0{rows[-1][1]}" if len(rows) == MESSAGES else None)


def check_timers(snapshot: Snapshot, app: int, after: str) -> AuditStep:
    """What an app has that is to be sent later is as much as is counted, and its first is known."""
    found = Findings("timers", app)
    counted = snapshot.rows(
        "SELECT coalesce(sum(open AND kind = ?2), 0), coalesce(sum(open AND kind = ?3), 0),"
        " coalesce(sum(due > 0), 0), coalesce(sum(length(body) + ?4), 0),"
        " coalesce(min(due) FILTER (WHERE due > 0), 0), count(*) FROM timers WHERE app = ?1",
        app,
        TimerKind.MESSAGE,
        TimerKind.SCHEDULE,
        OVERHEAD,
    )
    *expected, count = counted[0]
    stored = snapshot.rows(
        "SELECT messages, schedules, waiting, bytes, due FROM timer_totals WHERE app = ?1", app
    )
    found.same(
        "timers: messages, schedules, waiting, bytes, due", tuple(expected), stored[0] if stored else (0,) * 5
    )
    return found.step(count)
