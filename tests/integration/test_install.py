"""What `pip install` makes of the project where the hot path cannot, or shall not, be compiled."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]

# Building a wheel type-checks and translates the hot modules before it reaches the compiler.
pytestmark = pytest.mark.timeout(1800)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what a build reads, so that neither its products nor ours get in each other's way."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, folder)
    shutil.copytree(
        PROJECT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
    )
    return folder


def built(checkout: Path, **environ: str) -> list[str]:
    """The names of the files in the wheel that pip makes of the checkout."""
    wheels = checkout.parent / "wheels"
    clean = {
        name: value for name, value in os.environ.items() if name not in {"LONGLINE_NO_COMPILE", "PYTHONPATH"}
    }
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run(
        [*command, "--wheel-dir", str(wheels), str(checkout)],
        env={**clean, **environ},
        capture_output=True,
        text=True,
        timeout=1700,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = wheels.iterdir()
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    wheel.unlink()
    return names


def sources(checkout: Path) -> set[str]:
    return {str(path.relative_to(checkout / "src")) for path in (checkout / "src").rglob("*.py")}


def binaries(names: list[str]) -> list[str]:
    return [
        name
        for name in names
        if not name.endswith((".py", ".typed", ".html", ".css", ".js", ".sql", ".lua"))
        and ".dist-info/" not in name
    ]


def test_with_longline_no_compile_the_wheel_is_pure_and_complete(checkout: Path) -> None:
    names = built(checkout, LONGLINE_NO_COMPILE="1")
    assert binaries(names) == []
    assert sources(checkout) <= set(names)


def test_with_a_compiler_that_fails_the_wheel_is_pure_and_complete_and_src_untouched(checkout: Path) -> None:
    before = {path for path in (checkout / "src").rglob("*") if path.is_file()}
    names = built(checkout, CC="/bin/false")
    assert binaries(names) == []
    assert sources(checkout) <= set(names)
    assert "stays interpreted" in (checkout / "build" / "interpreted.txt").read_text()
    assert {path for path in (checkout / "src").rglob("*") if path.is_file()} == before


def test_a_module_that_was_deleted_is_not_in_the_next_wheel(checkout: Path) -> None:
    extra = checkout / "src" / "longline" / "mqtt" / "forgotten.py"
    extra.write_text('"""Soon to be deleted."""\n')
    assert "longline/mqtt/forgotten.py" in built(checkout, LONGLINE_NO_COMPILE="1")
    extra.unlink()
    assert "longline/mqtt/forgotten.py" not in built(checkout, LONGLINE_NO_COMPILE="1")
