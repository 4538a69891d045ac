"""The pages for those who begin: what they say to do is done, and prints what they say that it prints."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import jsonschema_rs
import pytest

from tests.integration import page_runner
from tests.integration.clients.real import node_modules
from tests.servers.ports import free_ports
from tests.waiting import wait_until

ROOT = page_runner.ROOT
DOCS = ROOT / "docs"
PAGES = sorted(
    [
        DOCS / "quick-start.md",
        DOCS / "concepts.md",
        *DOCS.glob("recipes/*.md"),
        *DOCS.glob("coming-from/*.md"),
    ]
)
MQTT_JS = "https://unpkg.com/mqtt@5/dist/mqtt.min.js"


class Ports(NamedTuple):
    """Those of a node, and one for a web server."""

    http: int
    mqtt: int
    ws: int
    web: int

    @property
    def environ(self) -> dict[str, str]:
        return {
            "LONGLINE_CENTER__PORT": str(self.http),
            "LONGLINE_ROOM__PORT": str(self.mqtt),
            "LONGLINE_ROOM__WS_PORT": str(self.ws),
            "LONGLINE_URL": f"http://127.0.0.1:{self.http}",
            "LONGLINE_MQTT": f"127.0.0.1:{self.mqtt}",
        }

    @property
    def places(self) -> dict[str, str]:
        """What stands on the pages, and what is there in the test."""
        return {
            "127.0.0.1:8080": f"127.0.0.1:{self.http}",
            "1883": str(self.mqtt),
            "8083": str(self.ws),
            "8000": str(self.web),
            MQTT_JS: "mqtt.min.js",
            "examples/": f"{ROOT}/examples/",
        }


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ports, Path]]:
    """A node as the quick start leaves it, for all other pages, and its data folder."""
    folder, ports = tmp_path_factory.mktemp("node"), Ports(*free_ports(4))
    with (folder / "log").open("wb") as log:
        node = subprocess.Popen(
            [sys.executable, "-m", "longline", "serve"],
            cwd=folder,
            env={**page_runner.clean(), "PYTHONPATH": ":".join(sys.path[1:]), **ports.environ},
            stdout=log,
            stderr=log,
        )
        try:
            wait_until(lambda: ready(ports) or None, "the node is ready")
            yield ports, folder / "longline-data"
        finally:
            node.terminate()
            node.wait()


def ready(ports: Ports) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{ports.http}/readyz").status_code == 200
    except httpx.TransportError:
        return False


def follow(page: Path, folder: Path, ports: Ports) -> None:
    """Does what a page says, and compares what it says of the outcome."""
    made = page_runner.blocks(page, ports.places)
    done = page_runner.run(made, folder, ports.environ)
    assert done.status == 0, f"{done.printed}\n{done.errors}"
    for place, block in enumerate(made):
        if block.words.strip() == "output":
            printed = done.printed[place - 1]
            assert page_runner.matches(block.text, printed), f"{block.text}\nis not in\n{printed}"


def test_the_quick_start_leads_from_nothing_to_a_push_in_a_page(tmp_path: Path) -> None:
    script = node_modules() / "mqtt" / "dist" / "mqtt.min.js"
    (tmp_path / "mqtt.min.js").write_bytes(script.read_bytes())
    follow(DOCS / "quick-start.md", tmp_path, Ports(*free_ports(4)))


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.stem != "quick-start" and page_runner.runs(page)],
    ids=lambda p: p.stem,
)
def test_a_page_does_what_it_says(page: Path, standing: tuple[Ports, Path], tmp_path: Path) -> None:
    ports, data = standing
    (tmp_path / "longline-data").symlink_to(data)
    follow(page, tmp_path, ports)


def test_a_body_on_a_page_is_one_that_the_api_takes(standing: tuple[Ports, Path]) -> None:
    document = httpx.get(f"http://127.0.0.1:{standing[0].http}/openapi.json").json()
    for page in [*PAGES, DOCS / "api.md"]:
        for block in page_runner.blocks(page):
            if block.language != "json":
                continue
            body, kind = json.loads(block.text), block.words.strip()
            if kind and "=" not in kind:
                schema = {"$ref": f"#/components/schemas/{kind}", "components": document["components"]}
                jsonschema_rs.validator_for(schema).validate(body)


@pytest.mark.parametrize("page", ["api", "operations"])
def test_a_request_on_a_page_is_one_that_the_api_has(standing: tuple[Ports, Path], page: str) -> None:
    """Method, path and body. It is not run, nor its answer compared: its ids and keys are made up."""
    document = httpx.get(f"http://127.0.0.1:{standing[0].http}/openapi.json").json()
    found = [*requests(DOCS / f"{page}.md")]
    assert len(found) > 3
    for method, path, body in found:
        [operation] = [
            methods[method]
            for template, methods in document["paths"].items()
            if method in methods and re.fullmatch(re.sub(r"\{\w+\}", r"[^/:]+", template), path)
        ]
        if body is not None:
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            whole = {**schema, "components": document["components"]}
            jsonschema_rs.validator_for(whole).validate(json.loads(body))


def requests(page: Path) -> Iterator[tuple[str, str, str | None]]:
    """The calls by curl on a page: the method, the path and the body of each."""
    for block in page_runner.blocks(page):
        for line in block.text.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True) if line.startswith("curl ") else []
            # What dispatchers answer devices is not in the API's document.
            addresses = [word for word in words if "/v1/" in word and "/v1/dispatch" not in word]
            if addresses:
                body = words[words.index("-d") + 1] if "-d" in words else None
                named = words[words.index("-X") + 1] if "-X" in words else "GET" if body is None else "POST"
                yield named.lower(), f"/v1/{addresses[0].partition('/v1/')[2].partition('?')[0]}", body


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_says_what_no_test_runs(page: Path) -> None:
    unrun = [
        block
        for block in page_runner.blocks(page)
        if "not run" in block.words or (block.language in ("python", "html") and not block.value("file"))
    ]
    assert not unrun or "No test runs" in page.read_text("utf-8"), unrun[0]


@pytest.mark.parametrize(
    ("wanted", "printed", "there"),
    [
        ("acked  1\n", "id\nacked\t1\ntargeted\t1\n", True),
        ("acked  2\n", "acked\t1\n", False),
        ('push/…  {"a": 1}\nmore\n', 'push/0-1\t{"a": 1}\nmore', True),
        ("a…\nb\n", "b\na", False),
    ],
)
def test_what_is_printed_is_compared(wanted: str, printed: str, there: bool) -> None:
    assert page_runner.matches(wanted, printed) is there
