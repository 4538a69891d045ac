"""The page at `/docs`, run where there is a Node for it."""

import json
import shlex
import shutil
import subprocess
from importlib.resources import as_file, files
from pathlib import Path

import pytest

from tests.unit.center.conftest import Api

NODE = shutil.which("node")


@pytest.mark.skipif(NODE is None, reason="there is no Node")
async def test_the_page_offers_a_command_and_a_form_for_every_operation(api: Api, tmp_path: Path) -> None:
    document = (await api.http.get("/openapi.json")).text
    failed, commands = run_page(tmp_path, document)
    assert failed == ""
    described = json.loads(document)["paths"]
    assert len(commands) == sum(map(len, described.values()))
    words = [shlex.split(command) for command in commands]
    assert all(each[:2] == ["curl", "-sS"] for each in words)
    address = "http://127.0.0.1:8080/v1/apps/news/messages"
    (send,) = [each for each in words if address in each and each[-1].startswith("{")]
    content = described["/v1/apps/{app}/messages"]["post"]["requestBody"]["content"]
    assert json.loads(send[-1]) == content["application/json"]["example"]
    assert "Authorization: Bearer $KEY" in send, "the key itself is in nobody's history"


def run_page(folder: Path, document: str) -> tuple[str, list[str]]:
    """What it says went wrong, and the commands that it shows."""
    spec, script = folder / "openapi.json", folder / "docs.mjs"
    spec.write_text(document)
    with as_file(files("longline.center.openapi.page") / "docs.js") as source:
        script.write_text(source.read_text())
    dom = Path(__file__).with_name("dom.mjs")
    ran = subprocess.run(
        [str(NODE), str(dom), str(script), str(spec)], capture_output=True, check=True, text=True, timeout=60
    )
    shown = json.loads(ran.stdout)
    return shown["failed"], shown["commands"]
