"""The HTTP listeners of a process: opened by name of their setting, counted, hastened, closed."""

from collections.abc import Callable
from contextlib import AsyncExitStack

from starlette.types import ASGIApp

from longline.center.http.connection import HttpConnections
from longline.center.http.counters import CONNECTION_GAUGES, CONNECTION_LABELS
from longline.center.http.server import HttpServer
from longline.flow.listening import listening
from longline.telemetry.collector import NodeCollector
from longline.telemetry.faults import Faults


class Fronts:
    """`grace`: seconds that requests under way have when a listener is closed. `report` is told what peers do
    wrong: a code, the peer, and the fault in words.
    """

    def __init__(
        self,
        collector: NodeCollector,
        faults: Faults,
        report: Callable[[str, str, str], None],
        grace: float,
    ) -> None:
        self._collector = collector
        self._faults = faults
        self._report = report
        self._grace = grace
        self._servers: list[HttpServer] = []

    async def open(
        self,
        part: str,
        app: ASGIApp,
        address: tuple[str, int],
        setting: str,
        opened: AsyncExitStack,
        *,
        limit: int,
        shared: bool = False,
        secure: Callable[[object], object] | None = None,
    ) -> None:
        """Serves an application on an address, unless the port is 0; `opened` closes it.

        `part` is the name of its figures, `setting` the one that the port comes from, `limit` how many
        connections there may be at once. A `shared` port has other processes of this host behind it, too.
        `secure` puts TLS below a connection.
        """
        host, port = address
        connections = HttpConnections(limit, self._report, self._faults)
        self._collector.add(part, connections.counters, gauges=CONNECTION_GAUGES, labels=CONNECTION_LABELS)
        if not port:
            return
        server = HttpServer(
            app,
            host,
            port,
            connections=connections,
            faults=self._faults,
            grace=self._grace,
            reuse_port=shared,
            secure=secure,
        )
        with listening(setting, host, port):
            await server.start()
        self._servers.append(server)
        opened.push_async_callback(server.stop)

    def hasten(self, grace: float) -> None:
        """Has requests under way end within so many seconds."""
        for server in self._servers:
            server.hasten(grace)
