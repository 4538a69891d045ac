"""Callers that go away while their request waits."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

T = TypeVar("T")


async def until_gone(request: Request) -> None:
    """Returns when the caller has gone away. The body was read before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def unless_gone(request: Request, work: Coroutine[Any, Any, T], name: str) -> T:
    """What `work` returns or raises, as a task of this name; `ClientDisconnect` when the caller leaves."""
    gone = asyncio.create_task(until_gone(request), name="center.caller-gone")
    working = asyncio.create_task(work, name=name)
    try:
        await asyncio.wait([gone, working], return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return await working
    finally:
        gone.cancel()
        working.cancel()
        del gone, working  # what one of them raised has this frame in its traceback
