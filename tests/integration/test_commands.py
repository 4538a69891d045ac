"""`longline listen` and `push` against a node, as processes of their own."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from tests.integration.live_node import LiveNode
from tests.integration.server_process import ServerProcess
from tests.servers.ports import free_ports
from tests.waiting import WITHIN, until


@asynccontextmanager
async def longline(*arguments: str, **environ: str) -> AsyncIterator[asyncio.subprocess.Process]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LONGLINE_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "longline", *arguments),
        env={**clean, **environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(WITHIN):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def access(node: LiveNode | ServerProcess) -> dict[str, str]:
    return {
        "LONGLINE_URL": node.url,
        "LONGLINE_KEY": node.admin_key,
        "LONGLINE_ROOM__PORT": str(node.mqtt_port),
    }


async def said(stream: asyncio.StreamReader | None, words: str) -> None:
    """Returns when a line with these words was read."""
    assert stream is not None
    while words not in (line := (await stream.readline()).decode()):
        assert line, f"the command ended without having said {words!r}"


async def test_what_a_terminal_cannot_show_is_shown_otherwise_and_acknowledged(tmp_path: Path) -> None:
    async with LiveNode(tmp_path / "data") as node, node.center() as center:
        await center.create_app("news")
        await center.put_device("news", "d1")
        accepted = await center.send("news", "gr\u00fc\u00df \u20ac", devices=["d1"])
        async with longline(
            *("listen", "news", "d1", "--count", "1"), PYTHONIOENCODING="ascii", **access(node)
        ) as process:
            out, _ = await process.communicate()
        assert process.returncode == 0
        assert out.decode() == f"push/{accepted.message_id}\tgr\\xfc\\xdf \\u20ac\n"
        assert (await center.wait("news", accepted.message_id, within=WITHIN)).ledger.acked == 1


async def test_json_is_pushed_as_it_was_written(tmp_path: Path) -> None:
    async with LiveNode(tmp_path / "data") as node, node.center() as center:
        await center.create_app("news")
        await center.put_device("news", "d1")
        async with longline(
            *("push", "news", '{"price": 1.10}', "--device", "d1"), **access(node)
        ) as process:
            assert await process.wait() == 0
        async with longline(*("listen", "news", "d1", "--count", "1"), **access(node)) as process:
            out, _ = await process.communicate()
        assert out.decode().partition("\t")[2] == '{"price": 1.10}\n'


async def test_devices_are_told_apart_and_pushed_to_by_what_they_have(tmp_path: Path) -> None:
    async with LiveNode(tmp_path / "data") as node, node.center() as center:
        await center.create_app("news")

        async def done(*arguments: str) -> str:
            async with longline(*arguments, **access(node)) as process:
                out, err = await process.communicate()
            assert process.returncode == 0, err.decode()
            return out.decode()

        known = ("--tag", "red", "--alias", "ann", "--attribute", "age=18", "--attribute", "plan=pro")
        await done("device", "set", "news", "d1", *known)
        await done("device", "set", "news", "d2", "--tag", "blue", "--platform", "ios")
        await done("device", "set", "news", "d1", "--attribute", "plan=null")
        shown = await center.device("news", "d1")
        assert (shown.tags, shown.aliases, shown.attributes) == (("red",), ("ann",), {"age": 18})
        assert await done("device", "list", "news", "--tag", "red") == "d1\tno\tann\tred\n"
        assert "platform  ios" in await done("device", "show", "news", "d2")
        adults = '{"attributes": {"age": {"gte": 18}}}'
        assert await done("audience", "estimate", "news", adults, "--json") == '{"devices":1,"online":0}\n'
        for flags in (("--tag", "red"), ("--alias", "ann"), ("--audience", adults), ("--device", "d1")):
            await done("push", "news", "hello", *flags)
        assert (await center.device("news", "d1")).pending == 4
        assert (await center.device("news", "d2")).pending == 0
        pushed = await done("push", "news", "hi", "--device", "d2", "--label", "goals")
        assert await done("device", "messages", "news", "d2") == f"{pushed.strip()}\tpending\tgoals\n"
        assert await done("device", "messages", "news", "d2", "--state", "acked") == ""
        await done("device", "delete", "news", "d1")
        assert await done("device", "list", "news", "--tag", "red") == ""


async def test_a_wait_that_ends_before_the_devices_have_it_says_that_they_are_pending(tmp_path: Path) -> None:
    async with LiveNode(tmp_path / "data") as node, node.center() as center:
        await center.create_app("news")
        await center.put_device("news", "d1")
        async with longline(
            *("push", "news", "hello", "--device", "d1", "--wait", "--within", "0.01"), **access(node)
        ) as process:
            _, err = await process.communicate()
        assert process.returncode == 1
        said = err.decode().splitlines()[0]
        assert said.endswith("1 of 1 devices are still pending after 0.01 s (still_pending)")


async def test_a_push_that_is_interrupted_while_it_waits_has_said_what_was_sent(tmp_path: Path) -> None:
    async with LiveNode(tmp_path / "data") as node, node.center() as center:
        await center.create_app("news")
        await center.put_device("news", "d1")
        async with longline("push", "news", "hello", "--device", "d1", "--wait", **access(node)) as process:
            assert process.stdout is not None
            message_id = (await process.stdout.readline()).decode().strip()
            process.send_signal(signal.SIGINT)
            assert await process.wait() == 130
        assert (await center.message("news", message_id)).ledger.pending == 1


async def test_a_listener_for_an_app_that_there_is_not_ends_and_says_so(tmp_path: Path) -> None:
    async with LiveNode(tmp_path / "data") as node:
        for app, device, code in (("nope", "d1", "app_not_found"), ("nope", "a/b", "invalid")):
            async with longline("listen", app, device, **access(node)) as process:
                _, err = await process.communicate()
            assert process.returncode == 1
            assert err.decode().splitlines()[0].endswith(f"({code})")


async def test_a_listener_says_when_the_node_is_away_and_when_it_is_back(tmp_path: Path) -> None:
    async with ServerProcess(tmp_path / "data") as node:
        async with node.center() as center:
            await center.create_app("news")
        async with longline("listen", "news", "d1", **access(node)) as process:
            await said(process.stderr, "longline: d1 is connected to 127.0.0.1:")
            await node.kill()
            await said(process.stderr, "longline: d1 is not connected: ")
            await node.start()
            await said(process.stderr, "longline: d1 is connected to 127.0.0.1:")


async def test_a_listener_without_a_node_says_so_at_once(tmp_path: Path) -> None:
    node = ServerProcess(tmp_path / "data")  # which never runs
    async with longline("listen", "news", "d1", **access(node)) as process:
        await said(process.stderr, "longline: d1 is not connected: ")


async def test_a_node_whose_greeting_nobody_reads_serves_and_ends_in_good_order(tmp_path: Path) -> None:
    """As in `longline serve | head -1`."""
    http, mqtt = free_ports(2)
    nobody, greeting = os.pipe()
    os.close(nobody)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "longline", "serve", "--data", str(tmp_path / "data")),
        *("--center.port", str(http), "--room.port", str(mqtt), "--room.ws_port", "0"),
        stdout=greeting,
        stderr=asyncio.subprocess.DEVNULL,
    )
    os.close(greeting)
    try:
        # It has greeted in vain, and turned to nowhere.
        output = Path(f"/proc/{process.pid}/fd/1")
        await until(lambda: process.returncode is not None or output.readlink() == Path(os.devnull), WITHIN)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{http}", trust_env=False) as client:
            assert (await client.get("/readyz")).status_code == 200
        process.terminate()
        async with asyncio.timeout(WITHIN):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
