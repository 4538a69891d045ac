"""Tables on terminals of any width."""

import io
import sys
from collections import Counter

import pytest

from longline.cli.output import print_table, visible

COLUMNS = ("device", "state", "labels")
ROWS = [
    ("d1", "acked", "beta berlin " * 4),
    ("a-very-long-name-of-a-device-without-any-space-in-it", "dropped: device_not_found", ""),
    ("\u5317\u4eac\u5e02" * 6, "pending", "wide"),
]


class Narrow(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("width", [1, 10, 20, 25, 26, 30, 39, 40, 60, 100, 200])
def test_nothing_is_lost_and_a_table_is_no_wider_than_the_terminal(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "dumb")
    out = Narrow()
    monkeypatch.setattr(sys, "stdout", out)
    print_table(COLUMNS, ROWS)
    shown = out.getvalue()
    lost = Counter("".join(map("".join, ROWS)).replace(" ", "")) - Counter(shown)
    assert lost == Counter()
    as_lists = shown.startswith("device  d1\n")
    assert as_lists == (width < 8 + 2 + 8 + 2 + 8)
    from rich.cells import cell_len

    assert as_lists or max(map(cell_len, shown.splitlines())) <= width


def test_what_would_move_the_cursor_does_not() -> None:
    assert visible("a\x1b[2Jb\tc\nd\x9be\u202ef\u00fc\U0001f600") == (
        "a\\x1b[2Jb\\tc\\nd\\x9be\\u202ef\u00fc\U0001f600"
    )
