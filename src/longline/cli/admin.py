"""`longline app` and `token`: administration through the HTTP API."""

import sys
from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from longline.cli.access import LOCAL, Access
from longline.cli.output import (
    fields_of,
    print_table,
    remark,
    show,
    show_done,
    show_list,
    show_one,
)
from longline.cli.pages import show_pages
from longline.cli.times import shown
from longline.cli.usage import Json, UsageError
from longline.model.limits import AppLimits
from longline.sdk.access import Allow, TopicRule
from longline.sdk.answers import AppInfo, AppKeys
from longline.sdk.center import Center
from longline.sdk.limits import LimitsOfApp

app = App(name="app", help="Create, list and delete apps.")
app.command(
    "longline.cli.statistics:app_statistics", name="statistics", help="Print what was counted of an app."
)
app.command("longline.cli.figures:app_figures", name="figures", help="Print how an app fares now.")


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
    return show_one(keys, secrets_of, json=json)


@app.command(name="list")
def app_list(*, access: Access = LOCAL, json: Json = False) -> int:
    """Print all apps."""
    columns = ("app", "name", "pubsub", "created")
    return access.ask(lambda center: show_pages("apps", center.apps(), columns, _row, json=json))


@app.command(name="show")
def app_show(name: str, /, *, access: Access = LOCAL, json: Json = False) -> int:
    """Print what is known of an app, without its secrets."""
    return show_one(access.ask(lambda center: center.app(name)), fields_of, json=json)


@app.command(name="set")
def app_set(
    name: str,
    /,
    *,
    title: Annotated[str | None, Parameter(help="A name for people.")] = None,
    pubsub: Annotated[
        bool | None,
        Parameter(negative="--no-pubsub", help="Whether its devices may use plain topics."),
    ] = None,
    client_certificates: Annotated[
        bool | None,
        Parameter(
            negative="--no-client-certificates",
            help="Whether a TLS client certificate stands in for a device's token.",
        ),
    ] = None,
    end_at_expiry: Annotated[
        bool | None,
        Parameter(negative="--no-end-at-expiry", help="Whether a connection ends with its token."),
    ] = None,
    access: Access = LOCAL,
    json: Json = False,
) -> int:
    """Change an app. What is not given stays."""
    if all(each is None for each in (title, pubsub, client_certificates, end_at_expiry)):
        raise UsageError("say what to change, such as --title or --pubsub")
    changed = access.ask(
        lambda center: center.update_app(
            name,
            name=title,
            pubsub=pubsub,
            client_certificates=client_certificates,
            end_at_expiry=end_at_expiry,
        )
    )
    return show_one(changed, fields_of, json=json)


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
    return show_done("deleted", name, json=json)


@app.command(name="acl")
def app_acl(
    name: str,
    /,
    *rules: str,
    clear: Annotated[bool, Parameter(negative=(), help="Leave no rules: everything is allowed.")] = False,
    access: Access = LOCAL,
    json: Json = False,
) -> int:
    """Print what an app's devices may do with plain topics, or replace it: `both=home/{device}/#`.

    Parameters
    ----------
    rules
        publish=FILTER, subscribe=FILTER or both=FILTER; {device} is the device's name. They replace those
        that there are, and nothing else is allowed then.
    """
    if clear and rules:
        raise UsageError("give rules or --clear, and not both")
    wanted = [_rule(rule) for rule in rules]

    async def asked(center: Center) -> list[TopicRule]:
        return await (center.put_topic_rules(name, wanted) if wanted or clear else center.topic_rules(name))

    found = access.ask(asked)
    return show_list("rules", found, ("allow", "filter"), lambda rule: (rule.allow, rule.filter), json=json)


@app.command(name="limits")
def app_limits(
    name: str,
    /,
    *settings: str,
    access: Access = LOCAL,
    json: Json = False,
) -> int:
    """Print an app's limits, or change some: `messages_per_second=500 devices=default`.

    Parameters
    ----------
    settings
        NAME=NUMBER, where 0 is without limit, or NAME=default. The others stay. For keys with the scope
        operate.
    """
    changes = dict(map(_limit, settings))

    async def changed(center: Center) -> LimitsOfApp:
        found = await center.limits(name)
        if not changes:
            return found
        own = {field: getattr(found, field) for field in AppLimits.__struct_fields__}
        return await center.put_limits(name, AppLimits(**{**own, **changes}))

    found = access.ask(changed)
    rows = [
        (field, str(getattr(found.in_force, field)), "yes" if getattr(found, field) is not None else "no")
        for field in AppLimits.__struct_fields__
    ]
    return show(found, lambda: print_table(("limit", "in force", "of its own"), rows), json=json)


def _row(found: AppInfo) -> tuple[str, ...]:
    created = "" if found.created_at is None else shown(found.created_at)
    return found.app, found.name, "yes" if found.pubsub else "no", created


def _limit(setting: str) -> tuple[str, int | None]:
    name, separator, value = setting.partition("=")
    if name not in AppLimits.__struct_fields__:
        raise UsageError(f"{name!r} is no limit: {', '.join(AppLimits.__struct_fields__)}")
    if value == "default":
        return name, None
    if not separator or not (value.isascii() and value.isdigit()):
        raise UsageError(f"{setting!r}: NAME=NUMBER or NAME=default is wanted")
    return name, int(value)


def _rule(text: str) -> TopicRule:
    allow, separator, filter = text.partition("=")
    if not separator:
        raise UsageError(f"{text!r}: publish=FILTER, subscribe=FILTER or both=FILTER is wanted")
    try:
        allowed: Allow = msgspec.convert(allow, Allow)
    except msgspec.ValidationError:
        raise UsageError(f"{allow!r}: publish, subscribe or both is wanted") from None
    return TopicRule(allow=allowed, filter=filter)


def secrets_of(keys: AppKeys) -> list[tuple[str, str]]:
    """An app's secrets, by name; the server key only when it was made now."""
    pairs = [("app", keys.app), ("server_key", keys.server_key or ""), ("device_secret", keys.device_secret)]
    return [(name, secret) for name, secret in pairs if secret]


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
    return show_one(made, fields_of, json=json)
