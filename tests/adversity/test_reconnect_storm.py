"""Clients that give up meet a node that has hardly any processor: they are all let in all the same.

What counts is the law of the queue: served in the order in which they came, each connection that such a node
gets to has been given up already, and nobody is ever let in.

    LONGLINE_STORM_CLIENTS=2000 LONGLINE_STORM_PATIENCE=3 LONGLINE_STORM_CORES=0.08 LONGLINE_STORM_WORKERS=0

`CORES` is the share of a processor that the node's processes have together; `WORKERS` above 0 has as many
rooms share the port. How long it took is printed at the end.
"""

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from tests.adversity.impatient import Plan, Seen
from tests.adversity.limited import Limited, workers_of
from tests.integration.server_process import ServerProcess

pytestmark = [pytest.mark.adversity, pytest.mark.timeout(1800)]

CLIENTS = int(os.environ.get("LONGLINE_STORM_CLIENTS", "2000"))
PATIENCE = float(os.environ.get("LONGLINE_STORM_PATIENCE", "3"))
CORES = float(os.environ.get("LONGLINE_STORM_CORES", "0.08"))
WORKERS = int(os.environ.get("LONGLINE_STORM_WORKERS", "0"))
STARVED = 15.0  # s in which the node gets no processor at all
WITHIN = 300.0  # s, of an hour for which a queue in order of arrival would let nobody in


async def test_a_reconnect_storm_ends(tmp_path: Path, tell: Callable[[str], None]) -> None:
    arguments = ["--workers", str(WORKERS)] if WORKERS else []
    async with ServerProcess(tmp_path / "data", arguments) as server:
        async with server.center() as center:
            made = await center.create_app("storm")
        plan = Plan("127.0.0.1", server.mqtt_port, "storm", made.device_secret, CLIENTS, PATIENCE)
        limited = Limited(workers_of(server.pid, server.mqtt_port) if WORKERS else [server.pid])
        limited.stop()
        try:
            clients = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.adversity.impatient"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            assert clients.stdin is not None
            assert clients.stdout is not None
            clients.stdin.write(msgspec.json.encode(plan) + b"\n")
            starved = asyncio.get_running_loop().time() + STARVED
            turns: asyncio.Task[None] | None = None
            began = 0.0
            seen: Seen | None = None
            try:
                async with asyncio.timeout(STARVED + WITHIN):
                    async for line in clients.stdout:
                        seen = msgspec.json.decode(line, type=Seen)
                        now = asyncio.get_running_loop().time()
                        if turns is None and now >= starved:
                            began = now
                            turns = asyncio.create_task(limited.take_turns(CORES))
                        if seen.connected == CLIENTS:
                            tell(f"all {CLIENTS} connected after {now - began:.1f} s; {seen}")
                            break
                    else:
                        pytest.fail("the clients have ended")
            except TimeoutError:
                pytest.fail(f"after {WITHIN:g} s: {seen}")
            finally:
                if turns is not None:
                    turns.cancel()
                    with suppress(asyncio.CancelledError):
                        await turns
                clients.stdin.close()
                await clients.wait()
        finally:
            limited.go_on()
