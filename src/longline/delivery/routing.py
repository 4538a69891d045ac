"""From the store to the nodes: who gets what of the messages that were just stored, or found undone."""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Final

import structlog

from longline.bus.port import Bus
from longline.errors import LonglineError
from longline.model.commands import Broadcast, Command, Target, Unicast
from longline.model.ledger import State
from longline.saver.port.inboxes import InboxStore, Receipt
from longline.saver.port.routing import RoutingStore

log = structlog.get_logger("longline.delivery")


OFFLINE: Final = "offline"
LATE: Final = "late"


async def route(
    routes: Sequence[Unicast | Broadcast],
    now: int,
    *,
    bus: Bus,
    routing: RoutingStore,
    inboxes: InboxStore,
    late: bool = False,
) -> int:
    """Hands messages to the nodes of their devices; how many commands could not be handed over.

    Each node gets the unicasts of the devices bound to it, in the order of `routes`. Broadcasts go to all
    nodes, after the store was told that these have them to do. `online_only` unicasts are dropped, `offline`,
    for devices that are bound nowhere; and, `late`, for all when these messages were left undone at first:
    what was sent after them has arrived by now. It waits while a node's queue is full; that holds up no other
    node. `now` in ms.

    A failure of the bus or the store, whatever it is, is logged and raises nothing: the messages are stored,
    rooms find them when devices connect, `unrouted` finds them for connected ones, and `online_only` ones end
    with their time.
    """
    broadcasts = [item for item in routes if isinstance(item, Broadcast)]
    nodes, unassigned = await _assign(bus, routing, broadcasts) if broadcasts else ((), frozenset())
    commands: dict[str, list[Command]] = {}
    dropped: list[Receipt] = []
    for item in routes:
        if isinstance(item, Unicast):
            if late and item.message.online_only:
                dropped += [_dropped(item, target, now, LATE) for target in item.targets]
            else:
                _divide(item, now, commands, dropped)
        elif item.message.id not in unassigned:
            for node in nodes:
                commands.setdefault(node, []).append(item)
    sends = [_tried(bus.send(node, batch)) for node, batch in commands.items()]
    handed = [await sends[0]] if len(sends) == 1 else await asyncio.gather(*sends)
    if dropped:
        await _tried(inboxes.settle(dropped))
    lost = [batch for batch, done in zip(commands.values(), handed, strict=True) if not done]
    return len(unassigned) + sum(map(len, lost))


async def _assign(
    bus: Bus, routing: RoutingStore, broadcasts: Sequence[Broadcast]
) -> tuple[Sequence[str], frozenset[str]]:
    """The nodes that have the broadcasts to do; and the ids of those that nobody could be given."""
    ids = [item.message.id for item in broadcasts]
    try:
        nodes = await bus.nodes()
    except Exception as error:
        _report(error)
        return (), frozenset(ids)
    # First the note, then the command: a node that is done before it was noted would be waited for in vain.
    noted = await asyncio.gather(
        *(_tried(routing.assign(item.app, item.message.id, nodes)) for item in broadcasts)
    )
    return nodes, frozenset(name for name, done in zip(ids, noted, strict=True) if not done)


def _divide(item: Unicast, now: int, commands: dict[str, list[Command]], dropped: list[Receipt]) -> None:
    if len(item.targets) == 1 and (binding := item.targets[0].binding) is not None:
        commands.setdefault(binding.node, []).append(item)  # as nearly all are: nothing to divide
        return
    nodes: dict[str, list[int]] = {}
    for index, target in enumerate(item.targets):
        if target.binding is not None:
            nodes.setdefault(target.binding.node, []).append(index)
        elif item.message.online_only:
            dropped.append(_dropped(item, target, now, OFFLINE))
    for node, indexes in nodes.items():
        whole = len(indexes) == len(item.targets)
        part = item if whole else Unicast(item.app, item.message, tuple(item.targets[i] for i in indexes))
        commands.setdefault(node, []).append(part)


def _dropped(item: Unicast, target: Target, now: int, reason: str) -> Receipt:
    return Receipt(item.app, target.ordinal, target.position, False, State.DROPPED, now, reason=reason)


async def _tried(work: Awaitable[None]) -> bool:
    """Whether it was done; what an engine raises is logged, and costs the other nodes nothing."""
    try:
        await work
    except Exception as error:
        _report(error)
        return False
    return True


def _report(error: Exception) -> None:
    if isinstance(error, LonglineError):
        log.warning("not_routed", code=error.code, error=error.message)
    else:
        log.error("not_routed", code=LonglineError.code, exc_info=error)
