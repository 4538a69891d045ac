"""`longline audit`: whether what is stored agrees with itself."""

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from longline.cli.flags import Config, Data, load_settings, split_overrides
from longline.cli.output import print_json, print_table, progress
from longline.cli.usage import Json, UsageError

if TYPE_CHECKING:
    from longline.saver.auditing import AuditReport


def audit(
    *app: Annotated[
        str,
        Parameter(allow_leading_hyphen=True, help="An app, else all of them; then settings as flags."),
    ],
    config: Config = None,
    data: Data = None,
    json: Json = False,
) -> int:
    """Recompute ledgers, indexes and presence from what is stored, and print every difference.

    Runs on the host of a node of `serve` or `serve --workers`, or where a cluster's store can be reached,
    while they run. Takes the settings of the node. Exit status 1 when there is a difference.
    """
    from longline.node.audits import audit as look_through
    from longline.telemetry import logs

    named, overrides = split_overrides(app)
    if len(named) > 1:
        raise UsageError("name one app, or none for all of them")
    loaded = load_settings(config, data, overrides)
    logs.configure("warning", loaded.settings.node.log_format)  # to standard error
    given = loaded.sources["store.url"] != "default"
    app_named = named[0] if named else None
    with progress("checks") as told:
        report, names = asyncio.run(
            look_through(
                loaded.settings, app_named, cluster=given, progress=lambda made, of, looked: told(made, of)
            )
        )
    _tell(report, names, json)
    return 1 if report.differences else 0


def _tell(report: "AuditReport", names: dict[int, str], json: bool) -> None:
    from longline.saver.port.audits import STORE

    differences = [
        {
            "check": each.check,
            "app": None if each.app == STORE else names.get(each.app, str(each.app)),
            "subject": each.subject,
            "expected": each.expected,
            "stored": each.stored,
        }
        for each in report.differences
    ]
    if json:
        figures = {"apps": report.apps, "checks": report.checks, "looked": report.looked}
        print_json({**figures, "differences": differences, "left_out": report.left_out})
        return
    if differences:
        columns = ("check", "app", "subject", "expected", "stored")
        print_table(columns, [[str(each[column] or "") for column in columns] for each in differences])
    found = len(differences) + report.left_out
    said = f"{report.apps:,} apps, {report.checks:,} checks, {report.looked:,} rows: "
    print(said + (f"{found:,} differences" if found else "no difference"), file=sys.stderr)
