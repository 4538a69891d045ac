"""Tries several ways to connect, each a little after the one before, and takes the first that works.

As RFC 8305 ("Happy Eyeballs") has it for the addresses of a host, and here also for the first endpoints: one
that is slow, or reached by a protocol that this network does not carry, costs a quarter of a second.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

AHEAD: Final = 0.25  # seconds that one has before the next begins, section 8
Won = TypeVar("Won")


async def race(
    ways: Sequence[Callable[[], Awaitable[Won]]], discard: Callable[[Won], None]
) -> tuple[int, Won]:
    """The index of the first that works, and what it gave; `discard` is for what others gave meanwhile.

    The next begins when one has had its time, or has failed. Raises what the last failed with when all did.
    """
    if len(ways) == 1:
        return 0, await ways[0]()
    begun: list[asyncio.Task[Won]] = []
    problem: BaseException | None = None
    winner: asyncio.Task[Won] | None = None
    try:
        while True:
            running = {task for task in begun if not task.done()}
            if len(begun) < len(ways):
                begun.append(asyncio.create_task(_run(ways[len(begun)]), name="longline-device-connecting"))
                running.add(begun[-1])
            elif not running:
                assert problem is not None
                raise problem
            timeout = AHEAD if len(begun) < len(ways) else None
            done, _ = await asyncio.wait(running, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            for task in begun:
                if task not in done:
                    continue
                problem = task.exception()
                if problem is None:
                    winner = task
                    return begun.index(task), task.result()
    finally:
        for task in begun:
            if task is not winner:
                task.cancel()
                task.add_done_callback(lambda task: discard(task.result()) if _worked(task) else None)


async def _run(way: Callable[[], Awaitable[Won]]) -> Won:
    return await way()


def _worked(task: "asyncio.Task[Won]") -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


async def addresses(host: str, port: int) -> list[str]:
    """The addresses of a host in the order to try them: families in turns, section 4."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    families: dict[int, list[str]] = {}
    for family, _, _, _, address in found:
        families.setdefault(family, []).append(str(address[0]))
    in_turns: list[str] = []
    while any(families.values()):
        in_turns += [each.pop(0) for each in families.values() if each]
    return in_turns
