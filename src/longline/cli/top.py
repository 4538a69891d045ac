"""`longline top`: what all nodes carry, and what apps send, as it changes."""

import asyncio
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from cyclopts import Parameter
from cyclopts.validators import Number

from longline.cli.access import LOCAL, Access
from longline.cli.figures import PROBLEM_COLUMNS, problem_row
from longline.cli.node import NODE_COLUMNS, node_row
from longline.cli.output import print_json, print_row, remark, table_within, visible
from longline.cli.usage import Json
from longline.errors import Forbidden, LonglineError
from longline.sdk.center import Center
from longline.sdk.figures import ClusterFigures, ProblemInfo
from longline.sdk.nodes import NodeInfo
from longline.sdk.statistics import CountedSpan

if TYPE_CHECKING:
    from rich.console import RenderableType

APPS: Final = 10
"""So many apps at most, each of which is a request a round; `--app` names others."""

APP_COLUMNS: Final = ("app", "messages", "deliveries", "active", "new", "gone")
RATE_COLUMNS: Final = ("in a second", "rate")

# What is worth seeing of all processes together, of which each only ever rises.
RATES: Final = {
    "messages accepted": "center_messages_accepted",
    "pushes sent": "room_pushes_sent",
    "pushes acknowledged": "room_pushes_acked",
    "upstream messages": "room_upstream_stored",
    "messages published": "room_messages_in",
    "messages routed": "room_messages_routed",
    "bytes in": "room_bytes_in",
    "bytes out": "room_bytes_out",
}


class AppOfHour(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted of an app in this hour."""

    app: str
    hour: CountedSpan | None


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen in one round; `rates` by name, in a second, of all processes together; `problems` are
    those of the cluster.

    `problem`: why nothing was seen since then.
    """

    at: datetime
    nodes: list[NodeInfo]
    apps: list[AppOfHour]
    rates: dict[str, float]
    problems: list[ProblemInfo] = []
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

    What changes in a second is of all processes together. Without a terminal one round is printed; with
    --json each is a line.
    """
    live = sys.stdout.isatty() and not json
    rounds = count if count is not None or live or json else 1

    async def watching(show: Callable[[Round], None]) -> None:
        async with access.opened() as center:
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
        self._before: ClusterFigures | None = None
        self._last = Round(at=datetime.now(UTC), nodes=[], apps=[], rates={})

    async def begin(self) -> None:
        """Takes the figures from which the first rates are counted."""
        self._before = await self._center.figures()

    async def look(self) -> Round:
        """One round; the last one, with what is wrong, while the server is away."""
        try:
            nodes = await self._center.nodes()
            hours = [await _hour(self._center, name) for name in self._apps]
            after = await self._center.figures()
            problems = await self._center.problems()
        except LonglineError as error:
            if not error.retryable:
                raise
            return msgspec.structs.replace(self._last, problem=error.message)
        rates = {} if self._before is None else rates_of(self._before, after)
        self._before = after
        self._last = Round(at=datetime.now(UTC), nodes=nodes, apps=hours, rates=rates, problems=problems)
        return self._last


def rates_of(before: ClusterFigures, after: ClusterFigures) -> dict[str, float]:
    """How fast figures rise in all processes together, by the names of `RATES`; one that has told nothing new
    adds nothing.
    """
    earlier = {(each.node, each.since): each for each in before.nodes}
    rates = dict.fromkeys(RATES, 0.0)
    for each in after.nodes:
        then = earlier.get((each.node, each.since))
        seconds = 0.0 if then is None else (each.at - then.at).total_seconds()
        if then is not None and seconds > 0:
            for name, figure in RATES.items():
                rates[name] += (each.figures.get(figure, 0) - then.figures.get(figure, 0)) / seconds
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
        (PROBLEM_COLUMNS, [problem_row(problem) for problem in seen.problems]),
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
