"""The first admin key: made once, and shared by all centers of a cluster."""

import asyncio
import hashlib
import stat
from pathlib import Path

import pytest

from longline.errors import SettingsError
from longline.keeper.local import LocalKeeper
from longline.keeper.port import Kept
from longline.node.admin_key import KEY_FILE, SHARED, admin_key, kept_key, make_data_dir, shared_key_hash


class LateKeeper(LocalKeeper):
    """One from which the first reads hear nothing yet."""

    def __init__(self, late: int) -> None:
        super().__init__()
        self._late = late

    async def read(self, key: str) -> Kept | None:
        self._late -= 1
        return await super().read(key) if self._late < 0 else None


def hashed(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def a_directory(path: Path) -> Path:
    make_data_dir(path)
    return path


def test_a_key_is_made_once_and_read_by_its_owner_alone(tmp_path: Path) -> None:
    data = a_directory(tmp_path / "data")
    assert kept_key(data) is None
    key = admin_key(data)
    assert key.startswith("lla_")
    assert admin_key(data) == kept_key(data) == key
    assert stat.S_IMODE((data / KEY_FILE).stat().st_mode) == 0o600
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert [path.name for path in data.iterdir()] == [KEY_FILE]


def test_a_data_directory_that_cannot_be_made_is_a_mistake_in_the_settings(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError) as caught:
        make_data_dir(tmp_path / "file" / "data")
    assert [field for field, _ in caught.value.details] == ["data_dir"]


async def test_centers_of_a_cluster_go_by_the_key_of_the_first_one(tmp_path: Path) -> None:
    keeper = LocalKeeper()
    one, two = a_directory(tmp_path / "one"), a_directory(tmp_path / "two")
    first = await shared_key_hash(keeper, one)
    key = kept_key(one)
    assert key is not None
    assert first == hashed(key)
    assert await shared_key_hash(keeper, two) == first
    assert kept_key(two) is None  # it would open nothing


async def test_a_center_whose_directory_has_a_key_brings_it(tmp_path: Path) -> None:
    data = a_directory(tmp_path / "data")
    key = admin_key(data)
    assert await shared_key_hash(LocalKeeper(), data) == hashed(key)


async def test_of_centers_that_come_at_once_one_has_the_key_that_all_go_by(tmp_path: Path) -> None:
    keeper = LateKeeper(late=5)
    directories = [a_directory(tmp_path / f"center-{number}") for number in range(5)]
    hashes = await asyncio.gather(*(shared_key_hash(keeper, data) for data in directories))
    assert len(set(hashes)) == 1
    keys = [key for data in directories if (key := kept_key(data)) is not None]
    assert [hashed(key) for key in keys] == [hashes[0]]


async def test_centers_that_share_a_directory_share_its_key(tmp_path: Path) -> None:
    keeper, data = LateKeeper(late=5), a_directory(tmp_path / "data")
    hashes = await asyncio.gather(*(shared_key_hash(keeper, data) for _ in range(5)))
    key = kept_key(data)
    assert key is not None
    assert set(hashes) == {hashed(key)}
    kept = await keeper.read(SHARED)
    assert kept is not None
    assert kept.value == hashed(key)


@pytest.mark.parametrize(
    "content", ["", "\n", "lla_half a key\n", "lla_gr\u00fc\u00df\n", "lla_" + "x" * 600]
)
def test_a_file_that_holds_no_key_is_refused_by_its_name_and_not_by_its_content(
    tmp_path: Path, content: str
) -> None:
    """With an empty one a node would start that nobody could ever administer."""
    (tmp_path / KEY_FILE).write_text(content, encoding="utf-8")
    for find in (kept_key, admin_key):
        with pytest.raises(SettingsError, match="holds no key") as caught:
            find(tmp_path)
        assert str(tmp_path / KEY_FILE) in str(caught.value)
        assert "lla_" not in str(caught.value)
    assert (tmp_path / KEY_FILE).read_text(encoding="utf-8") == content


def test_a_key_file_that_cannot_be_read_is_a_mistake_in_the_settings(tmp_path: Path) -> None:
    (tmp_path / KEY_FILE).mkdir()
    with pytest.raises(SettingsError, match=KEY_FILE):
        admin_key(tmp_path)


async def test_no_center_of_a_cluster_goes_by_an_empty_key(tmp_path: Path) -> None:
    (tmp_path / KEY_FILE).write_text("")
    keeper = LocalKeeper()
    with pytest.raises(SettingsError, match="holds no key"):
        await shared_key_hash(keeper, tmp_path)
    assert await keeper.read(SHARED) is None
