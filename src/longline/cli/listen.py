"""`longline listen`: a device in the terminal."""

import asyncio
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from longline.cli.access import LOCAL, Access
from longline.cli.output import payload_fields, payload_text, print_json, print_row, remark, sdk_log_told
from longline.cli.usage import Json, UsageError, check_count
from longline.errors import LonglineError
from longline.sdk.device import Device
from longline.sdk.message import Message
from longline.sdk.tokens import Token


def listen(
    app: str,
    device: str,
    /,
    *,
    token: Annotated[str | None, Parameter(help="Its token; without it the API is asked for one.")] = None,
    host: Annotated[
        str,
        Parameter(
            help="Where the room listens: a host, or mqtts://HOST:PORT (TLS), ws://HOST:PORT/mqtt "
            "(WebSocket) or wss://HOST:PORT/mqtt."
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int,
        Parameter(env_var="LONGLINE_ROOM__PORT", validator=Number(gte=1, lte=65_535), help="Its MQTT port."),
    ] = 1883,
    certificate: Annotated[
        Path | None, Parameter(help="PEM file with a certificate to show, in the place of a token.")
    ] = None,
    certificate_key: Annotated[Path | None, Parameter(help="PEM file with its private key.")] = None,
    protocol: Annotated[Literal[4, 5], Parameter(help="5 is MQTT 5.0, 4 is MQTT 3.1.1.")] = 5,
    subscribe: Annotated[
        list[str] | None,
        Parameter(negative=(), help="A plain topic filter to listen to as well; may be repeated."),
    ] = None,
    count: Annotated[int | None, Parameter(help="Stop after so many messages.")] = None,
    access: Access = LOCAL,
    json: Json = False,
) -> int:
    """Be a device: print each message when it arrives, and acknowledge it then. Ends with Ctrl-C."""
    check_count(count)

    async def listening(token: Token | None) -> None:
        left = count
        remark(f"listening as {app}/{device}; Ctrl-C ends it")
        try:
            connecting = Device(
                host,
                None if "://" in host else port,
                app=app,
                device=device,
                token=token,
                protocol=protocol,
                ca=access.ca,
                certificate=certificate,
                key=certificate_key,
            )
        except ValueError as error:
            raise UsageError(str(error)) from None
        async with connecting as connection:
            for filter in subscribe or ():
                await connection.subscribe(filter)
            async for message in connection:
                _print_message(message, json=json)
                if left is not None:
                    left -= 1
                    if left == 0:
                        await message.ack()
                        return

    async def asking() -> None:
        async with access.opened() as center:

            async def fresh() -> str:
                return (await center.token(app, device)).password

            try:
                await fresh()
            except LonglineError as error:
                if not error.retryable:  # the device would ask for ever: it cannot know
                    raise

            await listening(fresh)

    with sdk_log_told():
        asyncio.run(asking() if token is None and certificate is None else listening(token))
    return 0


def _print_message(message: Message, *, json: bool) -> None:
    if not json:
        print_row(message.topic, payload_text(message.payload))
        return
    print_json(
        {
            "message_id": message.id,
            "topic": message.topic,
            **({} if message.group is None else {"sequence": message.sequence, "sender": message.sender}),
            **payload_fields(message.payload),
            "content_type": message.content_type,
            "sent_at": message.sent_at,
            "qos": message.qos,
            "duplicate": message.duplicate,
        }
    )
