"""Groups and webhooks: what is counted of them."""

from typing import Final

import msgspec

from longline.saver.kv.audits.slices import COUNTED, COUNTED_BYTES, Slice, Walked, text
from longline.saver.kv.groups import COUNT
from longline.saver.kv.partitions import script

GROUPS = script("audit_groups.lua")
WEBHOOKS = script("audit_webhooks.lua")
SOME: Final = 20  # groups in one step: the members of each are counted in every partition


async def walk_groups(at: Slice) -> Walked:
    """Some groups that have their home here. A device that is deleted leaves its groups without their count,
    which is that of the latest change: so there may be fewer members, and never more."""
    next, *groups = await at.ask(GROUPS, at.after, SOME)
    for name, number, sequence, size, members, known, before, going in groups:
        group = at.named(f"group {text(name)}")
        if number is None:
            at.findings.differs(group, "what is noted of it", "none", check="groups")
            continue
        if known > sequence or before > size:
            expected, stored = f"{known} and {before}, or more", f"{sequence} and {size}"
            at.findings.differs(f"{group}, sequence and bytes", expected, stored, check="groups")
        counted = sum(msgspec.convert(await at.partitions.run_all(COUNT, [at.app, number]), list[int]))
        if counted > members and not going:
            at.findings.differs(f"{group}, members", f"{counted} or more", members, check="group_members")
    return Walked(len(groups), next or None)


async def walk_webhooks(at: Slice) -> Walked:
    """The webhook of an app, where it is, and what its target never took."""
    reply = await at.ask(WEBHOOKS, COUNTED, COUNTED_BYTES)
    if not reply:
        return Walked(0, None)
    there, listed, noted, counted, numbers, lost, strangers, devices = reply
    at.findings.same(at.named("webhook, and in the list of them"), (1, 1), (there, listed), check="webhooks")
    if counted is None:
        return Walked(1, None)
    at.findings.same(at.named("dead events, and their bytes"), counted, noted, check="dead_events")
    at.findings.same(at.named("dead events by number"), counted[0], numbers, check="dead_events")
    for number in lost:
        at.findings.differs(at.named(f"dead event {text(number)}"), "an event", "none", check="dead_events")
    for number in strangers:
        name = at.named(f"event {text(number)} to be sent again")
        at.findings.differs(name, "a dead event", "none", check="dead_events")
    for device in devices:
        name = at.named(f"dead events of {text(device)}")
        at.findings.differs(name, "as many as there are", "others", check="dead_events")
    return Walked(1 + counted[0], None)
