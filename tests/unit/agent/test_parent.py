"""The warm parent as a program: what it makes of an agent that goes."""

import asyncio
import select
import socket
import sys
from pathlib import Path

import msgspec

from longline.agent.warm import Request
from tests.waiting import WITHIN


async def test_an_agent_that_goes_without_reading_an_answer_is_none_of_the_parents_faults(
    tmp_path: Path,
) -> None:
    """So it does when it gives up a start that is under way. The kernel tells the parent of a reset then."""
    agent, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours, workers = socket.socketpair()
    with agent, theirs, ours, workers:
        parent = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "longline.agent.parent"),
            *(str(theirs.fileno()), "tests.unit.agent.targets:work", ""),
            pass_fds=[theirs.fileno()],
            stderr=asyncio.subprocess.PIPE,
        )
        theirs.close()
        behaviour = tmp_path / "behaviour"
        behaviour.write_text("fail")
        request = Request(("room",), {"diary": str(tmp_path), "behaviour": str(behaviour)})
        socket.send_fds(agent, [msgspec.msgpack.encode(request)], [workers.fileno()])
        readable, _, _ = await asyncio.to_thread(select.select, [agent], [], [], WITHIN)
        assert readable == [agent], "no answer"
        agent.close()
        async with asyncio.timeout(WITHIN):
            _, said = await parent.communicate()
    assert said.decode() == ""
    assert parent.returncode == 0
