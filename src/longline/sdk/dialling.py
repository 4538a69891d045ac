"""Opens a stream to a room: over TCP, TLS or WebSocket, to whichever of several places answers first."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from ipaddress import ip_address

from longline.sdk.endpoints import Endpoint
from longline.sdk.racing import addresses, race
from longline.sdk.websocket import open_websocket

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def dial(
    places: Sequence[Endpoint], tls: ssl.SSLContext | None, path: str | None
) -> tuple[Endpoint, Stream]:
    """Connects to the first of these that can be reached, and says to which; OSError when none can.

    With a `path` it is a WebSocket.
    """

    def way(place: Endpoint) -> Callable[[], Awaitable[Stream]]:
        return lambda: _dialled(*place, tls, path)

    index, stream = await race([way(place) for place in places], _discard)
    return places[index], stream


async def _dialled(host: str, port: int, tls: ssl.SSLContext | None, path: str | None) -> Stream:
    """Connects to whichever of the host's addresses answers first."""

    async def connect(address: str) -> Stream:
        if path is not None:
            return await open_websocket(host, port, path, tls, address)
        return await asyncio.open_connection(address, port, ssl=tls, server_hostname=host if tls else None)

    try:
        found = [host] if _is_address(host) else await addresses(host, port)
        _, stream = await race([partial(connect, address) for address in found], _discard)
    except (ValueError, OverflowError) as error:  # what somebody named is no host, or no port
        raise OSError(str(error)) from error
    return stream


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _discard(stream: Stream) -> None:
    stream[1].transport.abort()
