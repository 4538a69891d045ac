"""Runs the lamp of `main.py` without a board, and prints what it does.

    LONGLINE_KEY=… python examples/micropython/desktop/run.py APP DEVICE [--turns N]

A turn takes a tenth of a second; without --turns it goes on until Ctrl-C.
"""

import argparse
import asyncio
import os
import sys
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

from longline import Center
from longline.errors import LonglineError


async def token_for(app, name):
    """What a board has in its config.py: here it is asked for at each start."""
    key = os.environ.get("LONGLINE_KEY") or sys.exit("LONGLINE_KEY is not set")
    async with Center(os.environ.get("LONGLINE_URL") or "http://127.0.0.1:8080", key) as center:
        return (await center.token(app, name)).password


def run(app, name, turns):
    """Serves for so many turns, or for ever."""
    sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]  # for umqtt, and for main
    import main as device
    from umqtt.simple import MQTTException

    host, _, port = (os.environ.get("LONGLINE_MQTT") or "127.0.0.1:1883").rpartition(":")
    token = asyncio.run(token_for(app, name))
    config = SimpleNamespace(SERVER=host.strip("[]"), PORT=int(port), APP=app, DEVICE=name, TOKEN=token)
    lamp = device.Lamp(lambda on: print("light:", "on" if on else "off", flush=True), lambda: 21.5)
    try:
        if turns is None:
            device.main(config, lamp)
        else:
            device.serve(config, lamp, turns)
    except MQTTException as refused:
        sys.exit(f"the node refuses the device, return code {refused}")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("app")
    arguments.add_argument("device")
    arguments.add_argument("--turns", type=int)
    given = arguments.parse_args()
    sys.stdout.reconfigure(line_buffering=True)
    try:
        with suppress(KeyboardInterrupt):
            run(given.app, given.device, given.turns)
    except LonglineError as error:
        sys.exit(f"{error.code}: {error}")
    except OSError as error:
        sys.exit(f"the node's MQTT cannot be reached: {error}")
