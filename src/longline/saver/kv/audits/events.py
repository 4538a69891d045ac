"""Events for app servers, and timers: queues' figures, and what stands for what."""

from typing import Any

from longline.saver.kv.audits.slices import (
    BEGIN,
    COUNTED,
    COUNTED_BYTES,
    ENTRIES,
    NAMES,
    Slice,
    Walked,
    following,
    text,
)
from longline.saver.kv.event_lanes import EventLanes
from longline.saver.kv.layout import id_text
from longline.saver.kv.partitions import script

EVENTS = script("audit_events.lua")
LATEST = script("audit_latest.lua")
TIMERS = script("audit_timers.lua")
DIGITS = 16  # of a number


async def walk_events(at: Slice) -> Walked:
    """Some events of a lane of an app's queue."""
    next, about, counted, *events = await at.ask(EVENTS, at.after or b"-1", ENTRIES, COUNTED_BYTES)
    compare_queue(at, about, counted, events)
    lanes = EventLanes(at.partitions)
    lane = lanes.kept_in(at.app, at.partition)
    for number, of_state, device, standing, latest, is_past in events:
        name = at.named(f"event {int(number)} of {text(device)}")
        belongs = lanes.of(at.app, text(device)), int(number) % lanes.count
        at.findings.same(
            f"{name}, lanes of its device and number", (lane, lane), belongs, check="event_lanes"
        )
        if of_state:
            compare_standing(at, name, int(number), standing, bool(is_past))
        else:
            numbers = {int(latest[n : n + DIGITS]) for n in range(0, len(latest), DIGITS)}
            compare_latest(at, name, int(number), numbers, bool(is_past))
    return Walked(len(events), next or None)


def compare_queue(at: Slice, about: Any, counted: Any, events: Any) -> None:
    """A queue is as large as its events, none of which has a number above its last."""
    if about is None:
        if events:
            at.findings.differs(at.named("queue of events"), "figures", "none", check="event_queue")
        return
    last, size, _ = about
    if counted is not None:
        found = (int(counted[0]), bool(counted[1]) and int(size or 0) < 0)
        at.findings.same(
            at.named("bytes of the queue of events"), found[0], int(size or 0), check="event_queue"
        )
    highest = max((int(event[0]) for event in events), default=0)
    if highest > int(last):
        at.findings.differs(
            at.named("last number of events"), f"{highest} or more", text(last), check="event_queue"
        )


def compare_standing(at: Slice, name: str, number: int, standing: bytes | None, is_past: bool) -> None:
    """An event that tells of a state stands for its device, or is past because a later one does."""
    if standing is None or int(standing) < number:
        at.findings.differs(name, "what stands for its device", text(standing) or "none", check="standings")
    elif int(standing) > number and not is_past:
        at.findings.differs(
            name, f"past: {int(standing)} stands for its device", "not past", check="standings"
        )


def compare_latest(at: Slice, name: str, number: int, numbers: set[int], is_past: bool) -> None:
    """An event that tells of no state is among the latest of its device, or past."""
    if number not in numbers and not is_past:
        at.findings.differs(name, "past, or one of its latest", "neither", check="events")


async def walk_latest(at: Slice) -> Walked:
    """What is noted of some devices: first the events that stand for them, then the latest others."""
    kind, _, cursor = (at.after or b"ul,0").partition(b",")
    next, *devices = await at.ask(LATEST, kind, cursor, NAMES)
    for device, digits, found in devices:
        for n, of in enumerate(found):
            number = int(digits[n * DIGITS : (n + 1) * DIGITS])
            if of != device:
                name = at.named(f"latest events of {text(device)}")
                at.findings.differs(name, f"an event of it at {number}", text(of) or "none", check="latest")
    if next != BEGIN:
        return Walked(len(devices), kind + b"," + next)
    return Walked(len(devices), b"uf,0" if kind == b"ul" else None)


async def walk_timers(at: Slice) -> Walked:
    """Some of what an app has that is to be sent later."""
    next, noted, *rest = await at.ask(TIMERS, at.after or BEGIN, NAMES, COUNTED)
    if not noted:
        return Walked(0, None)
    counted, (listed, due, there), *timers = rest
    if not at.after:
        if counted is not None:
            soonest = int(float(noted[3] or 0))
            stored = [*(int(each or 0) for each in noted[:3]), soonest]
            expected = [*(int(each) for each in counted)]
            name = at.named("timers: messages, schedules, bytes, soonest")
            at.findings.same(name, expected, stored, check="timers")
        at.findings.same(at.named("timers that are listed"), there, listed, check="timers")
        if due > there:
            at.findings.differs(at.named("timers that are due"), f"up to {there}", due, check="timers")
    for id, when, _, is_listed, indexed in timers:
        name = at.named(f"timer {id_text(id)}")
        if not is_listed:
            at.findings.differs(name, "in the list of its kind", "not there", check="timer_indexes")
        stored_due = 0 if indexed is None else int(float(indexed))
        at.findings.same(f"{name}, due by the index", int(when), stored_due, check="timer_indexes")
    return Walked(len(timers), following(next))
