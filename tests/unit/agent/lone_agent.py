"""An agent in a process of its own, so that it can be killed: its only argument is a directory."""

import asyncio
import sys
from pathlib import Path

from longline.telemetry import logs
from tests.unit.agent.scene import Scene


async def main(directory: Path) -> None:
    logs.configure()
    scene = Scene(directory)
    scene.agent.start()
    await scene.ready()
    print(*scene.pids(), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
