"""Weighing a process by /proc, on the one process that is surely there."""

import os
import resource

import pytest

from longline.bench.servers import cpu_seconds_of, memory_of
from longline.bench.targets import BenchFailed


def test_memory_is_what_the_kernel_says_in_bytes() -> None:
    memory = memory_of([os.getpid()])
    assert 1 << 20 < memory.private <= memory.pss <= memory.rss
    # The kernel keeps these counters per thread and adds them up now and then.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    assert memory.rss <= peak * 1.1


def test_several_processes_are_added_up() -> None:
    pid = os.getpid()
    assert memory_of([pid, pid]).private >= 2 * memory_of([pid]).private * 0.9
    assert memory_of([]).rss == 0


def test_cpu_time_is_user_and_system_in_seconds() -> None:
    before = os.times()
    measured = cpu_seconds_of([os.getpid()])
    after = os.times()
    # The kernel rounds each of the two to a hundredth.
    assert before.user + before.system - 0.02 <= measured <= after.user + after.system + 0.02


def test_a_process_that_is_gone_is_named() -> None:
    child = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(child, 0)
    with pytest.raises(BenchFailed, match=str(child)):
        memory_of([child])
    with pytest.raises(BenchFailed, match=str(child)):
        cpu_seconds_of([child])
