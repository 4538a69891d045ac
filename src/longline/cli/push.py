"""`longline push`: a message to devices, and its ledger."""

import base64
import binascii
import sys
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cyclopts import Parameter

from longline.cli.access import LOCAL, Access
from longline.cli.audience import read_audience
from longline.cli.message import ledger_rows
from longline.cli.output import fields_of, print_json, print_table, progress, remark, show_one
from longline.cli.times import seconds, span
from longline.cli.usage import Json, UsageError
from longline.errors import LonglineError
from longline.sdk.answers import MessageAccepted, MessageStatus, Push
from longline.sdk.center import Center


class StillPending(LonglineError):
    """Not every device has settled the message in the time that was given; those that are left still may."""

    code = "still_pending"


def push(
    app: str,
    payload: Annotated[
        str | None,
        Parameter(help="Text; a JSON object or array is sent as JSON, as it is written. Not with --file."),
    ] = None,
    /,
    *,
    device: Annotated[
        list[str] | None, Parameter(negative=(), help="To this device; may be repeated.")
    ] = None,
    alias: Annotated[
        list[str] | None, Parameter(negative=(), help="To all devices with this alias; may be repeated.")
    ] = None,
    tag: Annotated[
        list[str] | None, Parameter(negative=(), help="To all devices with this tag; may be repeated.")
    ] = None,
    group: Annotated[str | None, Parameter(help="To the members of this group.")] = None,
    audience: Annotated[
        str | None, Parameter(help="To the devices that this JSON describes, an audience of the API.")
    ] = None,
    all: Annotated[bool, Parameter(negative=(), help="To every device of the app.")] = False,
    reply: Annotated[
        str | None, Parameter(help="In answer to the upstream message that had this reply_to.")
    ] = None,
    file: Annotated[
        Path | None,
        Parameter(allow_leading_hyphen=True, help="Send this file's bytes; - is standard input."),
    ] = None,
    base64: Annotated[bool, Parameter(negative=(), help="PAYLOAD is base64; its bytes are sent.")] = False,
    ttl: Annotated[
        str | None, Parameter(help="How long it waits for devices that are away: 7d, 2h, 30m, or seconds.")
    ] = None,
    qos: Annotated[
        Literal[0, 1, 2] | None, Parameter(help="At most once, at least once, or exactly once.")
    ] = None,
    collapse_key: Annotated[
        str | None, Parameter(help="A newer message with the same key replaces it.")
    ] = None,
    label: Annotated[str | None, Parameter(help="A word by which the API finds it again.")] = None,
    online_only: Annotated[bool, Parameter(negative=(), help="Only to who is connected now.")] = False,
    at: Annotated[
        str | None,
        Parameter(help="When to send it: 2026-12-24T18:00:00+01:00; in local time without an offset."),
    ] = None,
    priority: Annotated[
        Literal["normal", "high"] | None, Parameter(help="high overtakes normal ones that wait for a device.")
    ] = None,
    spread_over: Annotated[
        str | None, Parameter(help="Send it to a large audience over so long: 10m, 2h.")
    ] = None,
    idempotency_key: Annotated[
        str | None, Parameter(help="However often this is said with the same key, one push is made.")
    ] = None,
    validate: Annotated[
        bool, Parameter(negative=(), help="Send nothing; check it, and print whom it would reach.")
    ] = False,
    wait: Annotated[bool, Parameter(negative=(), help="Follow the ledger until nothing is pending.")] = False,
    within: Annotated[float, Parameter(help="Seconds that --wait waits before it fails.")] = 60.0,
    access: Access = LOCAL,
    json: Json = False,
) -> int:
    """Send a message, and print its id.

    Ends when the server has the message on disk; with --wait, when nothing of it is pending any more.
    """
    if sum(map(bool, (device, alias, tag, group, audience, all, reply))) != 1:
        raise UsageError(
            "say to whom, in one way: --device, --alias or --tag, which may be repeated, --group, --audience,"
            " --all or --reply"
        )
    described = None if audience is None else read_audience(audience)
    content = Push(
        payload=content_of(payload, file, is_base64=base64),
        devices=device or None,
        aliases=alias or None,
        tags=tag or None,
        group=group,
        everyone=all,
        audience=described,
        reply=reply,
        ttl=None if ttl is None else seconds(ttl),
        qos=qos,
        priority=priority,
        collapse_key=collapse_key,
        label=label,
        online_only=online_only or None,
        send_at=None if at is None else time_of(at),
        spread_over=None if spread_over is None else span(spread_over),
    )
    if validate:
        return show_one(access.ask(lambda center: center.check(app, content)), fields_of, json=json)

    async def pushing(center: Center) -> MessageAccepted | MessageStatus:
        accepted = await center.send_push(app, content, idempotency_key=idempotency_key)
        if json:
            remark(accepted.message_id)
        else:
            print(accepted.message_id, flush=True)  # before what may be interrupted: it is sent by now
        return await _settled(center, app, accepted.message_id, within) if wait else accepted

    made = access.ask(pushing)
    if json:
        print_json(made)
    elif isinstance(made, MessageStatus):
        print_table(("outcome", "devices"), ledger_rows(made.ledger))
    return 0


async def _settled(center: Center, app: str, message_id: str, within: float) -> MessageStatus:
    """Where a push stands when nothing of it is pending any more, with a bar until then."""
    with progress("settled") as told, suppress(TimeoutError):
        async for status in center.follow(app, message_id, within=within):
            told(status.ledger.targeted - status.ledger.pending, status.ledger.targeted)
    last = await center.message(app, message_id)
    if last.ledger.pending or last.status == "scheduled":
        raise StillPending(
            f"{message_id}: {last.ledger.pending} of {last.ledger.targeted} devices are still pending "
            f"after {within:g} s"
        )
    return last


def time_of(text: str) -> datetime:
    """A date and a time, with an offset or without."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no date and time, such as 2026-12-24T18:00:00+01:00") from None


def content_of(payload: str | None, file: Path | None, *, is_base64: bool) -> object:
    """What is to be sent: a text, bytes, or JSON as it is written."""
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
            return msgspec.json.decode(text, type=msgspec.Raw)  # as it is written: 1.10 stays 1.10
        except msgspec.DecodeError as error:  # a text may begin with a bracket
            remark(f"(sent as text, since it is no JSON: {error})")
    return text
