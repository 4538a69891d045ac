"""Builds the npm package, beside the MQTT.js of other tests, and again when something of it has changed."""

import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path
from typing import Final

from tests.integration.clients.real import modules_folder

SOURCE: Final = Path(__file__).parents[3] / "sdks" / "js"
PATIENCE: Final = 900.0  # s
MADE: Final = frozenset({"node_modules", "dist"})  # by npm and by the build: not sources


def run(folder: Path, *command: str, patience: float = PATIENCE) -> str:
    """What a command has printed; AssertionError with all of it when it failed."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=patience, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def built() -> Path:
    """The folder of the package: installed from its lock file, and built."""
    folder = modules_folder().parent / "sdk-js"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder.parent / ".sdk-js.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes may want it at once
        _install(folder)
        _build(folder)
    return folder


def _install(folder: Path) -> None:
    wanted = "".join((SOURCE / name).read_text("utf-8") for name in ("package.json", "package-lock.json"))
    stamp = folder / "node_modules" / ".longline"
    if stamp.exists() and stamp.read_text("utf-8") == wanted:
        return
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(SOURCE / name, folder / name)
    run(folder, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
    stamp.write_text(wanted, "utf-8")


def _build(folder: Path) -> None:
    files = sorted(path for path in SOURCE.rglob("*") if path.is_file() and not _made(path))
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(SOURCE)}\n".encode() + path.read_bytes())
    stamp = folder / ".built"
    if stamp.exists() and stamp.read_text() == digest.hexdigest():
        return
    stamp.unlink(missing_ok=True)
    for path in folder.iterdir():
        if path.name not in MADE:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in files:
        target = folder / path.relative_to(SOURCE)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    run(folder, "node", "build.mjs")
    stamp.write_text(digest.hexdigest())


def _made(path: Path) -> bool:
    return path.relative_to(SOURCE).parts[0] in MADE
