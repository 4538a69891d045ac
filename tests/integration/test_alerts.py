"""Alerts on real nodes: each condition is made true, and a Prometheus with the delivered rules says so.

In its files a minute is a second. Those of clusters and those that take hours are in files of their own.
"""

import asyncio
import gc
import re
import resource
import secrets
import shutil
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from tools.dashboards.pages import ALL

from longline.errors import LonglineError
from longline.mqtt.packets import Publish, Subscribe, Subscription
from longline.saver.sql.trail import SqlTrail
from tests.certificates import Authority
from tests.integration.alerts import fired, repeated, side_by_side
from tests.integration.live_member import live_member
from tests.integration.live_node import LiveNode
from tests.integration.server_process import ServerProcess
from tests.integration.web_target import SECRET, Target
from tests.servers.ports import free_ports
from tests.servers.prometheus import Prometheus, rules
from tests.servers.shared import shared
from tests.unit.test_dashboards import expressions
from tests.waiting import stand_still, until

pytestmark = [
    pytest.mark.shape("embedded"),
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="needs Debian's package prometheus"),
]

# What a machine that is busy with other things may make true, whatever the node does.
OF_THE_MACHINE: Final = frozenset({"LoopLag", "GcPauses", "ConnectsWait", "StoreLate", "BroadcastsSlow"})
TEN_MINUTES: Final = 40  # evaluations
SOME: Final = 120  # connections: over a hundred
CHANGES: Final = 700  # steps from one change of a certificate to the next

HURRIED: Final = {
    "webhooks.private_addresses": True,
    "webhooks.first_retry": 0.05,
    "webhooks.longest_retry": 0.2,
    "webhooks.give_up_after": 0.1,
    "webhooks.timeout": 2,
}
SMALL: Final = {"saver.inbox_messages": 1, "saver.audit_entries": 100, "coordinator.retire_after": 1}


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


async def events_that_are_forgotten(tmp_path: Path) -> None:
    """The target was away for more of them than are kept."""
    settings = {**HURRIED, "webhooks.give_up_after": 600, "saver.event_limit": 1000}
    async with (
        Target() as to,
        LiveNode(tmp_path / "data", settings) as node,
        Prometheus(tmp_path / "p", [target(node)]) as prometheus,
        node.center() as center,
        await node.connect() as client,
    ):
        made = await center.create_app("news")
        await center.put_webhook("news", to.url, secret=SECRET)
        await client.enter("d1", made.app, (await center.token("news", "d1")).password)
        await until(
            lambda: prometheus.query("longline_webhooks_events_taken_total > 0"), tell=prometheus.tail
        )
        to.mode = "error"

        async def speak() -> None:
            client.send(*(Publish("up/news", b"x") for _ in range(100)))
            await client.drain()

        async with repeated(speak):
            await until(
                lambda: prometheus.query("longline_room_upstream_stored_total > 3000"), tell=prometheus.tail
            )
        to.mode = "ok"
        await prometheus.fires("EventsMissed")


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


async def test_files_and_then_a_disk_that_are_used_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
        await a_disk_that_is_full_again_and_again(server, prometheus)


async def a_disk_that_is_full_again_and_again(server: ServerProcess, prometheus: Prometheus) -> None:
    """So that once at least it becomes so between a change and the entry of its outcome. The log is
    there, too.
    """
    numbers = iter(range(1_000_000))
    statuses: set[int] = set()
    async with (
        server.center() as center,
        httpx.AsyncClient(headers={"Authorization": f"Bearer {server.admin_key}"}) as http,
    ):
        await center.create_app("news")

        async def change() -> None:
            name = {"name": f"News {next(numbers)}"}
            changes = (http.patch(f"{server.url}/v1/apps/news", json=name) for _ in range(8))
            statuses.update(answer.status_code for answer in await asyncio.gather(*changes))

        async def fill_and_free() -> None:
            for limit, status in ((1, 503), (resource.RLIM_INFINITY, 200)):
                resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
                statuses.clear()
                await until(partial(statuses.__contains__, status), tell=server.tail)

        async with repeated(change):
            await fired(prometheus, ("ChangesUnended", "LogLost"), fill_and_free)


async def test_conditions_that_last(tmp_path: Path) -> None:
    await side_by_side(
        (
            clients_that_nobody_can_judge,
            targets_of_webhooks_that_fail,
            clients_for_which_there_is_no_room,
            bounds_of_what_is_kept,
            certificates_that_run_out_and_that_cannot_be_used,
            events_that_are_forgotten,
        ),
        tmp_path,
    )


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
