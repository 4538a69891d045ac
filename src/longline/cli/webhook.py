"""`longline webhook`: events that are sent to an app's own server."""

from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from longline.cli.access import LOCAL, Access
from longline.cli.output import print_json, print_pairs, remark, show_done, show_one, show_value
from longline.cli.pages import show_pages
from longline.cli.times import shown
from longline.cli.usage import Json, UsageError
from longline.errors import WebhookNotFound
from longline.sdk.center import Center
from longline.sdk.webhooks import WebhookInfo, new_webhook_secret

webhook = App(name="webhook", help="Send an app's events to its own server.")


@webhook.command(name="set")
def webhook_set(
    app: str,
    url: str,
    /,
    *,
    event: Annotated[
        list[str] | None,
        Parameter(
            negative=(),
            help="Send this type (upstream, presence, receipt, device); may be repeated. All unless given.",
        ),
    ] = None,
    secret_file: Annotated[
        Path | None,
        Parameter(help="The secret that signs is in this file. Not with --new-secret."),
    ] = None,
    new_secret: Annotated[
        bool, Parameter(negative=(), help="Make a secret and print it; the one before signs for a day.")
    ] = False,
    grace: Annotated[int | None, Parameter(help="Or for so many seconds.")] = None,
    access: Access = LOCAL,
    json: Json = False,
) -> int:
    """Send an app's events to a URL. Without a secret the one that is there stays; the first one is made."""
    if new_secret and secret_file is not None:
        raise UsageError("--new-secret makes one, --secret-file reads one: give one of them")
    given = None if secret_file is None else _secret_in(secret_file)

    async def put(center: Center) -> tuple[WebhookInfo, str | None]:
        wanted = new_secret or (given is None and not await _exists(center, app))
        made = new_webhook_secret() if wanted else None
        return await center.put_webhook(app, url, secret=made or given, events=event, grace=grace), made

    found, made = access.ask(put)
    if json:
        print_json({**msgspec.structs.asdict(found), **({} if made is None else {"secret": made})})
        return 0
    print_pairs(_pairs(found))
    if made is not None:
        remark("(this secret is shown once; the server at the URL needs it)")
        print(made)
    return 0


@webhook.command(name="show")
def webhook_show(app: str, /, *, access: Access = LOCAL, json: Json = False) -> int:
    """Print where an app's events are sent, and how that fares."""
    return show_one(access.ask(lambda center: center.webhook(app)), _pairs, json=json)


@webhook.command(name="delete")
def webhook_delete(app: str, /, *, access: Access = LOCAL, json: Json = False) -> int:
    """Send an app's events nowhere any more, and forget those that were never taken."""
    access.ask(lambda center: center.delete_webhook(app))
    return show_done("deleted", app, json=json)


@webhook.command(name="dead")
def webhook_dead(app: str, /, *, access: Access = LOCAL, json: Json = False) -> int:
    """Print events that the target never took."""
    return access.ask(
        lambda center: show_pages(
            "events",
            center.dead_events(app),
            ("cursor", "device", "what", "why", "replaying"),
            lambda each: (
                each.cursor,
                each.device,
                each.topic or each.type,
                each.error,
                "yes" if each.replaying else "",
            ),
            json=json,
        )
    )


@webhook.command(name="replay")
def webhook_replay(
    app: str,
    /,
    *,
    cursor: Annotated[
        list[str] | None,
        Parameter(negative=(), help="Only the event that has this cursor; may be repeated."),
    ] = None,
    access: Access = LOCAL,
    json: Json = False,
) -> int:
    """Send events once more that the target never took; how many is printed."""
    replaying = access.ask(lambda center: center.replay_webhook(app, cursor))
    return show_value("replaying", replaying, json=json)


async def _exists(center: Center, app: str) -> bool:
    try:
        await center.webhook(app)
    except WebhookNotFound:
        return False
    return True


def _secret_in(file: Path) -> str:
    try:
        return file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--secret-file: {type(error).__name__}: it cannot be read") from None


def _pairs(found: WebhookInfo) -> list[tuple[str, str]]:
    status = found.status
    pairs = [("url", found.url), ("events", ", ".join(found.events)), ("state", status.state)]
    pairs += [("circuit", status.circuit), ("taken", str(status.taken))]
    pairs += [("waiting for", f"{status.lag_seconds:.1f} s")]
    if status.last_success_at is not None:
        pairs.append(("last taken", shown(status.last_success_at)))
    if status.failures:
        pairs += [("failures", str(status.failures)), ("last error", status.last_error or "")]
    if status.next_try_at is not None:
        pairs.append(("next try", shown(status.next_try_at)))
    if status.gaps:
        pairs.append(("gaps", str(status.gaps)))
    pairs.append(("dead", f"{status.dead.events}, of which {status.dead.replaying} are sent once more"))
    if status.dead.dropped:
        pairs.append(("dropped", str(status.dead.dropped)))
    return pairs
