"""`longline push`: a message to devices, and its ledger."""

import base64
import binascii
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cyclopts import Parameter

from longline.cli.access import LOCAL, Access
from longline.cli.flags import Json, UsageError
from longline.cli.output import print_json, print_table, remark
from longline.errors import LonglineError
from longline.model.ledger import Ledger
from longline.sdk.answers import MessageStatus
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
    all: Annotated[bool, Parameter(negative=(), help="To every device of the app.")] = False,
    file: Annotated[
        Path | None,
        Parameter(allow_leading_hyphen=True, help="Send this file's bytes; - is standard input."),
    ] = None,
    base64: Annotated[bool, Parameter(negative=(), help="PAYLOAD is base64; its bytes are sent.")] = False,
    ttl: Annotated[int | None, Parameter(help="Seconds it waits for devices that are away.")] = None,
    qos: Annotated[Literal[0, 1] | None, Parameter(help="At most once, or at least once.")] = None,
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
    if bool(device) == all:
        raise UsageError("say to whom: --device, which may be repeated, or --all")
    content = _content(payload, file, is_base64=base64)

    async def pushing(center: Center) -> MessageStatus | None:
        accepted = await center.send(
            app,
            content,
            devices=device,
            everyone=all,
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
        count = "all" if accepted.targeted is None else accepted.targeted
        remark(f"{accepted.message_id}: waiting for {count} devices")
        try:
            return await center.wait(app, accepted.message_id, within=within)
        except TimeoutError:
            status = await center.message(app, accepted.message_id)
            raise StillPending(
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
        with suppress(msgspec.DecodeError):  # a text may begin with a bracket
            return msgspec.json.decode(text, type=msgspec.Raw)  # as it is written: 1.10 stays 1.10
    return text
