"""`longline audit` on every shape: nothing to find while a node is busy, and what was done to its store."""

import asyncio
import json
import os
import sys
from contextlib import closing
from typing import Any

import apsw
import pytest

from longline import Center, Device
from longline.settings import StoreSettings
from longline.store.redis import Store
from tests.cluster.cluster import Cluster
from tests.integration.server_process import ServerProcess
from tests.integration.shapes import Server
from tests.waiting import WITHIN, until

PARTITIONS = {"workers": 16, "cluster": 64}


def options_for(server: Server) -> list[str]:
    """Where the command finds what the server keeps."""
    if isinstance(server, Cluster):
        return ["--store.url", server.redis.url, "--data", str(server.directory / "nobody")]
    assert isinstance(server, ServerProcess)
    return ["--data", str(server.data)]


async def audit(*arguments: str) -> tuple[int | None, str, str]:
    """Exit status, output and errors of the command."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LONGLINE_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "longline", "audit", *arguments),
        env=clean,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(WITHIN):
        out, errors = await process.communicate()
    return process.returncode, out.decode(), errors.decode()


async def prepared(center: Center) -> str:
    """The token of a device of an app that has some."""
    for app in ("news", "other"):
        await center.create_app(app)
    for name in ("d1", "away"):
        await center.put_device("news", name, tags=["beta"])
    return (await center.token("news", "d1")).password


async def test_an_audit_finds_nothing_while_a_server_is_busy(server: Server) -> None:
    got: list[bytes] = []

    async def push(center: Center) -> None:
        n = 0
        while True:
            n += 1
            await center.send("news", f"one {n}", devices=["d1", "away"], collapse_key=f"k{n % 3}")
            await center.send("news", f"all {n}", everyone=True)

    async def take(device: Device) -> None:
        async for message in device:
            got.append(message.payload)  # noqa: PERF401 (each when it comes)

    async with server.center() as center:
        token = await prepared(center)
        async with Device("127.0.0.1", server.mqtt_port, app="news", device="d1", token=token) as device:
            under_way = [asyncio.create_task(each) for each in (push(center), take(device))]
            try:
                await until(lambda: len(got) > 5)
                for app in ((), ("news",)):
                    status, out, errors = await audit(*app, "--json", *options_for(server))
                    report: dict[str, Any] = json.loads(out)
                    assert (status, report["differences"]) == (0, []), errors
                    assert report["looked"] > 0
            finally:
                for task in under_way:
                    task.cancel()
                await asyncio.gather(*under_way, return_exceptions=True)


@pytest.mark.shape("embedded")
async def test_what_is_wrong_in_a_file_is_told_with_its_app(server: Server) -> None:
    """Also when nobody serves it any more."""
    assert isinstance(server, ServerProcess)
    async with server.center() as center:
        await prepared(center)
        await center.send("news", "hello", devices=["d1"])
    with closing(apsw.Connection(str(server.data / "longline.db"))) as connection:
        connection.execute("DELETE FROM inbox")
    await told(server, "pending", "news")
    await server.kill()
    await told(server, "pending", "news")


@pytest.mark.shape("workers", "cluster")
async def test_what_is_wrong_in_a_store_is_told_with_its_app(server: Server, shape: str) -> None:
    if isinstance(server, Cluster):
        url = server.redis.url
    else:
        assert isinstance(server, ServerProcess)
        url = f"unix://{server.data.absolute()}/valkey.sock"
    async with server.center() as center:
        await prepared(center)
        store = await Store.open(StoreSettings(url=url, partitions=PARTITIONS[shape]))
        try:
            number = await store.call(b"apps", "GET", "{apps}last")
            assert isinstance(number, bytes)
            partition = store.partition_of(int(number) - 1, "d1")  # "news" was made before "other"
            await store.call(b"p%d" % partition, "DEL", b"{p%d}t:%d:0:beta" % (partition, int(number) - 1))
        finally:
            await store.close()
    await told(server, "labels", "news")


async def told(server: Server, check: str, app: str) -> None:
    status, out, errors = await audit(*options_for(server))
    assert status == 1, errors
    rows = [line.split("\t") for line in out.splitlines()]
    assert (check, app) in {(row[0], row[1]) for row in rows}, out
    status, out, errors = await audit("other", *options_for(server))
    assert (status, out) == (0, ""), errors


async def test_what_is_asked_for_wrongly_is_said(
    server: Server, tmp_path_factory: pytest.TempPathFactory
) -> None:
    status, _, errors = await audit("nothing", *options_for(server))
    assert (status, "app_not_found" in errors) == (1, True), errors
    status, _, errors = await audit("--data", str(tmp_path_factory.mktemp("nowhere")))
    assert (status, "audit_refused" in errors) == (1, True), errors
    status, _, errors = await audit("news", "other", *options_for(server))
    assert status == 2, errors
