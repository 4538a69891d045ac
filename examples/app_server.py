"""An app server: pushes to one device and to everyone, and asks the ledger what became of it.

LONGLINE_KEY=… python examples/app_server.py APP DEVICE
"""

import argparse
import asyncio
import os
import sys
from datetime import timedelta

from longline import Center, Push
from longline.errors import LonglineError, NoTarget


async def main(app: str, device: str) -> None:
    """Pushes in the three ways there are, and prints what the ledgers say."""
    key = os.environ.get("LONGLINE_KEY") or sys.exit("LONGLINE_KEY is not set")
    async with Center(os.environ.get("LONGLINE_URL") or "http://127.0.0.1:8080", key) as center:
        # One device. When `send` returns, the push is on the server's disk: it waits a day for a device that
        # is away, and survives a crash. A retry after a lost answer never pushes twice.
        try:
            accepted = await center.send(
                app, {"title": "Goal!", "score": [1, 0]}, devices=[device], ttl=timedelta(days=1)
            )
        except NoTarget:
            sys.exit(f"{device} has never connected and was not registered")
        try:
            status = await center.wait(app, accepted.message_id, within=5)
            print(f"acknowledged by {status.ledger.acked} of {status.ledger.targeted}")
        except TimeoutError:
            print(f"{device} is away: {accepted.message_id} waits for it")

        # Everyone, and only the newest score: a device that was away gets the last of these and no other.
        await center.send(app, "Half-time: 1-0", everyone=True, collapse_key="score")

        # Many at once, in one request; each has its own outcome.
        batch = [Push(payload=f"Ticket {seat}", devices=[device]) for seat in ("A1", "A2", "A3")]
        for push, outcome in zip(batch, await center.send_batch(app, batch), strict=True):
            if isinstance(outcome, LonglineError):
                print(f"{push.payload}: {outcome.code}: {outcome.message}")
            else:
                print(f"{push.payload}: {outcome.message_id}")

        # Who got it, device by device.
        async for delivery in center.deliveries(app, accepted.message_id):
            print(f"{delivery.device}: {delivery.state} at {delivery.settled_at or delivery.accepted_at}")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("app")
    arguments.add_argument("device")
    try:
        asyncio.run(main(**vars(arguments.parse_args())))
    except LonglineError as error:
        sys.exit(f"{error.code}: {error}")
