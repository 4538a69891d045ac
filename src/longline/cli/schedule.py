"""`longline schedule`: messages that are sent again and again."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from longline.cli.access import LOCAL, Access
from longline.cli.audience import read_audience
from longline.cli.output import show_done, show_one
from longline.cli.pages import show_pages
from longline.cli.push import content_of
from longline.cli.times import seconds, shown
from longline.cli.usage import Json, UsageError
from longline.sdk.answers import Push, ScheduleInfo

schedule = App(name="schedule", help="Send a message again and again.")


@schedule.command(name="create")
def schedule_create(
    app: str,
    cron: str,
    payload: Annotated[
        str | None,
        Parameter(help="Text; a JSON object or array is sent as JSON, as it is written. Not with --file."),
    ] = None,
    /,
    *,
    device: Annotated[
        list[str] | None, Parameter(negative=(), help="To this device; may be repeated.")
    ] = None,
    tag: Annotated[
        list[str] | None, Parameter(negative=(), help="To all devices with this tag; may be repeated.")
    ] = None,
    group: Annotated[str | None, Parameter(help="To the members of this group.")] = None,
    audience: Annotated[
        str | None, Parameter(help="To the devices that this JSON describes, an audience of the API.")
    ] = None,
    all: Annotated[bool, Parameter(negative=(), help="To every device of the app.")] = False,
    timezone: Annotated[
        str | None, Parameter(help="Of the times, as Europe/Berlin; or device, for each device's own.")
    ] = None,
    file: Annotated[
        Path | None,
        Parameter(allow_leading_hyphen=True, help="Send this file's bytes; - is standard input."),
    ] = None,
    base64: Annotated[bool, Parameter(negative=(), help="PAYLOAD is base64; its bytes are sent.")] = False,
    ttl: Annotated[
        str | None, Parameter(help="How long it waits for devices that are away: 7d, 2h, 30m, or seconds.")
    ] = None,
    qos: Annotated[Literal[0, 1] | None, Parameter(help="At most once, or at least once.")] = None,
    collapse_key: Annotated[
        str | None, Parameter(help="A newer message with the same key replaces it.")
    ] = None,
    access: Access = LOCAL,
    json: Json = False,
) -> int:
    """Send a message at the times of a cron expression such as "0 9 * * 1-5"; its next times are printed."""
    if sum(map(bool, (device, tag, group, audience, all))) != 1:
        raise UsageError(
            "say to whom: --device or --tag, which may be repeated, --group, --audience or --all"
        )
    described = {"tag": tag} if tag else None if audience is None else read_audience(audience)
    push = Push(
        payload=content_of(payload, file, is_base64=base64),
        devices=device,
        group=group,
        everyone=all,
        audience=described,
        ttl=None if ttl is None else seconds(ttl),
        qos=qos,
        collapse_key=collapse_key,
    )
    made = access.ask(lambda center: center.schedule(app, push, cron, timezone=timezone))
    return show_one(made, _pairs, json=json)


@schedule.command(name="list")
def schedule_list(app: str, /, *, access: Access = LOCAL, json: Json = False) -> int:
    """Print an app's schedules."""
    columns = ("schedule", "cron", "time zone", "next")
    return access.ask(lambda center: show_pages("schedules", center.schedules(app), columns, _row, json=json))


@schedule.command(name="show")
def schedule_show(app: str, schedule_id: str, /, *, access: Access = LOCAL, json: Json = False) -> int:
    """Print a schedule with its next times and what it has sent lately."""
    return show_one(access.ask(lambda center: center.schedule_info(app, schedule_id)), _pairs, json=json)


@schedule.command(name="pause")
def schedule_pause(app: str, schedule_id: str, /, *, access: Access = LOCAL, json: Json = False) -> int:
    """Have a schedule send nothing until it is resumed."""
    return show_one(access.ask(lambda center: center.pause_schedule(app, schedule_id)), _pairs, json=json)


@schedule.command(name="resume")
def schedule_resume(app: str, schedule_id: str, /, *, access: Access = LOCAL, json: Json = False) -> int:
    """Have a schedule go on with its next time from now."""
    return show_one(access.ask(lambda center: center.resume_schedule(app, schedule_id)), _pairs, json=json)


@schedule.command(name="delete")
def schedule_delete(app: str, schedule_id: str, /, *, access: Access = LOCAL, json: Json = False) -> int:
    """Delete a schedule; what it has sent stays sent."""
    access.ask(lambda center: center.delete_schedule(app, schedule_id))
    return show_done("deleted", schedule_id, json=json)


def _row(found: ScheduleInfo) -> tuple[str, ...]:
    at = "paused" if found.paused else _times(found)[0]
    return found.schedule_id, found.cron, found.timezone, at


def _pairs(found: ScheduleInfo) -> list[tuple[str, str]]:
    pairs = [("schedule", found.schedule_id), ("cron", found.cron), ("time zone", found.timezone)]
    pairs += [("next", at) for at in _times(found)] if not found.paused else [("paused", "yes")]
    pairs += [
        (f"sent {shown(firing.at)}", firing.message_id or firing.error or "") for firing in found.firings
    ]
    return pairs


def _times(found: ScheduleInfo) -> list[str]:
    return [shown(at) for at in found.next] or ["never"]
