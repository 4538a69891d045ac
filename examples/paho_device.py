"""A device that knows nothing of Longline: plain MQTT 3.1.1 with paho-mqtt.

    pip install paho-mqtt
    LONGLINE_KEY=… python examples/paho_device.py APP DEVICE

No SUBSCRIBE: whatever is pushed to the device arrives on `push/{message_id}`, and the PUBACK that every MQTT
library sends by itself is the receipt.
"""

import argparse
import asyncio
import os
import sys
from contextlib import suppress

from paho.mqtt.client import Client, ConnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from longline import Center
from longline.errors import LonglineError


async def token_for(app: str, device: str) -> str:
    """What the device gives as its password."""
    key = os.environ.get("LONGLINE_KEY") or sys.exit("LONGLINE_KEY is not set")
    async with Center(os.environ.get("LONGLINE_URL") or "http://127.0.0.1:8080", key) as center:
        return (await center.token(app, device)).password


def on_connect(
    client: Client, userdata: object, flags: ConnectFlags, reason: ReasonCode, properties: Properties | None
) -> None:
    """Called when the server has answered CONNECT."""
    print(f"connected: {reason}")


def on_message(client: Client, userdata: object, message: MQTTMessage) -> None:
    """Called for each push; paho acknowledges it when this returns."""
    print(f"{message.topic}: {message.payload.decode()}")


def main(app: str, device: str) -> None:
    """Listens until Ctrl-C."""
    # One client id, one device: clean_session=False because the device keeps its place when it comes back.
    client = Client(CallbackAPIVersion.VERSION2, client_id=device, clean_session=False)
    client.username_pw_set(app, asyncio.run(token_for(app, device)))
    client.on_connect = on_connect
    client.on_message = on_message
    host, _, port = (os.environ.get("LONGLINE_MQTT") or "127.0.0.1:1883").rpartition(":")
    client.connect(host.strip("[]"), int(port), keepalive=60)
    client.loop_forever()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("app")
    arguments.add_argument("device")
    try:
        with suppress(KeyboardInterrupt):
            main(**vars(arguments.parse_args()))
    except LonglineError as error:
        sys.exit(f"{error.code}: {error}")
    except OSError as error:
        sys.exit(f"the node's MQTT cannot be reached: {error}")
