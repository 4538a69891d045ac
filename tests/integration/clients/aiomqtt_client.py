"""aiomqtt as a device: prints what happens as JSON lines, ends when standard input ends.

python aiomqtt_client.py '{"port": 1883, "app": …, "device": …, "token": …, "protocol": 5, "persistent": true,
                           "subscribe": null, "transport": "tcp", "ca": null}'
"""

import asyncio
import base64
import json
import ssl
import sys
from collections.abc import Callable

import aiomqtt
import msgspec
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties


class Options(msgspec.Struct):
    port: int
    app: str
    device: str
    token: str
    protocol: int
    persistent: bool
    subscribe: str | None
    transport: str
    ca: str | None


def say(**event: object) -> None:
    print(json.dumps(event), flush=True)


async def listen(client: aiomqtt.Client) -> None:
    async for message in client.messages:
        if not isinstance(message.payload, bytes):
            raise TypeError("aiomqtt hands out what came as bytes")
        payload = base64.b64encode(message.payload).decode()
        say(event="message", topic=str(message.topic), payload=payload, qos=message.qos)


async def main() -> None:
    options = msgspec.json.decode(sys.argv[1], type=Options)
    make_properties: Callable[[int], Properties] = Properties  # its constructor comes without types
    expiry = make_properties(PacketTypes.CONNECT)
    expiry.SessionExpiryInterval = 3600 if options.persistent else 0
    secure = ssl.create_default_context(cafile=options.ca) if options.transport == "tls" else None
    client = aiomqtt.Client(
        "127.0.0.1",
        options.port,
        username=options.app,
        password=options.token,
        identifier=options.device,
        protocol=aiomqtt.ProtocolVersion.V5,
        clean_start=not options.persistent,
        properties=expiry,
        keepalive=30,
        tls_context=secure,
    )
    try:
        async with client:
            if options.subscribe is not None:
                granted = await client.subscribe(options.subscribe, qos=1)
                if any(getattr(reason, "is_failure", False) for reason in granted):
                    say(event="refused", reason=str(granted))
                    return
            say(event="ready")
            listening = asyncio.create_task(listen(client))
            await asyncio.to_thread(sys.stdin.read)
            listening.cancel()
    except aiomqtt.MqttError as error:
        say(event="refused", reason=repr(error))


if __name__ == "__main__":
    asyncio.run(main())
