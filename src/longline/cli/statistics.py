"""`longline app statistics`: what was counted, by hour or by day."""

from typing import Annotated, Literal

from cyclopts import Parameter

from longline.cli.access import LOCAL, Access
from longline.cli.output import print_json, print_table
from longline.cli.times import moment
from longline.cli.usage import Json

COLUMNS = ("from", "messages", "deliveries", "shown", "opened", "new", "active", "gone")


def app_statistics(
    name: str,
    /,
    *,
    by: Annotated[
        Literal["hour", "day"], Parameter(help="A row for each hour, or for each day, of UTC.")
    ] = "hour",
    since: Annotated[
        str | None,
        Parameter(name="--from", help="The first: a date, a time with an offset, or how far back, as 7d."),
    ] = None,
    until: Annotated[str | None, Parameter(name="--to", help="Before this.")] = None,
    access: Access = LOCAL,
    json: Json = False,
) -> int:
    """Print what was counted of an app: messages, what devices took and told, and devices."""
    first, last = (None if each is None else moment(each) for each in (since, until))
    found = access.ask(lambda center: center.statistics(name, since=first, until=last, by=by))
    if json:
        print_json(found)
        return 0
    rows = [
        (
            each.at.strftime("%Y-%m-%d %H:%M" if by == "hour" else "%Y-%m-%d"),
            *map(str, (each.messages, each.deliveries, each.shown, each.opened)),
            *map(str, (each.devices.new, each.devices.active, each.devices.gone)),
        )
        for each in found.statistics
    ]
    print_table(COLUMNS, rows)
    return 0
