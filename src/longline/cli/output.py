"""How commands print: for a person on a terminal, plain when piped, or as JSON."""

import codecs
import io
import json as json_module
import logging
import os
import re
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Final, TypeVar

from longline.cli.times import shown

if TYPE_CHECKING:
    from rich.table import Table

Item = TypeVar("Item")

# What moves a terminal's cursor, changes its colours or turns the direction of its text.
_UNPRINTABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
NARROWEST: Final = 8  # columns that a cell needs to be read; with fewer a row becomes a list
_GAP: Final = 2

# Words that are seen better in colour, in the columns where they mean something.
_COLOURS: Final = {
    **dict.fromkeys(("yes", "ok", "acked", "ready", "delivered"), "green"),
    **dict.fromkeys(("warn", "pending", "draining", "paused", "scheduled", "expired", "collapsed"), "yellow"),
    **dict.fromkeys(("bad", "dropped", "failing", "cancelled"), "red"),
}
_COLOURED: Final = frozenset({"online", "state", "status", "outcome", "current"})


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


# --- JSON ----------------------------------------------------------------------------------------------


def print_json(value: object) -> None:
    """One JSON value on one line, at once: whoever reads a pipe wants each line when it happens.

    Where the output is not UTF-8, which JSON has to be (RFC 8259, section 8.1), all of it is ASCII.
    """
    print(json_text(value), flush=True)


def json_text(value: object) -> str:
    """A value as JSON in what standard output can express."""
    import msgspec  # not above: whoever only asks for help waits for nothing that is not printed

    text = msgspec.json.encode(value).decode()
    if not text.isascii() and codecs.lookup(sys.stdout.encoding or "utf-8").name != "utf-8":
        text = "".join(each if each.isascii() else json_module.dumps(each)[1:-1] for each in text)
    return text


def payload_fields(data: bytes) -> dict[str, object]:
    """Bytes as the API tells them: `payload` where they are text, else `payload_base64`."""
    try:
        return {"payload": data.decode()}
    except UnicodeDecodeError:
        return {"payload_base64": data}


def payload_text(data: bytes) -> str:
    """Bytes for a person: as text, or as base64 where they are none."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return b64encode(data).decode()


# --- what a command answers ----------------------------------------------------------------------------
# Each takes the flag `--json` and returns the exit status, so that a command ends with one of them.


def show_list(
    name: str,
    items: Sequence[Item],
    columns: Sequence[str],
    row: Callable[[Item], Sequence[str]],
    *,
    json: bool,
) -> int:
    """A list: `{name: [...]}` as JSON, else a row each."""
    if json:
        print_json({name: items})
    else:
        print_table(columns, [row(item) for item in items])
    return 0


def show_one(value: Item, pairs: Callable[[Item], Sequence[tuple[str, str]]], *, json: bool) -> int:
    """One thing: as the API has it as JSON, else its names and values."""
    return show(value, lambda: print_pairs(pairs(value)), json=json)


def show(value: object, told: Callable[[], None], *, json: bool) -> int:
    """One thing: as the API has it as JSON, else as `told` prints it."""
    if json:
        print_json(value)
    else:
        told()
    return 0


def show_value(name: str, value: int | str, *, json: bool) -> int:
    """A number or a word: `{name: value}` as JSON, else nothing but it."""
    if json:
        print_json({name: value})
    else:
        print(value)
    return 0


def show_done(what: str, name: str, *, json: bool) -> int:
    """That it is done, where there is nothing to be told: `{"deleted": "d1"}` as JSON, else nothing."""
    if json:
        print_json({what: name})
    return 0


# --- for people ----------------------------------------------------------------------------------------


def visible(text: str) -> str:
    """A text that does nothing to the terminal that shows it, whoever wrote it: `\\x1b` for what would."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns with their names on a terminal; tab-separated values and nothing else into a pipe.

    Nothing is cut off: cells wrap where the terminal is too narrow, and where they would be unreadable so,
    each row becomes a list of names and values.
    """
    GrowingTable(columns).add(rows)


class GrowingTable:
    """The same for rows that come in parts: its columns get wider where a later part wants it. The first part
    begins it, even one without rows.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = columns
        self._widths: Sequence[int] = ()
        self._begun = False

    def add(self, rows: Sequence[Sequence[str]]) -> None:
        """Prints some rows, at once."""
        shown = [[visible(cell) for cell in row] for row in rows]
        if sys.stdout.isatty():
            self._draw(shown)
        else:
            for row in shown:
                print("\t".join(row))
        sys.stdout.flush()
        self._begun = True

    def _draw(self, rows: Sequence[Sequence[str]]) -> None:
        from rich.cells import cell_len
        from rich.console import Console

        # By ourselves: `rich` takes 80 for a terminal that it thinks little of, whatever that says.
        room = get_terminal_size()
        console = Console(width=room.columns, height=room.lines)
        parts = (self._columns, *rows)
        wanted = [max(map(cell_len, cells)) for cells in zip(*parts, strict=True)]
        self._widths = [*map(max, wanted, self._widths or wanted)]
        table = table_within(console.width, self._columns, rows, self._widths, head=not self._begun)
        if table is None:
            for number, row in enumerate(rows):
                if number or self._begun:
                    print()
                print_pairs([(name, cell) for name, cell in zip(self._columns, row, strict=True) if cell])
        elif rows or not self._begun:
            console.print(table)


def table_within(
    room: int,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    widths: Sequence[int] | None = None,
    *,
    head: bool = True,
) -> "Table | None":
    """A table for a terminal with so many columns; None where its cells could not be read so.

    `widths`: what the columns want, where that is not for these rows alone to say.
    """
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    if widths is None:
        widths = [max(map(cell_len, cells)) for cells in zip(columns, *rows, strict=True)]
    least = [min(width, NARROWEST) for width in widths]
    if sum(least) + _GAP * (len(columns) - 1) > room:
        return None
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold", show_header=head)
    for column, width in zip(columns, _fitting(widths, least, room), strict=True):
        table.add_column(Text(column), overflow="fold", width=width)
    for row in rows:
        # As Text: a name may look like markup.
        cells = zip(columns, row, strict=True)
        table.add_row(*(Text(cell, style=_colour(column, cell)) for column, cell in cells))
    return table


def print_row(*cells: str) -> None:
    """One row of a table that goes on and on, at once: cells between tabs, whoever reads them."""
    print("\t".join(map(visible, cells)), flush=True)


def print_pairs(pairs: Sequence[tuple[str, str]]) -> None:
    """Names and values, one pair a line. The terminal wraps them: a key that is copied has no break in it."""
    width = max((len(name) for name, _ in pairs), default=0)
    for name, value in pairs:
        print(f"{name:<{width}}  {visible(value)}")


def fields_of(value: object) -> list[tuple[str, str]]:
    """A value's fields that say something, by name: texts as they are, times as people read them, the rest
    as JSON.
    """
    import msgspec

    told = msgspec.to_builtins(value, builtin_types=(datetime,))
    fields: dict[str, object] = told if isinstance(told, dict) else {"value": told}
    return [(name, _said(field)) for name, field in fields.items() if field not in (None, [], {}, "")]


def _said(field: object) -> str:
    import msgspec

    if isinstance(field, datetime):
        return shown(field)
    return field if isinstance(field, str) else msgspec.json.encode(field).decode()


def remark(text: str) -> None:
    """For the person at the terminal only, and never among what was asked for."""
    if sys.stderr.isatty():
        print(visible(text), file=sys.stderr, flush=True)


@contextmanager
def sdk_log_told() -> Iterator[None]:
    """Has the SDK say on standard error when it is connected, why it is not, and that it tries again."""
    told = logging.StreamHandler(sys.stderr)
    told.setFormatter(logging.Formatter("longline: %(message)s"))
    log = logging.getLogger("longline.sdk")
    level, log.propagate = log.level, False
    log.setLevel(logging.INFO)
    log.addHandler(told)
    try:
        yield
    finally:
        log.removeHandler(told)
        log.setLevel(level)
        log.propagate = True


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error while long work goes on, if that is a terminal: it is told how much of how much
    is done, and goes when the work ends."""
    if not sys.stderr.isatty():
        yield lambda done, of: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(visible(what), total=None)

        def told(done: int, of: int) -> None:
            bar.update(task, completed=done, total=of)

        yield told


def _fitting(widths: Sequence[int], least: Sequence[int], room: int) -> list[int]:
    """Widths of columns that fit: the widest one gives way first, and none below what it needs."""
    fitting = [min(width, room) for width in widths]
    for _ in range(sum(fitting) + _GAP * (len(fitting) - 1) - room):
        free = [index for index, width in enumerate(fitting) if width > least[index]]
        fitting[max(free, key=fitting.__getitem__)] -= 1
    return fitting


def _colour(column: str, cell: str) -> str:
    return _COLOURS.get(cell.partition(":")[0], "") if column in _COLOURED else ""
