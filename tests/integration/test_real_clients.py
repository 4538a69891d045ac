"""Each real client does what the other tests rely on: checked against mosquitto, where that is installed."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.integration.clients.real import KINDS, RealClient, Received, Refused, missing
from tests.servers.ports import free_ports
from tests.waiting import until

pytestmark = pytest.mark.skipif(shutil.which("mosquitto") is None, reason="mosquitto is not installed")


async def listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


@asynccontextmanager
async def mosquitto(folder: Path, *, anonymous: bool = True) -> AsyncIterator[int]:
    """A broker on a free port, as long as the context lasts."""
    (port,) = free_ports(1)
    config = folder / f"mosquitto-{port}.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous {str(anonymous).lower()}\n")
    broker = await asyncio.create_subprocess_exec(
        "mosquitto", "-c", str(config), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        await until(lambda: listens(port))
        yield port
    finally:
        broker.terminate()
        await broker.wait()


async def publish(port: int, topic: str, payload: bytes) -> None:
    command = ["mosquitto_pub", "-h", "127.0.0.1", "-p", str(port), "-q", "1", "-t", topic, "-s"]
    process = await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE)
    await process.communicate(payload)
    assert process.returncode == 0


def client(kind: str, port: int, *, persistent: bool = True) -> RealClient:
    absent = missing(kind)
    if absent is not None:
        pytest.skip(absent)
    return RealClient(
        kind, port, app="news", device="d1", token="t", persistent=persistent, subscribe="push/#"
    )


@pytest.mark.parametrize("kind", KINDS)
async def test_a_client_tells_what_it_receives_and_has_waiting_what_came_meanwhile(
    kind: str, tmp_path: Path
) -> None:
    async with mosquitto(tmp_path) as port:
        async with client(kind, port) as first:
            await first.ready()
            await publish(port, "push/m1", b"\x00 hello \xff\n")
            [message] = await first.receive(1)
            assert (message.topic, message.payload, message.qos) == ("push/m1", b"\x00 hello \xff\n", 1)
            assert not message.dup
        await publish(port, "push/m2", bytes(range(256)) * 400)
        async with client(kind, port) as second:
            await second.ready()
            [waited] = await second.receive(1)
            assert (waited.topic, len(waited.payload)) == ("push/m2", 102_400)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_client_that_is_not_persistent_leaves_nothing_behind(kind: str, tmp_path: Path) -> None:
    async with mosquitto(tmp_path) as port:
        async with client(kind, port, persistent=False) as first:
            await first.ready()
        await publish(port, "push/m1", b"lost")
        async with client(kind, port, persistent=False) as second:
            await second.ready()
            assert not second.session_present
            await publish(port, "push/m2", b"seen")
            assert [message.payload for message in await second.receive(1)] == [b"seen"]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_client_that_is_not_let_in_says_so(kind: str, tmp_path: Path) -> None:
    async with mosquitto(tmp_path, anonymous=False) as port, client(kind, port) as refused:
        with pytest.raises(Refused):
            await refused.ready()


async def test_a_killed_client_is_gone_without_a_good_bye(tmp_path: Path) -> None:
    async with mosquitto(tmp_path) as port, client("paho-5", port) as killed:
        await killed.ready()
        await killed.kill()
        with pytest.raises(Refused, match="ended before"):
            await killed.receive(1)
        assert killed.received == list[Received]()
