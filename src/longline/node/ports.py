"""Whether the ports that several processes are to share are to be had.

A process that shares a port (`SO_REUSEPORT`) does not notice when another program of the same user shares it
too: each would get some of the clients of both. So whoever starts the processes looks first.
"""

import asyncio
from collections.abc import Container

import structlog

from longline.errors import SettingsError
from longline.flow.listening import bound
from longline.model.addresses import joined
from longline.settings import Settings
from longline.settings.listeners import ports

WITHIN = 30.0  # s: processes of an agent that was killed may be about to end
LOOK_EVERY = 0.2  # s

log = structlog.get_logger("longline.node")


async def until_free(settings: Settings, roles: Container[str], *, within: float = WITHIN) -> None:
    """Waits until nobody listens on the ports of these roles.

    Raises `SettingsError` at once when a program has one that shares it with nobody, and after `within`
    seconds when one that shares it does not go.
    """
    room, center = settings.room, settings.center
    wanted = []
    if "room" in roles:
        wanted += [(port.setting, room.host, port.number) for port in ports(room)]
    if ("center" in roles or "dispatcher" in roles) and center.port:
        wanted.append(("center.port", center.host, center.port))
    for setting, host, port in wanted:
        await _until_free(setting, host, port, asyncio.get_running_loop().time() + within)


async def _until_free(setting: str, host: str, port: int, deadline: float) -> None:
    loop = asyncio.get_running_loop()
    waiting = False
    while (error := _taken(host, port, shared=False)) is not None:
        if _taken(host, port, shared=True) is not None or loop.time() >= deadline:
            problem = f"cannot listen on {joined(host, port)}: {error.strerror or error}"
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
