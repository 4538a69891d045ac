"""Devices: their numbers, what they are found by, how far they have read, what is left of deleted ones."""

import msgspec
from pyroaring import BitMap

from longline.model.devices import Profile
from longline.saver.findings import Findings
from longline.saver.labels import GROUP, Label, labels_of
from longline.saver.port.audits import AuditStep
from longline.saver.sql.audits.belongings import OF_DEVICE
from longline.saver.sql.audits.step import device, ordinals
from longline.saver.sql.database import device_key
from longline.saver.sql.labels import BLOCK
from longline.saver.sql.snapshot import Snapshot

_profile = msgspec.json.Decoder(Profile).decode


def check_devices(snapshot: Snapshot, app: int, after: str) -> AuditStep:
    """Each number that was given is a device's or a departed one's; addresses are of the app."""
    found = Findings("devices", app)
    first, last, next = ordinals(snapshot, app, after)
    end = device_key(app, snapshot.number("SELECT next_ordinal FROM apps WHERE number = ?1", app))
    rows = snapshot.rows("SELECT device, address FROM devices WHERE device BETWEEN ?1 AND ?2", first, last)
    gone = snapshot.rows("SELECT device, address FROM departed WHERE device BETWEEN ?1 AND ?2", first, last)
    there, departed = {key for key, _ in rows}, {key for key, _ in gone}
    for key, address in (*rows, *gone):
        if not address.startswith(f"{app}/") or len(address) == len(f"{app}/"):
            found.differs(f"{device(key)}, address", f"one that begins with {app}/", address)
        if key >= end:
            found.differs(device(key), f"a number below {end & 0xFFFF_FFFF}", "registered")
    for key in range(first, min(last + 1, end)):
        if (key in there) == (key in departed):
            found.differs(device(key), "registered or departed", "both" if key in there else "neither")
    return found.step(len(rows) + len(gone), next)


def check_labels(snapshot: Snapshot, app: int, after: str) -> AuditStep:
    """The sets by which audiences are worked out are those of the profiles, and of who is in which group."""
    found = Findings("labels", app)
    block = int(after or 0)
    end = snapshot.number("SELECT next_ordinal FROM apps WHERE number = ?1", app)
    first, last = device_key(app, block * BLOCK), device_key(app, (block + 1) * BLOCK - 1)
    expected: dict[Label, BitMap] = {}
    rows = snapshot.rows("SELECT device, profile FROM devices WHERE device BETWEEN ?1 AND ?2", first, last)
    for key, profile in rows:
        for label in labels_of(_profile(profile)):
            expected.setdefault(label, BitMap()).add(key & 0xFFFF_FFFF)
    memberships = snapshot.rows(
        "SELECT m.device, g.name FROM group_members AS m JOIN chat_groups AS g ON g.number = m.grp"
        " WHERE m.device BETWEEN ?1 AND ?2",
        first,
        last,
    )
    for key, group in memberships:
        expected.setdefault((GROUP, group), BitMap()).add(key & 0xFFFF_FFFF)
    stored = {
        (kind, label): BitMap.deserialize(members)
        for kind, label, members in snapshot.rows(
            "SELECT kind, label, ordinals FROM labels WHERE app = ?1 AND block = ?2", app, block
        )
    }
    for label in sorted(expected.keys() | stored.keys()):
        should, has = expected.get(label, BitMap()), stored.get(label, BitMap())
        subject = f"label {label[1]!r} of kind {label[0]}, devices from {block * BLOCK}"
        if should != has:
            wrong = ", ".join(map(str, (should ^ has)[:10]))
            found.differs(subject, f"{len(should)} devices", f"{len(has)}; not the same: {wrong}")
        elif label in stored and not has:
            found.differs(subject, "no row", "an empty one")
    return found.step(len(rows), str(block + 1) if (block + 1) * BLOCK < end else None)


def check_cursors(snapshot: Snapshot, app: int, after: str) -> AuditStep:
    """Nobody has read, or was told, further than anything was written."""
    found = Findings("cursors", app)
    first, last, next = ordinals(snapshot, app, after)
    end = snapshot.number("SELECT value FROM meta WHERE name = 'positions'")
    rows = snapshot.rows(
        "SELECT d.device, d.log_from, coalesce(c.log_after, d.log_from), coalesce(c.told, 0)"
        " FROM devices AS d"
        " LEFT JOIN cursors AS c ON c.device = d.device WHERE d.device BETWEEN ?1 AND ?2",
        first,
        last,
    )
    for key, log_from, log_after, told in rows:
        if not log_from <= log_after <= end:
            found.differs(f"{device(key)}, cursor", f"from {log_from} to {end}", log_after)
        if not 0 <= told <= end:
            found.differs(f"{device(key)}, told", f"up to {end}", told)
    return found.step(len(rows), next)


def check_gaps(snapshot: Snapshot, app: int, after: str) -> AuditStep:
    """What is noted as missed is something."""
    found = Findings("gaps", app)
    first, last, next = ordinals(snapshot, app, after)
    rows = snapshot.rows(
        "SELECT device, dropped, expired, collapsed FROM gaps WHERE device BETWEEN ?1 AND ?2", first, last
    )
    for key, *counts in rows:
        if min(counts) < 0 or not sum(counts):
            found.differs(f"{device(key)}, missed", "counts of which one is above 0", counts)
    return found.step(len(rows), next)


def check_remains(snapshot: Snapshot, app: int, after: str) -> AuditStep:
    """Nothing is stored of a device that there is not."""
    found = Findings("remains", app)
    first, last, next = ordinals(snapshot, app, after)
    looked = 0
    for table in OF_DEVICE:
        rows = snapshot.rows(
            f"SELECT DISTINCT {table}.device FROM {table} LEFT JOIN devices AS d ON d.device = {table}.device"
            f" WHERE {table}.device BETWEEN ?1 AND ?2 AND d.device IS NULL",
            first,
            last,
        )
        looked += len(rows)
        for (key,) in rows:
            found.differs(f"{table} of {device(key)}", "no row: it is not registered", "rows")
    return found.step(looked, next)
