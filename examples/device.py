"""A device: prints the pushes that reach it, and acknowledges each when it is printed.

    LONGLINE_KEY=… python examples/device.py APP DEVICE

It comes back by itself when the connection breaks. Whatever was pushed meanwhile arrives then, once.
"""

import argparse
import asyncio
import logging
import os
import sys
from contextlib import suppress
from datetime import timedelta

from longline import Center, Device
from longline.errors import LonglineError


async def main(app: str, device: str) -> None:
    """Listens until Ctrl-C."""
    key = os.environ.get("LONGLINE_KEY") or sys.exit("LONGLINE_KEY is not set")
    host, _, port = (os.environ.get("LONGLINE_MQTT") or "127.0.0.1:1883").rpartition(":")
    async with Center(os.environ.get("LONGLINE_URL") or "http://127.0.0.1:8080", key) as center:

        async def fresh_token() -> str:
            """Asked for at first, and again when the server no longer takes the old one."""
            return (await center.token(app, device, expires_in=timedelta(hours=1))).password

        async with Device(host.strip("[]"), int(port), app=app, device=device, token=fresh_token) as phone:
            async for message in phone:
                print(f"{message.id}: {message.text}", flush=True)
                # When the loop asks for the next message, this one is acknowledged. An exception here would
                # leave it unacknowledged, and the server would send it again on the next connection.


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("app")
    arguments.add_argument("device")
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("longline.sdk").setLevel(logging.INFO)  # says when the device is connected, or why not
    try:
        with suppress(KeyboardInterrupt):
            asyncio.run(main(**vars(arguments.parse_args())))
    except LonglineError as error:
        sys.exit(f"{error.code}: {error}")
