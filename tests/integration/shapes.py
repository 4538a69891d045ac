"""The shapes of Longline that the end-to-end tests run against, chosen by `--shape`."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Protocol

from longline import Center
from tests.certificates import Authority
from tests.cluster.cluster import Cluster
from tests.cluster.network import Network
from tests.integration.server_process import ServerProcess


class Server(Protocol):
    """What a test sees of a server, whatever its shape.

    `url` and the ports may name another process of it with each look. `authority` has signed the certificate
    of the ports with TLS.
    """

    admin_key: str

    @property
    def url(self) -> str: ...

    @property
    def mqtt_port(self) -> int: ...

    @property
    def ws_port(self) -> int: ...

    @property
    def tls_port(self) -> int: ...

    @property
    def wss_port(self) -> int: ...

    @property
    def authority(self) -> Authority | None: ...

    def center(self) -> Center:
        """The API, with the admin key."""
        ...

    def tail(self) -> str:
        """The end of what it has logged."""
        ...


# Webhooks' targets are in this host, and nobody has time.
WEBHOOKS = {
    "LONGLINE_WEBHOOKS__PRIVATE_ADDRESSES": "true",
    "LONGLINE_WEBHOOKS__TIMEOUT": "2",
    "LONGLINE_WEBHOOKS__FIRST_RETRY": "0.2",
    "LONGLINE_WEBHOOKS__LONGEST_RETRY": "2",
}


# Nor to connect twenty times, as a client that is parked for it has.
IN_A_HURRY = {
    **WEBHOOKS,
    "LONGLINE_PARKING__SLOW_AFTER": "6",
    "LONGLINE_PARKING__PARK_AFTER": "7",
}


@asynccontextmanager
async def started(shape: str, directory: Path) -> AsyncIterator[ServerProcess]:
    """A server of one host, of its own for one test."""
    arguments = ("--workers", "2") if shape == "workers" else ()
    authority = Authority(directory / "certificates")
    async with ServerProcess(directory / "data", arguments, authority, **IN_A_HURRY) as server:
        yield server


@contextmanager
def standing(
    directory: Path, *, settings: Mapping[str, str] | None = None, network: Network | None = None
) -> Iterator[Cluster]:
    """A whole cluster for many tests."""
    cluster = Cluster(directory, settings=settings, network=network)
    asyncio.run(cluster.start())
    try:
        yield cluster
    finally:
        asyncio.run(cluster.stop())


async def emptied(server: Server) -> None:
    """Deletes every app, so that the next test finds an empty server."""
    async with server.center() as center:
        for app in [app.app async for app in center.apps()]:
            await center.delete_app(app)
