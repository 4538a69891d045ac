"""One process at a time serves a data directory."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from longline.errors import DataDirInUse

LOCK_FILE = "lock"


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
