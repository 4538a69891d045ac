"""The private store is the host's own where that is new enough, and never changes under its data."""

import shutil
from pathlib import Path

import pytest

from longline.agent import valkey_program
from longline.agent.valkey_program import chosen, packaged, remember, version
from longline.errors import SettingsError


def program(folder: Path, name: str, says: str) -> Path:
    """A program that says of itself what version it is."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the host's programs are; none is there yet."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(valkey_program, "PLACES", "")
    (tmp_path / "bin").mkdir()
    return tmp_path / "bin"


VALKEY = "Valkey server v=8.1.1 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=1"
REDIS = "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=1"
OLD = "Redis server v=6.0.16 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64 build=1"


def test_the_host_s_valkey_comes_first_then_its_redis_then_the_package(tmp_path: Path, host: Path) -> None:
    assert chosen(None, tmp_path) == packaged()
    redis = program(host, "redis-server", REDIS)
    assert chosen(None, tmp_path) == redis
    valkey = program(host, "valkey-server", VALKEY)
    assert chosen(None, tmp_path) == valkey


def test_one_that_is_too_old_is_passed_over(tmp_path: Path, host: Path) -> None:
    program(host, "redis-server", OLD)
    assert chosen(None, tmp_path) == packaged()


def test_the_one_that_served_the_data_last_goes_on(tmp_path: Path, host: Path) -> None:
    """A server that came to the host later may be too old to read them."""
    package = packaged()
    assert package is not None
    remember(package, tmp_path)
    program(host, "redis-server", REDIS)
    assert chosen(None, tmp_path) == package
    gone = program(host, "valkey-server", VALKEY)
    remember(gone, tmp_path)
    gone.unlink()
    assert chosen(None, tmp_path) == host / "redis-server"


def test_the_one_that_is_named_is_taken_whatever_there_is(tmp_path: Path, host: Path) -> None:
    program(host, "valkey-server", VALKEY)
    mine = program(tmp_path / "mine", "my-valkey", VALKEY)
    assert chosen(mine, tmp_path) == mine
    redis = program(host, "redis-server", REDIS)
    assert chosen(Path("redis-server"), tmp_path) == redis


@pytest.mark.parametrize("says", [OLD, "no server at all", ""])
def test_a_named_one_that_cannot_be_it_is_refused(tmp_path: Path, host: Path, says: str) -> None:
    with pytest.raises(SettingsError, match="version"):
        chosen(program(host, "server", says), tmp_path)
    with pytest.raises(SettingsError, match="no program") as caught:
        chosen(tmp_path / "nothing", tmp_path)
    assert caught.value.details[0][0] == "agent.valkey"


def test_a_host_without_any_is_told_what_to_install(
    tmp_path: Path, host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(valkey_program, "packaged", lambda: None)
    with pytest.raises(SettingsError) as caught:
        chosen(None, tmp_path)
    ((field, said),) = caught.value.details
    assert field == "--workers"
    assert "pip install" in said
    assert "apt-get install" in said


def test_the_versions_of_real_servers_are_read() -> None:
    package, redis = packaged(), shutil.which("redis-server")
    assert package is not None
    assert redis is not None
    assert version(package) >= 9
    assert version(Path(redis)) >= 7
    assert version(Path("/bin/true")) == 0
