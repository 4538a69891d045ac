"""Events of the log are names, in one style, so that they can be searched for and counted."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import longline

SOURCE = Path(longline.__file__).parent
NOT_OURS = ("sdk",)  # a library in its users' programs speaks as these expect
LEVELS = frozenset({"debug", "info", "warning", "error", "critical", "exception"})
LOGGERS = re.compile(r"_?log(ger)?", re.IGNORECASE)
EVENT = re.compile(r"[a-z]+(_[a-z0-9]+)*")


def calls(path: Path) -> Iterator[ast.Call]:
    """What a file says to the log."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        of = node.func.value
        name = of.id if isinstance(of, ast.Name) else of.attr if isinstance(of, ast.Attribute) else ""
        if node.func.attr in LEVELS and LOGGERS.fullmatch(name):
            yield node


def strange(call: ast.Call) -> bool:
    """Whether it says more, or less, than an event and its fields by name."""
    event = call.args[0] if len(call.args) == 1 else None
    named = isinstance(event, ast.Constant) and isinstance(event.value, str) and EVENT.fullmatch(event.value)
    return not named


def test_what_is_logged_are_events_by_name_with_fields() -> None:
    found = {
        f"{path.relative_to(SOURCE)}:{call.lineno}": ast.unparse(call)
        for path in sorted(SOURCE.rglob("*.py"))
        if path.relative_to(SOURCE).parts[0] not in NOT_OURS
        for call in calls(path)
        if strange(call)
    }
    assert found == {}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('log.info("node_started", name=1)', False),
        ('log.info("node started")', True),
        ('log.info("NodeStarted")', True),
        ('log.info("node_%s", name)', True),
        ('log.info(f"node_{name}")', True),
        ("log.info(event)", True),
        ('logger.exception("the request failed")', True),
    ],
)
def test_what_is_no_event_is_found(tmp_path: Path, line: str, expected: bool) -> None:
    path = tmp_path / "file.py"
    path.write_text(line + "\n")
    (call,) = calls(path)
    assert strange(call) is expected
