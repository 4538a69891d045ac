"""What the kernel says of this process, under the names that Prometheus's clients have for it.

The client for Python counts open files one by one, on the loop's thread: eight milliseconds for 10,000
connections, at each sample and each scrape.
"""

import os
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final, final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

CPU: Final = "process_cpu_seconds"
ABOUT: Final = {
    CPU: "Total user and system CPU time spent in seconds.",
    "process_max_fds": "Maximum number of open file descriptors.",
    "process_open_fds": "Number of open file descriptors.",
    "process_resident_memory_bytes": "Resident memory size in bytes.",
    "process_start_time_seconds": "Start time of the process since unix epoch in seconds.",
    "process_virtual_memory_bytes": "Virtual memory size in bytes.",
}
SELDOM: Final = 1000  # part of the time that counting files may take: one in so many

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


@final
class ProcessFigures:
    """Those of the process that it is made in, none where there is no `/proc`. `clock` in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counted = 0
        self._count_again = float("-inf")
        self._began = _began() if os.path.isdir("/proc/self/fd") else None

    def read(self) -> dict[str, float]:
        """All of them, now; without those that need a file to be opened where no more can be."""
        if self._began is None:
            return {}
        return {
            **_memory(),
            "process_start_time_seconds": self._began,
            CPU: time.process_time(),
            "process_open_fds": self._open_files(),
            "process_max_fds": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        }

    def _open_files(self) -> int:
        """As the kernel says since Linux 6.2; before, counted, the less often the longer it takes."""
        said = told_files()
        if said:
            return said
        now = self._clock()
        if now >= self._count_again:
            with suppress(OSError):
                self._counted = counted_files()
            self._count_again = now + SELDOM * (self._clock() - now)
        return self._counted

    def families(self) -> Iterator[Metric]:
        """The same for a scrape."""
        for name, value in self.read().items():
            family = CounterMetricFamily if name == CPU else GaugeMetricFamily
            yield family(name, ABOUT[name], value=value)


def told_files() -> int:
    """How many files the kernel says are open; 0 where it does not."""
    return os.stat("/proc/self/fd").st_size


def counted_files() -> int:
    """How many there are, one by one."""
    return len(os.listdir("/proc/self/fd"))


def _memory() -> dict[str, float]:
    try:
        with open("/proc/self/statm", "rb") as file:
            virtual, resident, *_ = map(int, file.read().split())
    except OSError:
        return {}
    return {
        "process_virtual_memory_bytes": virtual * _PAGE,
        "process_resident_memory_bytes": resident * _PAGE,
    }


def _began() -> float:
    """When the process began, in seconds since the Unix epoch."""
    with open("/proc/self/stat", "rb") as file:
        after_boot = int(file.read().rpartition(b")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    with open("/proc/stat", "rb") as file:
        booted = next(float(line.split()[1]) for line in file if line.startswith(b"btime "))
    return booted + after_boot
