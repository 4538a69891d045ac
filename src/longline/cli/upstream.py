"""`longline upstream`: what devices send, and what happens to them, as an app server reads it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
from cyclopts import Parameter

from longline.cli.access import LOCAL, Access
from longline.cli.output import print_json, print_row, remark, sdk_log_told
from longline.cli.times import shown
from longline.cli.usage import Json, UsageError, check_count
from longline.errors import LonglineError
from longline.sdk.answers import UpstreamEvent
from longline.sdk.center import Center


def upstream(
    app: str,
    /,
    *,
    follow: Annotated[bool, Parameter(negative=(), help="Go on with what comes. Ends with Ctrl-C.")] = False,
    tail: Annotated[
        bool, Parameter(negative=(), help="Follow only what comes from now on, and print nothing of before.")
    ] = False,
    cursor: Annotated[str | None, Parameter(help="Begin behind the event that has this cursor.")] = None,
    type: Annotated[
        list[str] | None,
        Parameter(
            negative=(),
            help="Print events of this type only (upstream, receipt, presence, device); may be repeated.",
        ),
    ] = None,
    count: Annotated[int | None, Parameter(help="Stop after so many events.")] = None,
    access: Access = LOCAL,
    json: Json = False,
) -> int:
    """Print what devices sent to their app server, receipts of their applications, and who comes and goes."""
    check_count(count)

    if tail and cursor is not None:
        raise UsageError("--tail and --cursor do not go together")

    async def reading() -> None:
        left = count
        async with access.opened() as center:
            async for event in _events(center, app, cursor, follow=follow, tail=tail):
                if event.gap:
                    remark("(events before this one were removed before they were read)")
                if type and event.type not in type:
                    continue
                _print_event(event, json=json)
                if left is not None:
                    left -= 1
                    if left == 0:
                        return

    with sdk_log_told():
        asyncio.run(reading())
    return 0


async def _events(
    center: Center, app: str, cursor: str | None, *, follow: bool, tail: bool
) -> AsyncIterator[UpstreamEvent]:
    """What is there, and then what comes; of `tail` only that."""
    if tail:
        async for event in center.upstream(app, tail=True):
            yield event
        return
    last = cursor
    try:
        async for event in center.upstream(app, after=last, follow=False):
            yield event
            last = event.cursor
    except LonglineError as error:
        # A server that never answers is a mistake, and not one to wait for; one that did comes back.
        if not (follow and error.retryable and last != cursor):
            raise
    if follow:
        async for event in center.upstream(app, after=last):
            yield event


def _print_event(event: UpstreamEvent, *, json: bool) -> None:
    if json:
        told = msgspec.structs.asdict(event).items()
        print_json({name: value for name, value in told if value not in (None, (), False)})
        return
    said = event.state or event.payload or event.payload_base64 or ""
    what = event.topic if event.topic is not None else event.type
    print_row(shown(event.at), event.device, what, said)
