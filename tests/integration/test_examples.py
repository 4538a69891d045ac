"""The programs of `examples/`: they work, and say what they want of whoever starts them wrongly."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.live_node import LiveNode
from tests.waiting import WITHIN

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))
BY_NAME = {path.stem: str(path) for path in EXAMPLES}


def environment(**given: str) -> dict[str, str]:
    ours = ("LONGLINE_", "PYTHONASYNCIODEBUG")  # which would add words of its own to standard error
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**clean, **given}


def started(example: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, example, *arguments],
        env=environment(**environ),
        capture_output=True,
        text=True,
        timeout=WITHIN,
        check=False,
    )


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_without_arguments_says_which_it_takes(example: Path) -> None:
    done = started(example)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: ")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_without_a_key_says_so(example: Path) -> None:
    done = started(example, "news", "d1", LONGLINE_KEY="")
    assert (done.returncode, done.stderr) == (1, "LONGLINE_KEY is not set\n")


@pytest.mark.parametrize("name", ["app_server", "paho_device"])
def test_an_example_that_finds_no_node_says_so_in_one_line(name: str) -> None:
    done = started(Path(BY_NAME[name]), "news", "d1", LONGLINE_KEY="k", LONGLINE_URL="http://127.0.0.1:1")
    assert done.returncode == 1
    assert done.stderr.startswith("unavailable: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("device", ["device", "paho_device"])
async def test_what_the_app_server_pushes_reaches_the_device(device: str, tmp_path: Path) -> None:
    async with LiveNode(tmp_path / "data") as node, node.center() as center, asyncio.timeout(WITHIN):
        await center.create_app("news")
        await center.put_device("news", "d1")
        environ = environment(
            LONGLINE_URL=node.url,
            LONGLINE_KEY=node.admin_key + "\n",  # as a file has it
            LONGLINE_MQTT=f"127.0.0.1:{node.mqtt_port}",
            PYTHONUNBUFFERED="1",
        )
        listener = await asyncio.create_subprocess_exec(
            sys.executable, BY_NAME[device], "news", "d1", env=environ, stdout=asyncio.subprocess.PIPE
        )
        sender = await asyncio.create_subprocess_exec(
            sys.executable, BY_NAME["app_server"], "news", "d1", env=environ
        )
        try:
            assert listener.stdout is not None
            arrived = b""
            while b"Ticket A3" not in arrived:
                arrived += await listener.stdout.readline()
            assert b"Goal!" in arrived
            assert await sender.wait() == 0
        finally:
            for process in (listener, sender):
                if process.returncode is None:
                    process.kill()
                await process.wait()
