"""An agent in a process of its own, so that it can be killed: its only argument is a directory."""

import asyncio
import sys
from pathlib import Path

from longline.telemetry import logs
from tests.unit.agent.fake_host import FakeHost


async def main(directory: Path) -> None:
    logs.configure()
    host = FakeHost(directory)
    host.agent.start()
    await host.ready()
    print(*host.pids(), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
