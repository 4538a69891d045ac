"""The numbers of every normative statement of MQTT 5.0 and of MQTT 3.1.1, and which tests cite them.

A test cites statements in its docstring: `[5: 1.5.4-1, 1.5.4-2]` of 5.0, `[3: 1.5.3-1]` of 3.1.1.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

# fmt: off
_FIVE: Final = {  # section: the last number in it
    "1.5.4": 3, "1.5.5": 1, "1.5.7": 1, "2.1.3": 1, "2.2.1": 6, "2.2.2": 1, "3.1.0": 2, "3.1.2": 30,
    "3.1.3": 12, "3.1.4": 6, "3.2.0": 2, "3.2.2": 22, "3.3.1": 13, "3.3.2": 20, "3.3.4": 10, "3.4.2": 3,
    "3.5.2": 3, "3.6.1": 1, "3.6.2": 3, "3.7.2": 3, "3.8.1": 1, "3.8.3": 5, "3.8.4": 8, "3.9.2": 2, "3.9.3":
    2, "3.10.1": 1, "3.10.3": 2, "3.10.4": 6, "3.11.2": 2, "3.11.3": 2, "3.12.4": 1, "3.14.0": 1, "3.14.1":
    1, "3.14.2": 4, "3.14.4": 3, "3.15.1": 1, "3.15.2": 3, "4.1.0": 2, "4.2": 1, "4.3.1": 1, "4.3.2": 5,
    "4.3.3": 13, "4.4.0": 2, "4.5.0": 2, "4.6.0": 6, "4.7.0": 1, "4.7.1": 2, "4.7.2": 1, "4.7.3": 4,
    "4.8.2": 6, "4.9.0": 3, "4.12.0": 7, "4.12.1": 2, "4.13.1": 1, "4.13.2": 1, "6.0.0": 4,
}
_THREE: Final = {
    "1.5.3": 3, "2.2.2": 2, "2.3.1": 7, "3.1.0": 2, "3.1.2": 24, "3.1.3": 11, "3.1.4": 5, "3.2.0": 1,
    "3.2.2": 6, "3.3.1": 12, "3.3.2": 3, "3.3.4": 1, "3.3.5": 2, "3.6.1": 1, "3.8.1": 1, "3.8.3": 4,
    "3.8.4": 6, "3.9.3": 2, "3.10.1": 1, "3.10.3": 2, "3.10.4": 6, "3.12.4": 1, "3.14.1": 1, "3.14.4": 3,
    "4.1.0": 2, "4.2.0": 1, "4.3.1": 1, "4.3.2": 2, "4.3.3": 2, "4.4.0": 1, "4.5.0": 2, "4.6.0": 6, "4.7.1":
    3, "4.7.2": 1, "4.7.3": 4, "4.8.0": 2, "6.0.0": 4, "7.0.0": 2, "7.1.1": 1, "7.1.2": 1,
}
# fmt: on
FIVE: Final = [
    f"{section}-{number}"
    for section, last in _FIVE.items()
    for number in range(2 if section == "2.2.1" else 1, last + 1)  # there is no 2.2.1-1
]
THREE: Final = [f"{section}-{number}" for section, last in _THREE.items() for number in range(1, last + 1)]

_CITED: Final = re.compile(r"\[([35]): ([^\]]+)\]")


def docstrings(file: Path) -> Iterator[tuple[str, str]]:
    """The tests of a file: the name of each, and its docstring."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield node.name, ast.get_docstring(node) or ""


def cited(docstring: str) -> set[tuple[str, str]]:
    """The statements that a test cites, each as (version, number)."""
    return {
        (version, number.strip())
        for version, numbers in _CITED.findall(docstring)
        for number in numbers.split(",")
    }
