"""The private Valkey's files are copied as of one moment, whatever it writes and removes meanwhile."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from longline.agent import append_only
from longline.agent.append_only import FOLDER, MANIFEST, copy_append_only
from longline.errors import BackupRefused


def written(directory: Path, generation: int, *, history: bool = False) -> None:
    """What a Valkey has after so many rewrites."""
    folder = directory / FOLDER
    folder.mkdir(exist_ok=True)
    base, more = f"appendonly.aof.{generation}.base.rdb", f"appendonly.aof.{generation}.incr.aof"
    (folder / base).write_text(f"base {generation}")
    (folder / more).write_text(f"more {generation}")
    lines = [f"file {base} seq {generation} type b", f"file {more} seq {generation} type i"]
    if history:
        lines.append(f"file appendonly.aof.{generation - 1}.base.rdb seq {generation - 1} type h")
    draft = folder / "draft"
    draft.write_text("".join(f"{line}\n" for line in lines))
    draft.replace(folder / MANIFEST)


def between_two_looks(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], None]) -> None:
    """Has something happen once, before the manifest is read for the second time."""
    looks = 0
    read = append_only._lines

    def lines(manifest: Path) -> list[str]:
        nonlocal looks
        looks += 1
        if looks == 2:
            happens()
        return read(manifest)

    monkeypatch.setattr(append_only, "_lines", lines)


def contents(directory: Path) -> set[str]:
    return {path.read_text() for path in (directory / FOLDER).iterdir() if path.name != MANIFEST}


def test_what_a_rewrite_replaces_while_it_is_copied_is_copied_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, 1)

    def rewrite() -> None:
        written(tmp_path, 2)
        (tmp_path / FOLDER / "appendonly.aof.1.base.rdb").unlink()

    between_two_looks(monkeypatch, rewrite)
    copy_append_only(tmp_path, tmp_path / "copy")
    assert contents(tmp_path / "copy") == {"base 2", "more 2"}


def test_what_was_removed_before_it_could_be_opened_is_looked_for_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, 1)
    manifest = (tmp_path / FOLDER / MANIFEST).read_text()
    (tmp_path / FOLDER / "appendonly.aof.1.base.rdb").unlink()
    between_two_looks(monkeypatch, lambda: written(tmp_path, 2))
    copy_append_only(tmp_path, tmp_path / "copy")
    assert contents(tmp_path / "copy") == {"base 2", "more 2"}
    assert (tmp_path / "copy" / FOLDER / MANIFEST).read_text() != manifest


def test_files_of_a_former_rewrite_are_left_out(tmp_path: Path) -> None:
    written(tmp_path, 2, history=True)
    copy_append_only(tmp_path, tmp_path / "copy")
    assert contents(tmp_path / "copy") == {"base 2", "more 2"}
    assert "type h" not in (tmp_path / "copy" / FOLDER / MANIFEST).read_text()


def test_a_file_that_grows_for_ever_is_copied_as_far_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, 1)
    send = os.sendfile

    def sending(target: int, source: int, offset: None, count: int) -> int:
        with (tmp_path / FOLDER / "appendonly.aof.1.incr.aof").open("a") as file:
            file.write("and on")
        return send(target, source, offset, count)

    monkeypatch.setattr(os, "sendfile", sending)
    made = copy_append_only(tmp_path, tmp_path / "copy")
    assert [path.read_text()[:6] for path in made[:2]] == ["base 1", "more 1"]
    assert len(made[1].read_text()) < len("more 1" + 2 * "and on") + 1


def test_files_that_change_with_every_look_are_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, 1)
    number = iter(range(10_000))
    monkeypatch.setattr(
        append_only, "_lines", lambda _: [f"file appendonly.aof.1.base.rdb seq {next(number)} type b"]
    )
    with pytest.raises(BackupRefused, match="changes all the time"):
        copy_append_only(tmp_path, tmp_path / "copy")


def test_a_folder_without_an_append_only_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackupRefused, match="append-only"):
        copy_append_only(tmp_path, tmp_path / "copy")
