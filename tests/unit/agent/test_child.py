"""A worker as the agent sees it, in the moments around its end."""

import os
import subprocess
import sys

import pytest

from longline.agent.child import Child, exit_in_words
from longline.agent.warm import ForkedWorker
from tests.waiting import WITHIN


def one_that_has_ended(said: bytes = b"") -> Child:
    """Its process was reaped, as the warm parent does, and the loop has not heard of it yet."""
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    handle = os.pidfd_open(process.pid)  # not reaped yet, so the number is still its own
    process.wait(WITHIN)
    ours, theirs = os.pipe()
    os.write(theirs, said)
    os.close(theirs)
    return Child(ForkedWorker(process.pid, handle, ours), lambda: None)


async def test_a_signal_to_who_has_just_ended_is_nobodys_fault() -> None:
    """The kernel knows of the end before the loop does."""
    child = one_that_has_ended()
    child.terminate()
    child.kill()
    await child.ended.wait()


@pytest.mark.parametrize(
    ("status", "words"),
    [(0, "status 0"), (1, "status 1"), (-9, "SIGKILL"), (-15, "SIGTERM"), (-40, "signal 40")],
)
def test_an_end_is_told_in_words(status: int, words: str) -> None:
    assert exit_in_words(status) == words


async def test_a_name_and_an_end_that_come_at_once_are_both_heard() -> None:
    """It was ready, and ended, before the agent looked."""
    child = one_that_has_ended(b"host-1-6f2a90c1\n!-11\n")
    await child.ended.wait()
    assert (child.name, child.exit) == ("host-1-6f2a90c1", "SIGSEGV")
    assert not child.ready


async def test_the_end_of_who_ended_before_it_was_watched_is_heard_of() -> None:
    child = one_that_has_ended()
    await child.ended.wait()
    child.terminate()
    assert not child.ready
