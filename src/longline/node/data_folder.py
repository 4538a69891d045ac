"""The folder of a node on one host: served by one process at a time, and by none that does not read it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from longline.agent.append_only import FOLDER, MANIFEST
from longline.errors import DataDirInUse, DataNotRead
from longline.settings import Settings

LOCK_FILE = "lock"
KEEPER_FILE = "keeper.json"
VALKEY = "valkey"
RESTORING = "restoring"  # a folder that is there until everything has been brought back


class Shape(StrEnum):
    """How the data of one host are kept."""

    SERVE = "serve"
    WORKERS = "workers"


@contextmanager
def held(data_dir: Path) -> Iterator[None]:
    """Holds the directory's lock; `DataDirInUse` when another process does. A kill releases it."""
    descriptor = os.open(data_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataDirInUse(f"another process serves {data_dir}") from None
        yield
    finally:
        os.close(descriptor)


def data_of(settings: Settings, shape: Shape) -> Path:
    """The file without which a node of this shape starts empty."""
    if shape is Shape.SERVE:
        return settings.database
    return settings.data_dir / VALKEY / FOLDER / MANIFEST


def kept(settings: Settings) -> list[Shape]:
    """The shapes whose data are there."""
    return [shape for shape in Shape if data_of(settings, shape).exists()]


def refuse_unread(settings: Settings, shape: Shape) -> None:
    """Raises `DataNotRead` when a node of this shape would start empty beside data that it does not read.

    Whoever wants to begin anew moves them away.
    """
    if (settings.data_dir / RESTORING).exists():
        raise DataNotRead(f"{settings.data_dir} was not restored to the end: restore it again")
    if data_of(settings, shape).exists():
        return
    for path, remedy in _unread(settings):
        raise DataNotRead(
            f"{path} is not read by this node, which would start empty beside it: {remedy}, or move it away"
        )


def _unread(settings: Settings) -> Iterator[tuple[Path, str]]:
    """What looks like the data of a node, with what could be done to have it read."""
    database, valkey = settings.database, settings.data_dir / VALKEY
    for shape in kept(settings):
        yield data_of(settings, shape), f"start it {'without' if shape is Shape.SERVE else 'with'} --workers"
    for path in sorted(database.parent.glob("*.db*")):
        if path.suffix == ".db-wal" and path.stat().st_size:
            yield path, "bring back the database that this log belongs to"
        elif path.suffix == ".db":
            yield path, f"set saver.path to it, or give it the name {database}"
    for path in sorted(valkey.glob("*.rdb")):
        yield path, "have it read as docs/operations.md says under Backups"
