"""How commands print: for a person on a terminal, plain when piped, or as JSON."""

import sys
from collections.abc import Sequence

import msgspec


def print_json(value: object) -> None:
    """One JSON value on one line, at once: whoever reads a pipe wants each line when it happens."""
    print(msgspec.json.encode(value).decode(), flush=True)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns with their names on a terminal; tab-separated values and nothing else into a pipe."""
    if not sys.stdout.isatty():
        for row in rows:
            print("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))  # as Text: a name may look like markup
    Console().print(table)


def print_pairs(pairs: Sequence[tuple[str, str]]) -> None:
    """Names and values, one pair a line."""
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        print(f"{name:<{width}}  {value}")


def remark(text: str) -> None:
    """For the person at the terminal only, and never among what was asked for."""
    if sys.stderr.isatty():
        print(text, file=sys.stderr, flush=True)
