"""The settings that change at run time, by the HTTP API: a part of `longline config`."""

from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from longline.cli.access import LOCAL, Access
from longline.cli.output import fields_of, show_one
from longline.cli.times import shown
from longline.cli.usage import Json
from longline.sdk.nodes import SharedSettings


def add_to(config: App) -> None:
    """Adds the commands."""
    for name, command in (
        ("live", live),
        ("get", get),
        ("set", set),
        ("unset", unset),
        ("promote", promote),
        ("rollback", rollback),
    ):
        config.command(command, name=name)


def live(*, access: Access = LOCAL, json: Json = False) -> int:
    """Print the settings that were changed at run time, and which version each node has."""
    return show_one(access.ask(lambda center: center.settings()), _pairs, json=json)


def get(name: str, /, *, access: Access = LOCAL, json: Json = False) -> int:
    """Print a setting that may be changed at run time."""
    return show_one(access.ask(lambda center: center.setting(name)), fields_of, json=json)


def set(
    name: str,
    value: Annotated[str, Parameter(allow_leading_hyphen=True, help="JSON, or else a text.")],
    /,
    *,
    node: Annotated[
        list[str] | None,
        Parameter(
            negative=(), help="On this node or host alone, until promoted or rolled back; may be repeated."
        ),
    ] = None,
    version: Annotated[int | None, Parameter(help="Only if the settings have this version.")] = None,
    access: Access = LOCAL,
    json: Json = False,
) -> int:
    """Change a setting at run time, on all nodes or on some."""
    try:
        wanted: object = msgspec.json.decode(value)
    except msgspec.DecodeError:
        wanted = value
    changed = access.ask(lambda center: center.put_setting(name, wanted, nodes=node or None, version=version))
    return show_one(changed, _pairs, json=json)


def unset(name: str, /, *, access: Access = LOCAL, json: Json = False) -> int:
    """Leave a setting to each node's own file and environment again."""
    return show_one(access.ask(lambda center: center.delete_setting(name)), _pairs, json=json)


def promote(*, access: Access = LOCAL, json: Json = False) -> int:
    """Give all nodes the settings that some have on trial."""
    return show_one(access.ask(lambda center: center.promote_settings()), _pairs, json=json)


def rollback(
    name: Annotated[str | None, Parameter(help="This setting alone, for all nodes.")] = None,
    /,
    *,
    access: Access = LOCAL,
    json: Json = False,
) -> int:
    """End the trial; without one, go back to what was before the latest change."""
    return show_one(access.ask(lambda center: center.roll_back_settings(name)), _pairs, json=json)


def _pairs(found: SharedSettings) -> list[tuple[str, str]]:
    pairs = [("version", str(found.version))]
    if found.at is not None:
        pairs.append(("changed", shown(found.at)))
    pairs += [(name, _text(value)) for name, value in found.settings.items()]
    if found.gray is not None:
        on_trial = " ".join(found.gray.nodes)
        pairs += [(f"{name} on {on_trial}", _text(value)) for name, value in found.gray.settings.items()]
    pairs += [(f"node {each.node}", f"version {each.settings_version}") for each in found.nodes]
    return pairs


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
