"""`longline key`: an app's server key, named keys, and who changed what."""

import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated

from cyclopts import App, Parameter

from longline.cli.access import LOCAL, Access
from longline.cli.admin import secrets_of
from longline.cli.output import json_text, show_done, show_one
from longline.cli.pages import show_pages
from longline.cli.times import moment, shown, span
from longline.cli.usage import Json, UsageError, check_count
from longline.sdk.keys import Change, NamedKey, OwnKey

key = App(name="key", help="Rotate an app's secrets; make, list, show and delete keys.")

Of = Annotated[str | None, Parameter(name="--app", help="A key of this app; else one that reaches all apps.")]


@key.command(name="rotate")
def key_rotate(
    name: str,
    /,
    *,
    device_secret: Annotated[
        bool, Parameter(negative=(), help="Also the secret of device tokens: all of them stop working.")
    ] = False,
    keep_server_key: Annotated[
        bool, Parameter(negative=(), help="Leave the server key: with --device-secret.")
    ] = False,
    disconnect: Annotated[
        bool, Parameter(negative=(), help="End the devices' connections, which stay otherwise.")
    ] = False,
    grace: Annotated[
        str | None, Parameter(help="For so long the old device secret is good too: 1d, 12h.")
    ] = None,
    access: Access = LOCAL,
    json: Json = False,
) -> int:
    """Replace an app's server key; the old one stops working at once."""
    length = None if grace is None else span(grace)
    keys = access.ask(
        lambda center: center.rotate_keys(
            name,
            server_key=not keep_server_key,
            device_secret=device_secret,
            disconnect=disconnect,
            grace=length,
        )
    )
    return show_one(keys, secrets_of, json=json)


@key.command(name="create")
def key_create(
    name: str,
    /,
    *scopes: Annotated[str, Parameter(help="What it may do: send, read, manage, operate.")],
    app: Of = None,
    expires_in: Annotated[
        str | None, Parameter(help="How long it works: 90d, 12h, 30m. Without it, as long as yours.")
    ] = None,
    access: Access = LOCAL,
    json: Json = False,
) -> int:
    """Make a named key, and print it: it is never shown again."""
    if not scopes:
        raise UsageError("say what the key may do: send, read, manage, operate, one or several")
    ends_at = None if expires_in is None else datetime.now(UTC) + span(expires_in)
    made = access.ask(lambda center: center.create_key(name, scopes, app=app, expires_at=ends_at))
    return show_one(
        made,
        lambda made: [
            ("key", made.key),
            ("key_id", made.key_id),
            ("scopes", " ".join(made.scopes)),
            ("ends", _end(made)),
        ],
        json=json,
    )


@key.command(name="list")
def key_list(*, app: Of = None, access: Access = LOCAL, json: Json = False) -> int:
    """Print named keys: of an app, or those that reach all apps."""
    return access.ask(
        lambda center: show_pages(
            "keys",
            center.named_keys(app),
            ("key", "name", "scopes", "ends", "last used"),
            lambda each: (each.key_id, each.name, " ".join(each.scopes), _end(each), _use(each)),
            json=json,
        )
    )


@key.command(name="show")
def key_show(*, access: Access = LOCAL, json: Json = False) -> int:
    """Print what the key may do that these commands use, and where."""
    own = access.ask(lambda center: center.own_key())
    return show_one(
        own,
        lambda own: [
            ("key", own.name or own.key_id),
            ("app", own.app or "all"),
            ("scopes", " ".join(own.scopes)),
            ("ends", _end(own)),
        ],
        json=json,
    )


@key.command(name="delete")
def key_delete(key_id: str, /, *, app: Of = None, access: Access = LOCAL, json: Json = False) -> int:
    """Delete a named key: it stops working within a second."""
    access.ask(lambda center: center.delete_key(key_id, app=app))
    return show_done("deleted", key_id, json=json)


@key.command(name="changes")
def key_changes(
    *,
    app: Annotated[str | None, Parameter(help="What is about this app; else everything.")] = None,
    since: Annotated[
        str | None, Parameter(help="How far back: 7d, 12h, 30m; or a date, or a time with an offset.")
    ] = None,
    until: Annotated[str | None, Parameter(help="Up to when, likewise; else until now.")] = None,
    count: Annotated[int | None, Parameter(help="So many, at most: 100, with --lines all.")] = None,
    lines: Annotated[
        bool, Parameter(negative=(), help="All that there are, one JSON object a line: to be kept in a file.")
    ] = False,
    access: Access = LOCAL,
    json: Json = False,
) -> int:
    """Print who changed what through the API, the latest first."""
    check_count(count)
    if lines and json:
        raise UsageError("--lines is JSON already: leave --json out")
    after = None if since is None else moment(since)
    before = None if until is None else moment(until)
    if lines:
        return access.ask(lambda center: _export(center.changes(app, since=after, until=before), count))
    columns = ("at", "by", "from", "what", "app", "subject", "outcome")
    return access.ask(
        lambda center: show_pages(
            "changes",
            center.changes(app, since=after, until=before),
            columns,
            _row,
            json=json,
            count=count or 100,
        )
    )


async def _export(changes: AsyncIterator[Change], count: int | None) -> int:
    """As they come, page by page."""
    number = 0
    async for change in changes:
        print(json_text(change))
        number += 1
        if number == count:
            break
    sys.stdout.flush()
    return 0


def _row(change: Change) -> tuple[str, ...]:
    return (
        shown(change.at),
        change.key_name or change.key_id,
        change.address,
        f"{change.method} {change.path}",
        change.app or "",
        change.subject or "",
        "unknown" if change.status is None else change.error or str(change.status),
    )


def _use(of: NamedKey) -> str:
    return "never" if of.last_used_at is None else f"{of.last_used_at:%Y-%m-%dT%H:%MZ}"


def _end(of: NamedKey | OwnKey) -> str:
    return "never" if of.expires_at is None else shown(of.expires_at)
