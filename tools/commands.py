"""Writes the table of commands into a page: `python -m tools.commands docs/cli.md`."""

import sys
from collections.abc import Iterator
from pathlib import Path

from cyclopts import App

from longline.cli.tree import app

BEGIN = "<!-- commands: written by `make docs` -->\n"
END = "<!-- end of commands -->\n"


def leaves(of: App, path: tuple[str, ...] = ()) -> Iterator[tuple[str, App]]:
    """The commands that can be called, as they are typed."""
    for name in of:
        if name.startswith("-"):
            continue
        child = of[name]
        below = list(leaves(child, (*path, name)))
        if child.default_command is not None or not below:
            yield " ".join((*path, name)), child
        yield from below


def table() -> str:
    """A row for each command: how it is called, and what it does."""
    rows = ["| command | does |\n", "|---|---|\n"]
    for name, command in leaves(app):
        assert command.default_command is not None
        said = (command.default_command.__doc__ or "").split("\n\n")[0]
        rows.append(f"| `longline {name}` | {' '.join(said.split())} |\n")
    return "".join(rows)


def page(text: str) -> str:
    """The page with the table that it has to have."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no place for the table: {BEGIN.strip()} and {END.strip()}")
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    file = Path(sys.argv[1])
    file.write_text(page(file.read_text("utf-8")), "utf-8")
