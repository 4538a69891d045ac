"""gmqtt as a device: prints what happens as JSON lines, ends when standard input ends.

python gmqtt_client.py '{"port": 1883, "app": …, "device": …, "token": …, "protocol": 5, "persistent": true,
                         "subscribe": null, "transport": "tcp", "ca": null}'
"""

import asyncio
import base64
import json
import ssl
import sys
from typing import Any

import msgspec

import gmqtt


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


async def main() -> None:
    options = msgspec.json.decode(sys.argv[1], type=Options)
    client = gmqtt.Client(
        options.device,
        clean_session=not options.persistent,
        session_expiry_interval=3600 if options.persistent else 0,
    )
    client.stop_reconnect()  # one connection a process: the tests decide when to come back
    client.set_auth_credentials(options.app, options.token)
    session_present = False

    def connected(client: gmqtt.Client, flags: int, reason: int, properties: dict[str, object]) -> None:
        nonlocal session_present
        session_present = bool(flags & 1)
        if options.subscribe is None:
            say(event="ready", session_present=session_present)
        else:
            client.subscribe(options.subscribe, qos=1)

    def subscribed(client: gmqtt.Client, mid: int, reasons: list[int], properties: dict[str, object]) -> None:
        if any(reason >= 0x80 for reason in reasons):
            say(event="refused", reason=str(reasons))
        else:
            say(event="ready", session_present=session_present)

    def received(
        client: gmqtt.Client, topic: str, payload: bytes, qos: int, properties: dict[str, object]
    ) -> int:
        encoded = base64.b64encode(payload).decode()
        say(event="message", topic=topic, payload=encoded, qos=qos, dup=bool(properties.get("dup")))
        return 0

    client.on_connect = connected
    client.on_subscribe = subscribed
    client.on_message = received
    try:
        secure: Any = ssl.create_default_context(cafile=options.ca) if options.transport == "tls" else False
        await client.connect("127.0.0.1", options.port, ssl=secure, keepalive=30, version=options.protocol)
    except Exception as error:
        say(event="refused", reason=repr(error))
        return
    await asyncio.to_thread(sys.stdin.read)
    await client.disconnect()


if __name__ == "__main__":
    asyncio.run(main())
