"""What every command shares and costs nothing to load: the word for a wrong call, and `--json`."""

from typing import Annotated

from cyclopts import Parameter


class UsageError(Exception):
    """The command was called wrongly; its message says how to call it."""


Json = Annotated[bool, Parameter(negative=(), help="Print JSON.")]
