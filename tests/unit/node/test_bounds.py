"""How far what a process has may go."""

from pathlib import Path

import pytest

from longline.node.bounds import Bounds, memory_limit
from longline.node.figures import BOUNDED
from longline.settings import Settings


@pytest.fixture
def meminfo(tmp_path: Path) -> Path:
    file = tmp_path / "meminfo"
    file.write_text("MemTotal:       2048 kB\nMemFree:        1 kB\n")
    return file


def test_the_memory_of_a_container_is_its_bound(tmp_path: Path, meminfo: Path) -> None:
    (tmp_path / "memory.max").write_text("1000000\n")
    assert memory_limit(tmp_path, meminfo) == 1_000_000


@pytest.mark.parametrize("said", ["max", str(1 << 62)])
def test_without_one_it_is_the_hosts(tmp_path: Path, meminfo: Path, said: str) -> None:
    (tmp_path / "memory.max").write_text(f"{said}\n")
    assert memory_limit(tmp_path, meminfo) == 2048 * 1024


def test_what_nobody_says_is_not_known(tmp_path: Path) -> None:
    assert memory_limit(tmp_path, tmp_path / "meminfo") == 0


def bounds(*, store: dict[str, int] | None = None, center: bool = True) -> dict[str, int]:
    return Bounds(
        Settings,
        saver=lambda: {"disk_bytes": 10, "disk_free_bytes": 90},
        store=None if store is None else lambda: store,
        connections=lambda: 7,
        files=100,
        http=0,
        center=center,
    ).figures()


def test_bounds_are_those_of_the_engines_that_there_are() -> None:
    here = bounds()
    assert (here["room_connections"], here["process_open_fds"], here["saver_disk_bytes"]) == (7, 100, 100)
    assert "store_waiting" not in here
    assert "http_connections" not in here
    there = bounds(store={"servers": 3, "memory_limit_bytes": 50}, center=False)
    assert there["store_waiting"] == 3 * Settings().store.queue
    assert there["store_memory_bytes"] == 50
    assert not {"saver_write_queue", "center_requests_running"} & set(there)


def test_each_bound_says_what_it_is() -> None:
    assert set(bounds()) | set(bounds(store={"servers": 1, "memory_limit_bytes": 1})) <= set(BOUNDED)
