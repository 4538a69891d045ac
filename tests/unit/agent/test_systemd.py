"""Units that systemd takes, and that say what the settings say."""

import shlex
import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest

from longline.agent import systemd
from longline.agent.systemd import agent_unit, quoted, role_unit, serve_unit
from longline.settings import NodeSettings, RoomSettings, Settings


@pytest.fixture(autouse=True)
def _program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemd, "program", lambda: ["/usr/bin/env", "longline"])


def service(unit: str) -> dict[str, str]:
    """The section of the service; names in small letters."""
    parser = ConfigParser(interpolation=None, strict=False)  # lists come in several lines
    parser.read_string(unit)
    return dict(parser["Service"])


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
@pytest.mark.parametrize("kind", ["agent", "role", "serve"])
def test_systemd_finds_nothing_wrong_with_a_unit(tmp_path: Path, kind: str) -> None:
    settings = Settings(data_dir=Path("/srv/long line"), room=RoomSettings(port=80))
    flags = {"data_dir": "/srv/long line", "room.host": '50 % "x" $HOME'}
    config = Path("/etc/longline.toml")
    path = tmp_path / "longline.service"
    if kind == "agent":
        path.write_text(agent_unit(settings, config, flags))
    elif kind == "serve":
        path.write_text(serve_unit(settings, 4, config, flags))
    else:
        path.write_text(role_unit(settings, ["room", "center"], config, flags))
    done = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_agent_is_started_as_it_was_asked_for() -> None:
    told = service(agent_unit(Settings(), Path("/etc/longline.toml"), {"agent.processes": "room=2"}))
    assert shlex.split(told["execstart"]) == [
        *("/usr/bin/env", "longline", "agent"),
        *("--config", "/etc/longline.toml", "--agent.processes", "room=2"),
    ]
    assert told["execreload"] == "/bin/kill -HUP $MAINPID"
    assert told["restart"] == "always"


def test_a_role_is_not_replaced_by_a_signal() -> None:
    told = service(role_unit(Settings(), ["room"], None, {}))
    assert told["execstart"] == "/usr/bin/env longline run room"
    assert "execreload" not in told


def test_a_node_is_started_as_it_was_asked_for_and_only_workers_are_replaced_by_a_signal() -> None:
    told = service(serve_unit(Settings(), None, None, {"room.port": "1884"}))
    assert told["execstart"] == "/usr/bin/env longline serve --quiet --room.port 1884"
    assert "execreload" not in told
    told = service(serve_unit(Settings(), 4, None, {}))
    assert told["execstart"] == "/usr/bin/env longline serve --quiet --workers 4"
    assert told["execreload"] == "/bin/kill -HUP $MAINPID"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_a_service_is_confined_to_what_it_needs(tmp_path: Path) -> None:
    path = tmp_path / "longline.service"
    path.write_text(agent_unit(Settings(), None, {}))
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=25", path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_files_and_time_are_those_that_the_settings_need() -> None:
    settings = Settings(
        node=NodeSettings(drain_grace=600, shutdown_grace=10), room=RoomSettings(max_connections=3_000_000)
    )
    told = service(agent_unit(settings, None, {}))
    assert int(told["limitnofile"]) > 3_000_000
    assert int(told["timeoutstopsec"]) > 610


def test_a_port_of_the_lower_ones_needs_a_capability() -> None:
    told = service(agent_unit(Settings(), None, {}))
    assert ("ambientcapabilities" in told, told["capabilityboundingset"]) == (False, "")
    told = service(agent_unit(Settings(room=RoomSettings(port=443)), None, {}))
    assert told["ambientcapabilities"] == told["capabilityboundingset"] == "CAP_NET_BIND_SERVICE"


def test_data_elsewhere_can_be_written_and_a_home_can_be_read() -> None:
    told = service(agent_unit(Settings(data_dir=Path("/srv/longline")), None, {}))
    assert (told["readwritepaths"], told["protecthome"]) == ("/srv/longline", "yes")
    told = service(agent_unit(Settings(), Path("/home/me/longline.toml"), {}))
    assert ("readwritepaths" in told, told["protecthome"]) == (False, "read-only")


@pytest.mark.parametrize(
    ("word", "written"),
    [
        ("room=2", "room=2"),
        ("50%", "50%%"),
        ("$HOME", "$$HOME"),
        ("a b", '"a b"'),
        ('say "x"', '"say \\"x\\""'),
        ("back\\slash", '"back\\\\slash"'),
        ("", '""'),
    ],
)
def test_words_are_quoted_as_systemd_reads_them(word: str, written: str) -> None:
    assert quoted(word) == written
