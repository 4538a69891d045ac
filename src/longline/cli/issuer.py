"""`longline issuer`: the identity provider whose tokens an app takes."""

from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from longline.cli.access import LOCAL, Access
from longline.cli.output import fields_of, show_done, show_one
from longline.cli.usage import Json, UsageError

issuer = App(name="issuer", help="The identity provider whose tokens an app takes.")

Disconnect = Annotated[
    bool, Parameter(negative=(), help="End the devices' connections, which stay otherwise.")
]


@issuer.command(name="show")
def issuer_show(app: str, /, *, access: Access = LOCAL, json: Json = False) -> int:
    """Print whose tokens an app takes, besides those that its own secret signs."""
    return show_one(access.ask(lambda center: center.token_issuer(app)), fields_of, json=json)


@issuer.command(name="set")
def issuer_set(
    app: str,
    name: Annotated[str | None, Parameter(help="What `iss` has to be.")] = None,
    /,
    *,
    jwks_url: Annotated[str | None, Parameter(help="Where its public keys are. Or --keys-file.")] = None,
    keys_file: Annotated[Path | None, Parameter(help="A JSON file with its public keys.")] = None,
    audience: Annotated[
        list[str] | None, Parameter(negative=(), help="What `aud` may be; may be repeated.")
    ] = None,
    algorithm: Annotated[
        list[str] | None, Parameter(negative=(), help="How tokens may be signed; may be repeated.")
    ] = None,
    device_claim: Annotated[str | None, Parameter(help="The claim that names the device; else sub.")] = None,
    device_secret: Annotated[
        bool | None,
        Parameter(negative="--no-device-secret", help="Whether its own tokens are taken as well."),
    ] = None,
    disconnect: Disconnect = False,
    access: Access = LOCAL,
    json: Json = False,
) -> int:
    """Have an app take the tokens of an identity provider."""
    if (jwks_url is None) == (keys_file is None):
        raise UsageError("say where its keys are: --jwks-url or --keys-file, one of them")
    keys = None if keys_file is None else _keys_in(keys_file)
    made = access.ask(
        lambda center: center.put_token_issuer(
            app,
            jwks_url=jwks_url,
            keys=keys,
            issuer=name,
            audience=audience or None,
            algorithms=algorithm or None,
            device_claim=device_claim,
            device_secret=device_secret,
            disconnect=disconnect,
        )
    )
    return show_one(made, fields_of, json=json)


@issuer.command(name="delete")
def issuer_delete(
    app: str, /, *, disconnect: Disconnect = False, access: Access = LOCAL, json: Json = False
) -> int:
    """Have an app take only tokens that its own secret signs, again."""
    access.ask(lambda center: center.delete_token_issuer(app, disconnect=disconnect))
    return show_done("deleted", app, json=json)


def _keys_in(file: Path) -> list[dict[str, object] | str]:
    """The keys of a JSON Web Key Set (RFC 7517), or a list of keys."""
    try:
        found: object = msgspec.json.decode(file.read_bytes())
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from None
    except msgspec.DecodeError:
        raise UsageError(f"{file} is no JSON") from None
    keys = found.get("keys") if isinstance(found, dict) else found
    try:
        return msgspec.convert(keys, list[dict[str, object] | str])
    except msgspec.ValidationError:
        raise UsageError(f"{file} is neither a JSON Web Key Set nor a list of keys") from None
