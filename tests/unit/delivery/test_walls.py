"""What `make check` refuses of the way in."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[3]

PLANTED: Final = {
    "longline.center": "from longline.center.schemas import MessageBody",
    "longline.room": "from longline.room.counters import RoomCounters",
    "longline.mqtt": "from longline.mqtt.packets import Publish",
}


def test_a_line_by_which_delivery_would_see_a_role_or_mqtt_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("importlinter")
    shutil.copytree(ROOT / "src" / "longline", tmp_path / "longline")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    planted = tmp_path / "longline" / "delivery" / "compose.py"
    planted.write_text(planted.read_text("utf-8") + "\n".join(PLANTED.values()) + "\n", "utf-8")
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    for package in PLANTED:
        assert f"longline.delivery is not allowed to import {package}" in done.stdout or (
            f"longline.delivery.compose -> {package}" in done.stdout
        ), done.stdout
