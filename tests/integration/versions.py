"""Another version of Longline, to run beside this one."""

import os
import shutil
from pathlib import Path

import longline

THIS = Path(longline.__file__).parents[1]


def another_version(directory: Path) -> Path:
    """Where another version's `longline` is."""
    given = os.environ.get("LONGLINE_OTHER_VERSION")
    if given:
        return Path(given) / "src"
    copy = directory / "other"
    shutil.copytree(
        THIS / "longline", copy / "longline", ignore=shutil.ignore_patterns("*.so", "__pycache__")
    )
    for script in copy.rglob("*.lua"):
        script.write_text(script.read_text() + "\n-- of another version\n")
    version = copy / "longline" / "version.py"
    version.write_text(version.read_text().replace('"0.', '"9.'))
    return copy
