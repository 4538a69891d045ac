"""`longline message`: what became of messages, and how to take one back."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cyclopts import App, Parameter

from longline.cli.access import LOCAL, Access
from longline.cli.output import print_pairs, print_table, show
from longline.cli.pages import show_pages
from longline.cli.times import moment, shown
from longline.cli.usage import Json, UsageError, check_count
from longline.errors import LonglineError
from longline.model.ledger import Ledger
from longline.sdk.answers import DeliveryTrace, MessageAccepted, MessageStatus
from longline.sdk.center import Center

BATCH = 1000  # what one request takes

message = App(name="message", help="What became of messages, and take them back.")


@message.command(name="list")
def message_list(
    app: str,
    /,
    *,
    since: Annotated[
        str | None,
        Parameter(name="--from", help="The first: a date, a time with an offset, or how far back, as 7d."),
    ] = None,
    until: Annotated[str | None, Parameter(name="--to", help="Before this.")] = None,
    status: Annotated[
        Literal["accepted", "delivering", "done"] | None, Parameter(help="Only those that stand so.")
    ] = None,
    label: Annotated[str | None, Parameter(help="Only those with this word of their sender's.")] = None,
    missed: Annotated[
        bool | None,
        Parameter(negative=(), help="Only those of which something expired, was collapsed or dropped."),
    ] = None,
    count: Annotated[int, Parameter(help="How many, at most.")] = 20,
    access: Access = LOCAL,
    json: Json = False,
) -> int:
    """Print an app's latest messages."""
    check_count(count)
    first, last = (None if each is None else moment(each) for each in (since, until))
    return access.ask(
        lambda center: show_pages(
            "messages",
            center.messages(app, since=first, until=last, status=status, label=label, missed=missed),
            ("message", "created", "status", "targeted", "acked", "pending", "label"),
            lambda each: (
                each.message_id,
                shown(each.created_at),
                each.status,
                str(each.ledger.targeted),
                str(each.ledger.acked),
                str(each.ledger.pending),
                each.label or "",
            ),
            json=json,
            count=count,
        )
    )


@message.command(name="show")
def message_show(app: str, message_id: str, /, *, access: Access = LOCAL, json: Json = False) -> int:
    """Print where a message stands, with its ledger."""
    return _show(access.ask(lambda center: center.message(app, message_id)), json=json)


@message.command(name="deliveries")
def message_deliveries(
    app: str,
    message_id: str,
    /,
    *,
    count: Annotated[int | None, Parameter(help="How many, at most; else all.")] = None,
    access: Access = LOCAL,
    json: Json = False,
) -> int:
    """Print a message's ledger, device by device."""
    check_count(count)
    return access.ask(
        lambda center: show_pages(
            "deliveries",
            center.deliveries(app, message_id),
            ("device", "state", "accepted", "sent", "settled"),
            lambda each: (
                each.device,
                state_of(each.state, each.reason),
                *(
                    "" if at is None else shown(at)
                    for at in (each.accepted_at, each.sent_at, each.settled_at)
                ),
            ),
            json=json,
            count=count,
        )
    )


@message.command(name="why")
def message_why(
    app: str, message_id: str, device: str, /, *, access: Access = LOCAL, json: Json = False
) -> int:
    """Print what became of a message for one device, and why."""
    trace = access.ask(lambda center: center.trace(app, message_id, device))
    return show(trace, lambda: _tell_why(trace), json=json)


def _tell_why(trace: DeliveryTrace) -> None:
    print(trace.why)
    times = (
        ("accepted", trace.accepted_at),
        ("sent", trace.sent_at),
        ("settled", trace.settled_at),
        ("device seen", trace.last_seen),
        ("banned until", trace.banned_until),
    )
    print_pairs(
        [
            ("state", state_of(trace.state, trace.reason)),
            *((name, shown(at)) for name, at in times if at is not None),
            *((("node", trace.room),) if trace.room else ()),
        ]
    )


@message.command(name="cancel")
def message_cancel(app: str, message_id: str, /, *, access: Access = LOCAL, json: Json = False) -> int:
    """Take back what is not yet delivered of a message, and print where it stands after that."""
    return _show(access.ask(lambda center: center.cancel(app, message_id)), json=json)


@message.command(name="batch")
def message_batch(
    app: str,
    file: Annotated[Path, Parameter(allow_leading_hyphen=True, help="A file; - is standard input.")],
    /,
    *,
    access: Access = LOCAL,
    json: Json = False,
) -> int:
    """Send the messages in a file: a JSON object of the API on each line; the id of each is printed.

    Exit status 1 when one of them is refused; the others are sent.
    """
    lines = objects_in(file)

    async def send(center: Center) -> list[MessageAccepted | LonglineError]:
        made: list[MessageAccepted | LonglineError] = []
        for start in range(0, len(lines), BATCH):
            made += await center.send_batch(app, lines[start : start + BATCH])
        return made

    results = access.ask(send)
    told = {"results": [_told(result) for result in results]}
    show(told, lambda: print_table(("message", "targeted", "error"), [*map(_row, results)]), json=json)
    return 1 if any(isinstance(result, LonglineError) for result in results) else 0


def _show(status: MessageStatus, *, json: bool) -> int:
    """Where a message stands: what it is, and its ledger."""
    return show(status, lambda: _print_status(status), json=json)


def _print_status(status: MessageStatus) -> None:
    pairs = [("message", status.message_id), ("status", status.status)]
    pairs += [("created", shown(status.created_at))]
    if status.send_at is not None:
        pairs.append(("send at", shown(status.send_at)))
    if status.label:
        pairs.append(("label", status.label))
    pairs += [(f"sent {shown(each.at)}", each.message_id or each.error or "") for each in status.firings]
    if status.error is not None:
        pairs.append(("error", status.error))
    print_pairs(pairs)
    print_table(("outcome", "devices"), ledger_rows(status.ledger))


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


def state_of(state: str, reason: str | None) -> str:
    """A device's state of a message, with the reason if there is one."""
    return f"{state}: {reason}" if reason else state


def objects_in(file: Path) -> list[dict[str, object]]:
    """JSON objects, one a line; `UsageError` for a line that is none."""
    try:
        data = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from None
    found: list[dict[str, object]] = []
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        try:
            found.append(msgspec.json.decode(line, type=dict[str, object]))
        except msgspec.MsgspecError as error:
            raise UsageError(f"{file}, line {number}: a JSON object is wanted: {error}") from None
    if not found:
        raise UsageError(f"{file} has nothing in it")
    return found


def _told(result: MessageAccepted | LonglineError) -> object:
    if isinstance(result, LonglineError):
        return {"error": {"code": result.code, "message": result.message}}
    return result


def _row(result: MessageAccepted | LonglineError) -> tuple[str, str, str]:
    if isinstance(result, LonglineError):
        return "", "", f"{result.message} ({result.code})"
    return result.message_id, "" if result.targeted is None else str(result.targeted), ""
