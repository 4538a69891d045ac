"""A node of `longline serve` that forgets a duty, to see whether the machine notices.

LONGLINE_PLANTED_FAULT=lost-event python -m tests.platform.planted serve …
"""

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from longline.cli import main
from longline.model.events import Event
from longline.saver.port.flights import BeginFlights
from longline.saver.port.groups import MembersChanged
from longline.saver.port.inboxes import Fetch, Page
from longline.saver.port.shadows import Changed, ShadowChange
from longline.saver.sql.engine import SqliteSaver
from tests.contract.planted import VARIABLE, lost_key, lost_receipt, replace

EVERY = 5  # one of so many is forgotten


def lost_event(saver: SqliteSaver) -> None:
    """Answers as if all that devices have said were stored, and forgets some of it."""
    append, seen = saver.events.append, 0

    async def append_most(batch: Sequence[Event]) -> None:
        nonlocal seen
        seen += 1
        await append([event for event in batch if seen % EVERY or not event.payload])

    replace(saver.events, "append", append_most)


def lost_identifier(saver: SqliteSaver) -> None:
    """Has packet identifiers used that are stored nowhere."""

    async def begin(batch: Sequence[BeginFlights]) -> list[bool]:
        return [True] * len(batch)

    replace(saver.flights, "begin", begin)


def faithful_member(saver: SqliteSaver) -> None:
    """Says that members have left, for whom what was said before waits for ever."""
    groups, change = saver.groups, saver.groups.change

    async def change_but_leave(
        app: int, group: str, add: Sequence[int], remove: Sequence[int], now: int
    ) -> MembersChanged:
        drop = groups._drop
        groups._drop = lambda *_: None  # type: ignore[method-assign]
        try:
            return await change(app, group, add, remove, now)
        finally:
            groups._drop = drop  # type: ignore[method-assign]

    replace(groups, "change", change_but_leave)


def backwards(saver: SqliteSaver) -> None:
    """Reads what waits for a device from the latest on."""
    fetch = saver.inboxes.fetch

    async def fetch_backwards(batch: Sequence[Fetch]) -> list[Page]:
        return [
            msgspec.structs.replace(page, pushes=page.pushes[::-1]) if page.complete else page
            for page in await fetch(batch)
        ]

    replace(saver.inboxes, "fetch", fetch_backwards)


def untold(saver: SqliteSaver) -> None:
    """Keeps what is desired of a device, and tells it nothing of that when it comes."""
    change = saver.shadows.change

    async def change_in_silence(batch: Sequence[ShadowChange]) -> list[Changed]:
        return await change(
            [
                msgspec.structs.replace(each, shadow=msgspec.structs.replace(each.shadow, wanted=0))
                for each in batch
            ]
        )

    replace(saver.shadows, "change", change_in_silence)


def uncancelled(saver: SqliteSaver) -> None:
    """Says that a message was taken back, and delivers it."""

    async def cancel(app: int, message_id: str, now: int) -> bool:
        return True

    replace(saver.messages, "cancel", cancel)


FAULTS: dict[str, Callable[[Any], None]] = {
    "lost-event": lost_event,
    "lost-receipt": lost_receipt,
    "lost-key": lost_key,
    "lost-identifier": lost_identifier,
    "faithful-member": faithful_member,
    "backwards": backwards,
    "untold": untold,
    "uncancelled": uncancelled,
}


def plant(name: str) -> None:
    """Has each saver that is opened in this process forget a duty."""
    opened = SqliteSaver.open

    async def open_with_fault(*args: Any, **options: Any) -> SqliteSaver:
        saver = await opened(*args, **options)
        FAULTS[name](saver)
        return saver

    SqliteSaver.open = open_with_fault  # type: ignore[method-assign]


if __name__ == "__main__":
    plant(os.environ[VARIABLE])
    sys.exit(main())
