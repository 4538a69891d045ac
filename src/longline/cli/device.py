"""`longline device`: what is known of an app's devices, one by one."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cyclopts import App, Parameter

from longline.cli.access import LOCAL, Access
from longline.cli.message import BATCH, objects_in, state_of
from longline.cli.output import (
    fields_of,
    payload_fields,
    payload_text,
    print_json,
    print_table,
    progress,
    show,
    show_done,
    show_list,
    show_one,
)
from longline.cli.pages import show_pages
from longline.cli.times import shown, span
from longline.cli.usage import Json, UsageError, check_count
from longline.errors import DeviceNotFound, LonglineError
from longline.model.devices import JsonObject
from longline.sdk.answers import ConnectionInfo, DeviceInfo, DeviceShadow, DeviceStatus
from longline.sdk.center import Center

device = App(name="device", help="List, show, change and delete devices.")


@device.command(name="list")
def device_list(
    app: str,
    /,
    *,
    tag: Annotated[str | None, Parameter(help="Only those with this tag.")] = None,
    alias: Annotated[str | None, Parameter(help="Only those with this alias.")] = None,
    online: Annotated[
        bool | None, Parameter(negative="--offline", help="Only those that are connected, or are not.")
    ] = None,
    parked: Annotated[
        bool | None, Parameter(negative=(), help="Only those that are parked, for acknowledging nothing.")
    ] = None,
    prefix: Annotated[
        str | None, Parameter(help="Only those whose names begin so, in the order of their names.")
    ] = None,
    access: Access = LOCAL,
    json: Json = False,
) -> int:
    """Print an app's devices, in the order of their registration."""
    return access.ask(
        lambda center: show_pages(
            "devices",
            center.devices(app, tag=tag, alias=alias, online=online, parked=parked, prefix=prefix),
            ("device", "online", "aliases", "tags"),
            lambda found: (found.device, _yes(found.online), " ".join(found.aliases), " ".join(found.tags)),
            json=json,
        )
    )


@device.command(name="show")
def device_show(app: str, name: str, /, *, access: Access = LOCAL, json: Json = False) -> int:
    """Print what is known of a device, and where it is connected."""
    return show_one(access.ask(lambda center: center.device(app, name)), fields_of, json=json)


@device.command(name="set")
def device_set(
    app: str,
    name: str,
    /,
    *,
    alias: Annotated[list[str] | None, Parameter(help="Its alias; may be repeated.")] = None,
    tag: Annotated[list[str] | None, Parameter(help="Its tag; may be repeated.")] = None,
    attribute: Annotated[
        list[str] | None,
        Parameter(negative=(), help="NAME=VALUE, as JSON or else as text; null removes it; may be repeated."),
    ] = None,
    timezone: Annotated[str | None, Parameter(help="IANA name of its time zone.")] = None,
    platform: Annotated[str | None, Parameter(help="What it is.")] = None,
    access: Access = LOCAL,
    json: Json = False,
) -> int:
    """Change what is known of a device, which is registered if it is new. What is not given stays.

    --empty-alias and --empty-tag take all of them away.
    """
    lists = {"aliases": alias, "tags": tag, "timezone": timezone, "platform": platform}
    changes: JsonObject = {field: value for field, value in lists.items() if value is not None}
    if attribute:
        changes["attributes"] = dict(map(_attribute, attribute))

    async def change(center: Center) -> DeviceInfo:
        try:
            return await center.patch_device(app, name, changes)
        except DeviceNotFound:
            await center.put_device(app, name)
            return await center.patch_device(app, name, changes)

    return show_one(access.ask(change), fields_of, json=json)


@device.command(name="messages")
def device_messages(
    app: str,
    name: str,
    /,
    *,
    state: Annotated[
        Literal["pending", "acked", "expired", "collapsed", "dropped"] | None,
        Parameter(help="Only those in this state; pending: what waits for it."),
    ] = None,
    count: Annotated[int, Parameter(help="How many, at most.")] = 20,
    access: Access = LOCAL,
    json: Json = False,
) -> int:
    """Print the latest messages for a device, and what became of each."""
    check_count(count)
    return access.ask(
        lambda center: show_pages(
            "messages",
            center.device_messages(app, name, state=state),
            ("message", "state", "label"),
            lambda each: (each.message_id, state_of(each.state, each.reason), each.label or ""),
            json=json,
            count=count,
        )
    )


@device.command(name="subscriptions")
def device_subscriptions(app: str, name: str, /, *, access: Access = LOCAL, json: Json = False) -> int:
    """Print what a device is subscribed to, where its MQTT session is kept."""
    found = access.ask(lambda center: center.subscriptions(app, name))
    if json:
        print_json({"kept": found is not None, "subscriptions": found or []})
    elif found is None:
        print("no session is kept for it: only the node that it is connected to knows its subscriptions")
    else:
        print_table(("filter", "qos"), [(each.filter, str(each.qos)) for each in found])
    return 0


@device.command(name="connections")
def device_connections(
    app: str,
    name: str,
    /,
    *,
    count: Annotated[int, Parameter(help="How many, at most.")] = 20,
    access: Access = LOCAL,
    json: Json = False,
) -> int:
    """Print the latest connections of a device: when, for how long, why they ended, where and how it came."""
    check_count(count)
    return access.ask(
        lambda center: show_pages(
            "connections",
            center.connections(app, name),
            ("connected", "ended", "why", "node", "address", "protocol", "client"),
            _connection_row,
            json=json,
            count=count,
        )
    )


def _connection_row(of: ConnectionInfo) -> tuple[str, ...]:
    ended = "" if of.ended_at is None else f"{of.ended_at:%Y-%m-%dT%H:%M:%SZ}"
    client = "" if of.client is None else f"{of.client.name} {of.client.version}".rstrip()
    began = f"{of.connected_at:%Y-%m-%dT%H:%M:%SZ}"
    return began, ended, of.reason or "", of.room, of.address or "", of.protocol or "", client


@device.command(name="shadow")
def device_shadow(
    app: str,
    name: str,
    /,
    *,
    desired: Annotated[
        str | None, Parameter(help="JSON to merge into what is desired of it; null removes a name.")
    ] = None,
    version: Annotated[int | None, Parameter(help="Change it only if it has this version.")] = None,
    access: Access = LOCAL,
    json: Json = False,
) -> int:
    """Print, or change, what is desired of a device, with what it reports."""
    if desired is None and version is not None:
        raise UsageError("--version goes with --desired")
    changes = None if desired is None else _object(desired)

    async def ask(center: Center) -> DeviceShadow:
        if changes is None:
            return await center.shadow(app, name)
        return await center.patch_shadow(app, name, desired=changes, version=version)

    return show_one(access.ask(ask), fields_of, json=json)


@device.command(name="call")
def device_call(
    app: str,
    name: str,
    payload: str,
    /,
    *,
    timeout: Annotated[int, Parameter(help="Seconds to wait for the answer, 1 to 60.")] = 10,
    access: Access = LOCAL,
    json: Json = False,
) -> int:
    """Send a command to a device, as text, and print its answer."""
    answer = access.ask(lambda center: center.call(app, name, payload, within=timeout))
    told = {"at": answer.at, **payload_fields(answer.payload)}
    return show(told, lambda: print(payload_text(answer.payload)), json=json)


@device.command(name="status")
def device_status(app: str, /, *names: str, access: Access = LOCAL, json: Json = False) -> int:
    """Print which of these devices are connected, and since when."""
    if not names:
        raise UsageError("name one or several devices")

    async def asked(center: Center) -> list[DeviceStatus]:
        found: list[DeviceStatus] = []
        for start in range(0, len(names), BATCH):
            found += await center.status(app, names[start : start + BATCH])
        return found

    return show_list(
        "devices",
        access.ask(asked),
        ("device", "online", "since"),
        lambda each: (each.device, _yes(each.online), "" if each.since is None else shown(each.since)),
        json=json,
    )


@device.command(name="import")
def device_import(
    app: str,
    file: Annotated[Path, Parameter(allow_leading_hyphen=True, help="A file; - is standard input.")],
    /,
    *,
    access: Access = LOCAL,
    json: Json = False,
) -> int:
    """Register or replace the devices in a file: `{"device": "d1", "tags": ["beta"], ...}` on each line.

    What is refused is printed, and how many were taken; exit status 1 when one is refused.
    """
    lines = objects_in(file)

    async def register(center: Center) -> list[LonglineError | None]:
        made: list[LonglineError | None] = []
        with progress("devices") as told:
            for start in range(0, len(lines), BATCH):
                made += await center.register_batch(app, lines[start : start + BATCH])
                told(len(made), len(lines))
        return made

    results = access.ask(register)
    refused = [(line, error) for line, error in zip(lines, results, strict=True) if error is not None]
    taken = len(results) - len(refused)
    if json:
        told = [
            {"device": line.get("device"), "error": {"code": error.code, "message": error.message}}
            for line, error in refused
        ]
        print_json({"registered": taken, "refused": told})
    else:
        print(taken)
        rows = [(str(line.get("device", "")), f"{error.message} ({error.code})") for line, error in refused]
        if rows:
            print_table(("device", "error"), rows)
    return 1 if refused else 0


@device.command(name="kick")
def device_kick(
    app: str,
    name: str,
    /,
    *,
    ban: Annotated[
        str | None, Parameter(help="Keep it out for so long: 10m, 12h, 30d; 0s lifts a ban.")
    ] = None,
    access: Access = LOCAL,
    json: Json = False,
) -> int:
    """End a device's connection."""
    length = None if ban is None else span(ban)
    access.ask(lambda center: center.kick(app, name, ban=length))
    return show_done("kicked", name, json=json)


@device.command(name="release")
def device_release(app: str, name: str, /, *, access: Access = LOCAL, json: Json = False) -> int:
    """Have a device that is parked, for acknowledging nothing, sent pushes again."""
    access.ask(lambda center: center.release_device(app, name))
    return show_done("released", name, json=json)


@device.command(name="delete")
def device_delete(app: str, name: str, /, *, access: Access = LOCAL, json: Json = False) -> int:
    """Forget a device: its connection ends, and what waits for it is dropped."""
    access.ask(lambda center: center.delete_device(app, name))
    return show_done("deleted", name, json=json)


def _object(text: str) -> JsonObject:
    try:
        return msgspec.json.decode(text, type=JsonObject)
    except msgspec.DecodeError:
        raise UsageError(f"a JSON object is wanted, and not {text}") from None


def _attribute(text: str) -> tuple[str, object]:
    name, given, value = text.partition("=")
    if not given or not name:
        raise UsageError(f"an attribute is NAME=VALUE, and not {text}")
    try:
        return name, msgspec.json.decode(value)
    except msgspec.DecodeError:
        return name, value


def _yes(flag: bool) -> str:
    return "yes" if flag else "no"
