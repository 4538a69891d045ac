"""`longline app`, `key`, `token`, `push`, `listen`: the HTTP API and a device, from a shell."""

import asyncio
import base64
import binascii
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
from cyclopts import App, Parameter

from longline.cli.flags import Json, UsageError
from longline.cli.output import print_json, print_pairs, print_table, remark
from longline.errors import LonglineError
from longline.model.devices import JsonObject
from longline.model.ledger import Ledger
from longline.sdk.answers import AppKeys, Audience, MessageStatus
from longline.sdk.center import Center
from longline.sdk.device import Device
from longline.sdk.message import Message

Result = TypeVar("Result")

app = App(name="app", help="Create, list and delete apps.")
key = App(name="key", help="Rotate an app's secrets.")


@Parameter(name="*")
@dataclass(frozen=True)
class Access:
    """Which server, and with which key."""

    url: Annotated[str, Parameter(env_var="LONGLINE_URL", help="The HTTP API.")] = "http://127.0.0.1:8080"
    key: Annotated[
        str | None,
        Parameter(
            env_var=("LONGLINE_KEY", "LONGLINE_ADMIN_KEY"),
            help="Admin key or an app's server key; else the key file of the data folder.",
            show_env_var=True,
        ),
    ] = None
    data: Annotated[Path, Parameter(env_var="LONGLINE_DATA_DIR", help="The data folder of a node here.")] = (
        Path("longline-data")
    )

    def found_key(self) -> str:
        """The key given, or the one that `longline serve` left in its data folder."""
        if self.key is not None:
            return self.key
        file = self.data / "admin.key"
        try:
            return file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                f"no key: give --key or LONGLINE_KEY, or --data with the folder of a node ({file}: {error})"
            ) from None

    def center(self) -> Center:
        return Center(self.url, self.found_key())

    def ask(self, question: Callable[[Center], Awaitable[Result]]) -> Result:
        """Asks the API one thing."""

        async def asking() -> Result:
            async with self.center() as center:
                return await question(center)

        return asyncio.run(asking())


LOCAL = Access()


# --- apps --------------------------------------------------------------------------------------------


@app.command(name="create")
def app_create(
    name: str,
    /,
    *,
    title: Annotated[str | None, Parameter(help="A name for people.")] = None,
    pubsub: Annotated[
        bool, Parameter(negative=(), help="Let its devices publish and subscribe plain topics.")
    ] = False,
    access: Access = LOCAL,
    json: Json = False,
) -> int:
    """Make an app, and print its secrets: the server key is never shown again."""
    keys = access.ask(lambda center: center.create_app(name, name=title, pubsub=pubsub))
    _print_keys(keys, json=json)
    return 0


@app.command(name="list")
def app_list(*, access: Access = LOCAL, json: Json = False) -> int:
    """Print all apps."""

    async def every(center: Center) -> list[tuple[str, str, bool, str]]:
        return [
            (found.app, found.name, found.pubsub, found.created_at.isoformat() if found.created_at else "")
            async for found in center.apps()
        ]

    apps = access.ask(every)
    if json:
        columns = ("app", "name", "pubsub", "created_at")
        print_json({"apps": [dict(zip(columns, row, strict=True)) for row in apps]})
    else:
        rows = [(name, title, "yes" if pubsub else "no", made) for name, title, pubsub, made in apps]
        print_table(("app", "name", "pubsub", "created"), rows)
    return 0


@app.command(name="delete")
def app_delete(
    name: str,
    /,
    *,
    yes: Annotated[bool, Parameter(negative=(), help="Do not ask.")] = False,
    access: Access = LOCAL,
    json: Json = False,
) -> int:
    """Delete an app with its devices and messages."""
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(f"deleting {name} cannot be undone: say --yes")
        if input(f"Delete {name} with its devices and messages? Type its name: ") != name:
            remark("not deleted")
            return 1
    access.ask(lambda center: center.delete_app(name))
    if json:
        print_json({"deleted": name})
    return 0


@key.command(name="rotate")
def key_rotate(
    name: str,
    /,
    *,
    device_secret: Annotated[
        bool, Parameter(negative=(), help="Also the secret of device tokens: all of them stop working.")
    ] = False,
    disconnect: Annotated[
        bool, Parameter(negative=(), help="End the devices' connections, which stay otherwise.")
    ] = False,
    access: Access = LOCAL,
    json: Json = False,
) -> int:
    """Replace an app's server key; the old one stops working at once."""
    keys = access.ask(
        lambda center: center.rotate_keys(name, device_secret=device_secret, disconnect=disconnect)
    )
    _print_keys(keys, json=json)
    return 0


def _print_keys(keys: AppKeys, *, json: bool) -> None:
    if json:
        print_json(keys)
    else:
        pairs = [("app", keys.app), ("device_secret", keys.device_secret)]
        if keys.server_key is not None:
            pairs.insert(1, ("server_key", keys.server_key))
        print_pairs(pairs)


# --- devices -----------------------------------------------------------------------------------------


def token(
    app: str,
    device: str,
    /,
    *,
    expires_in: Annotated[
        int | None, Parameter(help="Seconds; without it the token ends with the app's secret.")
    ] = None,
    access: Access = LOCAL,
    json: Json = False,
) -> int:
    """Make what a device gives in its MQTT CONNECT."""
    made = access.ask(lambda center: center.token(app, device, expires_in=expires_in))
    if json:
        print_json(made)
    else:
        print_pairs([("client_id", made.client_id), ("username", made.username), ("password", made.password)])
    return 0


def listen(
    app: str,
    device: str,
    /,
    *,
    token: Annotated[str | None, Parameter(help="Its token; without it the API is asked for one.")] = None,
    host: Annotated[str, Parameter(help="Where the room listens.")] = "127.0.0.1",
    port: Annotated[int, Parameter(env_var="LONGLINE_ROOM__PORT", help="Its MQTT port.")] = 1883,
    protocol: Annotated[int, Parameter(help="5 is MQTT 5.0, 4 is MQTT 3.1.1.")] = 5,
    subscribe: Annotated[
        list[str] | None,
        Parameter(negative=(), help="A plain topic filter to listen to as well; may be repeated."),
    ] = None,
    count: Annotated[int | None, Parameter(help="Stop after so many messages.")] = None,
    access: Access = LOCAL,
    json: Json = False,
) -> int:
    """Be a device: print each message when it arrives, and acknowledge it then. Ends with Ctrl-C."""
    if protocol not in (4, 5):
        raise UsageError("--protocol is 4 (MQTT 3.1.1) or 5 (MQTT 5.0)")
    if count is not None and count < 1:
        raise UsageError("--count is at least 1")

    async def fresh_token() -> str:
        async with access.center() as center:
            return (await center.token(app, device)).password

    async def listening() -> None:
        left = count
        source = fresh_token if token is None else token
        async with Device(host, port, app=app, device=device, token=source, protocol=protocol) as connection:
            await connection.wait_connected()
            remark(f"{app}/{device} is connected to {host}:{port}; Ctrl-C ends it")
            for filter in subscribe or ():
                await connection.subscribe(filter)
            async for message in connection:
                _print_message(message, json=json)
                if left is not None:
                    left -= 1
                    if left == 0:
                        await message.ack()
                        return

    asyncio.run(listening())
    return 0


def _print_message(message: Message, *, json: bool) -> None:
    try:
        text: str | None = message.text
    except UnicodeDecodeError:
        text = None
    if not json:
        shown = base64.b64encode(message.payload).decode() if text is None else text
        print(f"{message.topic}\t{shown}", flush=True)
        return
    print_json(
        {
            "message_id": message.id,
            "topic": message.topic,
            **({"payload_base64": message.payload} if text is None else {"payload": text}),
            "content_type": message.content_type,
            "sent_at": message.sent_at,
            "qos": message.qos,
            "duplicate": message.duplicate,
        }
    )


# --- pushes ------------------------------------------------------------------------------------------


def push(
    app: str,
    payload: Annotated[
        str | None, Parameter(help="Text; a JSON object or array is sent as JSON. Not with --file.")
    ] = None,
    /,
    *,
    device: Annotated[
        list[str] | None, Parameter(negative=(), help="To this device; may be repeated.")
    ] = None,
    alias: Annotated[
        list[str] | None, Parameter(negative=(), help="To devices with this alias; may be repeated.")
    ] = None,
    tag: Annotated[
        list[str] | None, Parameter(negative=(), help="To devices with this tag; may be repeated.")
    ] = None,
    group: Annotated[str | None, Parameter(help="To the members of this group.")] = None,
    all: Annotated[bool, Parameter(negative=(), help="To every device of the app.")] = False,
    file: Annotated[Path | None, Parameter(help="Send this file's bytes; - is standard input.")] = None,
    base64: Annotated[bool, Parameter(negative=(), help="PAYLOAD is base64; its bytes are sent.")] = False,
    ttl: Annotated[int | None, Parameter(help="Seconds it waits for devices that are away.")] = None,
    qos: Annotated[int | None, Parameter(help="0 or 1.")] = None,
    collapse_key: Annotated[
        str | None, Parameter(help="A newer message with the same key replaces it.")
    ] = None,
    online_only: Annotated[bool, Parameter(negative=(), help="Only to who is connected now.")] = False,
    wait: Annotated[bool, Parameter(negative=(), help="Follow the ledger until nothing is pending.")] = False,
    within: Annotated[float, Parameter(help="Seconds that --wait waits before it fails.")] = 60.0,
    access: Access = LOCAL,
    json: Json = False,
) -> int:
    """Send a message, and print its id.

    Ends when the server has the message on disk; with --wait, when nothing of it is pending any more.
    """
    audience = _audience(device, alias, tag, group, all)
    content = _content(payload, file, is_base64=base64)

    async def pushing(center: Center) -> MessageStatus | None:
        accepted = await center.send(
            app,
            content,
            audience=audience,
            ttl=ttl,
            qos=qos,
            collapse_key=collapse_key,
            online_only=online_only or None,
        )
        if not wait:
            if json:
                print_json(accepted)
            else:
                print(accepted.message_id)
            return None
        remark(f"{accepted.message_id}: waiting for {accepted.targeted} devices")
        try:
            return await center.wait(app, accepted.message_id, within=within)
        except TimeoutError:
            status = await center.message(app, accepted.message_id)
            raise LonglineError(
                f"{accepted.message_id}: {status.ledger.pending} of {status.ledger.targeted} devices are "
                f"still pending after {within:g} s"
            ) from None

    status = access.ask(pushing)
    if status is not None:
        if json:
            print_json(status)
        else:
            print(status.message_id)
            print_table(("outcome", "devices"), ledger_rows(status.ledger))
    return 0


def ledger_rows(ledger: Ledger) -> list[tuple[str, str]]:
    """What adds up to `targeted`, and `targeted`."""
    counts = [
        ("acked", ledger.acked),
        ("expired", ledger.expired),
        ("collapsed", ledger.collapsed),
        *((f"dropped: {reason}", number) for reason, number in sorted(ledger.dropped.items())),
        ("pending", ledger.pending),
    ]
    return [(name, str(number)) for name, number in counts if number] + [("targeted", str(ledger.targeted))]


def _audience(
    device: list[str] | None, alias: list[str] | None, tag: list[str] | None, group: str | None, all: bool
) -> Audience:
    named: JsonObject = {
        name: value
        for name, value in (("devices", device), ("aliases", alias), ("tag", tag), ("group", group))
        if value
    }
    if len(named) + all != 1:
        raise UsageError("say to whom, in one way: --device, --alias, --tag, --group or --all")
    return named or "all"


def _content(payload: str | None, file: Path | None, *, is_base64: bool) -> object:
    if (payload is None) == (file is None):
        raise UsageError("give the payload, or --file, and not both")
    if file is not None:
        try:
            return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        except OSError as error:
            raise UsageError(f"{file}: {error.strerror}") from None
    text = payload or ""
    if is_base64:
        try:
            return base64.b64decode(text, validate=True)
        except binascii.Error as error:
            raise UsageError(f"the payload is not base64: {error}") from None
    if text.lstrip()[:1] in ("{", "["):
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError:
            return text  # a text may begin with a bracket
    return text
