"""The npm package: builds, has the types that it should, works in Node, in a bare folder and in a page."""

import asyncio
import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from tools.typescript import source

from longline.version import VERSION
from tests.certificates import Authority
from tests.integration.browser.chromium import CHROMIUM
from tests.integration.browser.devtools import Visitor
from tests.integration.live_node import LiveNode
from tests.integration.sdk_js.package import SOURCE, built, run
from tests.integration.sdk_js.programs import InNode, Refusal
from tests.servers.ports import free_ports
from tests.waiting import WITHIN, eventually, until

pytestmark = [
    pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed"),
]
ROOT = SOURCE.parents[1]
WEBHOOKS_HERE = {"webhooks.private_addresses": True}


@pytest.fixture(scope="module")
def package() -> Path:
    return built()


# --- what is written ----------------------------------------------------------------------------------


async def test_what_is_made_from_the_api_is_as_the_api_is(node: LiveNode) -> None:
    async with httpx.AsyncClient() as client:
        spec = (await client.get(f"{node.url}/openapi.json")).json()
    made = (SOURCE / "src" / "generated.ts").read_text("utf-8")
    assert made == source(spec), f"python -m tools.typescript {node.url} > sdks/js/src/generated.ts"


async def test_every_call_of_the_api_has_a_method(node: LiveNode) -> None:
    async with httpx.AsyncClient() as client:
        spec = (await client.get(f"{node.url}/openapi.json")).json()
    calls = {entry["operationId"] for methods in spec["paths"].values() for entry in methods.values()}
    text = (SOURCE / "src" / "center.ts").read_text("utf-8")
    named = set(re.findall(r'this\.(?:request|pages)\(\s*"(\w+)"', text))
    assert named == calls


def test_the_version_and_the_licence_are_those_of_the_project() -> None:
    manifest = json.loads((SOURCE / "package.json").read_text())
    lock = json.loads((SOURCE / "package-lock.json").read_text())
    assert manifest["version"] == lock["version"] == VERSION
    assert f'VERSION = "{VERSION}"' in (SOURCE / "src" / "version.ts").read_text()
    assert manifest["license"] == "Apache-2.0"
    assert (SOURCE / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_the_lock_file_names_no_place_to_load_from() -> None:
    assert "resolved" not in (SOURCE / "package-lock.json").read_text()


# --- types --------------------------------------------------------------------------------------------


def test_right_uses_have_types_and_wrong_ones_have_none(package: Path, tmp_path: Path) -> None:
    """Each wrong line is an error, or its directive would be one."""
    run(package, "node_modules/.bin/tsc", "-p", "test/types")
    wrong = (package / "test" / "types" / "wrong.ts").read_text()
    folder = package / "test" / "types-told"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(package / "test" / "types", folder)
    (folder / "wrong.ts").write_text(wrong.replace("// @ts-expect-error", "// wrong:"))
    told = subprocess.run(
        ["node_modules/.bin/tsc", "-p", str(folder), "--pretty", "false"],
        cwd=package,
        capture_output=True,
        text=True,
        check=False,
    )
    shutil.rmtree(folder)
    refused = {int(line) for line in re.findall(r"wrong\.ts\((\d+),", told.stdout)}
    lines = wrong.splitlines()
    expected = {number + 2 for number, line in enumerate(lines) if line.startswith("// @ts-expect-error")}
    assert refused == expected
    assert len(expected) > 30


def test_what_the_guide_shows_has_types(package: Path) -> None:
    page = (ROOT / "docs" / "sdk-js.md").read_text("utf-8")
    snippets = re.findall(r"```ts\n(.*?)```", page, re.DOTALL)
    assert len(snippets) == 4
    folder = package / "test" / "shown"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "tsconfig.json").write_text(
        (package / "test" / "types" / "tsconfig.json").read_text().replace('"right.ts", "wrong.ts"', '"*.ts"')
    )
    for number, snippet in enumerate(snippets):
        begun = (
            ""
            if "import" in snippet
            else 'import type { Device } from "longline";\ndeclare const device: Device;\n'
        )
        (folder / f"snippet{number}.ts").write_text(begun + snippet)
    run(package, "node_modules/.bin/tsc", "-p", str(folder))
    shutil.rmtree(folder)


# --- in Node ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("node", [WEBHOOKS_HERE], indirect=True)
async def test_its_own_tests_pass(package: Path, node: LiveNode) -> None:
    told = await asyncio.create_subprocess_exec(
        *("node", "--test", *map(str, sorted((package / "test").glob("*.test.mjs")))),
        cwd=package,
        env={
            "PATH": str(Path(shutil.which("node") or "node").parent),
            "LONGLINE_URL": node.url,
            "LONGLINE_KEY": node.admin_key,
            "LONGLINE_MQTT": f"ws://127.0.0.1:{node.ws_port}/mqtt",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output, _ = await told.communicate()
    assert told.returncode == 0, output.decode()


@pytest_asyncio.fixture
async def in_node() -> AsyncIterator[InNode]:
    sdk = await InNode().start()
    try:
        yield sdk
        await sdk.close_all()
    finally:
        await sdk.end()


@pytest.mark.parametrize("transport", ["tls", "wss"])
async def test_it_verifies_the_server_by_tls(in_node: InNode, tmp_path: Path, transport: str) -> None:
    authority, stranger = Authority(tmp_path / "ours"), Authority(tmp_path / "other")
    tls_port, wss_port = free_ports(2)
    shown = authority.server()
    settings = {
        "room.tls_cert": shown.certificate,
        "room.tls_key": shown.key,
        "room.tls_port": tls_port,
        "room.wss_port": wss_port,
    }
    async with LiveNode(tmp_path / "data", settings) as node, node.center() as center:
        await center.create_app("news")
        token = (await center.token("news", "d1")).password
        url = f"mqtts://127.0.0.1:{tls_port}" if transport == "tls" else f"wss://127.0.0.1:{wss_port}/mqtt"
        trusting = {"ca": authority.ca.read_text()}
        device = await in_node.device(url, "news", "d1", [token], tls=trusting)
        await device.ask("connected")
        wary = await in_node.device(url, "news", "d2", [token], tls={"ca": stranger.ca.read_text()})

        async def refused() -> bool:
            counted = await wary.statistics()
            return bool(counted["failures"] > 0 and counted["connects"] == 0)

        await eventually(refused, True)


async def test_a_process_that_is_killed_forgets_nothing_that_it_has_handled(
    package: Path, node: LiveNode, tmp_path: Path
) -> None:
    """It is killed between its handler and the receipt's arrival: the copy is dropped by the next process."""
    async with node.center() as center:
        await center.create_app("news")
        token = (await center.token("news", "d1")).password
        url, store = f"mqtt://127.0.0.1:{node.mqtt_port}", tmp_path / "handled"
        sdk = await InNode().start()
        device = await sdk.device(url, "news", "d1", [token], store=store)
        await device.ask("connected")
        handled = (await center.send("news", "once", devices=["d1"])).message_id
        message = await device.receive()
        await center.kick("news", "d1")  # the receipt has no way any more, and the handler is done
        await device.ack(message)
        sdk.kill()
        with pytest.raises(Refusal):
            await device.receive()
        await sdk.killed()
        again = await InNode().start()
        device = await again.device(url, "news", "d1", [token], store=store)
        later = (await center.send("news", "later", devices=["d1"])).message_id
        assert (await device.receive()).push == later
        assert (await center.wait("news", handled, within=WITHIN)).ledger.acked == 1
        await again.close_all()
        await again.end()


async def test_endpoints_that_a_dispatcher_has_told_are_known_to_the_next_process(
    node: LiveNode, tmp_path: Path
) -> None:
    async with node.center() as center:
        await center.create_app("news")
        token = (await center.token("news", "d1")).password
        for dispatcher in (node.url, "http://127.0.0.1:9"):
            sdk = await InNode().start()
            device = await sdk.device(
                None, "news", "d1", [token], store=tmp_path / "d1", dispatchers=[dispatcher]
            )
            await device.ask("connected")
            await sdk.close_all()
            await sdk.end()


# --- as users have it ---------------------------------------------------------------------------------


BARE = """
import { Center, Device, VERSION } from "longline";
import { FileStore } from "longline/node";

const [, , url, key, mqtt] = process.argv;
const center = new Center(url, key);
await center.createApp("bare");
const token = async () => (await center.token("bare", "d1")).password;
const device = new Device(mqtt, { app: "bare", device: "d1", token, store: new FileStore("handled") });
await device.whenConnected();
await center.send("bare", "hello", { devices: ["d1"] });
for await (const message of device) {
  console.log(VERSION, message.text);
  await message.ack();
  break;
}
await device.close();
"""


async def test_its_tarball_works_in_a_bare_folder(package: Path, node: LiveNode, tmp_path: Path) -> None:
    def installed() -> str:
        tarball = run(
            package, "npm", "pack", "--ignore-scripts", "--silent", "--pack-destination", str(tmp_path)
        )
        (tmp_path / "package.json").write_text('{"name": "bare", "private": true, "type": "module"}')
        run(tmp_path, "npm", "install", "--prefer-offline", "--no-audit", "--no-fund", tarball.strip())
        (tmp_path / "main.mjs").write_text(BARE)
        (tmp_path / "main.ts").write_text(
            'import { Device } from "longline";\nexport const made: typeof Device = Device;\n'
        )
        run(
            tmp_path,
            *(str(package / "node_modules" / ".bin" / "tsc"), "--noEmit", "--strict", "--module", "nodenext"),
            *("--target", "es2022", "--types", "", "main.ts"),
        )
        mqtt = f"mqtt://127.0.0.1:{node.mqtt_port}"
        return run(tmp_path, "node", "main.mjs", node.url, node.admin_key, mqtt)

    assert await asyncio.to_thread(installed) == f"{VERSION} hello\n"
    files = {path.name for path in (tmp_path / "node_modules" / "longline").iterdir()}
    assert files == {"LICENSE", "README.md", "dist", "package.json"}


def test_the_guide_tells_the_size_of_what_a_page_loads(package: Path) -> None:
    bundle = (package / "dist" / "longline.min.js").read_bytes()
    page = (ROOT / "docs" / "sdk-js.md").read_text("utf-8")
    told = re.search(r"all they need: (\d+) kB, (\d+) kB with gzip", page)
    assert told is not None
    for kilobytes, size in zip(told.groups(), (len(bundle), len(gzip.compress(bundle))), strict=True):
        assert size == pytest.approx(1000 * int(kilobytes), rel=0.03)


def test_what_a_page_loads_has_nothing_of_node_in_it(package: Path) -> None:
    bundle = (package / "dist" / "longline.min.js").read_text("utf-8")
    assert not re.findall(
        r"""(?:from|import\(|require\()\s*["'](?:node:)?(?:fs|net|tls|crypto|path|os)["']""", bundle
    )
    modules = [
        path for path in (package / "dist").glob("*.js") if path.name not in ("node.js", "webhooks.js")
    ]
    assert not [path.name for path in modules if '"node:' in path.read_text("utf-8")]


@pytest.mark.skipif(shutil.which(CHROMIUM) is None, reason="chromium is not installed")
async def test_the_page_that_the_guide_shows_is_a_device(
    package: Path, node: LiveNode, tmp_path: Path
) -> None:
    guide = (ROOT / "docs" / "sdk-js.md").read_text("utf-8")
    [page] = re.findall(r"^```html\n(.*?)^```$", guide, re.DOTALL | re.MULTILINE)
    (tmp_path / "page.html").write_text(page.replace("127.0.0.1:8083", f"127.0.0.1:{node.ws_port}"))
    shutil.copy(package / "dist" / "longline.min.js", tmp_path)
    [port] = free_ports(1)
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"),
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
    )
    try:
        async with node.center() as center, Visitor() as visitor:
            await center.create_app("news")
            token = (await center.token("news", "page1")).password
            address = f"http://127.0.0.1:{port}/page.html"
            await until(lambda: answers(address))
            await visitor.go(f"{address}#{token}")
            await visitor.sees("#list li", "connected")
            accepted = await center.send("news", "Hello, page", devices=["page1"])
            await visitor.sees("#list li:nth-child(2)", "Hello, page")
            assert (await center.wait("news", accepted.message_id, within=WITHIN)).ledger.acked == 1
            async for event in center.upstream("news"):
                if event.type == "receipt":
                    assert (event.name, event.message_id) == ("shown", accepted.message_id)
                    break
            await visitor.go("about:blank")
            await visitor.go(f"{address}#wrong")
            await visitor.sees("#list li", "bad_token: ")
    finally:
        server.terminate()
        await server.wait()


async def answers(address: str) -> bool:
    try:
        async with httpx.AsyncClient() as client:
            return (await client.get(address)).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.skipif(shutil.which(CHROMIUM) is None, reason="chromium is not installed")
@pytest.mark.parametrize("node", [{"room.linger": 1}], indirect=True)
async def test_people_chat_in_pages_see_each_other_and_read_what_was_said_meanwhile(
    package: Path, node: LiveNode
) -> None:
    """The example, with a person in each of two browsers."""
    server = await asyncio.create_subprocess_exec(
        *("node", "examples/chat/server.mjs"),
        cwd=package,
        env={
            "PATH": os.environ["PATH"],
            "LONGLINE_URL": node.url,
            "LONGLINE_KEY": node.admin_key,
            "PORT": "0",
        },
        stdout=subprocess.PIPE,
    )
    try:
        assert server.stdout is not None
        address = (await server.stdout.readline()).decode().strip()
        async with Visitor() as ann, Visitor() as bob:
            for visitor, name in ((ann, "ann"), (bob, "bob")):
                await visitor.go(address)
                await visitor.submit("#join", "name", name)
                await visitor.sees("#state", "connected")
            for visitor in (ann, bob):
                await visitor.sees("#online", "ann, bob")
            await bob.submit("#say", "text", "hello, ann")
            for visitor in (ann, bob):
                await visitor.sees("#said li", "bob: hello, ann")
            await ann.go("about:blank")  # which says good-bye
            await until(lambda: bob.evaluate("document.querySelector('#online').textContent === 'bob'"))
            await bob.submit("#say", "text", "are you there?")
            await bob.sees("#said li", "bob: are you there?")
            await ann.go(address)
            await ann.submit("#join", "name", "ann")
            await ann.sees("#said li.away", "bob: are you there?")
            # What it had read before it left does not come again, though this is another page.
            said = await ann.evaluate("document.querySelector('#said').textContent")
            assert "hello, ann" not in said
    finally:
        server.terminate()
        await server.wait()
