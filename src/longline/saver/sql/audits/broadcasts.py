"""Broadcasts: their sets against each other, the log, and who is registered."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from pyroaring import BitMap

from longline.model.messages import Message
from longline.saver.findings import Findings
from longline.saver.port.audits import AuditStep
from longline.saver.sql.audits.messages import page
from longline.saver.sql.audits.step import MESSAGES, id_text
from longline.saver.sql.broadcasts import ACKED, COLLAPSED, DROPPED, EXPIRED, SENT, TARGETS
from longline.saver.sql.database import device_range
from longline.saver.sql.snapshot import Snapshot

_message = msgspec.msgpack.Decoder(Message).decode


def sets_of(snapshot: Snapshot, position: int) -> dict[str, BitMap]:
    """The sets of a broadcast by label; nothing for what is none."""
    sets: dict[str, BitMap] = {}
    rows = snapshot.rows(
        "SELECT label, ordinals FROM broadcast_sets WHERE position = ?1 ORDER BY n", position
    )
    for label, ordinals in rows:
        sets[label] = sets.get(label, BitMap()) | BitMap.deserialize(ordinals)
    return sets


def pending(sets: Mapping[str, BitMap]) -> BitMap:
    """Targets that are in no set of an outcome."""
    settled = [ordinals for label, ordinals in sets.items() if label not in (TARGETS, SENT)]
    return sets.get(TARGETS, BitMap()) - BitMap.union(*settled) if settled else sets.get(TARGETS, BitMap())


def _broadcasts(
    snapshot: Snapshot, messages: list[tuple[Any, ...]]
) -> Iterator[tuple[int, bytes, dict[str, BitMap]]]:
    for position, id, *_ in messages:
        sets = sets_of(snapshot, position)
        if sets:
            yield position, id, sets


def check_sets(snapshot: Snapshot, app: int, after: str) -> AuditStep:
    """Whoever is in a set is a target; a target has one outcome, or took the message after another."""
    found = Findings("sets", app)
    messages, next = page(snapshot, app, after)
    end = snapshot.number("SELECT next_ordinal FROM apps WHERE number = ?1", app)
    for _, id, sets in _broadcasts(snapshot, messages):
        subject = f"message {id_text(id)}"
        targets = sets.get(TARGETS, BitMap())
        if targets and targets.max() >= end:
            found.differs(f"{subject}, targets", f"ordinals below {end}", targets.max())
        over = BitMap()
        for label, ordinals in sets.items():
            if label not in (TARGETS, SENT, ACKED, EXPIRED, COLLAPSED) and not label.startswith(DROPPED):
                found.differs(f"{subject}, set {label!r}", "a label", label)
            strangers = ordinals - targets
            if strangers:
                found.differs(f"{subject}, set {label!r}", "targets", f"{len(strangers)} that are none")
            if label not in (TARGETS, SENT, ACKED):
                twice = over & ordinals
                if twice:
                    found.differs(f"{subject}, set {label!r}", "one outcome", f"{len(twice)} have two")
                over |= ordinals
    return found.step(len(messages), next)


def check_log(snapshot: Snapshot, app: int, after: str) -> AuditStep:
    """Who is pending for a broadcast finds it in the log, as it was sent, and is registered."""
    found = Findings("log", app)
    messages, next = page(snapshot, app, after)
    first, last = device_range(app)
    departed = None
    for position, id, sets in _broadcasts(snapshot, messages):
        subject = f"message {id_text(id)}"
        waiting = pending(sets)
        rows = snapshot.rows(
            "SELECT l.app, l.expires_at, l.kept, l.collapse, l.high, m.body FROM log AS l"
            " JOIN messages AS m ON m.position = l.position WHERE l.position = ?1",
            position,
        )
        if not rows:
            if waiting:
                found.differs(
                    subject, "in the log, or over for everyone", f"{len(waiting)} pending, not in the log"
                )
            continue
        *stored, body = rows[0]
        message = _message(body)
        kept = not message.online_only
        # Nothing newer of its key has anything to take from it once nobody waits: then the key may be gone.
        key = None if not waiting and stored[3] is None else message.collapse_key or None
        said = [app, message.expires_at, kept, key, message.priority == "high"]
        found.same(f"{subject}, row of the log", said, stored)
        if departed is None:
            gone = snapshot.rows(
                "SELECT device & 0xFFFFFFFF FROM departed WHERE device BETWEEN ?1 AND ?2", first, last
            )
            departed = BitMap([ordinal for (ordinal,) in gone])
        lost = waiting & departed
        if lost:
            found.differs(f"{subject}, pending", "registered devices", f"{len(lost)} that were deleted")
    return found.step(len(messages), next)


def check_ledgerless(snapshot: Snapshot, app: int, after: str) -> AuditStep:
    """An entry of the log, and a note of an end, is of a broadcast that there is."""
    found = Findings("log_entries", app)
    start = int(after or -1)
    rows = snapshot.rows(
        "SELECT l.position, m.id, m.app FROM log AS l LEFT JOIN messages AS m ON m.position = l.position"
        " WHERE l.app = ?1 AND l.position > ?2 ORDER BY l.position LIMIT ?3",
        app,
        start,
        MESSAGES,
    )
    for position, id, of in rows:
        if id is None or of != app:
            found.differs(f"entry {position} of the log", "a message of this app", "none")
    if not after:
        ended = snapshot.rows(
            "SELECT e.n, e.position, m.app, l.position FROM endings AS e"
            " LEFT JOIN messages AS m ON m.position = e.position"
            " LEFT JOIN log AS l ON l.position = e.position"
            " WHERE e.app = ?1 AND (m.app IS NOT e.app OR l.position IS NOT NULL) LIMIT ?2",
            app,
            MESSAGES,
        )
        for n, position, of, open_at in ended:
            stored = "open" if open_at is not None else f"a message of {of}"
            found.differs(f"end {n} of {position}", "a broadcast of this app that has ended", stored)
    return found.step(len(rows), str(rows[-1][0]) if len(rows) == MESSAGES else None)
