"""Type checks of user code: right uses pass, wrong ones are found line by line; by mypy and by pyright."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import indent

import pytest

from tests.integration.clients.real import node_modules

USER_CODE = Path(__file__).parent / "user_code"
SOURCE = Path(__file__).parents[2] / "src"


Checker = Callable[[str, Path], set[int]]


def mypy(file: str, cache: Path) -> set[int]:
    """The lines of which it finds something wrong."""
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir", str(cache)]
    return lines([*command, "--enable-error-code", "redundant-expr", "--strict-equality", USER_CODE / file])


def pyright(file: str, cache: Path) -> set[int]:
    program = node_modules() / "pyright" / "index.js"  # of npm: that of PyPI loads it from there when it runs
    folder = cache / file.removesuffix(".py")  # its settings can name files below them only
    folder.mkdir()
    shutil.copy(USER_CODE / file, folder)
    (folder / "pyrightconfig.json").write_text(json.dumps({"extraPaths": [str(SOURCE)]}))
    return lines(["node", program, "--pythonpath", sys.executable, "--project", folder])


def lines(command: list[str | Path]) -> set[int]:
    environ = {"MYPYPATH": str(SOURCE), "PATH": os.environ["PATH"]}
    done = subprocess.run(command, cwd=USER_CODE, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return {int(line) for line in re.findall(r":(\d+)(?::\d+)?(?:: error| - error)", done.stdout)}


GUIDE = SOURCE.parent / "docs" / "sdk.md"
GIVEN = """
from collections.abc import Awaitable, Callable
class Lamp:
    async def blink(self, times: object) -> None: ...
"""
NAMES = {
    "center": "Center",
    "device": "Device",
    "lamp": "Lamp",
    "key": "str",
    "secret": "str",
    "kept": "str | None",
    "fresh_token": "Callable[[], Awaitable[str]]",
    "another_token": "str",
}


def guide() -> str:
    """A program of what the guide shows: its imports, and a function for each of its snippets."""
    first, *rest = re.findall(r"```python\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    parts = [first, GIVEN]
    for number, snippet in enumerate(rest):
        text = indent(snippet, "    ")
        made = set(bound(f"async def snippet():\n{text}"))
        given = ", ".join(f"{name}: {kind}" for name, kind in NAMES.items() if name not in made)
        parts.append(f"async def snippet_{number}({given}) -> None:\n{text}")
    return "\n".join(parts)


def bound(program: str) -> Iterator[str]:
    """The names that it makes by `with`, `for` and `def`."""
    for node in ast.walk(ast.parse(program)):
        if isinstance(node, ast.withitem) and isinstance(node.optional_vars, ast.Name):
            yield node.optional_vars.id
        elif isinstance(node, ast.For | ast.AsyncFor) and isinstance(node.target, ast.Name):
            yield node.target.id
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name


def test_what_the_guide_shows_has_types(tmp_path: Path) -> None:
    """What is left out with … is not looked at, nor is a function that says nothing of its types."""
    program = tmp_path / "guide.py"
    program.write_text(guide())
    options = ["--strict", "--allow-untyped-defs", "--config-file=", "--disable-error-code=empty-body"]
    options += ["--cache-dir", str(tmp_path / "cache")]
    assert lines([sys.executable, "-m", "mypy", *options, program]) == set()


def wrong() -> set[int]:
    text = (USER_CODE / "wrong.py").read_text().splitlines()
    return {number for number, line in enumerate(text, 1) if line.endswith("# wrong")}


@pytest.mark.parametrize(
    "checker",
    [
        mypy,
        pytest.param(
            pyright, marks=pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
        ),
    ],
)
def test_right_uses_pass_and_each_wrong_one_is_found(checker: Checker, tmp_path: Path) -> None:
    assert checker("right.py", tmp_path) == set()
    assert checker("wrong.py", tmp_path) == wrong()
