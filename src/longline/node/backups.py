"""Backup and restore of what a node on one host keeps (docs/adr/0018).

A copy is made while the node runs or stands still, of files alone: nobody is asked, so nobody has to answer.
It is a folder with the files of the data folder under the names that they have there, and `backup.json`,
which says what they should be; it appears at once or not at all. It is brought back into a folder without
data, checked before anything is put into its place, with the file that makes a node of the folder last.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from longline.agent.append_only import FOLDER, copy_append_only
from longline.agent.valkey_program import KEPT as PROGRAM
from longline.errors import BackupRefused
from longline.node.admin_key import KEY_FILE, make_data_dir
from longline.node.data_folder import KEEPER_FILE, RESTORING, VALKEY, Shape, data_of, held, kept
from longline.saver.sql.copies import Progress, copy_database, outdate_cursors
from longline.settings import Settings
from longline.version import VERSION

CONTENTS: Final = "backup.json"
DATABASE: Final = "longline.db"  # in a copy, wherever `saver.path` has it


class CopiedFile(msgspec.Struct, frozen=True):
    """A file of a copy as it was when it was made."""

    path: str  # below the folder
    size: int
    sha256: str


class Backup(msgspec.Struct, frozen=True):
    """What `backup.json` says."""

    shape: Shape
    version: str  # of the program that made it
    made_at: str
    files: tuple[CopiedFile, ...]

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)


def backup(settings: Settings, target: Path, progress: Progress) -> Backup:
    """Copies what the node of these settings keeps into `target`, a folder that does not exist yet.

    Everything that was answered 202 before this is called is in it. Raises `BackupRefused`;
    `target` is not there then.
    """
    shapes = kept(settings)
    if not shapes:
        raise BackupRefused(
            f"{settings.data_dir} has no data of `serve` or `serve --workers`; those of a cluster are in its "
            "stores, and docs/operations.md says how to copy them"
        )
    if len(shapes) > 1:
        raise BackupRefused(f"{settings.data_dir} has data of two shapes: move away those that are not used")
    (shape,) = shapes
    with _told(), _drafted(target) as draft:
        made_at = datetime.now(UTC).isoformat(timespec="seconds")
        if shape is Shape.SERVE:
            paths = _copy_serve(settings, draft, progress)
        else:
            paths = _copy_workers(settings, draft)
        files = tuple(_described(path, draft) for path in paths)
        contents = Backup(shape, VERSION, made_at, files)
        (draft / CONTENTS).write_bytes(msgspec.json.format(msgspec.json.encode(contents)))
        _sync(draft)
        draft.rename(target)  # over an empty folder too, and over nothing else
        _sync_folder(target.parent)
    return contents


def _copy_serve(settings: Settings, target: Path, progress: Progress) -> list[Path]:
    """The database first: terms of the keeper that it was written under are in the keeper's file by then."""
    copy_database(settings.database, target / DATABASE, progress)
    return [target / DATABASE, *_copy_small(settings, target, KEEPER_FILE, KEY_FILE)]


def _copy_workers(settings: Settings, target: Path) -> list[Path]:
    """The append-only file, which has the keeper's values too."""
    copied = copy_append_only(settings.data_dir / VALKEY, target / VALKEY)
    return [*copied, *_copy_small(settings, target, f"{VALKEY}/{PROGRAM}", KEY_FILE)]


def _copy_small(settings: Settings, target: Path, *names: str) -> Iterator[Path]:
    """Files that are replaced in one step, where there are such."""
    for name in names:
        if (settings.data_dir / name).exists():
            yield Path(shutil.copyfile(settings.data_dir / name, target / name))


def restore(settings: Settings, source: Path, progress: Progress) -> Backup:
    """Brings a copy back into the data folder, in which no node runs and nothing is kept.

    Raises `BackupRefused` when the copy is not whole, there are data, or the disk does not take it, or
    `DataDirInUse`. The data folder is as it was then, or it says that it was not restored to the end, and no
    node starts there.
    """
    contents = _read(source)
    make_data_dir(settings.data_dir)
    draft = settings.data_dir / RESTORING
    with _told(), held(settings.data_dir):
        if not draft.exists():
            for path in _in_the_way(settings):
                raise BackupRefused(f"{path} is there: move it away, or restore into another folder")
        shutil.rmtree(draft, ignore_errors=True)
        try:
            _bring(contents, source, draft, progress)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        _put_in_place(settings, contents.shape, draft)
    return contents


def _in_the_way(settings: Settings) -> Iterator[Path]:
    """Data, or what is left of some: a former database's log would be taken for that of the new one."""
    database = settings.database
    log = database.with_name(database.name + "-wal")
    for path in (log, *(data_of(settings, shape) for shape in Shape)):
        if path.exists():
            yield path


def _bring(contents: Backup, source: Path, draft: Path, progress: Progress) -> None:
    done = 0
    for file in contents.files:
        path = draft / file.path
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            shutil.copyfile(source / file.path, path)
        except FileNotFoundError:
            raise BackupRefused(f"{source / file.path} is missing") from None
        if _described(path, draft) != file:
            raise BackupRefused(f"{source / file.path} is not what it was when the copy was made")
        done += file.size
        progress(done, contents.size)
    if contents.shape is Shape.SERVE:
        outdate_cursors(draft / DATABASE, int(datetime.now(UTC).timestamp() * 1000))
    _sync(draft)


def _put_in_place(settings: Settings, shape: Shape, draft: Path) -> None:
    """The data last: a folder that is left half restored has none yet, or all."""
    data = settings.data_dir
    for name in (KEY_FILE, KEEPER_FILE):
        if (draft / name).exists():
            (draft / name).replace(data / name)
    if shape is Shape.SERVE:
        settings.database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.move(draft / DATABASE, settings.database)
    else:
        (data / VALKEY).mkdir(mode=0o700, exist_ok=True)
        if (draft / VALKEY / PROGRAM).exists():
            (draft / VALKEY / PROGRAM).replace(data / VALKEY / PROGRAM)
        shutil.rmtree(data / VALKEY / FOLDER, ignore_errors=True)
        (draft / VALKEY / FOLDER).rename(data / VALKEY / FOLDER)
    _sync_folder(data)
    shutil.rmtree(draft)


def _read(source: Path) -> Backup:
    try:
        contents = msgspec.json.decode((source / CONTENTS).read_bytes(), type=Backup)
    except OSError as error:
        raise BackupRefused(f"{source / CONTENTS} cannot be read: {error.strerror}") from None
    except msgspec.MsgspecError as error:
        raise BackupRefused(f"{source / CONTENTS} is not that of a copy: {error}") from None
    for file in contents.files:
        if Path(file.path).is_absolute() or ".." in Path(file.path).parts:
            raise BackupRefused(f"{source / CONTENTS} names {file.path}, which is no file of a copy")
    return contents


def _described(path: Path, folder: Path) -> CopiedFile:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return CopiedFile(str(path.relative_to(folder)), path.stat().st_size, digest)


@contextmanager
def _drafted(target: Path) -> Iterator[Path]:
    """A folder beside the one that is to be, removed unless it became that."""
    if target.exists() and any(target.iterdir()):
        raise BackupRefused(f"{target} is there and not empty: each copy is a folder of its own")
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f"{target.name}.", dir=target.parent))
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _sync(folder: Path) -> None:
    """Onto the disk with everything, for its owner's eyes alone."""
    for above, _, names in os.walk(folder):
        Path(above).chmod(0o700)
        for name in names:
            path = Path(above) / name
            path.chmod(0o600)
            with path.open("rb") as file:
                os.fsync(file.fileno())
        _sync_folder(Path(above))


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _told() -> Iterator[None]:
    """What the disk refuses is told with the name of the file."""
    try:
        yield
    except OSError as error:
        raise BackupRefused(f"{error.filename or 'the disk'}: {error.strerror or error}") from error
