"""What the server's processes use meanwhile, read from /proc."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from longline.bench.targets import BenchFailed


class Memory(msgspec.Struct, frozen=True):
    """Bytes in use: resident, proportional to how pages are shared, and private to the processes."""

    rss: int
    pss: int
    private: int


def memory_of(pids: Sequence[int]) -> Memory:
    """The memory of some processes, added up; raises BenchFailed when one is gone or not ours to read."""
    rss = pss = private = 0
    for pid in pids:
        rss += fields_of(pid, "status")["VmRSS"]
        rollup = fields_of(pid, "smaps_rollup")
        pss += rollup["Pss"]
        private += rollup["Private_Clean"] + rollup["Private_Dirty"]
    return Memory(rss, pss, private)


def fields_of(pid: int, name: str) -> dict[str, int]:
    """The lines `Key: n kB` of a file in /proc/PID, in bytes."""
    fields: dict[str, int] = {}
    for line in read_proc(pid, name).splitlines():
        key, _, rest = line.partition(":")
        words = rest.split()
        if len(words) == 2 and words[1] == "kB":
            fields[key] = int(words[0]) * 1024
    return fields


def cpu_seconds_of(pids: Sequence[int]) -> float:
    """User and system time of some processes since their start, in seconds, to a hundredth."""
    return sum(cpu_seconds_by_pid(pids).values())


def cpu_seconds_by_pid(pids: Sequence[int]) -> dict[int, float]:
    """The same, of each process."""
    ticks: dict[int, int] = {}
    for pid in pids:
        # The second field is the program's name in parentheses and may hold anything, so cut behind it.
        fields = read_proc(pid, "stat").rpartition(")")[2].split()
        ticks[pid] = int(fields[11]) + int(fields[12])
    return {pid: count / os.sysconf("SC_CLK_TCK") for pid, count in ticks.items()}


def cores_of(before: Mapping[int, float], after: Mapping[int, float], seconds: float) -> dict[int, float]:
    """How many cores each process used between two looks that are `seconds` apart."""
    return {pid: (after[pid] - before[pid]) / seconds for pid in before}


def read_proc(pid: int, name: str) -> str:
    """The text of /proc/PID/NAME."""
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError as error:
        raise BenchFailed(f"cannot read {name} of process {pid}: {error.strerror}") from error
