"""What a keeper of one process keeps in its file."""

import asyncio
import os
from pathlib import Path

import pytest

from longline.errors import SettingsError, Unavailable
from longline.keeper.local import LocalKeeper
from longline.keeper.port import Kept
from tests.contract.keeper.nodes import a_node


async def test_without_a_file_values_are_kept_in_memory(tmp_path: Path) -> None:
    keeper = LocalKeeper()
    assert await keeper.write("a", b"x") == 1
    await keeper.join(a_node("a"))
    assert await keeper.leads("expiry", "a")
    assert await keeper.term("expiry") == 1
    await keeper.close()


async def test_the_file_is_for_its_owner_only_and_nothing_else_is_left_behind(tmp_path: Path) -> None:
    keeper = await LocalKeeper.open(tmp_path / "keeper.json")
    await keeper.write("a", b"x")
    await keeper.close()
    assert os.listdir(tmp_path) == ["keeper.json"]
    assert os.stat(tmp_path / "keeper.json").st_mode & 0o777 == 0o600


async def test_what_a_crash_left_half_written_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "keeper.json"
    keeper = await LocalKeeper.open(path)
    await keeper.write("a", b"x")
    path.with_suffix(".new").write_bytes(path.read_bytes()[:10])
    again = await LocalKeeper.open(path)
    assert await again.read("a") == Kept(b"x", 1)
    assert await again.write("a", b"y") == 2


@pytest.mark.parametrize("content", [b"", b"{", b'{"values": 1}', b"\xff"])
async def test_a_damaged_file_is_not_taken_for_an_empty_one(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "keeper.json"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=r"keeper\.json"):
        await LocalKeeper.open(path)
    assert path.read_bytes() == content


async def test_a_write_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "keeper.json"
    path.parent.mkdir()
    keeper = await LocalKeeper.open(path)
    await keeper.write("a", b"x")
    path.rename(tmp_path / "saved")
    path.parent.rmdir()
    with pytest.raises(Unavailable):
        await keeper.write("a", b"y")
    assert await keeper.read("a") == Kept(b"x", 1)
    path.parent.mkdir()
    assert await keeper.write("a", b"z") == 2


async def test_a_write_whose_caller_gives_up_is_done_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "keeper.json"
    keeper = await LocalKeeper.open(path)
    writing = asyncio.create_task(keeper.write("a", b"x"))
    await asyncio.sleep(0)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    version = await keeper.write("b", b"y")
    again = await LocalKeeper.open(path)
    assert version == 1
    assert await again.read_all("") == await keeper.read_all("")
