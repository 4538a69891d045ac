"""Devices: their places, what they are found by, and where they are bound."""

from collections.abc import Sequence
from typing import Any

from longline.saver.kv.audits.slices import BEGIN, NAMES, Slice, Walked, following, text
from longline.saver.kv.devices import profile_of, what_is_indexed
from longline.saver.kv.partitions import script

DEVICES = script("audit_devices.lua")
BINDINGS = script("audit_bindings.lua")


async def walk_devices(at: Slice) -> Walked:
    """Some devices."""
    next, totals, *devices = await at.ask(DEVICES, at.after or BEGIN, NAMES)
    if not totals:
        return Walked(0, None)
    places, names, nobody, last, ordered = totals
    if not at.after and names + nobody != places:
        stored = f"{names} names and {nobody} that are nobody's"
        at.findings.differs(at.named("places"), f"{places} in all", stored, check="places")
    if not at.after and ordered != names:
        at.findings.differs(at.named("names in order"), names, ordered, check="places")
    for name, place, named, created, cursor, told, is_nobody, labels, rest, index, *others in devices:
        device = text(name)
        compare_place(at, device, int(place), named, created, is_nobody, places)
        compare_cursor(at, device, cursor, told, int(last))
        compare_labels(at, device, labels, rest, index, others[0])
        compare_shadow(at, device, others[1], others[2])
        compare_missed(at, device, others[3])
        if not others[4]:
            at.findings.differs(f"device {device}, name in order", "one", "none", check="places")
    return Walked(len(devices), following(next))


def compare_place(
    at: Slice,
    device: str,
    place: int,
    named: bytes | None,
    created: bytes | None,
    is_nobody: int,
    places: int,
) -> None:
    """A name leads to a place that was given, whose record has that name, in the partition of the name."""
    name = f"device {device}"
    if text(named) != device or created is None:
        at.findings.differs(name, f"a record of it at place {place}", text(named) or "none", check="places")
    if is_nobody or place >= places:
        at.findings.differs(name, f"a place below {places} that is somebody's", place, check="places")
    if at.partitions.of(at.app, device) != at.partition:
        expected = f"in partition {at.partitions.of(at.app, device)}"
        at.findings.differs(name, expected, f"in partition {at.partition}", check="places")


def compare_cursor(at: Slice, device: str, cursor: bytes | None, told: bytes | None, last: int) -> None:
    """Nobody has read, or was told, further than anything was written."""
    for what, position in (("cursor", cursor), ("told", told)):
        if position is not None and int(float(position)) > last:
            at.findings.differs(f"device {device}, {what}", f"up to {last}", text(position), check="cursors")


def compare_labels(
    at: Slice,
    device: str,
    labels: bytes | None,
    rest: bytes | None,
    index: bytes | None,
    missing: Sequence[bytes],
) -> None:
    """What is indexed of a device follows from its profile, and it is in all sets of that."""
    expected = what_is_indexed(profile_of(labels, rest))
    if expected != (index or b""):
        at.findings.differs(
            f"device {device}, what is indexed", expected.hex(), (index or b"").hex(), check="labels"
        )
    for key in missing:
        at.findings.differs(f"device {device} in {text(key)}", "a member", "none", check="labels")


def compare_shadow(at: Slice, device: str, shadow: Sequence[bytes | None] | None, is_told: int) -> None:
    """Who has not acknowledged what is desired is to be told."""
    if shadow is None:
        if is_told:
            at.findings.differs(
                f"device {device}, shadow", "one that it is to be told", "none", check="shadows"
            )
        return
    version, wanted, seen = (int(each or 0) for each in shadow)
    if not max(wanted, seen) <= version:
        at.findings.differs(
            f"device {device}, shadow", f"up to version {version}", (wanted, seen), check="shadows"
        )
    if wanted > seen and not is_told:
        at.findings.differs(f"device {device}, shadow", "to be told", "not to be told", check="shadows")


def compare_missed(at: Slice, device: str, missed: Sequence[bytes | None]) -> None:
    """What a device is said to have missed is something."""
    counts = [int(each or 0) for each in missed[:3]]
    if min(counts) < 0 or (missed[3] is not None and not sum(counts)):
        at.findings.differs(
            f"device {device}, missed", "counts of which one is above 0", counts, check="gaps"
        )


async def walk_bindings(at: Slice) -> Walked:
    """Some of the session table."""
    next, epoch, *sessions = await at.ask(BINDINGS, at.after or BEGIN, NAMES)
    for device, binding, place, is_at, lingers in sessions:
        compare_binding(at, text(device), text(binding), int(epoch), place, bool(is_at), lingers)
    return Walked(len(sessions), following(next))


def compare_binding(
    at: Slice, device: str, binding: str, last: int, place: Any, is_at: bool, lingers: bytes | None
) -> None:
    """A session is of a registered device; it is among those that are connected to its node, or lingers."""
    name = f"session of device {device}"
    parts = binding.split(" ", 3)
    if len(parts) != 4 or not all(part.isdigit() for part in parts[:3]):
        at.findings.differs(name, "epoch, since, due, node", binding, check="presence")
        return
    epoch, _, due, node = parts
    if int(epoch) > last:
        at.findings.differs(name, f"an epoch up to {last}", epoch, check="presence")
    if place is None:
        at.findings.differs(name, "none: it is not registered", binding, check="presence")
    if is_at != (due == "0"):
        expected = f"among those of {node}" if due == "0" else f"lingering, not among those of {node}"
        at.findings.differs(name, expected, "the contrary", check="presence")
    stored = None if lingers is None else str(int(float(lingers)))
    at.findings.same(f"{name}, end of its lingering", None if due == "0" else due, stored, check="presence")
