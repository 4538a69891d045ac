"""A copy is whole or not there, and is brought back whole or not at all."""

import os
import shutil
from contextlib import closing
from pathlib import Path

import apsw
import msgspec
import pytest

from longline.errors import BackupRefused, DataDirInUse, DataNotRead
from longline.model.events import Event
from longline.node import backups
from longline.node.backups import CONTENTS, backup, restore
from longline.node.data_folder import RESTORING, Shape, held, refuse_unread
from longline.register.memory import MemoryRegister
from longline.saver.sql import copies
from longline.saver.sql.engine import SqliteSaver
from longline.settings import SaverSettings, Settings
from tests.contract.engines import SAVERS
from tests.contract.store_fixture import StoreFixture
from tests.unit.room.running import an_app


def silently(done: int, of: int) -> None:
    pass


def database(folder: Path, *values: int) -> Settings:
    """A folder with a database that somebody has open."""
    folder.mkdir(exist_ok=True)
    connection = apsw.Connection(str(folder / "longline.db"))
    connection.execute(
        "PRAGMA journal_mode=WAL; CREATE TABLE t (n); CREATE TABLE events (app, n);"
        "CREATE TABLE past (app, n); CREATE TABLE standings (app, n);"
        "CREATE TABLE latest (app, device, numbers);"
        "CREATE TABLE queues (app, last, length, bytes, removed);"
        "CREATE TABLE apps (number); CREATE TABLE meta (name, value)"
    ).fetchall()
    add(connection, *values)
    connection.close()
    return Settings(data_dir=folder)


def add(connection: apsw.Connection, *values: int) -> None:
    connection.execute(
        "INSERT INTO t SELECT value FROM json_each(?)", (msgspec.json.encode(values).decode(),)
    )


def numbers(folder: Path) -> int:
    with closing(apsw.Connection(str(folder / "longline.db"))) as connection:
        ((found,),) = connection.execute("SELECT count(*) FROM t").fetchall()
        return int(str(found))


def workers(folder: Path) -> Settings:
    """A folder with the files of a private Valkey."""
    append_only = folder / "valkey" / "appendonlydir"
    append_only.mkdir(parents=True)
    (append_only / "appendonly.aof.1.base.rdb").write_text("base")
    (append_only / "appendonly.aof.manifest").write_text("file appendonly.aof.1.base.rdb seq 1 type b\n")
    return Settings(data_dir=folder)


def test_the_database_is_copied_as_of_one_moment_though_it_is_written_all_the_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the copy is done: it does not begin anew with each write."""
    settings = database(tmp_path / "data", *range(20_000))
    writing = apsw.Connection(str(settings.database))
    monkeypatch.setattr(copies, "PAGES", 1)
    steps = 0

    def write(done: int, of: int) -> None:
        nonlocal steps
        steps += 1
        add(writing, 1, 2, 3)

    backup(settings, tmp_path / "copy", write)
    assert steps > 10
    assert numbers(tmp_path / "copy") == 20_000
    assert numbers(tmp_path / "data") == 20_000 + 3 * steps
    writing.close()


def test_a_database_elsewhere_comes_back_to_where_the_settings_have_it(tmp_path: Path) -> None:
    database(tmp_path / "data", 1)
    (tmp_path / "data" / "longline.db").rename(tmp_path / "elsewhere.db")
    there = SaverSettings(path=tmp_path / "elsewhere.db")
    backup(Settings(data_dir=tmp_path / "data", saver=there), tmp_path / "copy", silently)
    there = SaverSettings(path=tmp_path / "new" / "place.db")
    restore(Settings(data_dir=tmp_path / "other", saver=there), tmp_path / "copy", silently)
    assert (tmp_path / "new" / "place.db").exists()
    assert not (tmp_path / "other" / "longline.db").exists()


@pytest.mark.parametrize("file", ["longline.db", "keeper.json"])
@pytest.mark.parametrize("harm", ["changed", "shortened", "missing"])
def test_a_copy_that_is_not_whole_is_not_brought_back(tmp_path: Path, file: str, harm: str) -> None:
    settings = database(tmp_path / "data", 1)
    (tmp_path / "data" / "keeper.json").write_text('{"values": {}}')
    backup(settings, tmp_path / "copy", silently)
    path = tmp_path / "copy" / file
    content = path.read_bytes()
    if harm == "missing":
        path.unlink()
    else:
        path.write_bytes(content[:-1] + (b"!" if harm == "changed" else b""))
    with pytest.raises(BackupRefused, match=file):
        restore(Settings(data_dir=tmp_path / "other"), tmp_path / "copy", silently)
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["lock"]


@pytest.mark.parametrize("name", ["/etc/passwd", "../../outside", "a/../../outside"])
def test_a_copy_that_names_files_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    backup(database(tmp_path / "data", 1), tmp_path / "copy", silently)
    contents = tmp_path / "copy" / CONTENTS
    contents.write_text(contents.read_text().replace("longline.db", name))
    with pytest.raises(BackupRefused, match="no file of a copy"):
        restore(Settings(data_dir=tmp_path / "other"), tmp_path / "copy", silently)


@pytest.mark.parametrize("text", ["", "{}", "nonsense", '{"shape": "cluster"}'])
def test_a_folder_that_is_no_copy_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "copy").mkdir()
    if text:
        (tmp_path / "copy" / CONTENTS).write_text(text)
    with pytest.raises(BackupRefused, match=r"backup\.json"):
        restore(Settings(data_dir=tmp_path / "other"), tmp_path / "copy", silently)


@pytest.mark.parametrize(
    "file", ["longline.db", "longline.db-wal", "valkey/appendonlydir/appendonly.aof.manifest"]
)
def test_nothing_is_brought_back_over_data_that_are_there(tmp_path: Path, file: str) -> None:
    """Also not beside the log of a database that is gone, which would be taken for the new one's."""
    backup(database(tmp_path / "data", 1), tmp_path / "copy", silently)
    there = tmp_path / "other" / file
    there.parent.mkdir(parents=True)
    there.write_text("mine")
    with pytest.raises(BackupRefused, match=str(there)):
        restore(Settings(data_dir=tmp_path / "other"), tmp_path / "copy", silently)
    assert there.read_text() == "mine"


def test_nothing_is_brought_back_into_a_folder_that_is_served(tmp_path: Path) -> None:
    backup(database(tmp_path / "data", 1), tmp_path / "copy", silently)
    (tmp_path / "other").mkdir()
    with held(tmp_path / "other"), pytest.raises(DataDirInUse):
        restore(Settings(data_dir=tmp_path / "other"), tmp_path / "copy", silently)


@pytest.mark.parametrize("shape", Shape)
def test_a_restore_that_was_interrupted_is_no_node_and_can_be_done_again(
    tmp_path: Path, shape: Shape, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted between the first and the last file that it puts into its place, by a disk that fails."""
    settings = database(tmp_path / "data", 1) if shape is Shape.SERVE else workers(tmp_path / "data")
    (tmp_path / "data" / "admin.key").write_text("key")
    backup(settings, tmp_path / "copy", silently)
    other = Settings(data_dir=tmp_path / "other")

    def failing(*_: object) -> None:
        raise OSError(5, "Input/output error", "the disk")

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "move", failing)
        patched.setattr(Path, "rename", failing)
        with pytest.raises(BackupRefused, match="Input/output error"):
            restore(other, tmp_path / "copy", silently)
    assert (tmp_path / "other" / RESTORING).exists()
    with pytest.raises(DataNotRead, match="restore it again"):
        refuse_unread(other, shape)
    restore(other, tmp_path / "copy", silently)
    refuse_unread(other, shape)
    assert not (tmp_path / "other" / RESTORING).exists()
    assert (tmp_path / "other" / "admin.key").read_text() == "key"


@pytest.mark.parametrize("shape", Shape)
def test_a_copy_that_finds_no_room_leaves_nothing(
    tmp_path: Path, shape: Shape, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = database(tmp_path / "data", 1) if shape is Shape.SERVE else workers(tmp_path / "data")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "the copy")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BackupRefused, match="No space left"):
        backup(settings, tmp_path / "copies" / "monday", silently)
    assert list((tmp_path / "copies").iterdir()) == []


def test_a_copy_never_replaces_another(tmp_path: Path) -> None:
    settings = database(tmp_path / "data", 1)
    (tmp_path / "empty").mkdir()
    backup(settings, tmp_path / "empty", silently)
    with pytest.raises(BackupRefused, match="not empty"):
        backup(settings, tmp_path / "empty", silently)


def test_a_folder_with_data_of_two_shapes_is_not_guessed_about(tmp_path: Path) -> None:
    database(tmp_path / "data", 1)
    with pytest.raises(BackupRefused, match="two shapes"):
        backup(workers(tmp_path / "data"), tmp_path / "copy", silently)


def test_a_folder_without_data_says_where_those_of_a_cluster_are(tmp_path: Path) -> None:
    with pytest.raises(BackupRefused, match="cluster"):
        backup(Settings(data_dir=tmp_path), tmp_path / "copy", silently)


def test_what_the_copy_says_is_what_was_copied(tmp_path: Path) -> None:
    made = backup(workers(tmp_path / "data"), tmp_path / "copy", silently)
    assert made.shape is Shape.WORKERS
    assert made == backups._read(tmp_path / "copy")
    assert made.size == sum(
        path.stat().st_size
        for path in (tmp_path / "copy").rglob("*")
        if path.is_file() and path.name != CONTENTS
    )


async def test_who_reads_events_with_a_cursor_of_after_the_copy_misses_none_of_those_that_come_then(
    tmp_path: Path,
) -> None:
    """Numbers of events would be given a second time, and a cursor would stand for other events."""
    store = StoreFixture(SAVERS["sqlite"], str(tmp_path / "data" / "longline.db"))
    await store.open()
    await store.begin()

    async def happen(saver: SqliteSaver, *sequences: int) -> None:
        await saver.events.append(
            [Event(store.app, "presence", "d", 0, b"%d" % n, "room", n) for n in sequences]
        )

    assert isinstance(store.saver, SqliteSaver)
    await happen(store.saver, 1, 2)
    backup(Settings(data_dir=tmp_path / "data"), tmp_path / "copy", silently)
    await happen(store.saver, 3, 4, 5)
    seen = (await store.saver.events.read(store.app, "", 10)).events[-1][0]
    await store.close()

    restore(Settings(data_dir=tmp_path / "other"), tmp_path / "copy", silently)
    saver = await SqliteSaver.open(tmp_path / "other" / "longline.db", locate=MemoryRegister().locate_now)
    await happen(saver, 6, 7, 8, 9)
    read = await saver.events.read(store.app, seen, 10)
    assert [event.sequence for _, event in read.events] == [1, 2, 6, 7, 8, 9]
    assert read.gap
    await saver.close()


async def test_a_cursor_of_after_the_copy_misses_nothing_where_nothing_had_happened_before_it(
    tmp_path: Path,
) -> None:
    store = StoreFixture(SAVERS["sqlite"], str(tmp_path / "data" / "longline.db"))
    await store.open()
    await store.begin()

    def events(app: int, *sequences: int) -> list[Event]:
        return [Event(app, "presence", "d", 0, b"%d" % n, "room", n) for n in sequences]

    saver = store.saver
    assert isinstance(saver, SqliteSaver)
    backup(Settings(data_dir=tmp_path / "data"), tmp_path / "copy", silently)
    later = await saver.apps.create(msgspec.structs.replace(an_app(), app="later"))
    seen = {}
    for app in (store.app, later.number):
        await saver.events.append(events(app, app + 1))
        seen[app] = (await saver.events.read(app, "", 10)).events[-1][0]
    await store.close()

    restore(Settings(data_dir=tmp_path / "other"), tmp_path / "copy", silently)
    saver = await SqliteSaver.open(tmp_path / "other" / "longline.db", locate=MemoryRegister().locate_now)
    again = await saver.apps.create(msgspec.structs.replace(an_app(), app="later"))
    for app, cursor in ((store.app, seen[store.app]), (again.number, seen[later.number])):
        await saver.events.append(events(app, app + 1))
        read = await saver.events.read(app, cursor, 10)
        assert [event.sequence for _, event in read.events] == [app + 1]
        assert read.gap
    # So it is of an app that was there, and is deleted and made again.
    (cursor, _), *_ = (await saver.events.read(store.app, "", 10)).events
    await saver.apps.delete(store.app)
    anew = await saver.apps.create(msgspec.structs.replace(an_app(), app="anew"))
    await saver.events.append(events(anew.number, anew.number + 1))
    read = await saver.events.read(anew.number, cursor, 10)
    assert [event.sequence for _, event in read.events] == [anew.number + 1]
    assert read.gap
    await saver.close()
