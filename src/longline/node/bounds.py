"""How far what a process has may go, as figures beside those of what it has."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from longline.settings import Settings

CGROUP: Final = Path("/sys/fs/cgroup")
MEMINFO: Final = Path("/proc/meminfo")
Statistics = Callable[[], Mapping[str, int]]

NO_LIMIT: Final = 1 << 50  # bytes: what the first version of cgroups says for none is larger


def memory_limit(cgroup: Path = CGROUP, meminfo: Path = MEMINFO) -> int:
    """Bytes that this process may have at most: its container's, or all that the host has; 0 if unknown."""
    for path in (cgroup / "memory.max", cgroup / "memory" / "memory.limit_in_bytes"):
        text = _read(path).strip()
        if text.isdigit() and int(text) < NO_LIMIT:
            return int(text)
    for line in _read(meminfo).splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return 0


class Bounds:
    """Of one process. `store` and `saver` tell what these have to tell; None for a store that there is not.

    `connections` and `requests` say how many of either it takes, `files` how many it may have open and `http`
    how many HTTP connections; 0 where it takes none.
    """

    def __init__(
        self,
        settings: Callable[[], Settings],
        *,
        saver: Statistics,
        store: Statistics | None,
        connections: Callable[[], int],
        files: int,
        http: int,
        center: bool,
    ) -> None:
        self._settings = settings
        self._saver = saver
        self._store = store
        self._connections = connections
        self._center = center
        self._fixed = {
            "process_open_fds": files,
            "process_resident_memory_bytes": memory_limit(),
            "http_connections": http,
        }

    def figures(self) -> dict[str, int]:
        """By the figure that each bounds; those that are not bounded, or not known, are left out."""
        settings = self._settings()
        bounds = {**self._fixed, "room_connections": self._connections()}
        if self._center:
            bounds["center_requests_running"] = settings.center.max_requests
            bounds["center_bodies_bytes"] = settings.center.bodies_bytes
        if self._store is not None:
            store = self._store()
            bounds["store_waiting"] = settings.store.queue * store["servers"]
            bounds["store_waiting_bytes"] = settings.store.queue_bytes * store["servers"]
            bounds["store_memory_bytes"] = store.get("memory_limit_bytes", 0)
        else:
            saver = self._saver()
            bounds["saver_read_queue"] = bounds["saver_write_queue"] = settings.saver.queue
            bounds["saver_write_queue_bytes"] = settings.saver.queue_bytes
            bounds["saver_disk_bytes"] = saver.get("disk_bytes", 0) + saver.get("disk_free_bytes", 0)
        return {name: bound for name, bound in bounds.items() if bound}


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""
