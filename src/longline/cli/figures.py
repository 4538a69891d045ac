"""`longline figures`, `problems`, `capacity` and `app figures`: how all processes fare, and how an app
does.
"""

from collections.abc import Iterator
from typing import Annotated, Literal

from cyclopts import Parameter

from longline.cli.access import LOCAL, Access
from longline.cli.loads import by_app, by_node
from longline.cli.output import fields_of, print_json, print_table, remark, show_list, show_one
from longline.cli.times import moment, shown
from longline.cli.usage import Json, UsageError
from longline.sdk.figures import BoundInfo, ClusterFigures, FigureHistory, ProblemInfo

PROBLEM_COLUMNS = ("severity", "code", "where", "since", "problem", "advice")
BOUND_COLUMNS = ("bound", "node", "used", "limit", "share", "a day", "full")


def figures(
    *pattern: Annotated[str, Parameter(help="Only figures with one of these in their names.")],
    node: Annotated[str | None, Parameter(help="Of this node alone.")] = None,
    since: Annotated[
        str | None,
        Parameter(
            help="What they were from then on: 3h, 7d, or a date; these patterns are whole names then."
        ),
    ] = None,
    tasks: Annotated[bool, Parameter(negative=(), help="The tasks of each process instead.")] = False,
    by: Annotated[
        Literal["node", "app"] | None,
        Parameter(help="What each node, or each of the busiest apps, does in a second instead."),
    ] = None,
    access: Access = LOCAL,
    json: Json = False,
) -> int:
    """Print the figures of all processes, as they are now or as they were."""
    if by is not None:
        if pattern or since is not None or tasks or (by == "app" and node is not None):
            raise UsageError("--by stands alone, or with --node where it is node")
        return by_app(access, json=json) if by == "app" else by_node(access, node, json=json)
    if since is not None:
        first = moment(since)
        found = access.ask(lambda center: center.figure_history(pattern or None, since=first, node=node))
        if json:
            print_json(found)
        else:
            print_table(("at", "node", "figure", "value"), list(_rows_of_history(found)))
        return 0
    now = access.ask(lambda center: center.figures())
    if json:
        print_json(now)
    elif tasks:
        rows = [
            (each.node, task.name, f"{task.count:,}", f"{task.oldest_seconds:,.0f}")
            for each in now.nodes
            if node in (None, each.node)
            for task in each.tasks
        ]
        print_table(("node", "task", "count", "oldest s"), rows)
    else:
        print_table(("node", "figure", "value"), list(_rows(now, node, pattern)))
    return 0


def _rows(now: ClusterFigures, node: str | None, pattern: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for each in now.nodes:
        if node in (None, each.node):
            for name, value in each.figures.items():
                if not pattern or any(part in name for part in pattern):
                    yield each.node, name, _number(value)


def _rows_of_history(found: FigureHistory) -> Iterator[tuple[str, ...]]:
    for each in found.nodes:
        for name, values in each.figures.items():
            for at, value in zip(each.at, values, strict=True):
                if value is not None:
                    yield shown(at), each.node, name, _number(value)


def problems(*, access: Access = LOCAL, json: Json = False) -> int:
    """Print what is wrong now, and what to do about it."""
    found = access.ask(lambda center: center.problems())
    show_list("problems", found, PROBLEM_COLUMNS, problem_row, json=json)
    if not found and not json:
        remark("nothing is wrong")
    return 0


def problem_row(of: ProblemInfo) -> tuple[str, ...]:
    """What is shown of a problem in a table, by `PROBLEM_COLUMNS`."""
    since = "" if of.since is None else f"{of.since:%Y-%m-%d %H:%M:%S}"
    return of.severity, of.code, of.node or of.app or "", since, of.message, of.hint


def capacity(*, access: Access = LOCAL, json: Json = False) -> int:
    """Print how full each bound is, and when it will be full."""
    found = access.ask(lambda center: center.capacity())
    return show_list("bounds", found, BOUND_COLUMNS, _bound_row, json=json)


def _bound_row(of: BoundInfo) -> tuple[str, ...]:
    growth = "" if of.growth_per_day is None else f"{of.growth_per_day:+,.0f}"
    full = "" if of.full_at is None else f"{of.full_at:%Y-%m-%d %H:%M}"
    return of.name, of.node, _number(of.used), _number(of.limit), f"{of.share:.1%}", growth, full


def app_figures(name: str, /, *, access: Access = LOCAL, json: Json = False) -> int:
    """Print how an app fares now: connected devices, what it sends of late, what waits."""
    return show_one(access.ask(lambda center: center.app_figures(name)), fields_of, json=json)


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.6g}"
