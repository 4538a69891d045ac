"""Alerts on real nodes: each condition is made true, and a Prometheus with the delivered rules says so.

In its files a minute is a second. Alerts that no test here makes true, because it would take hours, a second
version or a machine of another size, are shown by promtool alone (`BY_PROMTOOL_ALONE`).
"""

import asyncio
import gc
import re
import resource
import secrets
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final, Protocol

import httpx
import pytest
from tools.dashboards.pages import ALL

from longline.errors import LonglineError
from longline.mqtt.packets import Publish, Subscribe, Subscription
from longline.saver.sql.trail import SqlTrail
from tests.certificates import Authority
from tests.cluster.role_process import RoleProcess
from tests.integration.live_member import live_member
from tests.integration.live_node import LiveNode
from tests.integration.server_process import ServerProcess
from tests.integration.web_target import SECRET, Target
from tests.servers.ports import free_ports
from tests.servers.prometheus import Prometheus, rules
from tests.servers.redis_server import RedisServer
from tests.servers.shared import shared
from tests.unit.test_dashboards import expressions
from tests.waiting import stand_still, until

pytestmark = [
    pytest.mark.shape("embedded"),
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="needs Debian's package prometheus"),
]

BY_PROMTOOL_ALONE: Final = frozenset(
    {
        "BroadcastsSlow",
        "BusDrops",
        "BusWaits",
        "ChangesUnended",
        "ConnectsWait",
        "CoordinatorFails",
        "DeathsWithheld",
        "DiskSlow",
        "EventsMissed",
        "LogLost",
        "Pressed",
        "Rebound",
        "ReceiptsLost",
        "ReceiptsWait",
        "Resyncs",
        "RoomsSeenDiffer",
        "RoutesDrop",
        "RoutesFail",
        "SchedulesLate",
        "StoreLate",
        "StoreUnsteady",
        "StoreWaits",
        "TasksGrow",
        "TurnsWait",
        "VersionsDiffer",
        "WebhooksLag",
    }
)
# What a machine that is busy with other things may make true, whatever the node does.
OF_THE_MACHINE: Final = frozenset({"LoopLag", "GcPauses", "ConnectsWait", "StoreLate", "BroadcastsSlow"})
TEN_MINUTES: Final = 40  # evaluations
SOME: Final = 120  # connections: over a hundred
CHANGES: Final = 700  # steps from one change of a certificate to the next

Step = Callable[[], Awaitable[object]]


class Condition(Protocol):
    """Makes alerts true, with what it needs in a folder of its own."""

    __name__: str

    def __call__(self, tmp_path: Path) -> Coroutine[object, object, None]: ...


HURRIED: Final = {
    "webhooks.private_addresses": True,
    "webhooks.first_retry": 0.05,
    "webhooks.longest_retry": 0.2,
    "webhooks.give_up_after": 0.1,
    "webhooks.timeout": 2,
}
SMALL: Final = {"saver.inbox_messages": 1, "saver.audit_entries": 100, "coordinator.retire_after": 1}


@asynccontextmanager
async def repeated(step: Step) -> AsyncIterator[None]:
    """Takes a step again and again meanwhile."""

    async def run() -> None:
        while True:
            await step()
            await asyncio.sleep(0.02)

    task = asyncio.create_task(run())
    try:
        yield
        if task.done():
            task.result()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def fired(prometheus: Prometheus, names: Iterable[str], step: Step) -> None:
    """Takes a step again and again until all of these alerts fire."""
    async with repeated(step):
        for name in names:
            await prometheus.fires(name)


def target(node: LiveNode) -> str:
    return f"127.0.0.1:{node.http_port}"


async def test_a_healthy_node_is_silent_for_ten_minutes_and_an_absent_one_is_not(
    tmp_path: Path,
) -> None:
    """And what the dashboards ask is answered."""
    async with AsyncExitStack() as opened:
        node = await opened.enter_async_context(LiveNode(tmp_path / "data"))
        prometheus = await opened.enter_async_context(Prometheus(tmp_path / "p", [target(node)]))
        center = await opened.enter_async_context(node.center())
        made = await center.create_app("news", pubsub=True)
        await center.put_device("news", "d1")
        client = await opened.enter_async_context(await node.connect())
        token = await center.token("news", "d1")
        await client.enter("d1", made.app, token.password)

        async def push() -> None:
            await center.send("news", "hello", devices=["d1"])
            await client.receive()

        seen: set[str] = set()

        async def ten_minutes() -> bool:
            seen.update(await prometheus.firing())
            return await prometheus.evaluated() >= TEN_MINUTES

        async with repeated(push):
            await until(ten_minutes, 600, tell=prometheus.tail)
        assert seen - {f"Longline{name}" for name in OF_THE_MACHINE} == set()
        for page in ALL:
            for expression in expressions(page):
                await prometheus.query(expression)
        for figure in ("longline_room_connections", "longline_center_answers_total", "longline_build_info"):
            assert await prometheus.query(figure)
        await node.embedded.stop()
        opened.push_async_callback(node.embedded.start)
        assert "127.0.0.1" in (await prometheus.fires("ProcessDown"))["summary"]


async def test_a_loop_that_is_held_up(tmp_path: Path) -> None:
    garbage = [[number] for number in range(1_000_000)]

    async def hold_up() -> None:
        stand_still(0.2)
        gc.collect()

    async with LiveNode(tmp_path / "data") as node, Prometheus(tmp_path / "p", [target(node)]) as prometheus:
        await fired(prometheus, ("LoopLag", "GcPauses"), hold_up)
    del garbage


async def test_a_disk_that_is_full(tmp_path: Path) -> None:
    async with LiveNode(tmp_path / "data") as node, Prometheus(tmp_path / "p", [target(node)]) as prometheus:
        async with node.center() as center:
            await center.create_app("news")
            await center.put_device("news", "d1")
        headers = {"Authorization": f"Bearer {node.admin_key}"}
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        async with httpx.AsyncClient(base_url=node.url, headers=headers) as http:

            async def send() -> None:
                body = {"audience": {"devices": ["d1"]}, "payload": "x"}
                await http.post("/v1/apps/news/messages", json=body)

            try:
                resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
                await fired(prometheus, ("TransactionsFail", "ApiUnavailable", "CircuitOpened"), send)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_clients_that_go_are_not_known_or_do_not_read(tmp_path: Path) -> None:
    async with (
        LiveNode(tmp_path / "data") as node,
        Prometheus(tmp_path / "p", [target(node)]) as prometheus,
        node.center() as center,
    ):
        clients = [await node.connect() for _ in range(SOME)]
        asked = f"sum(longline_room_connections offset 5s) >= {SOME}"
        await until(lambda: prometheus.query(asked), tell=prometheus.tail)
        for client in clients:
            await client.close()
        await prometheus.fires("ConnectionsFell")

        async def guess() -> None:
            async with await node.connect() as client:
                await client.enter("d1", "news", "guessed")

        made = await center.create_app("news", pubsub=True)
        await fired(prometheus, ("BadTokens",), guess)

        async with await node.connect() as reader, await node.connect() as writer:
            for client, name in ((reader, "d1"), (writer, "d2")):
                await client.enter(name, made.app, (await center.token("news", name)).password)
            reader.send(Subscribe(1, [Subscription("flood")]))
            await reader.receive()

            async def flood() -> None:
                for _ in range(20):
                    writer.send(Publish("flood", bytes(60_000)))
                await writer.drain()

            await fired(prometheus, ("SlowConsumers",), flood)


async def clients_that_nobody_can_judge(tmp_path: Path) -> None:
    """The service that decides is not there."""
    settings = {"room.auth_url": "http://127.0.0.1:9/", "authority.timeout": 0.2}
    async with (
        LiveNode(tmp_path / "data", settings) as node,
        Prometheus(tmp_path / "p", [target(node)]) as prometheus,
        node.center() as center,
    ):
        await center.create_app("news")
        token = await center.token("news", "d1")

        async def come() -> None:
            async with await node.connect() as client:
                await client.enter("d1", "news", token.password)

        await fired(prometheus, ("Refuses",), come)


async def targets_of_webhooks_that_fail(tmp_path: Path) -> None:
    to = Target()
    to.mode = "error"
    await to.up()
    numbers = iter(range(1_000_000))
    async with (
        LiveNode(tmp_path / "data", HURRIED) as node,
        Prometheus(tmp_path / "p", [target(node)]) as prometheus,
        node.center() as center,
    ):
        for app in ("news", "maps", "mail"):
            await center.create_app(app)
            await center.put_webhook(app, to.url, secret=SECRET)

        async def happen() -> None:
            device = f"d{next(numbers)}"
            for app in ("news", "maps", "mail"):
                await center.put_device(app, device)

        await fired(prometheus, ("EventsGivenUp", "WebhooksFail", "WebhookFails"), happen)
    await to.down()


async def clients_for_which_there_is_no_room(tmp_path: Path) -> None:
    async with (
        LiveNode(tmp_path / "data") as node,
        Prometheus(tmp_path / "p", [target(node)]) as prometheus,
        node.center() as center,
    ):
        await center.create_app("news")

        async def ask() -> None:
            with suppress(LonglineError):  # no room has TLS
                await center.dispatch("news", "d1", transport="tls")

        await fired(prometheus, ("NoRoom",), ask)


async def test_faults_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: an item that fails, a request that does, and duties that nobody does any more."""

    async def broken(*_: object) -> None:
        raise RuntimeError("planted")

    monkeypatch.setattr(SqlTrail, "latest", broken)
    async with (
        LiveNode(tmp_path / "data") as node,
        Prometheus(tmp_path / "p", [target(node)]) as prometheus,
        httpx.AsyncClient(headers={"Authorization": f"Bearer {node.admin_key}"}) as http,
    ):
        await until(lambda: prometheus.query("longline_tasks offset 10s"), tell=prometheus.tail)
        node.embedded.faults.note("test.planted", RuntimeError("planted"))
        for task in asyncio.all_tasks():
            if task.get_name().startswith("coordinator."):
                task.cancel()

        async def ask() -> None:
            assert (await http.get(f"{node.url}/v1/audit")).status_code == 500

        await fired(prometheus, ("Faults", "ApiErrors", "NobodyLeads"), ask)


async def bounds_of_what_is_kept(tmp_path: Path) -> None:
    numbers = iter(range(1_000_000))
    async with (
        LiveNode(tmp_path / "data", SMALL) as node,
        Prometheus(tmp_path / "p", [target(node)]) as prometheus,
        node.center() as center,
    ):
        await center.create_app("news")

        async def go_on() -> None:
            await center.put_device("news", "d1")
            for _ in range(3):
                with suppress(LonglineError):
                    await center.send("news", "hello", devices=["d1"])
            await center.put_device("news", f"gone{next(numbers)}")
            await center.update_app("news", name=f"News {next(numbers)}")

        await fired(prometheus, ("AuditForgotten", "DevicesRetired", "InboxesFull"), go_on)


async def test_callers_that_want_too_much(tmp_path: Path) -> None:
    async with (
        LiveNode(tmp_path / "data", {"center.max_connections": 8}) as node,
        Prometheus(tmp_path / "p", [target(node)]) as prometheus,
    ):
        held: list[httpx.AsyncClient] = []

        async def ask() -> None:
            http = httpx.AsyncClient()
            held.append(http)
            with suppress(httpx.TransportError):
                for _ in range(20):
                    guess = f"lln_{secrets.token_hex(16)}_{secrets.token_urlsafe(32)}"
                    await http.get(f"{node.url}/v1/apps", headers={"Authorization": f"Bearer {guess}"})
            if len(held) > 40:
                await held.pop(0).aclose()

        await fired(prometheus, ("ConnectionsDisplaced", "RateLimited"), ask)
        for http in held:
            await http.aclose()


async def certificates_that_run_out_and_that_cannot_be_used(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "certificates")
    pair = authority.server()
    (port,) = free_ports(1)
    settings = {
        "room.tls_port": port,
        "room.tls_cert": pair.certificate,
        "room.tls_key": pair.key,
        "room.wss_port": 0,
    }
    numbers = iter(range(1_000_000))
    async with (
        LiveNode(tmp_path / "data", settings) as node,
        Prometheus(tmp_path / "p", [target(node)]) as prometheus,
    ):

        async def spoil() -> None:
            number = next(numbers)
            if number % CHANGES == 0:  # what changes all the time is not read
                pair.certificate.write_text(f"no certificate {number}")

        await fired(prometheus, ("CertificateNotLoaded", "CertificateExpires"), spoil)


async def test_files_that_are_used_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = asyncio.create_subprocess_exec

    async def limited(*command: str, **options: Any) -> asyncio.subprocess.Process:
        return await start("sh", "-c", 'ulimit -n 256; exec "$@"', "sh", *command, **options)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", limited)
    patient = {"LONGLINE_ROOM__CONNECT_TIMEOUT": "300"}
    async with (
        ServerProcess(tmp_path / "data", **patient) as server,
        Prometheus(tmp_path / "p", [f"127.0.0.1:{server.http_port}"]) as prometheus,
    ):
        await until(lambda: prometheus.query("longline_files_limit"))
        opened = int((await prometheus.query("process_open_fds"))[0]["value"][1])
        clients = [await asyncio.open_connection("127.0.0.1", server.mqtt_port) for _ in range(215 - opened)]
        await prometheus.fires("FilesNearLimit")
        # As when what is below it opens some of its own.
        _, hard = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (200, hard))
        await until(lambda: prometheus.query("longline_files_exhausted_total > 0"), 240)
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (hard, hard))
        await prometheus.fires("FilesExhausted")
        for _, writer in clients:
            writer.close()


async def a_store_that_is_gone(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis") as server:
        async with (
            live_member(tmp_path / "data", server.url, store__timeout=1) as process,
            Prometheus(tmp_path / "p", [process.status]) as prometheus,
        ):
            await until(lambda: prometheus.query("longline_store_connected == longline_store_servers"))
            server.kill()

            async def wait() -> None:
                await asyncio.sleep(0)

            await fired(prometheus, ("StoreDisconnected", "Isolated"), wait)
            server.start()


async def a_room_that_dies(tmp_path: Path) -> None:
    with shared("redis") as server:
        async with (
            live_member(tmp_path / "data", server.url, keeper__session_timeout=1) as process,
            Prometheus(tmp_path / "p", [process.status]) as prometheus,
        ):
            mqtt, status = free_ports(2)
            other = RoleProcess(
                ("room",),
                "other",
                tmp_path,
                {
                    "LONGLINE_STORE__URL": server.url,
                    "LONGLINE_STORE__PARTITIONS": "4",
                    "LONGLINE_KEEPER__ENGINE": "redis",
                    "LONGLINE_KEEPER__SESSION_TIMEOUT": "1",
                    "LONGLINE_ROOM__PORT": str(mqtt),
                    "LONGLINE_ROOM__WS_PORT": "0",
                    "LONGLINE_NODE__STATUS_PORT": str(status),
                },
                status=f"http://127.0.0.1:{status}",
            )
            other.start()
            try:
                await other.ready()
                await until(lambda: prometheus.query("longline_coordinator_dead_rooms_total"))
            finally:
                await other.kill()

            async def wait() -> None:
                await asyncio.sleep(0)

            await fired(prometheus, ("RoomDied",), wait)


AT_ONCE: Final = (
    (
        clients_that_nobody_can_judge,
        targets_of_webhooks_that_fail,
        clients_for_which_there_is_no_room,
        bounds_of_what_is_kept,
        certificates_that_run_out_and_that_cannot_be_used,
    ),
    (a_store_that_is_gone, a_room_that_dies),
)


@pytest.mark.parametrize("conditions", AT_ONCE, ids=["nodes", "members"])
async def test_conditions_that_last(conditions: Sequence[Condition], tmp_path: Path) -> None:
    """Each with a node and a Prometheus of its own, and side by side: nearly all that they do is wait."""
    async with asyncio.TaskGroup() as group:
        for condition in conditions:
            directory = tmp_path / condition.__name__
            directory.mkdir()
            group.create_task(condition(directory), name=condition.__name__)


async def test_every_figure_of_the_rules_and_dashboards_is_exported(tmp_path: Path) -> None:
    """By a node on its own storage, or by one on a store with TLS."""
    pair = Authority(tmp_path / "certificates").server()
    tls_port, wss_port = free_ports(2)
    secure = {
        "room__tls_port": tls_port,
        "room__wss_port": wss_port,
        "room__tls_cert": pair.certificate,
        "room__tls_key": pair.key,
        "center__tls_cert": pair.certificate,
        "center__tls_key": pair.key,
    }
    told = ""
    with shared("redis") as server:
        async with (
            LiveNode(tmp_path / "serve") as node,
            live_member(tmp_path / "member", server.url, **secure) as process,
            httpx.AsyncClient() as http,
        ):
            for url in (node.url, f"http://{process.status}"):
                told += (await http.get(f"{url}/metrics")).raise_for_status().text
    exported = set(re.findall(r"^# TYPE (\w+) ", told, re.MULTILINE))
    exported |= {f"{name}_{suffix}" for name in exported for suffix in ("bucket", "count", "sum")}
    # Of Prometheus itself.
    exported |= {"up", "ALERTS"}
    used = [each for page in ALL for each in expressions(page)]
    used += [rule["expr"] for group in rules()["groups"] for rule in group["rules"]]
    named = {
        name for each in used for name in re.findall(r"\b(?:longline|process)_\w+|\bup\b|\bALERTS\b", each)
    }
    assert named - exported == set()
    assert len(named) > 100


def test_every_alert_is_made_true_here_or_said_to_be_shown_by_promtool_alone() -> None:
    """Which of them, stands in the calls above."""
    source = Path(__file__).read_text("utf-8")
    here = {
        name
        for names in re.findall(r'\.fires\("(\w+)"\)|fired\(prometheus, \(([^)]*)\)', source)
        for part in names
        for name in re.findall(r"\w+", part)
    }
    groups = rules()["groups"]
    alerts = {rule["alert"].removeprefix("Longline") for group in groups for rule in group["rules"]}
    assert here | BY_PROMTOOL_ALONE == alerts
    assert not here & BY_PROMTOOL_ALONE
