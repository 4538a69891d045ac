"""A worker as the agent sees it, in the moments around its end."""

import os
import subprocess
import sys

from longline.agent.child import Child
from longline.agent.warm import ForkedWorker
from tests.waiting import WITHIN


def one_that_has_ended() -> Child:
    """Its process was reaped, as the warm parent does, and the loop has not heard of it yet."""
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    handle = os.pidfd_open(process.pid)  # not reaped yet, so the number is still its own
    process.wait(WITHIN)
    ours, theirs = os.pipe()
    os.close(theirs)
    return Child(ForkedWorker(process.pid, handle, ours), lambda: None)


async def test_a_signal_to_who_has_just_ended_is_nobodys_fault() -> None:
    """The kernel knows of the end before the loop does."""
    child = one_that_has_ended()
    child.terminate()
    child.kill()
    await child.ended.wait()


async def test_the_end_of_who_ended_before_it_was_watched_is_heard_of() -> None:
    child = one_that_has_ended()
    await child.ended.wait()
    child.terminate()
    assert not child.ready
