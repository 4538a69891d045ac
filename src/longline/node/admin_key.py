"""The first admin key: given by the settings, or made once and kept in a file that only its owner reads."""

import os
import secrets
from pathlib import Path

from longline.errors import SettingsError

KEY_FILE = "admin.key"


def make_data_dir(path: Path) -> None:
    """The data directory, readable by its owner alone."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"{path}: {error.strerror}", details=[("data_dir", f"{path}: {error.strerror}")]
        ) from None


def admin_key(data_dir: Path, given: str | None) -> str:
    """The key in force. A key from the settings wins and is not written anywhere."""
    if given is not None:
        return given
    path = data_dir / KEY_FILE
    try:
        return path.read_text("ascii").strip()
    except FileNotFoundError:
        pass
    key = "lla_" + secrets.token_urlsafe(32)
    # Written under another name first: a crash must not leave half a key behind.
    draft = path.with_suffix(".new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="ascii") as file:
        file.write(key + "\n")
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
    return key
