"""`make check` refuses what the rules forbid: each line is planted in a copy of the source, and seen."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

CIRCLES = "No circle of files"
LAYERS = "Imports point down"
SUBJECTS = "What a request of the API passes knows none of its subjects"
MQTT = "Only room, sdk, bench and testing see MQTT"
CLIENTS = "A database client is imported only by"
ENGINES = "The engine of a port is opened by node"
ALONE = "Engines know nothing of each other"
ALONE_INSTALLED = "What is installed without the server"
SEVERAL = "Only node imports several roles"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("rules") / "src"
    shutil.copytree(ROOT / "src", source, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    return source


def check(source: Path) -> str:
    """What the import rules of `make check` say of this source; empty when they find nothing."""
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [linter, "--cache-dir", str(source.parent / "cache")],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(source), "COLUMNS": "300"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    _, broken, said = (done.stdout + done.stderr).partition("Broken contracts")
    assert bool(broken) == bool(done.returncode), done.stdout
    return said


def test_the_source_as_it_stands_keeps_every_rule(copy: Path) -> None:
    assert check(copy) == ""


@pytest.mark.parametrize(
    ("rule", "file", "line"),
    [
        (CIRCLES, "model/times.py", "from longline.model import planted"),
        (
            CIRCLES,
            "model/times.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import longline.model.planted",
        ),
        (CIRCLES, "model/times.py", "def late() -> None:\n    import longline.model.planted"),
        (LAYERS, "center/__init__.py", "import longline.room"),
        (LAYERS, "coordinator/expiry.py", "import longline.dispatcher"),
        (LAYERS, "model/times.py", "import longline.store.slots"),
        (LAYERS, "register/port.py", "import longline.bus.port"),
        (LAYERS, "agent/child.py", "import longline.node.loop"),
        (LAYERS, "cli/run.py", "import longline.testing.clock"),
        (LAYERS, "delivery/compose.py", "from longline.center.messages.message_shapes import MessageBody"),
        (LAYERS, "delivery/compose.py", "from longline.room.counters import RoomCounters"),
        (SUBJECTS, "center/gate/gate.py", "import longline.center.devices.tokens"),
        (SUBJECTS, "center/requests/paging.py", "import longline.center.keys.shapes"),
        (SUBJECTS, "center/errors/expected.py", "import longline.center.requests.times"),
        (MQTT, "delivery/compose.py", "from longline.mqtt.packets import Publish"),
        (MQTT, "center/__init__.py", "import longline.mqtt.topics"),
        (CLIENTS, "saver/port/apps.py", "import apsw"),
        (CLIENTS, "store/slots.py", "from hiredis import Reader"),
        (CLIENTS, "keeper/port.py", "from kazoo.client import KazooClient"),
        (ENGINES, "center/__init__.py", "from longline.bus.local import LocalBus"),
        (ENGINES, "coordinator/expiry.py", "from longline.register.redis import RedisRegister"),
        (ENGINES, "cli/run.py", "import longline.saver.kv"),
        (ENGINES, "room/__init__.py", "import longline.store.redis"),
        (ALONE, "saver/kv/__init__.py", "import longline.saver.sql"),
        (ALONE, "bus/redis.py", "from longline.bus.local import LocalBus"),
        (ALONE_INSTALLED, "sdk/times.py", "import longline.flow.lru"),
        (ALONE_INSTALLED, "model/times.py", "import longline.settings"),
        (SEVERAL, "cli/demo.py", "import longline.center"),
    ],
)
def test_a_planted_line_is_refused(rule: str, file: str, line: str, copy: Path) -> None:
    planted = copy / "longline" / file
    other = copy / "longline" / "model" / "planted.py"
    before = planted.read_bytes()
    other.write_text("import longline.model.times\n")
    planted.write_text(f"{before.decode()}\n{line}\n")
    try:
        said = check(copy)
    finally:
        planted.write_bytes(before)
        other.unlink()
    assert rule in said
    module = "longline." + file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    assert module in said.partition(rule)[2]
