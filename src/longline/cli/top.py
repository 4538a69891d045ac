"""`longline top`: what all nodes carry, and what apps send, as it changes."""

import asyncio
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from cyclopts import Parameter
from cyclopts.validators import Number

from longline.cli.access import LOCAL, Access
from longline.cli.node import NODE_COLUMNS, figures_of, node_row
from longline.cli.output import print_json, print_row, remark, table_within, visible
from longline.cli.usage import Json
from longline.errors import Forbidden, LonglineError
from longline.sdk.center import Center
from longline.sdk.nodes import NodeInfo
from longline.sdk.statistics import CountedSpan

if TYPE_CHECKING:
    from rich.console import RenderableType

APPS: Final = 10
"""So many apps at most, each of which is a request a round; `--app` names others."""

APP_COLUMNS: Final = ("app", "messages", "deliveries", "active", "new", "gone")
RATE_COLUMNS: Final = ("in a second", "rate")

# What is worth seeing of the process that answers, of which each only ever rises.
RATES: Final = {
    "messages accepted": "longline_center_messages_accepted_total",
    "pushes sent": "longline_room_pushes_sent_total",
    "pushes acknowledged": "longline_room_pushes_acked_total",
    "upstream messages": "longline_room_upstream_stored_total",
    "messages published": "longline_room_messages_in_total",
    "messages routed": "longline_room_messages_routed_total",
    "bytes in": "longline_room_bytes_in_total",
    "bytes out": "longline_room_bytes_out_total",
}


class AppOfHour(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted of an app in this hour."""

    app: str
    hour: CountedSpan | None


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen in one round; `rates` by name, in a second, of the process that answers.

    `problem`: why nothing was seen since then.
    """

    at: datetime
    nodes: list[NodeInfo]
    apps: list[AppOfHour]
    rates: dict[str, float]
    problem: str | None = None


def top(
    *,
    every: Annotated[
        float, Parameter(validator=Number(gte=0.1, lte=3600), help="Seconds from one round to the next.")
    ] = 2.0,
    count: Annotated[
        int | None, Parameter(validator=Number(gte=1), help="Stop after so many rounds; 1 where piped.")
    ] = None,
    app: Annotated[
        list[str] | None,
        Parameter(negative=(), help="Show this app; may be repeated. Else all, while they are few."),
    ] = None,
    access: Access = LOCAL,
    json: Json = False,
) -> int:
    """Show live what all nodes carry and what apps send in this hour. Ends with Ctrl-C.

    What changes in a second is of the process that answers. Without a terminal one round is printed; with
    --json each is a line.
    """
    live = sys.stdout.isatty() and not json
    rounds = count if count is not None or live or json else 1

    async def watching(show: Callable[[Round], None]) -> None:
        async with access.center() as center:
            watch = _Watch(center, tuple(app) if app else await _few(center))
            await watch.begin()
            pause = min(every, 1.0)  # rates need two looks, and nobody waits long for the first
            left = rounds
            while left is None or left > 0:
                await asyncio.sleep(pause)
                pause = every
                show(await watch.look())
                left = None if left is None else left - 1

    if json:
        asyncio.run(watching(print_json))
    elif not live:
        asyncio.run(watching(_print))
    else:
        from rich.console import Console
        from rich.live import Live

        console = Console()
        with Live(console=console, screen=True, auto_refresh=False, vertical_overflow="crop") as screen:
            asyncio.run(watching(lambda seen: screen.update(_drawn(seen, console.width), refresh=True)))
    return 0


class _Watch:
    """Looks at a cluster and at some of its apps, again and again."""

    def __init__(self, center: Center, apps: Sequence[str]) -> None:
        self._center = center
        self._apps = apps
        self._before: dict[str, float] = {}
        self._read_at = 0.0
        self._last = Round(at=datetime.now(UTC), nodes=[], apps=[], rates={})

    async def begin(self) -> None:
        """Takes the figures from which the first rates are counted."""
        self._before, self._read_at = figures_of(await self._center.metrics()), time.monotonic()

    async def look(self) -> Round:
        """One round; the last one, with what is wrong, while the server is away."""
        try:
            nodes = await self._center.nodes()
            hours = [await _hour(self._center, name) for name in self._apps]
            after, now = figures_of(await self._center.metrics()), time.monotonic()
        except LonglineError as error:
            if not error.retryable:
                raise
            return msgspec.structs.replace(self._last, problem=error.message)
        rates = rates_of(self._before, after, now - self._read_at)
        self._before, self._read_at = after, now
        self._last = Round(at=datetime.now(UTC), nodes=nodes, apps=hours, rates=rates)
        return self._last


def rates_of(before: Mapping[str, float], after: Mapping[str, float], seconds: float) -> dict[str, float]:
    """How fast figures rise, by the names of `RATES`; a process that has started anew counts from nothing."""
    rates: dict[str, float] = {}
    for name, figure in RATES.items():
        if figure in after:
            rise = after[figure] - before.get(figure, 0.0)
            rates[name] = (rise if rise >= 0 else after[figure]) / seconds
    return rates


async def _few(center: Center) -> tuple[str, ...]:
    """The apps, if they are few enough to be asked for each round, and if the key may know them."""
    found: list[str] = []
    try:
        async for each in center.apps():
            found.append(each.app)
            if len(found) > APPS:
                remark(f"more than {APPS} apps: --app NAME shows one")
                return ()
    except Forbidden:
        return ()
    return tuple(found)


async def _hour(center: Center, app: str) -> AppOfHour:
    now = datetime.now(UTC)
    begun = now.replace(minute=0, second=0, microsecond=0)
    counted = await center.statistics(app, since=begun, until=begun + timedelta(hours=1))
    return AppOfHour(app=app, hour=counted.statistics[-1] if counted.statistics else None)


def _app_row(of: AppOfHour) -> tuple[str, ...]:
    if of.hour is None:
        return (of.app, *("0" for _ in APP_COLUMNS[1:]))
    counts = (of.hour.messages, of.hour.deliveries)
    devices = (of.hour.devices.active, of.hour.devices.new, of.hour.devices.gone)
    return (of.app, *map(str, (*counts, *devices)))


def _rate_row(rate: tuple[str, float]) -> tuple[str, str]:
    return rate[0], f"{rate[1]:,.1f}"


def _tables(seen: Round) -> list[tuple[Sequence[str], list[Sequence[str]]]]:
    tables: list[tuple[Sequence[str], list[Sequence[str]]]] = [
        (NODE_COLUMNS, [node_row(node) for node in seen.nodes]),
        (RATE_COLUMNS, [_rate_row(rate) for rate in seen.rates.items()]),
        (APP_COLUMNS, [_app_row(app) for app in seen.apps]),
    ]
    return [(columns, rows) for columns, rows in tables if rows]


def _print(seen: Round) -> None:
    for columns, rows in _tables(seen):
        print_row(*columns)
        for row in rows:
            print_row(*row)
        print()


def _drawn(seen: Round, width: int) -> "RenderableType":
    from rich.console import Group
    from rich.text import Text

    connections = sum(node.load.connections for node in seen.nodes)
    head = f"longline  {seen.at:%H:%M:%S} UTC  {len(seen.nodes)} nodes  {connections:,} connections"
    parts: list[RenderableType] = [Text(head, style="bold")]
    if seen.problem is not None:
        parts.append(Text(visible(seen.problem), style="red"))
    for columns, rows in _tables(seen):
        shown = [[visible(cell) for cell in row] for row in rows]
        as_lists = "\n".join(
            f"{name}: {cell}" for row in shown for name, cell in zip(columns, row, strict=True)
        )
        parts += [Text(""), table_within(width, columns, shown) or Text(as_lists)]
    return Group(*parts)
