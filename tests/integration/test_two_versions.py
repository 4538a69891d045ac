"""A rolling upgrade: this version and the one before on one store, and back.

The other version is a copy of this one in which every script is another text to the servers, unless
`LONGLINE_OTHER_VERSION` names a checkout whose layout of the store is the same: then it is that one.
"""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import jwt
import pytest_asyncio

from longline import Center, Device
from longline.saver.auditing import StoreAudit
from longline.saver.kv.audits.engine import KvAudits
from longline.settings import StoreSettings
from longline.store.redis import LAYOUT, Store
from tests.cluster.role_process import RoleProcess
from tests.integration.versions import THIS, another_version
from tests.servers.ports import free_ports
from tests.servers.shared import shared
from tests.waiting import until

PARTITIONS = 8
ADMIN_KEY = "an-admin-key-of-a-test"
ROLES = ("room", "center", "coordinator", "dispatcher")


class Upgrade:
    """Two nodes with every role on one store, whose versions can be changed one by one."""

    def __init__(self, directory: Path, store: str) -> None:
        self.store = store
        self.nodes: list[RoleProcess] = []
        self.mqtt_ports: list[int] = []
        self._directory = directory
        self._sources = {"this": THIS, "other": another_version(directory)}

    def add(self, version: str) -> RoleProcess:
        number, (http_port, mqtt_port, status_port) = len(self.nodes), free_ports(3)
        settings = {
            "PYTHONPATH": os.pathsep.join([str(self._sources[version]), os.environ.get("PYTHONPATH", "")]),
            "LONGLINE_ADMIN_KEY": ADMIN_KEY,
            "LONGLINE_STORE__URL": self.store,
            "LONGLINE_STORE__PARTITIONS": str(PARTITIONS),
            "LONGLINE_KEEPER__ENGINE": "redis",
            "LONGLINE_KEEPER__SESSION_TIMEOUT": "4",
            "LONGLINE_NODE__DRAIN_GRACE": "2",
            "LONGLINE_NODE__SHUTDOWN_GRACE": "1",
            "LONGLINE_NODE__STATUS_PORT": str(status_port),
            "LONGLINE_CENTER__PORT": str(http_port),
            "LONGLINE_ROOM__PORT": str(mqtt_port),
            "LONGLINE_ROOM__WS_PORT": "0",
        }
        status = f"http://127.0.0.1:{http_port}"
        node = RoleProcess(ROLES, f"{version}-{number}", self._directory, settings, status=status)
        self.nodes.append(node)
        self.mqtt_ports.append(mqtt_port)
        node.start()
        return node


@pytest_asyncio.fixture
async def upgrade(tmp_path: Path) -> AsyncIterator[Upgrade]:
    with shared("redis") as server:
        upgrade = Upgrade(tmp_path, server.url)
        try:
            yield upgrade
        finally:
            for node in upgrade.nodes:
                if node.running:
                    await node.kill()


async def told(center: Center) -> list[str]:
    """What the device has sent, page by page by one cursor."""
    events = center.upstream("news", follow=False, page_size=3)
    return [event.payload or "" for event in [event async for event in events] if event.type == "upstream"]


async def exchange(upgrade: Upgrade, centers: list[Center], secret: str, expected: list[str]) -> None:
    """A message through each center to a device at each room, and one of the device's back; all nodes tell
    the same of them."""
    token = jwt.encode({"sub": "d"}, secret, algorithm="HS256")
    for center in centers:
        for port in upgrade.mqtt_ports[-len(centers) :]:
            async with Device("127.0.0.1", port, app="news", device="d", token=token) as device:
                await device.wait_connected()
                sent = await center.send("news", "hello", devices=["d"])
                message = await anext(aiter(device))
                await message.ack()
                assert message.text == "hello"
                expected.append(str(len(expected)))
                await device.publish("up/x", expected[-1])
            for each in centers:

                async def balanced(each: Center = each, sent: str = sent.message_id) -> bool:
                    ledger = (await each.message("news", sent)).ledger
                    return ledger.acked == ledger.targeted == 1

                await until(balanced)
                assert await told(each) == expected


async def test_two_versions_work_on_one_store_and_go_back(upgrade: Upgrade) -> None:
    """Side by side first; then the newer one goes, and the other has all that came to it."""
    nodes = [upgrade.add("other"), upgrade.add("this")]
    for node in nodes:
        await node.ready()
    expected: list[str] = []
    async with AsyncExitStack() as stack:
        centers = [await stack.enter_async_context(Center(node.status, ADMIN_KEY)) for node in nodes]
        secret = (await centers[0].create_app("news")).device_secret
        await exchange(upgrade, centers, secret, expected)
        await nodes.pop().terminate()
        upgrade.mqtt_ports.pop()
        await exchange(upgrade, centers[:1], secret, expected)
        assert len(expected) == 5
    store = await Store.open(StoreSettings(url=upgrade.store, partitions=PARTITIONS))
    audits = KvAudits(store)
    report = await StoreAudit(audits).run([number for number, _ in await audits.apps()], whole=True)
    await store.close()
    assert report.differences == ()


async def test_a_node_does_not_start_on_a_store_that_a_later_version_has_laid_out(upgrade: Upgrade) -> None:
    store = await Store.open(StoreSettings(url=upgrade.store, partitions=PARTITIONS))
    await store.call(b"meta", "SET", b"{meta}layout", LAYOUT + 1)
    node = upgrade.add("this")
    await until(lambda: not node.running)
    assert f"the store has layout {LAYOUT + 1}; this version reads {LAYOUT}" in node.tail()
    await store.close()
