"""What a command loads before it does anything, which is most of what a short one costs.

Told by modules, as time depends on who else is busy.
"""

import subprocess
import sys

import pytest

PROGRAM = """
import sys
from longline.cli import main
main(sys.argv[1:])
print(*sys.modules, file=sys.stderr)
"""
SERVER = {
    "longline.room",
    "longline.center",
    "longline.coordinator",
    "longline.saver",
    "longline.node.process",
}
CLIENT = {"httpx", "longline.sdk"}
RENDERING = {"rich.markdown", "markdown_it", "pygments", "click"}
SETTINGS = {"longline.settings"}
NOBODY = "http://127.0.0.1:9"  # where no server is


@pytest.mark.parametrize(
    ("arguments", "spared"),
    [
        (["--version"], SERVER | CLIENT | SETTINGS | RENDERING),
        (["--help"], SERVER | CLIENT | SETTINGS | RENDERING),
        (["push", "--help"], SERVER | SETTINGS | RENDERING),
        (["push", "news", "hello", "--all", "--url", NOBODY], SERVER | SETTINGS | RENDERING),
        (["app", "list", "--url", NOBODY], SERVER | SETTINGS | RENDERING),
        (["serve", "--help"], SERVER | CLIENT | RENDERING),
        (["run", "--help"], SERVER | CLIENT | RENDERING),
        (["agent", "--help"], SERVER | CLIENT | RENDERING),
        (["audit", "--help"], SERVER | CLIENT | RENDERING),
        (["backup", "--help"], SERVER | CLIENT | RENDERING),
        (["completion", "bash"], SERVER | {"rich.markdown", "markdown_it", "click"}),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_a_command_loads_nothing_that_only_others_need(arguments: list[str], spared: set[str]) -> None:
    loaded = modules_of(*arguments)
    assert "longline.cli.tree" in loaded
    assert loaded & spared == set()


def test_help_loads_no_command() -> None:
    assert {name for name in modules_of("--help") if name.startswith("longline")} == {
        "longline",
        "longline.cli",
        "longline.cli.failures",
        "longline.cli.output",
        "longline.cli.times",
        "longline.cli.tree",
        "longline.cli.usage",
        "longline.errors",
        "longline.version",
    }


def modules_of(*arguments: str) -> set[str]:
    """All that there are when a command is done."""
    command = [sys.executable, "-c", PROGRAM, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(done.stderr.splitlines()[-1].split())
