"""Type checks of user code: right uses pass, wrong ones are found line by line; by mypy and, where it is
installed, by pyright.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

USER_CODE = Path(__file__).parent / "user_code"
SOURCE = Path(__file__).parents[2] / "src"


Checker = Callable[[str, Path], set[int]]


def mypy(file: str, cache: Path) -> set[int]:
    """The lines of which it finds something wrong."""
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir", str(cache)]
    return lines([*command, "--enable-error-code", "redundant-expr", "--strict-equality", USER_CODE / file])


def pyright(file: str, cache: Path) -> set[int]:
    program = shutil.which("pyright")
    if program is None:
        pytest.skip("there is no pyright")
    return lines([program, "--pythonpath", sys.executable, USER_CODE / file])


def lines(command: list[str | Path]) -> set[int]:
    done = subprocess.run(
        command, cwd=USER_CODE, env={"MYPYPATH": str(SOURCE), "PATH": "/usr/bin:/bin"}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return {int(line) for line in re.findall(r":(\d+)(?::\d+)?(?:: error| - error)", done.stdout)}


def wrong() -> set[int]:
    text = (USER_CODE / "wrong.py").read_text().splitlines()
    return {number for number, line in enumerate(text, 1) if line.endswith("# wrong")}


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_right_uses_pass_and_each_wrong_one_is_found(checker: Checker, tmp_path: Path) -> None:
    assert checker("right.py", tmp_path) == set()
    assert checker("wrong.py", tmp_path) == wrong()
