"""A copy is made while the node runs, the data are destroyed, the copy is brought back, and nothing is lost.

The commands are those of docs/operations.md.
"""

import asyncio
import os
import re
import shlex
import shutil
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

import httpx
import pytest

from longline import Center
from tests.adversity.fleet import Books, Fleet
from tests.integration.server_process import ServerProcess
from tests.integration.test_workers import ready
from tests.waiting import until

pytestmark = [pytest.mark.shape("embedded")]

PAGE: Final = Path(__file__).parents[2] / "docs" / "operations.md"
WITHIN: Final = 60.0  # s
WORKERS: Final = {"serve": (), "workers": ("--workers", "2")}
HERE: Final = [f"here{number}" for number in range(3)]  # connected when the copy is made
AWAY: Final = [f"away{number}" for number in range(3)]


def documented(command: str, backup: Path, data: Path) -> list[str]:
    """The page's `longline backup` or `longline restore`, with our folders for those that it names."""
    (line,) = re.findall(rf"^longline {command} .*", PAGE.read_text("utf-8"), re.MULTILINE)
    words = shlex.split(line, comments=True)
    folders = {"/var/backups/longline-monday": str(backup), "/var/lib/longline": str(data)}
    assert folders.keys() <= set(words)
    return [folders.get(word, word) for word in words[1:]]


async def longline(*arguments: str) -> tuple[int, str]:
    """The exit status of a command, and what it said."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LONGLINE_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "longline", *arguments),
        env=clean,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(WITHIN):
        said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def push_on(server: ServerProcess) -> None:
    """Pushes without a pause, so that the copy is made of something that changes."""
    headers = {"Authorization": f"Bearer {server.admin_key}"}
    body = {"audience": {"devices": [*HERE, *AWAY]}, "payload": "x" * 2000}
    async with httpx.AsyncClient(headers=headers, timeout=WITHIN) as client:
        while True:
            with suppress(httpx.TransportError):
                await client.post(f"{server.url}/v1/apps/news/messages", json=body)


async def begun(center: Center, mqtt_port: int, books: Books) -> tuple[str, Fleet]:
    """An app with messages for devices that are here and for ones that are away: its secret, who is here."""
    secret = (await center.create_app("news")).device_secret
    for device in (*HERE, *AWAY):
        await center.put_device("news", device)
    fleet = Fleet(HERE, mqtt_port, "news", secret, books)
    await fleet.connect()
    for number in range(20):
        receipt = await center.send("news", f"{number}", devices=[*HERE, *AWAY])
        books.promise(receipt.message_id, [*HERE, *AWAY])
    receipt = await center.send("news", "to all", everyone=True)
    books.promise(receipt.message_id, [*HERE, *AWAY])
    return secret, fleet


@pytest.mark.parametrize("shape", WORKERS)
async def test_what_waited_when_the_copy_was_made_arrives_after_a_restore(tmp_path: Path, shape: str) -> None:
    """Messages to devices, a broadcast, and settings that an operator has changed; pushed on meanwhile."""
    data, backup, books = tmp_path / "data", tmp_path / "copies" / "monday", Books()
    async with ServerProcess(data, WORKERS[shape], LONGLINE_NODE__DRAIN_GRACE="2") as server:
        if shape == "workers":
            await ready(server)
        async with server.center() as center:
            secret, fleet = await begun(center, server.mqtt_port, books)
        await changed_setting(server, 7)
        pushing = [asyncio.create_task(push_on(server)) for _ in range(2)]
        status, said = await longline(*documented("backup", backup, data))
        assert status == 0, said
        for task in pushing:
            task.cancel()
        await fleet.close()
        await server.kill()
        await until(lambda: removed(data))

        status, said = await longline(*documented("restore", backup, data))
        assert status == 0, said
        await server.start()
        if shape == "workers":
            await ready(server)
        returning = Fleet(AWAY, server.mqtt_port, "news", secret, books)
        await returning.connect()
        missing = await books.settled(WITHIN)
        assert not missing, server.tail()
        assert await setting(server) == 7
        async with server.center() as center:
            for message_id in books.messages:

                async def done(message_id: str = message_id) -> bool:
                    ledger = (await center.message("news", message_id)).ledger
                    assert ledger.targeted == ledger.pending + ledger.acked
                    return ledger.targeted == len(HERE) + len(AWAY)

                await until(done)
        await returning.close()


def removed(data: Path) -> bool:
    """Whether nothing is left; what a private Valkey, which is about to end, writes meanwhile goes too."""
    shutil.rmtree(data, ignore_errors=True)
    return not data.exists()


async def changed_setting(server: ServerProcess, value: int) -> None:
    headers = {"Authorization": f"Bearer {server.admin_key}"}
    async with httpx.AsyncClient(headers=headers, timeout=WITHIN) as client:
        answer = await client.put(f"{server.url}/v1/config/room.inflight_window", json={"value": value})
        assert answer.status_code == 200, answer.text


async def setting(server: ServerProcess) -> object:
    headers = {"Authorization": f"Bearer {server.admin_key}"}
    async with httpx.AsyncClient(headers=headers, timeout=WITHIN) as client:
        return (await client.get(f"{server.url}/v1/config/room.inflight_window")).json()["value"]


@pytest.mark.parametrize("shape", WORKERS)
async def test_a_copy_shows_nothing_to_others_and_has_the_key_that_was_made(
    tmp_path: Path, shape: str
) -> None:
    data, backup, other = tmp_path / "data", tmp_path / "copy", tmp_path / "other"
    async with ServerProcess(data, WORKERS[shape], LONGLINE_ADMIN_KEY="") as server:
        assert (await longline("backup", str(backup), "--data", str(data)))[0] == 0
        await server.terminate()
    assert (await longline("restore", str(backup), "--data", str(other)))[0] == 0
    for folder in (backup, other):
        for path in (folder, *folder.rglob("*")):
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    assert (other / "admin.key").read_text() == (data / "admin.key").read_text()


@pytest.mark.parametrize(("first", "second"), [("serve", "workers"), ("workers", "serve")])
async def test_a_node_refuses_to_start_empty_beside_the_data_of_the_other_shape(
    tmp_path: Path, first: str, second: str
) -> None:
    async with ServerProcess(tmp_path / "data", WORKERS[first]) as server:
        await server.terminate()
    status, said = await longline(
        "serve", "--data", str(tmp_path / "data"), *WORKERS[second], *off_the_usual_ports(server)
    )
    assert status == 1
    assert "data_not_read" in said
    assert "--workers" in said


async def test_two_shapes_never_serve_the_same_folder(tmp_path: Path) -> None:
    async with ServerProcess(tmp_path / "data") as server:
        status, said = await longline(
            "serve", "--data", str(tmp_path / "data"), "--workers", "2", *off_the_usual_ports(server)
        )
    assert status == 1
    assert "data_dir_in_use" in said


def off_the_usual_ports(server: ServerProcess) -> tuple[str, ...]:
    return (
        "--room.port",
        str(server.mqtt_port),
        "--room.ws_port",
        "0",
        "--center.port",
        str(server.http_port),
    )
