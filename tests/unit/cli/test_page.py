"""The page of the commands says what the commands are."""

import re
import shlex
from pathlib import Path

import pytest
from tools.commands import page

from longline.cli.tree import app

PAGE = Path(__file__).parents[3] / "docs" / "cli.md"


def shell_of(path: Path) -> str:
    """All that a page has for a shell."""
    return "".join(re.findall(r"^ *```sh[^\n]*\n(.*?)```", path.read_text("utf-8"), re.DOTALL | re.MULTILINE))


SHELL = shell_of(PAGE)


def test_the_table_of_commands_is_the_one_in_the_code() -> None:
    """`make docs` writes it."""
    assert PAGE.read_text("utf-8") == page(PAGE.read_text("utf-8"))


ROOT = PAGE.parents[1]
ELSEWHERE = sorted(
    {
        line.partition("#")[0].strip()
        for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "deploy" / "README.md")
        for line in re.findall(r"^ *(longline [^\n|>]*[^\\])$", shell_of(path), re.MULTILINE)
    }
)


@pytest.mark.parametrize("line", [*SHELL.splitlines(), *ELSEWHERE])
def test_every_command_of_a_page_is_one(line: str) -> None:
    program, *arguments = shlex.split(line.partition(" > ")[0])
    assert program == "longline"
    app.parse_args(arguments, print_error=False, exit_on_error=False)
