"""`longline login` and `longline key`, as processes of their own."""

import asyncio
import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.integration.live_node import LiveNode
from tests.waiting import WITHIN


async def done(environ: Mapping[str, str], *arguments: str, typed: str = "", status: int = 0) -> str:
    """What a command prints that ends with this status; of one that fails, what it says went wrong."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LONGLINE_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "longline", *arguments),
        env={**clean, **environ},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(WITHIN):
        out, err = await process.communicate(typed.encode())
    assert process.returncode == status, (out, err)
    return (err if status else out).decode()


async def test_after_a_login_commands_need_neither_address_nor_key(tmp_path: Path) -> None:
    file = tmp_path / "config" / "keys.json"
    home = {"LONGLINE_KEYS": str(file)}
    async with LiveNode(tmp_path / "data") as node:
        said = await done(home, "login", f"{node.url}/", typed=f"{node.admin_key}\n")
        host = node.url.removeprefix("http://")
        assert said == f"logged in at {node.url}, which is called {host}; the key is in {file}\n"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
        await done(home, "app", "create", "news")
        assert (await done(home, "app", "list")).startswith("news\t")
        made = await done(home, "key", "create", "ci", "send", "read", "--app", "news", "--expires-in", "90d")
        pairs = dict(line.split(maxsplit=1) for line in made.splitlines())
        assert pairs["scopes"] == "send read"
        listed = await done(home, "key", "list", "--app", "news")
        assert listed == f"{pairs['key_id']}\tci\tsend read\t{pairs['ends']}\tnever\n"
        # A key of an app is taken as well, and an old login is replaced.
        await done(home, "login", node.url, typed=pairs["key"])
        refused = await done(home, "app", "list", status=1)
        assert refused.startswith(
            "longline: this needs a key that reaches all apps, such as the admin key (forbidden)\nhint: "
        )
        # What is said by flag or variable goes before.
        told = await done(home, "key", "changes", "--url", node.url, "--key", node.admin_key, "--app", "news")
        assert "POST /v1/apps/{app}/keys\tnews\t" + pairs["key_id"] + "\t201\n" in told
        other = {"LONGLINE_URL": node.url, "LONGLINE_KEY": node.admin_key}
        await done(home | other, "key", "delete", pairs["key_id"], "--app", "news")
        assert await done(home | other, "key", "list", "--app", "news") == ""
        await done(home, "logout")
        assert node.url not in file.read_text()
        assert "no key" in await done(
            {**home, "LONGLINE_DATA_DIR": str(tmp_path / "no")}, "app", "list", status=2
        )


async def test_a_key_that_is_not_good_is_not_kept(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    home = {"LONGLINE_KEYS": str(file)}
    async with LiveNode(tmp_path / "data") as node:
        said = await done(home, "login", node.url, typed="no-such-key", status=1)
    assert "no-such-key" not in said
    assert not file.exists()


async def test_a_file_that_others_could_read_is_not_gone_by(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    home = {"LONGLINE_KEYS": str(file)}
    file.write_text(
        '{"current": "here", "servers": {"here": {"url": "http://127.0.0.1:1", "key": "secret"}}}'
    )
    os.chmod(file, 0o640)
    said = await done(home, "app", "list", status=2)
    assert "chmod 600" in said
    assert 'secret"' not in said
    os.chmod(file, 0o600)
    assert "(unavailable)" in await done(home, "app", "list", status=1)
    file.write_text('{"servers": {"here": {"url": "http://127.0.0.1:1", "key": "secr')
    said = await done(home, "app", "list", status=2)
    assert "log in again" in said
    assert "secr" not in said.replace(str(file), "")
