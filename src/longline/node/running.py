"""One process from its start to its end: what signals make of it."""

import asyncio
import signal
from collections.abc import Callable

import structlog

from longline.node.process import Process

ENDING = (signal.SIGINT, signal.SIGTERM)

log = structlog.get_logger("longline.node")


async def run(process: Process, started: Callable[[Process], None]) -> int:
    """Runs a process until SIGINT, SIGTERM or a failure; returns the exit status.

    A second signal hastens its end: nobody is moved any more, and what is under way has a second. `started`
    is called when it takes traffic.
    """
    await process.start()
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    for number in ENDING:
        loop.add_signal_handler(number, asked.set)
    loop.add_signal_handler(signal.SIGUSR1, process.retire)
    started(process)
    waiting = asyncio.create_task(asked.wait(), name="node.signal")
    failing = asyncio.create_task(process.failed(), name="node.failed")
    await asyncio.wait([waiting, failing], return_when=asyncio.FIRST_COMPLETED)
    status = 1 if failing.done() else 0
    waiting.cancel()
    failing.cancel()
    log.info("node_stopping")
    for number in ENDING:
        loop.add_signal_handler(number, hasten, process)
    await process.stop()
    return status


def hasten(process: Process) -> None:
    """Tells that somebody cannot wait."""
    log.warning("stop_hastened")
    process.hasten()
