"""`secrets_key`: a node seals what it keeps, says when it cannot read it, and takes a new key."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from longline.errors import SecretsUnreadable, SettingsError
from longline.settings import load
from tests.integration.live_member import live_member
from tests.integration.live_node import LiveNode
from tests.servers.shared import shared

pytestmark = pytest.mark.shape("embedded")

OLD = "0123456789abcdef" * 4
NEW = "fedcba9876543210" * 4


def kept(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("*") if path.is_file())


async def test_a_node_seals_by_the_newest_key_and_refuses_to_start_without_the_right_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    async with LiveNode(data, {"secrets_key": OLD}) as node, node.center() as center:
        made = await center.create_app("news")
    assert made.device_secret.encode() not in kept(data)
    async with LiveNode(data, {"secrets_key": f"{NEW},{OLD}"}) as node, node.center() as center:
        assert (await center.app("news")).app == "news"
        client = await node.connect()
        entered = await client.enter("d1", "news", (await center.token("news", "d1")).password)
        assert entered.reason == 0
        await client.close()
    for settings in ({}, {"secrets_key": OLD}):
        with pytest.raises(SecretsUnreadable, match="app 'news' is sealed by the key"):
            async with LiveNode(data, settings):
                pass
    async with LiveNode(data, {"secrets_key": NEW}) as node, node.center() as center:
        assert (await center.app("news")).app == "news"
    said = capsys.readouterr().out
    assert "secrets_sealed" in said
    assert OLD not in said
    assert made.device_secret not in said


async def test_a_node_without_a_key_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with LiveNode(tmp_path / "data"):
        pass
    assert "secrets_in_clear" in capsys.readouterr().out


async def test_members_of_a_cluster_share_sealed_secrets_and_refuse_to_start_without_the_key(
    tmp_path: Path,
) -> None:
    with shared("redis") as server:
        async with live_member(tmp_path / "a", server.url, secrets_key=OLD) as one, one.center() as center:
            await center.create_app("news")
            both = f"{NEW},{OLD}"
            async with (
                live_member(tmp_path / "b", server.url, secrets_key=both) as other,
                other.center() as there,
            ):
                assert (await there.token("news", "d1")).username == "news"
        with pytest.raises(SecretsUnreadable):
            async with live_member(tmp_path / "c", server.url, secrets_key=NEW):
                pass


def resealed(data: Path, **settings: str) -> "subprocess.CompletedProcess[str]":
    """`longline reseal`, in a process of its own."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LONGLINE_")}
    command = [
        sys.executable,
        "-m",
        "longline",
        "reseal",
        "--store.partitions=4",
        "--data",
        str(data),
        "--json",
    ]
    return subprocess.run(command, env=clean | settings, capture_output=True, text=True, check=False)


def test_resealing_from_outside(tmp_path: Path) -> None:
    async def fill(url: str) -> None:
        async with live_member(tmp_path / "a", url, secrets_key=OLD) as one, one.center() as center:
            await center.create_app("news")
            await center.create_app("maps")

    async def read(url: str, key: str) -> None:
        async with live_member(tmp_path / "a", url, secrets_key=key) as one, one.center() as center:
            assert [app.app async for app in center.apps()] == ["maps", "news"]

    with shared("redis") as server:
        asyncio.run(fill(server.url))
        both = {"LONGLINE_STORE__URL": server.url, "LONGLINE_SECRETS_KEY": f"{NEW},{OLD}"}
        for sealed in (2, 0):
            done = resealed(tmp_path / "a", **both)
            assert (done.returncode, json.loads(done.stdout)) == (0, {"sealed": sealed}), done.stderr
        asyncio.run(read(server.url, NEW))
        refused = resealed(tmp_path / "a", LONGLINE_STORE__URL=server.url)
        assert refused.returncode == 1
        assert "there is no key" in refused.stdout


def test_a_key_that_is_short_is_refused() -> None:
    with pytest.raises(SettingsError, match="32 characters at least"):
        load(flags={"secrets_key": f"{NEW},short"})
    assert load(flags={"secrets_key": NEW}).settings.secrets_keys == (NEW,)
