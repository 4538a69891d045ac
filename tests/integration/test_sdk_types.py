"""Type checks of user code: right uses pass, wrong ones are found line by line; by mypy and by pyright."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

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
    environment = {"MYPYPATH": str(SOURCE), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        command, cwd=USER_CODE, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return {int(line) for line in re.findall(r":(\d+)(?::\d+)?(?:: error| - error)", done.stdout)}


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
