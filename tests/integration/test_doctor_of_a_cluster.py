"""`longline doctor --cluster`, `problems` and `capacity` against a live node whose condition a test makes."""

import asyncio
import json
import os
import sys
from pathlib import Path

from tests.certificates import Authority
from tests.integration.live_node import LiveNode
from tests.servers.ports import free_ports
from tests.waiting import WITHIN, until


async def told(node: LiveNode, *arguments: str) -> tuple[int, dict[str, list[dict[str, str]]]]:
    """What a command says in JSON, and its exit status."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LONGLINE_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "longline", *arguments, "--json"),
        env={**clean, "LONGLINE_URL": node.url, "LONGLINE_KEY": node.admin_key},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(WITHIN):
        out, err = await process.communicate()
    assert process.returncode in (0, 1), err
    return process.returncode or 0, json.loads(out)


async def test_a_node_that_is_well_is_found_to_be(tmp_path: Path) -> None:
    async with LiveNode(tmp_path / "data") as node:
        async with node.center() as center:
            await until(lambda: center.capacity())
        status, said = await told(node, "doctor", "--cluster")
        states = {each["check"]: each["status"] for each in said["findings"]}
        assert status == 0
        assert states["versions"] == states["clocks"] == states["store"] == states["certificates"] == "ok"
        _, bounds = await told(node, "capacity")
        assert {"room_connections", "saver_disk_bytes"} <= {each["name"] for each in bounds["bounds"]}


async def test_a_certificate_that_runs_out_is_found(tmp_path: Path) -> None:
    pair = Authority(tmp_path / "ca").server(days=1)
    (port,) = free_ports(1)
    settings = {"room.tls_cert": pair.certificate, "room.tls_key": pair.key, "room.tls_port": port}
    async with LiveNode(tmp_path / "data", settings) as node:

        async def found() -> list[dict[str, str]]:
            _, said = await told(node, "problems")
            return [each for each in said["problems"] if each["code"] == "certificate_running_out"]

        (problem,) = await until(found)
        assert problem["severity"] == "critical"
        status, said = await told(node, "doctor", "--cluster")
        assert status == 1
        bad = {each["check"] for each in said["findings"] if each["status"] == "bad"}
        assert "certificates" in bad
