"""Messages: their ledgers against inboxes, and when something is due for them."""

from bisect import bisect_right
from typing import Any

import msgspec

from longline.model.ledger import State
from longline.model.messages import Message
from longline.saver.findings import Findings
from longline.saver.port.audits import AuditStep
from longline.saver.port.messages import Accepted
from longline.saver.sql.audits.step import MESSAGES, ROWS, device, id_text
from longline.saver.sql.database import device_range, id_bytes
from longline.saver.sql.expiry import END, PURGE
from longline.saver.sql.snapshot import Snapshot
from longline.saver.sql.storing import Results

_message = msgspec.msgpack.Decoder(Message).decode
_results = msgspec.json.Decoder(Results).decode


def page(snapshot: Snapshot, app: int, after: str) -> tuple[list[tuple[Any, ...]], str | None]:
    """Messages by id: position, id, expires_at, online_only, cancelled, created_at; and where to go on."""
    rows = snapshot.rows(
        "SELECT position, id, expires_at, online_only, cancelled, created_at FROM messages"
        " WHERE app = ?1 AND id > ?2 ORDER BY id LIMIT ?3",
        app,
        bytes.fromhex(after),
        MESSAGES,
    )
    return rows, rows[-1][1].hex() if len(rows) == MESSAGES else None


def check_pending(snapshot: Snapshot, app: int, after: str) -> AuditStep:
    """A delivery is pending if and only if its message waits in the inbox, unless it is for who is online."""
    found = Findings("pending", app)
    messages, next = page(snapshot, app, after)
    looked = 0
    for position, id, _, online_only, *_ in messages:
        deliveries = snapshot.rows(
            "SELECT d.device, d.state, i.device IS NOT NULL FROM deliveries AS d"
            " LEFT JOIN inbox AS i ON i.device = d.device AND i.position = d.position WHERE d.position = ?1",
            position,
        )
        looked += len(deliveries)
        for key, state, waits in deliveries:
            expected = state == State.PENDING and not online_only
            if expected != bool(waits):
                said = "in its inbox" if expected else "not in its inbox"
                stored = "in its inbox" if waits else "not there"
                found.differs(f"message {id_text(id)} of {device(key)}", f"{said}: {name_of(state)}", stored)
    return found.step(looked, next)


def check_states(snapshot: Snapshot, app: int, after: str) -> AuditStep:
    """A delivery that is settled says when, a dropped one why, and its device is or was there."""
    found = Findings("states", app)
    messages, next = page(snapshot, app, after)
    looked = 0
    for position, id, *_ in messages:
        deliveries = snapshot.rows(
            "SELECT d.device, state, settled_at, reason, e.device IS NOT NULL OR p.device IS NOT NULL"
            " FROM deliveries AS d LEFT JOIN devices AS e ON e.device = d.device"
            " LEFT JOIN departed AS p ON p.device = d.device WHERE d.position = ?1",
            position,
        )
        looked += len(deliveries)
        for key, state, settled_at, reason, known in deliveries:
            subject = f"message {id_text(id)} of {device(key)}"
            if state not in set(State):
                found.differs(subject, "a state", state)
            elif (state == State.PENDING) != (settled_at is None):
                found.differs(subject, f"{name_of(state)}, and when", f"settled at {settled_at}")
            elif (state == State.DROPPED) != (reason is not None):
                found.differs(subject, f"{name_of(state)}, and its reason", f"reason {reason}")
            elif not known or key >> 32 != app:
                found.differs(subject, "a device that is or was there", "none")
    return found.step(looked, next)


def check_targets(snapshot: Snapshot, app: int, after: str) -> AuditStep:
    """A message is for named devices or for an expression, and its ledger says for whom."""
    found = Findings("targets", app)
    messages, next = page(snapshot, app, after)
    for position, id, *_ in messages:
        named = snapshot.number("SELECT count(*) FROM deliveries WHERE position = ?1", position)
        frozen = snapshot.number(
            "SELECT count(*) FROM broadcast_sets WHERE position = ?1 AND n = 0", position
        )
        if (named > 0) + (frozen > 0) != 1:
            stored = f"{named} deliveries, {frozen} frozen sets"
            found.differs(f"message {id_text(id)}", "deliveries or a frozen set", stored)
    return found.step(len(messages), next)


def check_bodies(snapshot: Snapshot, app: int, after: str) -> AuditStep:
    """What statements see of a message is what its body says."""
    found = Findings("bodies", app)
    messages, next = page(snapshot, app, after)
    for position, id, expires_at, online_only, _, created_at in messages:
        ((body,),) = snapshot.rows("SELECT body FROM messages WHERE position = ?1", position)
        subject = f"message {id_text(id)}"
        try:
            message = _message(body)
        except msgspec.MsgspecError as error:
            found.differs(subject, "a message", str(error))
            continue
        said = (message.id, message.expires_at, message.online_only, message.created_at)
        found.same(subject, said, (id_text(id), expires_at, bool(online_only), created_at))
    return found.step(len(messages), next)


def check_inboxes(snapshot: Snapshot, app: int, after: str) -> AuditStep:
    """What waits in an inbox is pending, and counts there what its message weighs."""
    found = Findings("inboxes", app)
    first, last = device_range(app)
    start = [int(each) for each in after.split("/")] if after else [first, -1]
    rows = snapshot.rows(
        "SELECT i.device, i.position, i.collapse, i.load, d.state, m.position IS NOT NULL FROM inbox AS i"
        " LEFT JOIN deliveries AS d ON d.position = i.position AND d.device = i.device"
        " LEFT JOIN messages AS m ON m.position = i.position AND m.app = ?5"
        " WHERE (i.device, i.position) > (?1, ?2) AND i.device <= ?3"
        " ORDER BY i.device, i.position LIMIT ?4",
        *start,
        last,
        ROWS,
        app,
    )
    bodies: dict[int, tuple[str, int, str | None, bool]] = {}
    for key, position, collapse, load, state, there in rows:
        subject = f"entry {position} of {device(key)}"
        if not there:
            found.differs(subject, "a message of this app", "none")
            continue
        if state != State.PENDING:
            found.differs(subject, "a pending delivery", "none" if state is None else name_of(state))
        if position not in bodies:
            ((body,),) = snapshot.rows("SELECT body FROM messages WHERE position = ?1", position)
            message = _message(body)
            weight = 2 * len(message.payload) + (message.priority == "high")
            bodies[position] = message.id, weight, message.collapse_key or None, message.online_only
        id, weight, key_of, online_only = bodies[position]
        found.same(f"{subject}, message {id}", (weight, key_of, False), (load, collapse, online_only))
    next = f"{rows[-1][0]}/{rows[-1][1]}" if len(rows) == ROWS else None
    return found.step(len(rows), next)


def check_expiry(snapshot: Snapshot, app: int, after: str) -> AuditStep:
    """Each message is in one run of what is due: one that ends it, and then one that forgets it."""
    found = Findings("expiry", app)
    messages, next = page(snapshot, app, after)
    if not messages:
        return found.step(0, next)
    span = min(row[0] for row in messages), max(row[0] for row in messages)
    runs = snapshot.rows(
        "SELECT first, last, at, kind FROM expiry WHERE last >= ?1 AND first <= ?2 ORDER BY first, last",
        *span,
    )
    starts = [run[0] for run in runs]
    widest = max((last - first for first, last, *_ in runs), default=0)
    for position, id, expires_at, *_ in messages:
        due = []
        for first, last, at, kind in runs[
            bisect_right(starts, position - widest - 1) : bisect_right(starts, position)
        ]:
            if first <= position <= last:
                due.append((at, kind))
        right = len(due) == 1 and (
            due[0] == (expires_at, END) or (due[0][1] == PURGE and due[0][0] >= expires_at)
        )
        if not right:
            found.differs(
                f"message {id_text(id)}", f"one run, of {expires_at} until it has ended", f"runs {due}"
            )
    return found.step(len(messages), next)


def check_idempotency(snapshot: Snapshot, app: int, after: str) -> AuditStep:
    """What a key was answered is there, as long as the ledger of the message is."""
    found = Findings("idempotency", app)
    rows = snapshot.rows(
        "SELECT key, results FROM idempotency WHERE app = ?1 AND key > ?2 ORDER BY key LIMIT ?3",
        app,
        after,
        MESSAGES,
    )
    # Ledgers may be kept for less long than keys: what was forgotten is older than all that is still there.
    oldest = snapshot.rows("SELECT min(id) FROM messages WHERE app = ?1", app)[0][0]
    for key, results in rows:
        for result in _results(results):
            if not isinstance(result, Accepted):
                continue
            id = id_bytes(result.message_id)
            known = snapshot.number("SELECT count(*) FROM messages WHERE app = ?1 AND id = ?2", app, id)
            if not known and oldest is not None and id > oldest:
                found.differs(f"key {key}, message {result.message_id}", "a message", "none")
    return found.step(len(rows), rows[-1][0] if len(rows) == MESSAGES else None)


def name_of(state: int) -> str:
    """A state as people read it."""
    return State(state).name.lower() if state in set(State) else f"state {state}"
