"""A node starts on data that it reads, on none, and never empty beside others'."""

from pathlib import Path

import pytest

from longline.errors import DataDirInUse, DataNotRead
from longline.node.data_folder import RESTORING, Shape, data_of, held, kept, refuse_unread
from longline.settings import Settings


def settings(folder: Path) -> Settings:
    return Settings(data_dir=folder)


def have(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("data")


SQLITE = "longline.db"
VALKEY = "valkey/appendonlydir/appendonly.aof.manifest"


@pytest.mark.parametrize("shape", Shape)
@pytest.mark.parametrize("files", [(), ("admin.key", "keeper.json", "lock", "valkey/valkey.log")])
def test_a_folder_without_data_is_begun(tmp_path: Path, shape: Shape, files: tuple[str, ...]) -> None:
    have(tmp_path, *files)
    refuse_unread(settings(tmp_path), shape)


@pytest.mark.parametrize(
    ("shape", "files"),
    [
        (Shape.SERVE, (SQLITE, "longline.db-wal", "copy.db", VALKEY)),
        (Shape.WORKERS, (VALKEY, "valkey/dump.rdb", SQLITE)),
    ],
)
def test_a_node_that_does_not_start_empty_minds_nothing_else(
    tmp_path: Path, shape: Shape, files: tuple[str, ...]
) -> None:
    have(tmp_path, *files)
    refuse_unread(settings(tmp_path), shape)


@pytest.mark.parametrize(
    ("shape", "file", "said"),
    [
        (Shape.SERVE, VALKEY, "with --workers"),
        (Shape.SERVE, "other.db", "saver.path"),
        (Shape.SERVE, "longline.db-wal", "the database that this log belongs to"),
        (Shape.SERVE, "valkey/dump.rdb", "operations.md"),
        (Shape.WORKERS, SQLITE, "without --workers"),
        (Shape.WORKERS, "valkey/dump.rdb", "operations.md"),
        (Shape.WORKERS, "valkey/monday.rdb", "operations.md"),
    ],
)
def test_a_node_that_would_start_empty_beside_data_says_what_to_do(
    tmp_path: Path, shape: Shape, file: str, said: str
) -> None:
    have(tmp_path, file)
    with pytest.raises(DataNotRead, match=said) as caught:
        refuse_unread(settings(tmp_path), shape)
    assert str(tmp_path / Path(file).parts[0]) in caught.value.message


@pytest.mark.parametrize("shape", Shape)
def test_a_folder_that_was_restored_half_way_is_not_served(tmp_path: Path, shape: Shape) -> None:
    have(tmp_path, SQLITE, VALKEY)
    (tmp_path / RESTORING).mkdir()
    with pytest.raises(DataNotRead, match="restore it again"):
        refuse_unread(settings(tmp_path), shape)


def test_the_shape_of_what_is_kept_is_seen(tmp_path: Path) -> None:
    assert kept(settings(tmp_path)) == []
    have(tmp_path, VALKEY)
    assert data_of(settings(tmp_path), Shape.WORKERS).exists()
    assert kept(settings(tmp_path)) == [Shape.WORKERS]


def test_a_folder_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    with held(tmp_path), pytest.raises(DataDirInUse), held(tmp_path):
        pass
    with held(tmp_path):
        pass
