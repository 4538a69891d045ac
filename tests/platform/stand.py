"""A node as a process that can be killed, over each kind of store, and the audit of what it keeps."""

import asyncio
import secrets
import threading
from collections import defaultdict
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import httpx

from longline.saver.auditing import StoreAudit
from longline.saver.kv.audits.engine import KvAudits
from longline.saver.port.audits import AuditStore, Difference
from longline.saver.sql.audits.engine import SqlAudits
from longline.settings import StoreSettings
from longline.store.redis import Store
from tests.cluster.role_process import RoleProcess
from tests.contract.planted import VARIABLE
from tests.integration.server_process import ServerProcess
from tests.integration.shapes import WEBHOOKS
from tests.integration.web_target import Target
from tests.servers.ports import free_ports
from tests.servers.shared import shared
from tests.waiting import WITHIN

PARTITIONS: Final = 4
PAUSES: Final = (0.02, 1.0)  # s before another look at what seems to differ
SETTINGS: Final = {
    **WEBHOOKS,
    "LONGLINE_ROOM__LINGER": "0.3",
    "LONGLINE_ROOM__INFLIGHT_WINDOW": "3",
    "LONGLINE_COORDINATOR__GRACE": "0.3",
    "LONGLINE_CENTER__ONLINE_GRACE": "1",
    "LONGLINE_ROOM__ATTACH_RATE": "0",
    "LONGLINE_PARKING__SLOW_AFTER": "3",
    "LONGLINE_PARKING__PARK_AFTER": "5",
    "LONGLINE_PARKING__RETRY_AFTER": "1",
}

T = TypeVar("T")


class Node(Protocol):
    """What is killed and started again."""

    async def kill(self) -> object: ...

    async def terminate(self) -> object: ...

    def tail(self) -> str: ...


class HookTarget(Target):
    """A webhook's target for many apps. `of_app` are the events that it took of each, in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.of_app: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)

    def take(self, told: dict[str, Any]) -> None:
        self.of_app[told["app"]] += told["events"]

    def forget(self, app: str) -> None:
        """An app is over."""
        self.of_app.pop(app, None)
        self.calls.clear()


class Stand:
    """A node, and what a test asks of it. Its methods are called from another thread than its loop's."""

    def __init__(self, url: str, mqtt_port: int, admin_key: str) -> None:
        self.url = url
        self.mqtt_port = mqtt_port
        self.restarts = 0
        self.target = HookTarget()
        self._key = admin_key
        self._names = count(1)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.http = self._client()

    def _client(self) -> httpx.Client:
        return httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {self._key}"},
            timeout=WITHIN,
            trust_env=False,
        )

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(2 * WITHIN)

    def end(self) -> None:
        self.http.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WITHIN)
        self._loop.close()

    def new_app(self) -> tuple[str, str]:
        """Its name and the secret of its devices."""
        made = self.http.post("/v1/apps", json={"app": f"app{next(self._names)}", "pubsub": True})
        assert made.status_code == 201, made.text
        return made.json()["app"], made.json()["device_secret"]

    async def open(self) -> None:
        """Starts the node, and what looks at its store."""
        raise NotImplementedError

    async def start(self) -> None:
        raise NotImplementedError

    @property
    def node(self) -> Node:
        raise NotImplementedError

    @property
    def audits(self) -> AuditStore:
        raise NotImplementedError

    async def shut(self) -> None:
        """Ends the node, and what looks at its store."""
        raise NotImplementedError

    def restart(self, *, gracefully: bool) -> None:
        """SIGTERM or SIGKILL, and a new process on the same data."""
        self.do(self.node.terminate() if gracefully else self.node.kill())
        self.do(self.start())
        self.restarts += 1
        self.http.close()
        self.http = self._client()

    def differences(self, app: str | None) -> list[Difference]:
        """What an audit finds: of one app, or of all and the store.

        What it finds at once may be late on a busy machine, as the event is that a deleted device is gone,
        which follows its deletion: it is wrong if it stays.
        """

        async def audited() -> list[Difference]:
            apps = dict(await self.audits.apps())
            numbers = [number for number, name in apps.items() if app in (None, name)]
            found: list[Difference] = []
            for pause in PAUSES:
                report = await StoreAudit(self.audits, pause=pause).run(numbers, whole=app is None)
                found = list(report.differences)
                if not found:
                    break
            return found

        return self.do(audited())


class SqliteStand(Stand):
    """`longline serve`, with a planted fault if one is named."""

    def __init__(self, directory: Path, fault: str | None = None) -> None:
        planted = {} if fault is None else {VARIABLE: fault}
        self._server = ServerProcess(directory / "data", **SETTINGS, **planted)
        if fault is not None:
            self._server.module = "tests.platform.planted"
        self._audits: SqlAudits | None = None
        super().__init__(self._server.url, self._server.mqtt_port, self._server.admin_key)

    @property
    def node(self) -> Node:
        return self._server

    @property
    def audits(self) -> AuditStore:
        assert self._audits is not None
        return self._audits

    async def start(self) -> None:
        await self._server.start()

    async def open(self) -> None:
        await self.start()
        self._audits = await SqlAudits.open(self._server.data / "longline.db")

    async def shut(self) -> None:
        if self._audits is not None:
            await self._audits.close()
        await self._server.kill()


class RedisStand(Stand):
    """Every role of a cluster in one process."""

    def __init__(self, directory: Path, store_url: str) -> None:
        http_port, mqtt_port = free_ports(2)
        key = secrets.token_urlsafe(16)
        url = f"http://127.0.0.1:{http_port}"
        settings = {
            **SETTINGS,
            "LONGLINE_ADMIN_KEY": key,
            "LONGLINE_CENTER__PORT": str(http_port),
            "LONGLINE_ROOM__PORT": str(mqtt_port),
            "LONGLINE_ROOM__WS_PORT": "0",
            "LONGLINE_STORE__URL": store_url,
            "LONGLINE_STORE__PARTITIONS": str(PARTITIONS),
            "LONGLINE_KEEPER__ENGINE": "redis",
            "LONGLINE_KEEPER__SESSION_TIMEOUT": "2",
        }
        roles = ("room", "center", "dispatcher", "coordinator")
        self._process = RoleProcess(roles, "all", directory, settings, status=url)
        self._url = store_url
        self._store: Store | None = None
        super().__init__(url, mqtt_port, key)

    @property
    def node(self) -> Node:
        return self._process

    @property
    def audits(self) -> AuditStore:
        assert self._store is not None
        return KvAudits(self._store)

    async def start(self) -> None:
        self._process.start()
        await self._process.ready()

    async def open(self) -> None:
        await self.start()
        self._store = await Store.open(StoreSettings(url=self._url, partitions=PARTITIONS))

    async def shut(self) -> None:
        if self._store is not None:
            await self._store.close()
        await self._process.kill()


@contextmanager
def standing(kind: str, directory: Path, fault: str | None = None) -> Iterator[Stand]:
    """A node over a store of this kind; on SQLite with a `fault`, if one is named."""
    if kind == "sqlite":
        with _open(SqliteStand(directory, fault)) as stand:
            yield stand
        return
    with shared(kind) as server, _open(RedisStand(directory, server.url)) as stand:
        yield stand


@contextmanager
def _open(stand: Stand) -> Iterator[Stand]:
    try:
        stand.do(stand.target.up())
        stand.do(stand.open())
        yield stand
    finally:
        stand.do(stand.shut())
        stand.do(stand.target.down())
        stand.end()
