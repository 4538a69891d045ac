"""What nodes and apps do at this moment: `longline figures --by`."""

import asyncio
import time
from typing import Final

import msgspec

from longline.cli.access import Access
from longline.cli.output import show_list
from longline.sdk.center import Center
from longline.sdk.figures import AppLoad, NodeSample

PATIENCE: Final = 11.0  # s: a process that nobody watches tells every ten seconds
PAUSE: Final = 0.5  # s until the next look
RATES: Final = {
    "connects": "room_accepted",
    "accepted": "center_messages_accepted",
    "sent": "room_pushes_sent",
    "acked": "room_pushes_acked",
    "upstream": "room_upstream_stored",
    "errors": "center_answers{5",
}
"""What rises in a node, by how its figure, or figures, begin."""

NODE_COLUMNS: Final = ("node", "connections", *RATES, "loop p99 ms", "request p99 ms")
APP_COLUMNS: Final = (
    *("app", "connections", "connects", "accepted", "sent", "acked", "upstream"),
    *("requests", "refused", "errors", "request ms"),
)


class NodeRates(msgspec.Struct, frozen=True, kw_only=True):
    """What a node does: what is in `rates`, in a second; None where it has told nothing new."""

    node: str
    connections: int
    rates: dict[str, float] | None
    loop_seconds_p99: float | None
    request_seconds_p99: float | None


def by_app(access: Access, *, json: bool) -> int:
    """Prints what the busiest apps do in all processes."""
    loads = access.ask(lambda center: center.figures()).by_app()
    return show_list("apps", loads, APP_COLUMNS, _app_row, json=json)


def _app_row(of: AppLoad) -> tuple[str, ...]:
    name = of.app if of.app is not None else f"({of.apps:,} others)"
    rates = (of.connects, of.accepted, of.sent, of.acked, of.upstream, of.requests, of.refused, of.errors)
    return (name, f"{of.connections:,}", *map(_rate, rates), _milliseconds(of.request_seconds))


def by_node(access: Access, node: str | None, *, json: bool) -> int:
    """Prints what nodes do, or one: once each has told twice."""
    loads = access.ask(lambda center: _two_looks(center, node))
    return show_list("nodes", loads, NODE_COLUMNS, _node_row, json=json)


async def _two_looks(center: Center, node: str | None) -> list[NodeRates]:
    before = {(each.node, each.since): each for each in (await center.figures()).nodes}
    until = time.monotonic() + PATIENCE
    while True:
        await asyncio.sleep(PAUSE)
        now = [each for each in (await center.figures()).nodes if node in (None, each.node)]
        loads = [_load(before.get((each.node, each.since)), each) for each in now]
        if all(load.rates is not None for load in loads) or time.monotonic() >= until:
            return loads


def _load(before: NodeSample | None, now: NodeSample) -> NodeRates:
    seconds = 0.0 if before is None else (now.at - before.at).total_seconds()
    rates: dict[str, float] | None = None
    if before is not None and seconds > 0:
        earlier = before
        rates = {
            name: max(0.0, _total(now, start) - _total(earlier, start)) / seconds
            for name, start in RATES.items()
        }
    return NodeRates(
        node=now.node,
        connections=int(now.figures.get("room_connections", 0)),
        rates=rates,
        loop_seconds_p99=now.figures.get("loop_lag_seconds_p99"),
        request_seconds_p99=now.figures.get("center_request_seconds_p99"),
    )


def _total(sample: NodeSample, start: str) -> float:
    if "{" not in start:
        return sample.figures.get(start, 0.0)
    return sum(value for name, value in sample.figures.items() if name.startswith(start))


def _node_row(of: NodeRates) -> tuple[str, ...]:
    rates = ["" if of.rates is None else _rate(of.rates[name]) for name in RATES]
    lag, request = of.loop_seconds_p99, of.request_seconds_p99
    return (of.node, f"{of.connections:,}", *rates, _milliseconds(lag), _milliseconds(request))


def _rate(value: float) -> str:
    return f"{value:,.1f}"


def _milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1000:,.2f}"
