"""A worker as the agent sees it, in the moments around its end."""

import asyncio
import os

from longline.agent.child import Child
from longline.agent.warm import ForkedWorker


async def test_a_signal_to_who_has_just_ended_is_nobodys_fault() -> None:
    """The kernel knows of the end before the loop does."""
    process = await asyncio.create_subprocess_exec("cat", stdin=asyncio.subprocess.PIPE)
    handle = os.pidfd_open(process.pid)
    await process.communicate()
    reading, writing = os.pipe()
    child = Child(ForkedWorker(process.pid, handle, reading), lambda: None)
    child.terminate()
    child.kill()
    await child.ended.wait()
    os.close(writing)
