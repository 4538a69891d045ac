"""paho-mqtt as a device: prints what happens as JSON lines, ends when standard input ends.

python paho_client.py '{"port": 1883, "app": …, "device": …, "token": …, "protocol": 5, "persistent": true,
                        "subscribe": null, "transport": "tcp", "ca": null}'
"""

import base64
import json
import sys
from collections.abc import Callable

import msgspec
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode


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


def main() -> None:
    options = msgspec.json.decode(sys.argv[1], type=Options)
    five = options.protocol == 5
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id=options.device,
        clean_session=None if five else not options.persistent,
        protocol=MQTTProtocolVersion.MQTTv5 if five else MQTTProtocolVersion.MQTTv311,
        transport="websockets" if options.transport in ("ws", "wss") else "tcp",
        reconnect_on_failure=False,
        # paho itself would send PUBACK after `received`; by then the test may have had us disconnected.
        manual_ack=True,
    )
    client.username_pw_set(options.app, options.token)
    if options.transport in ("tls", "wss"):
        client.tls_set(options.ca)
    session_present = False

    def connected(
        client: Client, _: object, flags: ConnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        nonlocal session_present
        session_present = flags.session_present
        if reason.is_failure:
            say(event="refused", reason=str(reason))
        elif options.subscribe is None:
            say(event="ready", session_present=session_present)
        else:
            client.subscribe(options.subscribe, qos=1)

    def subscribed(
        client: Client, _: object, mid: int, reasons: list[ReasonCode], properties: Properties | None
    ) -> None:
        if any(reason.is_failure for reason in reasons):
            say(event="refused", reason=str(reasons))
        else:
            say(event="ready", session_present=session_present)

    def received(client: Client, _: object, message: MQTTMessage) -> None:
        client.ack(message.mid, message.qos)
        payload = base64.b64encode(message.payload).decode()
        say(event="message", topic=message.topic, payload=payload, qos=message.qos, dup=message.dup)

    def disconnected(
        client: Client, _: object, flags: DisconnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        say(event="closed", reason=str(reason))

    client.on_connect = connected
    client.on_subscribe = subscribed
    client.on_message = received
    client.on_disconnect = disconnected
    if five:
        make_properties: Callable[[int], Properties] = Properties  # its constructor comes without types
        expiry = make_properties(PacketTypes.CONNECT)
        expiry.SessionExpiryInterval = 3600 if options.persistent else 0
        client.connect(
            "127.0.0.1", options.port, keepalive=30, clean_start=not options.persistent, properties=expiry
        )
    else:
        client.connect("127.0.0.1", options.port, keepalive=30)
    client.loop_start()
    sys.stdin.read()
    client.disconnect()
    client.loop_stop()


if __name__ == "__main__":
    main()
