"""The first admin key: given by the settings, or made once and kept in a file that only its owner reads."""

import asyncio
import hashlib
import os
import secrets
from pathlib import Path

from longline.center.gate.auth import digest
from longline.errors import Conflict, SettingsError
from longline.keeper.port import Keeper
from longline.settings import Secret, Settings

KEY_FILE = "admin.key"
SHARED = "admin/key-hash"
NEWS = 0.1  # s


def make_data_dir(path: Path) -> None:
    """The data directory, readable by its owner alone."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"{path}: {error.strerror}", details=[("data_dir", f"{path}: {error.strerror}")]
        ) from None


def admin_key(data_dir: Path) -> str:
    """The key in the data directory, made when there is none."""
    found = kept_key(data_dir)
    return found if found is not None else _make(data_dir)


def kept_key(data_dir: Path) -> str | None:
    """The key in the data directory, None when there is no file of it.

    `SettingsError` for a file that has none: with the key in it nobody could administer this node.
    """
    path = data_dir / KEY_FILE
    try:
        return Secret(path.read_text("ascii").strip()).reveal()
    except FileNotFoundError:
        return None
    except OSError as error:
        problem = f"{path}: {error.strerror}"
    except ValueError:  # whose text may be a part of the key
        problem = f"{path} holds no key: write one into it, or remove it and a new one is made"
    raise SettingsError(problem, details=[("admin_key", problem)])


def _make(data_dir: Path) -> str:
    path = data_dir / KEY_FILE
    key = "lla_" + secrets.token_urlsafe(32)
    # Written under another name first: a crash must not leave half a key behind.
    draft = path.with_suffix(f".{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(key + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:  # another process of this directory was faster
        return admin_key(data_dir)
    finally:
        draft.unlink()
    return key


async def shared_key_hash(keeper: Keeper, data_dir: Path) -> bytes:
    """SHA-256 of the key that all centers of a cluster go by: that of the first one that came.

    Only that one's data directory has the key itself.
    """
    made: bytes | None = None
    while (shared := await keeper.read(SHARED)) is None:
        found = kept_key(data_dir)
        # On disk before the others hear of it: a key that nobody has would shut everybody out.
        key = _make(data_dir) if found is None else found
        mine = hashlib.sha256(key.encode()).digest()
        if found is None:
            made = mine
        try:
            await keeper.write(SHARED, mine, version=0)
        except Conflict:
            await asyncio.sleep(NEWS)  # until the news of the other one's is here
        else:
            return mine
    if made is not None and made != shared.value:
        (data_dir / KEY_FILE).unlink(missing_ok=True)  # it opens nothing
    return shared.value


async def admin_key_hash(settings: Settings, keeper: Keeper, *, alone: bool) -> bytes:
    """SHA-256 of the admin key: the settings', the data directory's where the process is `alone`, or the one
    that all centers share.
    """
    given = settings.admin_key
    if given is not None:
        return digest(given.reveal())
    make_data_dir(settings.data_dir)
    if alone:
        return digest(admin_key(settings.data_dir))
    return await shared_key_hash(keeper, settings.data_dir)
