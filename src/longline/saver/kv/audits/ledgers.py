"""Ledgers against inboxes, bodies, logs and what is due."""

from collections.abc import Mapping, Sequence
from typing import Any

from longline.model.ledger import State
from longline.saver.kv import layout
from longline.saver.kv.audits.slices import BUCKETS, Slice, Walked
from longline.saver.kv.layout import Row
from longline.saver.kv.partitions import script

LEDGER = script("audit_ledger.lua")
LOG = script("audit_log.lua")

OVER, WRITTEN, ACKED = b"o", b"w", b"a"
ENDS = layout.ENDED | layout.CANCELLED


async def walk_ledgers(at: Slice) -> Walked:
    """All rows of some buckets."""
    next, *buckets = await at.ask(LEDGER, at.after, BUCKETS)
    looked = 0
    for bucket, due, words, facts in buckets:
        rows = {id: (layout.unpack_row(row), apart, rest) for id, row, apart, *rest in facts}
        looked += len(rows)
        compare_due(at, bucket, due, [row for row, _, _ in rows.values()])
        compare_words(at, words, rows)
        for id, (row, apart, rest) in rows.items():
            subject = f"message {layout.id_text(id)}"
            compare_bucket(at, subject, bucket, id)
            if row.kind == b"u":
                place, delivery = int.from_bytes(row.rest[:4]), row.rest[4:]
                compare_delivery(at, subject, row, place, delivery, rest[0])
                compare_body(at, subject, row, apart, state_of(delivery) == State.PENDING)
            elif row.kind == b"m":
                deliveries = list(zip(rest[0][::3], rest[0][1::3], rest[0][2::3], strict=True))
                for place, delivery, waits in deliveries:
                    compare_delivery(at, subject, row, int(place), delivery, waits)
                pending = sum(state_of(delivery) == State.PENDING for _, delivery, _ in deliveries)
                compare_count(at, subject, row, len(deliveries), pending)
                compare_body(at, subject, row, apart, pending > 0)
            elif row.kind == b"b":
                sets = dict(zip(rest[1][::2], rest[1][1::2], strict=True))
                compare_sets(at, subject, row, sets)
                compare_log(at, subject, row, apart, rest[0], sets)
            elif row.kind != b"x":
                at.findings.differs(at.named(subject), "a kind of row", row.kind, check="rows")
    return Walked(looked, next or None)


def state_of(delivery: bytes) -> int:
    """The state of a delivery."""
    return delivery[0] & 15


def compare_due(at: Slice, bucket: bytes, due: bytes | None, rows: Sequence[Row]) -> None:
    """Something is done about a bucket when the first of its messages ends, or sooner."""
    if not rows:
        return  # what was noted before its message was stored does no harm
    ends = [row.expires_at for row in rows if not row.flags & layout.ENDED]
    if ends and (due is None or float(due) > min(ends)):
        at.findings.differs(at.named(f"bucket {bucket.hex()}"), f"due at {min(ends)}", due, check="due")
    elif due is None:
        at.findings.differs(at.named(f"bucket {bucket.hex()}"), "due some time", due, check="due")


def compare_bucket(at: Slice, subject: str, bucket: bytes, id: bytes) -> None:
    """A row is in the bucket that its id names."""
    if id[:5] != bucket:
        at.findings.differs(at.named(subject), f"in bucket {id[:5].hex()}", bucket.hex(), check="buckets")


def compare_words(at: Slice, words: Sequence[bytes], rows: Mapping[bytes, object]) -> None:
    """A sender's word is that of a message."""
    for id in words:
        if id not in rows:
            subject = f"label of message {layout.id_text(id)}"
            at.findings.differs(at.named(subject), "a row", "none", check="words")


def compare_delivery(at: Slice, subject: str, row: Row, place: int, delivery: bytes, waits: int) -> None:
    """A delivery is pending if and only if its message waits in an inbox; one that is settled says when."""
    found, name = at.findings, f"{subject} of {at.device(place)}"
    state = state_of(delivery)
    if state not in set(State):
        found.differs(name, "a state", state, check="states")
        return
    known = layout.unpack_delivery(delivery, row.created_at)
    pending = state == State.PENDING
    if pending != bool(waits):
        expected = "in its inbox" if pending else "not in its inbox"
        stored = "in its inbox" if waits else "not there"
        found.differs(name, f"{expected}: {known.state.name.lower()}", stored, check="pending")
    if pending != (known.settled_at is None):
        found.differs(name, f"{known.state.name.lower()}, and when", known.settled_at, check="states")
    if (state == State.DROPPED) != (known.reason is not None):
        found.differs(name, f"{known.state.name.lower()}, and its reason", known.reason, check="states")
    if pending and row.flags & ENDS:
        found.differs(name, "over: the message has ended", "pending", check="states")


def compare_count(at: Slice, subject: str, row: Row, targeted: int, pending: int) -> None:
    """A message to several devices counts those that are pending."""
    noted = int.from_bytes(row.rest[:2])
    at.findings.same(f"{at.named(subject)}, pending", pending, noted, check="counts")
    if targeted < 2:
        at.findings.differs(at.named(subject), "two deliveries or more", targeted, check="counts")


def compare_body(at: Slice, subject: str, row: Row, apart: int, pending: bool) -> None:
    """A body that lies apart is there as long as somebody is to get it."""
    expected = bool(row.flags & layout.KEPT_APART) and pending
    if expected != bool(apart) and not row.flags & layout.HOME:
        said = "a body" if expected else "none: nobody is to get it"
        at.findings.differs(f"{at.named(subject)}, body", said, "one" if apart else "none", check="bodies")


def members(bitmap: bytes, places: int) -> int:
    """A set of places as a number whose bits they are, the first place the highest."""
    size = (places + 7) // 8
    whole = bitmap[:size] + bytes(max(0, size - len(bitmap)))
    return int.from_bytes(whole) >> (8 * size - places) if places else 0


def compare_sets(at: Slice, subject: str, row: Row, sets: Mapping[bytes, bytes]) -> None:
    """Whoever is over has one outcome or never was a target; whoever has an outcome is over."""
    places, without = layout.unpack_places(row)
    over = members(sets[OVER], places)
    outcomes = 0
    counted = 0
    for label, bitmap in sets.items():
        if label in (OVER, WRITTEN):
            continue
        ones = members(bitmap, places)
        counted += ones.bit_count()
        if ones & ~over:
            stored = f"{(ones & ~over).bit_count()} that are not"
            at.findings.differs(
                f"{at.named(subject)}, set {text_of(label)}", "places that are over", stored, check="sets"
            )
        if ones & outcomes:
            stored = f"{(ones & outcomes).bit_count()} have two"
            at.findings.differs(
                f"{at.named(subject)}, set {text_of(label)}", "one outcome", stored, check="sets"
            )
        outcomes |= ones
    at.findings.same(
        f"{at.named(subject)}, places that are over", without + counted, over.bit_count(), check="sets"
    )


def text_of(label: bytes) -> str:
    """What a set is called."""
    return label.decode("utf-8", "replace")


def compare_log(
    at: Slice, subject: str, row: Row, apart: int, facts: Sequence[Any], sets: Mapping[bytes, bytes]
) -> None:
    """Who is pending finds the broadcast in the log at its place; what has ended is in none."""
    found, name = at.findings, at.named(subject)
    kept, hidden, high, _, collapses, _, tasks = facts
    places, _ = layout.unpack_places(row)
    pending = places - members(sets[OVER], places).bit_count()
    online_only = bool(row.flags & layout.ONLINE_ONLY)
    score = hidden if online_only else kept
    if row.flags & ENDS:
        if pending:
            found.differs(name, "over for everyone: it has ended", f"{pending} pending", check="log")
        if kept is not None or hidden is not None or high is not None or collapses:
            found.differs(name, "in no log: it has ended", "in one", check="log")
        if tasks:
            found.differs(name, "no sub-tasks: it has ended", tasks, check="log")
        if apart:
            found.differs(f"{name}, body", "none: it has ended", "one", check="bodies")
        return
    if pending and (score is None or int(float(score)) != row.position):
        found.differs(name, f"in the log at {row.position}: {pending} pending", score, check="log")
    if pending and row.flags & layout.HIGH and not online_only and high is None:
        found.differs(name, "among those of high priority", "not there", check="log")
    if pending and len(row.rest) > 8 and not online_only and not collapses:
        found.differs(name, "under its collapse key", "not there", check="log")
    if row.flags & layout.HOME and not apart:
        found.differs(f"{name}, body", "one: it has not ended", "none", check="bodies")


async def walk_logs(at: Slice) -> Walked:
    """An app's logs, which are as long as many broadcasts are open."""
    entries = await at.ask(LOG)
    for log, id, position, row in entries:
        if log == b"due":
            if row is not None and (position is None or float(position) > float(row)):
                at.findings.differs(at.named("the app"), f"due at {int(float(row))}", position, check="due")
            continue
        name = at.named(f"message {layout.id_text(id)} in log {text_of(log)}")
        if row is None:
            at.findings.differs(name, "a row of the ledger", "none", check="log_entries")
            continue
        stored = layout.unpack_row(row)
        ended = bool(stored.flags & ENDS)
        if ended != (log == b"be:"):
            at.findings.differs(
                name, "one that has ended" if log == b"be:" else "an open one", "not so", check="log_entries"
            )
        elif not ended and int(float(position)) != stored.position:
            at.findings.differs(name, f"at {stored.position}", position, check="log_entries")
    return Walked(len(entries), None)
