"""What every command shares and costs nothing to load: the word for a wrong call, and `--json`."""

from typing import Annotated

from cyclopts import Parameter


class UsageError(Exception):
    """The command was called wrongly; its message says how to call it."""


def check_count(count: int | None) -> None:
    """Of `--count`; None is no bound. `UsageError`."""
    if count is not None and count < 1:
        raise UsageError("--count is at least 1")


Json = Annotated[bool, Parameter(negative=(), help="Print JSON.")]
