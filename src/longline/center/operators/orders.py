"""What orders to other processes have in common: how the keeper has them, and the wait for their outcome."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import msgspec

from longline.center.gate.sharing import Ticket
from longline.errors import Overloaded
from longline.keeper.port import Kept

T = TypeVar("T")


def kept_as(decoder: msgspec.json.Decoder[T], kept: Kept | None) -> T | None:
    """What is kept; None for nothing, and for what this version cannot read."""
    try:
        return None if kept is None else decoder.decode(kept.value)
    except msgspec.MsgspecError:
        return None


async def watched(watch: Coroutine[Any, Any, T], seconds: float, ticket: Ticket, name: str) -> T:
    """What `watch` returns or raises, as a task of this name.

    `TimeoutError` after so long; `Overloaded` when the request, which has this ticket, is to give way.
    """
    watching = asyncio.create_task(watch, name=name)

    def give_way() -> None:
        watching.cancel()

    try:
        with ticket.waiting(give_way):
            await asyncio.wait([watching], timeout=seconds)
        if watching.done() and not watching.cancelled():
            return watching.result()
    finally:
        watching.cancel()
    if ticket.gave_way:
        raise Overloaded("others need its place", retry_after=ticket.retry_after)
    raise TimeoutError
