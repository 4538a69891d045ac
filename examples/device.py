"""A device: prints the pushes that reach it, and acknowledges each when it is printed.

    LONGLINE_KEY=… python examples/device.py APP DEVICE

It comes back by itself when the connection breaks. Whatever was pushed meanwhile arrives then, once.
"""

import asyncio
import os
import sys

from longline import Center, Device


async def main(app: str, name: str) -> None:
    """Listens until Ctrl-C."""
    url = os.environ.get("LONGLINE_URL", "http://127.0.0.1:8080")
    host, _, port = os.environ.get("LONGLINE_MQTT", "127.0.0.1:1883").partition(":")

    async def fresh_token() -> str:
        """Asked for at first, and again when the server no longer takes the old one."""
        async with Center(url, os.environ["LONGLINE_KEY"]) as center:
            return (await center.token(app, name, expires_in=3600)).password

    async with Device(host, int(port), app=app, device=name, token=fresh_token) as device:
        async for message in device:
            print(f"{message.id}: {message.text}")
            # When the loop asks for the next message, this one is acknowledged. An exception here would leave
            # it unacknowledged, and the server would send it again on the next connection.


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
