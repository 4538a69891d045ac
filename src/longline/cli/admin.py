"""`longline app`, `key` and `token`: administration through the HTTP API."""

import sys
from typing import Annotated

from cyclopts import App, Parameter

from longline.cli.access import LOCAL, Access
from longline.cli.flags import Json, UsageError
from longline.cli.output import print_json, print_pairs, print_table, remark
from longline.sdk.answers import AppKeys
from longline.sdk.center import Center

app = App(name="app", help="Create, list and delete apps.")
key = App(name="key", help="Rotate an app's secrets.")


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
    client_certificates: Annotated[
        bool, Parameter(negative=(), help="Let a TLS client certificate stand in for a device's token.")
    ] = False,
    access: Access = LOCAL,
    json: Json = False,
) -> int:
    """Make an app, and print its secrets: the server key is never shown again."""
    keys = access.ask(
        lambda center: center.create_app(
            name, name=title, pubsub=pubsub, client_certificates=client_certificates
        )
    )
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
