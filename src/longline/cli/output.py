"""How commands print: for a person on a terminal, plain when piped, or as JSON."""

import codecs
import io
import json
import os
import sys
from collections.abc import Sequence

import msgspec


def hold_standard_files() -> None:
    """Opens those of the three that whoever started us has closed, as `/dev/null`.

    A number that is free goes to the next socket or database: what is written to standard error would land in
    it, and libuv ends the process when a socket of that number is closed.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def bear_any_encoding() -> None:
    """Has what the terminal's encoding cannot express shown as `\\u20ac` rather than end the command."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def give_up_output() -> None:
    """Whoever read our output has seen enough (`longline listen … | head`): the rest goes nowhere. Without
    this, Python would complain once more when it flushes at exit.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def print_json(value: object) -> None:
    """One JSON value on one line, at once: whoever reads a pipe wants each line when it happens.

    Where the output is not UTF-8, which JSON has to be (RFC 8259, section 8.1), all of it is ASCII.
    """
    text = msgspec.json.encode(value).decode()
    if not text.isascii() and codecs.lookup(sys.stdout.encoding or "utf-8").name != "utf-8":
        text = "".join(each if each.isascii() else json.dumps(each)[1:-1] for each in text)
    print(text, flush=True)


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
