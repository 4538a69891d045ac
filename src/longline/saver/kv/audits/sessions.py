"""Sessions that are kept, their filters, and retained messages."""

from typing import Any

from longline.saver.kv.audits.slices import BEGIN, COUNTED, ENTRIES, NAMES, Slice, Walked, following, text
from longline.saver.kv.partitions import script

SESSIONS = script("audit_sessions.lua")
FILTERS = script("audit_filters.lua")
RETAINED = script("audit_retained.lua")


async def walk_sessions(at: Slice) -> Walked:
    """The sessions of some devices."""
    next, *sessions = await at.ask(SESSIONS, at.after or BEGIN, NAMES)
    for (
        place,
        number,
        epoch,
        node,
        ends_at,
        latest,
        sent,
        length,
        size,
        counted,
        is_at,
        noted,
        *others,
    ) in sessions:
        name = f"session of {at.device(place)}"
        compare_figures(at, name, counted, int(length), int(size), int(latest), int(sent))
        compare_life(at, name, int(number), int(epoch), node, ends_at, bool(is_at), noted)
        missing, lost, is_noted = others
        if not is_noted:
            at.findings.differs(name, "among those that have one", "not there", check="session_ends")
        for filter in missing:
            at.findings.differs(
                f"{name}, filter {text(filter)}", "in the index", "not there", check="filters"
            )
        for position in lost:
            at.findings.differs(f"{name}, place {position}", "a message", "none", check="queued_messages")
    return Walked(len(sessions), following(next))


def compare_figures(
    at: Slice, name: str, counted: Any, length: int, size: int, latest: int, sent: int
) -> None:
    """A queue holds as many places and bytes as its session says, and none above its last."""
    entries, released, bytes_of_entries, highest = counted
    expected = (entries + released, bytes_of_entries)
    at.findings.same(
        f"{name}, places and bytes of its queue", expected, (length, size), check="session_queues"
    )
    if highest > latest or not 0 <= sent <= latest:
        at.findings.differs(
            f"{name}, last place", f"{highest} or more, and {sent}", latest, check="session_queues"
        )


def compare_life(
    at: Slice,
    name: str,
    number: int,
    epoch: int,
    node: bytes | None,
    ends_at: bytes | None,
    is_at: bool,
    noted: bytes | None,
) -> None:
    """A session has a connection and is among those of its node, or it ends when the index says, or never."""
    if node is not None and ends_at is not None:
        at.findings.differs(
            name, f"no end while it is connected to {text(node)}", text(ends_at), check="session_ends"
        )
    if node is not None and not is_at:
        at.findings.differs(name, f"among those of {text(node)}", "not there", check="session_ends")
    expected = None if ends_at is None else int(float(ends_at))
    stored = None if noted is None else int(float(noted))
    at.findings.same(f"{name}, end by the index", expected, stored, check="session_ends")
    if number > epoch:
        at.findings.differs(name, f"an epoch from {number} on", epoch, check="session_ends")


async def walk_filters(at: Slice) -> Walked:
    """Some of the index of filters."""
    next, looked, wrong = await at.ask(FILTERS, at.after, ENTRIES)
    for entry in wrong:
        filter, _, whose = entry.partition(b"\0")
        name = at.named(f"filter {text(filter)} of {text(whose)} in the index")
        at.findings.differs(name, "a session that has it", "none", check="filters")
    return Walked(looked, next or None)


async def walk_retained(at: Slice) -> Walked:
    """Some of the topics that have a retained message."""
    next, *facts = await at.ask(RETAINED, at.after, ENTRIES, COUNTED)
    if not facts:
        return Walked(0, None)
    (noted, noted_end), (size, soonest), (topics, bodies, ends), wrong, strangers = facts
    if not at.after:
        if size is not None:
            at.findings.same(
                at.named("bytes of retained messages"), int(size), int(noted), check="retained_totals"
            )
        at.findings.same(at.named("retained messages by their topics"), bodies, topics, check="retained")
        if ends > topics:
            at.findings.differs(
                at.named("ends of retained messages"), f"up to {topics}", ends, check="retained"
            )
        first, said = (None if each is None else int(float(each)) for each in (soonest, noted_end))
        at.findings.same(at.named("first end of a retained message"), first, said, check="retained_totals")
    for topic in wrong:
        at.findings.differs(at.named(f"topic {text(topic)}"), "a message", "none", check="retained")
    for topic in strangers:
        at.findings.differs(at.named(f"end of topic {text(topic)}"), "a message", "none", check="retained")
    return Walked(topics if not at.after else 0, next or None)
