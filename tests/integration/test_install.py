"""What `pip install` makes of the project's two distributions, and what they are good for by themselves.

Wheels are built once, without a compiler: what `make` installs for the other tests is the compiled one.
"""

import asyncio
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from longline.version import VERSION
from tests.integration.live_node import LiveNode

PROJECT = Path(__file__).parents[2]

# Building a wheel type-checks and translates the hot modules before it reaches the compiler.
pytestmark = pytest.mark.timeout(1800)


NAMES = ("longline", "longline_server")
PYTHONS = ("3.11", "3.12", "3.13")


def copied(folder: Path) -> Path:
    """A copy of what a build reads, so that neither its products nor ours get in each other's way."""
    folder.mkdir()
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, folder)
    unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info", "build")
    for name in ("src", "server"):
        shutil.copytree(PROJECT / name, folder / name, symlinks=True, ignore=unwanted)
    return folder


def environment(**given: str) -> dict[str, str]:
    ours = ("LONGLINE_", "PYTHON")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | given


def run(*command: str | Path, **environ: str) -> str:
    """What a command prints; it has to end well."""
    done = subprocess.run(
        command, env=environment(**environ), capture_output=True, text=True, timeout=1700, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def wheel_of(source: Path, wheels: Path, **environ: str) -> Path:
    """The wheel that pip makes of a folder of the checkout."""
    before = set(wheels.glob("*.whl"))
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    run(*command, "--wheel-dir", wheels, source, **environ)
    (wheel,) = set(wheels.glob("*.whl")) - before
    return wheel


def files_of(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return copied(tmp_path / "checkout")


def built(source: Path, **environ: str) -> list[str]:
    """The names of the files in the wheel that pip makes of a folder of the checkout."""
    wheels = source.parent / "wheels"
    wheels.mkdir(exist_ok=True)
    wheel = wheel_of(source, wheels, **environ)
    names = files_of(wheel)
    wheel.unlink()
    return names


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both, pure, by the names of their files."""
    folder = tmp_path_factory.mktemp("wheels")
    checkout = copied(folder / "checkout")
    client = wheel_of(checkout, folder)
    server = wheel_of(checkout / "server", folder, LONGLINE_NO_COMPILE="1")
    return dict(zip(NAMES, (client, server), strict=True))


def interpreter(version: str) -> str:
    """A Python of this version; the test is skipped where there is none that runs."""
    found = sys.executable if version == f"3.{sys.version_info.minor}" else shutil.which(f"python{version}")
    if found is None or subprocess.run([found, "--version"], capture_output=True, check=False).returncode:
        pytest.skip(f"there is no Python {version}")
    return found


def bare(python: str, folder: Path, *requirements: str | Path) -> Path:
    """The Python of a new environment in which there is nothing but what these bring."""
    run(python, "-m", "venv", "--without-pip", folder)
    inside = folder / "bin" / "python"
    pip(inside, "install", "--quiet", *requirements)
    return inside


def pip(python: Path, *arguments: str | Path) -> None:
    run(sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check", *arguments)


def sources(checkout: Path) -> set[str]:
    return {str(path.relative_to(checkout / "src")) for path in (checkout / "src").rglob("*.py")}


def binaries(names: list[str]) -> list[str]:
    return [
        name
        for name in names
        if not name.endswith((".py", ".typed", ".html", ".css", ".js", ".svg", ".txt", ".sql", ".lua"))
        and ".dist-info/" not in name
    ]


def test_the_wheels_are_pure_and_share_all_files_among_them(wheels: dict[str, Path]) -> None:
    """No file is in both: whoever removes one of them would take it from the other."""
    client, server = (files_of(wheels[name]) for name in NAMES)
    assert binaries(client + server) == []
    assert not set(client) & set(server)
    assert sources(PROJECT) == {name for name in client + server if name.endswith(".py")}
    assert "longline/py.typed" in client


def test_versions_go_together() -> None:
    """One version in both, and each asks for the other of exactly that."""
    told = [
        tomllib.loads((PROJECT / path).read_text()) for path in ("pyproject.toml", "server/pyproject.toml")
    ]
    client, server = (each["project"] for each in told)
    assert client["optional-dependencies"]["server"] == [f"longline-server=={VERSION}"]
    assert client["optional-dependencies"]["workers"] == [f"longline-server[workers]=={VERSION}"]
    assert client["optional-dependencies"]["profiling"] == [f"longline-server[profiling]=={VERSION}"]
    assert f"longline=={VERSION}" in server["dependencies"]
    assert set(client["dependencies"]) <= set(server["dependencies"])
    packages = [each["tool"]["setuptools"]["packages"]["find"] for each in told]
    assert packages[0]["include"] == packages[1]["exclude"]


def test_with_a_compiler_that_fails_the_wheel_is_pure_and_src_untouched(checkout: Path) -> None:
    before = {path for path in (checkout / "src").rglob("*") if path.is_file()}
    names = built(checkout / "server", CC="/bin/false")
    assert binaries(names) == []
    assert "stays interpreted" in (checkout / "server" / "build" / "interpreted.txt").read_text()
    assert {path for path in (checkout / "src").rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(("source", "package"), [(".", "mqtt"), ("server", "room")])
def test_a_module_that_was_deleted_is_not_in_the_next_wheel(
    checkout: Path, source: str, package: str
) -> None:
    extra = checkout / "src" / "longline" / package / "forgotten.py"
    extra.write_text('"""Soon to be deleted."""\n')
    forgotten = f"longline/{package}/forgotten.py"
    assert forgotten in built(checkout / source, LONGLINE_NO_COMPILE="1")
    extra.unlink()
    assert forgotten not in built(checkout / source, LONGLINE_NO_COMPILE="1")


@pytest.mark.parametrize("version", PYTHONS)
async def test_the_clients_alone_talk_to_a_node_and_type_check(
    version: str, wheels: dict[str, Path], tmp_path: Path
) -> None:
    """In an environment with nothing but `longline` and what it asks for."""
    python = await asyncio.to_thread(bare, interpreter(version), tmp_path / "venv", wheels["longline"])
    listed = await asyncio.to_thread(run, python, "-c", LIST_DISTRIBUTIONS)
    assert set(listed.split()) - {"typing_extensions"} == CLIENT_DISTRIBUTIONS
    await asyncio.to_thread(run, python, "-c", IMPORT_ALL)
    async with LiveNode(tmp_path / "data") as node:
        said = await asyncio.to_thread(run, python, "-c", USE, node.url, node.admin_key, str(node.mqtt_port))
    assert said == "hello\n1\n['d1']\n"
    checked = tmp_path / "used.py"
    checked.write_text(USE)
    await asyncio.to_thread(
        run, sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir", tmp_path / "mypy",
        "--python-executable", python, checked,
    )  # fmt: skip
    await asyncio.to_thread(run, python, "-c", NO_COMMAND)


def test_the_server_comes_as_an_extra_of_the_clients(wheels: dict[str, Path], tmp_path: Path) -> None:
    """`longline[server]` brings the command, and a node that works; without it the clients are whole."""
    asked = f"longline[server] @ {wheels['longline'].as_uri()}"
    python = bare(sys.executable, tmp_path / "venv", "--find-links", wheels["longline_server"].parent, asked)
    assert "The ledger balances" in run(python.with_name("longline"), "demo")
    pip(python, "check")
    pip(python, "uninstall", "--yes", "longline-server")
    run(python, "-c", IMPORT_ALL)


CLIENT_DISTRIBUTIONS = {
    "anyio", "certifi", "h11", "httpcore", "httpx", "idna", "longline", "msgspec", "pyjwt",
}  # fmt: skip
LIST_DISTRIBUTIONS = """
from importlib.metadata import distributions
print(*(each.metadata["Name"].lower() for each in distributions()))
"""
IMPORT_ALL = """
import importlib, pkgutil
import longline
for module in pkgutil.walk_packages(longline.__path__, "longline."):
    if module.name != "longline.__main__":
        importlib.import_module(module.name)
for name in longline.__all__:
    getattr(longline, name)
"""
NO_COMMAND = """
import subprocess, sys
done = subprocess.run([sys.executable, "-m", "longline"], capture_output=True, text=True)
assert (done.returncode, done.stderr.count("\\n")) == (1, 1), done
assert "pip install 'longline[server]'" in done.stderr
"""
USE = """
import asyncio
import sys

from longline import Center, Device, SyncCenter


async def main(url: str, key: str, port: int) -> None:
    async with Center(url, key) as center:
        await center.create_app("news")
        token = await center.token("news", "d1")
        async with Device("127.0.0.1", port, app="news", device="d1", token=token.password) as device:
            await device.wait_connected()
            accepted = await center.send("news", "hello", devices=["d1"])
            message = await device.receive()
            print(message.text)
            await message.ack()
            print((await center.wait("news", accepted.message_id, within=30)).ledger.acked)


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
with SyncCenter(sys.argv[1], sys.argv[2]) as center:
    print([device.device for device in center.devices("news")])
"""
