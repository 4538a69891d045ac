"""A copy of the private Valkey's files while it writes to them.

Its append-only file is a folder: a base, one or several files behind it that only grow, and a manifest that
names them in their order. A rewrite makes new ones and replaces the manifest in one step. Whoever has open
what one manifest names has a beginning of the history of all writes, whatever is removed or written
meanwhile, and with `appendfsync always` everything that was answered before is in it. A command of which only
the beginning was copied is dropped at the next start (`aof-load-truncated`).
"""

import os
from contextlib import ExitStack
from io import BufferedReader
from pathlib import Path

from longline.errors import BackupRefused

FOLDER = "appendonlydir"
MANIFEST = "appendonly.aof.manifest"
TRIES = 100  # a rewrite ends between two looks at the manifest: that is rare once, and never so often
HISTORY = "h"  # of a former rewrite, about to be removed


def copy_append_only(source: Path, target: Path) -> list[Path]:
    """Copies the folder of a Valkey, which may run, into one that does not exist yet; the new files.

    Raises `BackupRefused` when there is no append-only file, `OSError` when it cannot be copied.
    """
    with ExitStack() as opened:
        lines, files = _open(source / FOLDER, opened)
        folder = target / FOLDER
        folder.mkdir(mode=0o700, parents=True)
        made = [_copy(file, folder / Path(file.name).name) for file in files]
        manifest = folder / MANIFEST
        manifest.write_text("".join(f"{line}\n" for line in lines), encoding="ascii")
        return [*made, manifest]


def _open(folder: Path, opened: ExitStack) -> tuple[list[str], list[BufferedReader]]:
    """The lines of a manifest, and the files that it names."""
    for _ in range(TRIES):
        with ExitStack() as attempt:
            lines = _lines(folder / MANIFEST)
            try:
                files = [attempt.enter_context((folder / line.split()[1]).open("rb")) for line in lines]
            except FileNotFoundError:
                continue
            if _lines(folder / MANIFEST) == lines:
                opened.enter_context(attempt.pop_all())
                return lines, files
    raise BackupRefused(f"{folder} changes all the time")


def _lines(manifest: Path) -> list[str]:
    """`file NAME seq NUMBER type LETTER`, for each file that counts."""
    try:
        text = manifest.read_text("ascii")
    except FileNotFoundError:
        raise BackupRefused(f"{manifest.parent.parent} has no append-only file") from None
    lines = [line for line in text.splitlines() if line.startswith("file ")]
    return [line for line in lines if line.split()[5] != HISTORY]


def _copy(file: BufferedReader, target: Path) -> Path:
    """As much of a file as there is now; it may be growing."""
    remaining = os.fstat(file.fileno()).st_size
    with target.open("xb") as copy:
        while remaining and (sent := os.sendfile(copy.fileno(), file.fileno(), None, remaining)):
            remaining -= sent
    return target
