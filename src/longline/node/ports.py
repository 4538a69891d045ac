"""Whether the ports that several processes are to share are to be had.

A process that shares a port (`SO_REUSEPORT`) does not notice when another program of the same user shares it
too: each would get some of the clients of both. So whoever starts the processes looks first.
"""

import asyncio
from collections.abc import Container

import structlog

from longline.errors import SettingsError
from longline.flow.listening import bound, refused
from longline.settings import Settings
from longline.settings.listeners import ports

WITHIN = 30.0  # s: processes of an agent that was killed may be about to end
SOON = 2.0  # s: those processes have given up the other ports by now
LOOK_EVERY = 0.2  # s

log = structlog.get_logger("longline.node")


async def until_free(settings: Settings, roles: Container[str], *, within: float = WITHIN) -> dict[str, str]:
    """Waits until nobody listens on the ports of these roles.

    Raises `SettingsError` at once when a program has one that shares it with nobody, and after `within`
    seconds when one that shares it does not go. Returns the settings of those that nobody has asked for, and
    that are taken: they are to be done without.
    """
    room, center = settings.room, settings.center
    wanted: list[tuple[str, str, int]] = []
    unasked: list[tuple[str, str, int]] = []
    if "room" in roles:
        for port in ports(room):
            (unasked if port.unasked else wanted).append((port.setting, room.host, port.number))
    if ("center" in roles or "dispatcher" in roles) and center.port:
        wanted.append(("center.port", center.host, center.port))
    for setting, host, number in wanted:
        await _until_free(setting, host, number, asyncio.get_running_loop().time() + within)
    without = {}
    for setting, host, number in unasked:
        try:
            await _until_free(setting, host, number, asyncio.get_running_loop().time() + min(within, SOON))
        except SettingsError as error:
            log.warning("port_done_without", setting=setting, reason=error.message)
            without[setting] = "0"
    return without


async def _until_free(setting: str, host: str, port: int, deadline: float) -> None:
    loop = asyncio.get_running_loop()
    waiting = False
    while (error := _taken(host, port, shared=False)) is not None:
        if _taken(host, port, shared=True) is not None or loop.time() >= deadline:
            problem = refused(host, port, error)
            raise SettingsError(problem, details=[(setting, problem)])
        if not waiting:
            waiting = True
            log.info("port_awaited", port=port, reason="processes that share their ports have it")
        await asyncio.sleep(LOOK_EVERY)


def _taken(host: str, port: int, *, shared: bool) -> OSError | None:
    """Why the port cannot be had; None when it can."""
    try:
        bound(host, port, reuse_port=shared).close()
    except OSError as error:
        return error
    return None
