"""A role process that an agent's warm parent has forked."""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import structlog

from longline.errors import LonglineError
from longline.node.cluster import member
from longline.node.loop import loop_factory
from longline.node.process import Process
from longline.node.running import run
from longline.settings import Settings, load
from longline.telemetry import logs

log = structlog.get_logger("longline.node")


def work(config: str | None, roles: Sequence[str], flags: Mapping[str, str], pipe: int) -> int:
    """Runs the roles until told to end; the exit status.

    The settings are those of the file `config`, of the agent's environment, and `flags`, by dotted name.
    Writes the node's name into `pipe`, a socket, when it takes traffic and when it goes on under another one;
    ends when the other end is closed.
    """
    try:
        settings = load(Path(config) if config else None, os.environ, dict(flags)).settings
        logs.configure(settings.node.log_level, settings.node.log_format)
        logs.name_node(settings.node.name)  # until it has a name of its own
        with asyncio.Runner(loop_factory=loop_factory(settings.node.loop)) as runner:
            return runner.run(_serve(settings, roles, pipe))
    except LonglineError as error:
        log.critical("not_started", code=error.code, error=error.message)
        return 1


async def _serve(settings: Settings, roles: Sequence[str], pipe: int) -> int:
    loop = asyncio.get_running_loop()

    def orphaned() -> None:
        # The agent never writes: what there is to read is the end.
        loop.remove_reader(pipe)
        os.kill(os.getpid(), signal.SIGTERM)

    def tell(process: Process) -> None:
        with suppress(OSError):  # the agent is gone, which `orphaned` hears
            os.write(pipe, process.name.encode() + b"\n")

    loop.add_reader(pipe, orphaned)
    process = member(settings, roles)
    process.renamed = tell
    return await run(process, tell)
