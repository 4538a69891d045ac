"""A whole cluster on loopback: Redis Cluster, ZooKeeper ensemble, and the roles as processes."""

import asyncio
import itertools
import secrets
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from longline import Center
from tests.certificates import Authority
from tests.cluster.network import HERE, Network
from tests.cluster.role_process import RoleProcess
from tests.integration.server_process import with_tls
from tests.servers.ports import free_ports
from tests.servers.redis_server import RedisCluster
from tests.servers.zookeeper import Ensemble


class Cluster:
    """As many processes of each role as asked for. Fulfils what the end-to-end tests want of a server.

    `url` and `mqtt_port` name another center and another room with each look. With a `network`, the
    processes that it names, such as `room-4`, run in its namespaces, and the stores where these reach them.
    With `hosts`, the rooms are of so many hosts, as their names tell, in turns: `host-1` has the first, ….
    """

    def __init__(
        self,
        directory: Path,
        *,
        rooms: int = 4,
        centers: int = 2,
        dispatchers: int = 2,
        coordinators: int = 2,
        settings: Mapping[str, str] | None = None,
        redis_config: Mapping[str, str] | None = None,
        network: Network | None = None,
        hosts: int = 0,
    ) -> None:
        self.directory = directory
        self.admin_key = secrets.token_urlsafe(16)
        address = HERE.address if network is None else network.address
        self.redis = RedisCluster(directory / "redis", address=address, config=redis_config)
        self.zookeeper = Ensemble(directory / "zookeeper", address=address)
        self.network = network
        self.rooms: list[RoleProcess] = []
        self.room_addresses: list[tuple[str, int]] = []
        self.ws_ports: list[int] = []
        self.tls_ports: list[int] = []
        self.wss_ports: list[int] = []
        self.authority = Authority(directory / "certificates")
        self.centers: list[RoleProcess] = []
        self.dispatchers: list[RoleProcess] = []
        self.coordinators: list[RoleProcess] = []
        self._counts = {
            "room": rooms,
            "center": centers,
            "dispatcher": dispatchers,
            "coordinator": coordinators,
        }
        self._settings = dict(settings or {})
        self._hosts = hosts
        self._turn = itertools.count()
        self._stack = AsyncExitStack()

    # --- what tests of a server want ------------------------------------------------------------------

    @property
    def url(self) -> str:
        return self.centers[next(self._turn) % len(self.centers)].status

    @property
    def room_ports(self) -> list[int]:
        return [port for _, port in self.room_addresses]

    @property
    def mqtt_port(self) -> int:
        return self.room_ports[next(self._turn) % len(self.room_ports)]

    @property
    def ws_port(self) -> int:
        return self.ws_ports[next(self._turn) % len(self.ws_ports)]

    @property
    def tls_port(self) -> int:
        return self.tls_ports[next(self._turn) % len(self.tls_ports)]

    @property
    def wss_port(self) -> int:
        return self.wss_ports[next(self._turn) % len(self.wss_ports)]

    def center(self) -> Center:
        """The API at one of the centers, with the admin key."""
        return Center(self.url, self.admin_key)

    def tail(self) -> str:
        return "\n".join(f"--- {process.name}\n{process.tail(1500)}" for process in self.processes)

    # --- life -----------------------------------------------------------------------------------------

    @property
    def processes(self) -> list[RoleProcess]:
        return [*self.rooms, *self.centers, *self.dispatchers, *self.coordinators]

    async def start(self) -> None:
        """Starts everything; raises with nothing left running."""
        async with AsyncExitStack() as stack:
            for service in (self.redis, self.zookeeper):
                stack.callback(service.kill)
                service.start()  # not in a thread: it ends with the one that started it
            stack.push_async_callback(self._stop)
            await self._start()
            self._stack = stack.pop_all()

    async def stop(self) -> None:
        """Kills everything that runs."""
        await self._stack.aclose()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _start(self) -> None:
        ports = iter(free_ports(5 * sum(self._counts.values())))
        kinds: Sequence[tuple[str, list[RoleProcess]]] = (
            ("coordinator", self.coordinators),
            ("center", self.centers),
            ("dispatcher", self.dispatchers),
            ("room", self.rooms),
        )
        for role, processes in kinds:
            for number in range(self._counts[role]):
                processes.append(self._make(role, number + 1, [next(ports) for _ in range(5)]))
        for process in self.processes:
            process.start()
        await asyncio.gather(*(process.ready() for process in self.processes))

    def _make(self, role: str, number: int, ports: Sequence[int]) -> RoleProcess:
        http_port, mqtt_port, ws_port, tls_port, wss_port = ports
        name = f"{role}-{number}"
        place = HERE
        if self.network is not None and name in self.network.names:
            place = self.network.place(name)
        settings = {
            "LONGLINE_ADMIN_KEY": self.admin_key,
            "LONGLINE_STORE__URL": self.redis.url,
            "LONGLINE_KEEPER__HOSTS": self.zookeeper.hosts,
            "LONGLINE_KEEPER__SESSION_TIMEOUT": "4",
            "LONGLINE_KEEPER__REPORT_INTERVAL": "0.5",
            "LONGLINE_NODE__DRAIN_GRACE": "5",
            "LONGLINE_NODE__SHUTDOWN_GRACE": "2",
            "LONGLINE_CENTER__HOST": place.address,
            "LONGLINE_CENTER__PORT": str(http_port),
            **self._settings,
        }
        if role == "room":
            self.room_addresses.append((place.address, mqtt_port))
            settings["LONGLINE_ROOM__HOST"] = place.address
            settings["LONGLINE_ROOM__PORT"] = str(mqtt_port)
            self.ws_ports.append(ws_port)
            settings["LONGLINE_ROOM__WS_PORT"] = str(ws_port)
            self.tls_ports.append(tls_port)
            self.wss_ports.append(wss_port)
            settings |= with_tls(self.authority, tls_port, wss_port)
            if self._hosts:
                settings["LONGLINE_NODE__NAME"] = f"host-{(number - 1) % self._hosts + 1}"
        if role in ("room", "coordinator"):
            settings["LONGLINE_NODE__STATUS_HOST"] = place.address
            settings["LONGLINE_NODE__STATUS_PORT"] = str(http_port)
        return RoleProcess(
            [role],
            name,
            self.directory,
            settings,
            status=f"http://{place.address}:{http_port}",
            prefix=place.prefix,
        )

    async def _stop(self) -> None:
        running = [process for process in self.processes if process.running]
        await asyncio.gather(*(process.kill() for process in running))
