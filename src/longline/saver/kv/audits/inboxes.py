"""Inboxes against the ledger and their indexes."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from longline.model.ledger import State
from longline.saver.kv import layout
from longline.saver.kv.audits.ledgers import state_of
from longline.saver.kv.audits.slices import BEGIN, NAMES, Slice, Walked, following
from longline.saver.kv.partitions import script

INBOXES = script("audit_inboxes.lua")
HIDDEN_BOX = b"o:"


async def walk_inboxes(at: Slice) -> Walked:
    """The inboxes of some devices."""
    next, *devices = await at.ask(INBOXES, at.after or BEGIN, NAMES)
    looked = 0
    for _, place, noted, measured, urgent, entries in devices:
        looked += len(entries)
        compare_count(at, place, noted, measured)
        compare_urgent(at, place, urgent, entries)
        compare_order(at, place, entries)
        for entry in entries:
            compare_entry(at, place, entry)
            compare_indexes(at, place, entry)
    return Walked(looked, following(next))


def compare_count(at: Slice, place: bytes, noted: Any, measured: Any) -> None:
    """What a long inbox is said to hold is what it holds."""
    if noted is not None:
        at.findings.same(
            f"inbox of {at.device(place)}, entries and bytes", measured, noted, check="inbox_counts"
        )


def compare_urgent(at: Slice, place: bytes, noted: Sequence[bytes], entries: Sequence[Any]) -> None:
    """Entries of high priority are those that are noted."""
    expected = {int(entry[2]) for entry in entries if entry[0] != HIDDEN_BOX and entry[1] & layout.URGENT}
    stored = {int(each) for each in noted}
    at.findings.same(
        f"high priority in the inbox of {at.device(place)}", sorted(expected), sorted(stored), check="urgent"
    )


def compare_order(at: Slice, place: bytes, entries: Sequence[Any]) -> None:
    """Positions rise in an inbox."""
    for kind in (b"i:", HIDDEN_BOX):
        positions = [int(entry[2]) for entry in entries if entry[0] == kind]
        if any(one >= other for one, other in pairwise(positions)):
            at.findings.differs(
                f"inbox {kind.decode()} of {at.device(place)}", "rising positions", positions, check="order"
            )


def compare_entry(at: Slice, place: bytes, entry: Sequence[Any]) -> None:
    """An entry is of a message that is pending for its device, and says when it ends."""
    kind, flags, position, expires_at, id, packed, delivery, *_ = entry
    name = f"message {layout.id_text(id)} in the inbox of {at.device(place)}"
    if packed is None:
        at.findings.differs(name, "a row of the ledger", "none", check="inboxes")
        return
    row = layout.unpack_row(packed)
    if row.kind == b"u":
        delivery = row.rest[4:] if int.from_bytes(row.rest[:4]) == int(place) else None
    if delivery is None or state_of(delivery) != State.PENDING:
        stored = "none" if delivery is None else State(state_of(delivery)).name.lower()
        at.findings.differs(name, "a pending delivery", stored, check="inboxes")
    said = (row.position, row.expires_at, bool(row.flags & layout.ONLINE_ONLY), bool(row.flags & layout.HIGH))
    stored_as = (int(position), int(expires_at), kind == HIDDEN_BOX, bool(flags & layout.URGENT))
    at.findings.same(f"{name}: position, end, online only, high priority", said, stored_as, check="inboxes")


def compare_indexes(at: Slice, place: bytes, entry: Sequence[Any]) -> None:
    """What leads to an entry does: its collapse key, what is to be routed again; and its body is there."""
    _, flags, _, _, id, _, _, led, routed, apart = entry
    name = f"message {layout.id_text(id)} in the inbox of {at.device(place)}"
    if not led:
        at.findings.differs(name, "found by its collapse key", "not found", check="collapse_keys")
    if flags & layout.APART and not apart:
        at.findings.differs(name, "a body", "none", check="bodies")
    if routed and not flags & layout.ROUTED:
        at.findings.differs(name, "not on its way", "on its way", check="routes")
