"""The commands as a shell sees them: what they print where, and how they exit."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from longline.settings import CATALOGUE, reference_page
from longline.version import VERSION


def longline(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LONGLINE_")}
    return subprocess.run(
        [sys.executable, "-m", "longline", *arguments],
        env={**clean, "COLUMNS": "200", **environ},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture
def bad_file(tmp_path: Path) -> Path:
    file = tmp_path / "bad.toml"
    file.write_text("[room]\nprot = 1883\n")
    return file


@pytest.mark.parametrize(
    ("arguments", "setting"),
    [
        ((), "store.url"),
        ((), "keeper.hosts"),
        ((), "agent.processes"),
        (("--workers", "2"), "store.url"),
        (("--workers", "2"), "saver.path"),
    ],
)
def test_serve_refuses_what_it_would_not_go_by(
    tmp_path: Path, arguments: tuple[str, ...], setting: str
) -> None:
    """Whoever names a store believes the data in it."""
    value = {"agent.processes": "room=2"}.get(setting, "elsewhere:1")
    done = longline("serve", "--data", str(tmp_path), *arguments, f"--{setting}", value)
    assert done.returncode == 1
    assert f"{setting}: `serve` has a store of its own" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_help_and_version_are_good() -> None:
    assert longline("--version").stdout.strip() == VERSION
    shown = longline("--help")
    assert shown.returncode == 0
    for command in ("serve", "demo", "app", "token", "push", "listen", "bench", "config", "doctor"):
        assert command in shown.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("--nonsense",),
        ("config", "nonsense"),
        ("config", "show", "--room.prot", "1"),
        ("config", "show", "--room.port", "seven"),
        ("config", "show", "--room.port"),
        ("config", "check", "one", "two"),
        ("config", "check", "one", "--config", "two"),
        ("doctor", "loose"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_why_on_standard_error(arguments: tuple[str, ...]) -> None:
    done = longline(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr
    assert "Traceback" not in done.stderr


def test_check_accepts_a_good_file(tmp_path: Path) -> None:
    file = tmp_path / "good.toml"
    file.write_text("[room]\nport = 1884\n")
    done = longline("config", "check", str(file))
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(longline("config", "check", "--config", str(file), "--json").stdout) == {
        "ok": True,
        "set": 1,
    }


def test_check_refuses_a_bad_file_and_proposes_the_right_name(bad_file: Path) -> None:
    done = longline("config", "check", str(bad_file))
    assert done.returncode == 1
    assert done.stdout == ""
    assert "room.prot: unknown setting; did you mean room.port?" in done.stderr


def test_check_looks_at_the_environment_too() -> None:
    assert longline("config", "check", LONGLINE_ROOM__PORT="99999").returncode == 1


def test_with_json_an_error_has_the_api_s_format(bad_file: Path) -> None:
    done = longline("config", "show", "--config", str(bad_file), "--json")
    assert done.returncode == 1
    error = json.loads(done.stdout)["error"]
    assert error["code"] == "bad_setting"
    assert error["details"][0]["field"] == "room.prot"


def test_show_prints_every_setting_with_its_source_and_no_secret(tmp_path: Path) -> None:
    done = longline(
        "config",
        "show",
        "--json",
        "--data",
        str(tmp_path),
        "--room.port=1885",
        LONGLINE_ADMIN_KEY="hunter2hunter2",
        LONGLINE_CENTER__PORT="8081",
    )
    rows = json.loads(done.stdout)["settings"]
    assert set(rows) == set(CATALOGUE)
    assert rows["room.port"] == {"value": 1885, "source": "flag --room.port"}
    assert rows["center.port"] == {"value": 8081, "source": "environment LONGLINE_CENTER__PORT"}
    assert rows["data_dir"] == {"value": str(tmp_path), "source": "flag --data_dir"}
    assert rows["admin_key"]["value"] == "hidden"
    assert "hunter2" not in done.stdout
    plain = longline("config", "show", LONGLINE_ADMIN_KEY="hunter2hunter2").stdout
    assert len(plain.splitlines()) == len(CATALOGUE)
    assert "hunter2" not in plain


def test_docs_writes_the_reference_page(tmp_path: Path) -> None:
    page = tmp_path / "settings.md"
    assert longline("config", "docs", "--output", str(page)).returncode == 0
    assert page.read_text(encoding="utf-8") == reference_page() == longline("config", "docs").stdout


def test_docs_that_cannot_be_written_fail(tmp_path: Path) -> None:
    done = longline("config", "docs", "--output", str(tmp_path / "missing" / "settings.md"))
    assert done.returncode == 1
    assert "cannot write" in done.stderr


def test_a_reader_that_leaves_early_causes_no_traceback() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "longline", "config", "docs"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()  # before anything is written: the very first write fails
        assert process.stderr.read() == b""
        assert process.wait(timeout=300) == 1


def test_doctor_reports_what_it_looked_at(tmp_path: Path) -> None:
    done = longline("doctor", "--json", "--data", str(tmp_path))
    findings = {finding["check"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert {"hot path", "event loop", "SQLite", "data folder", "sync", "open files"} <= set(findings)
    assert findings["hot path"]["found"].split(":")[0] in {"compiled", "interpreted"}
    assert list(tmp_path.iterdir()) == []


def test_doctor_fails_when_the_compiled_hot_path_is_required_and_missing() -> None:
    compiled = json.loads(longline("doctor", "--json").stdout)["findings"][0]["found"] == "compiled"
    assert longline("doctor", "--require-compiled").returncode == (0 if compiled else 1)


def test_doctor_fails_when_the_data_folder_cannot_be_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = longline("doctor", "--data", str(tmp_path / "file" / "data"))
    assert done.returncode == 1
    assert "cannot be written" in done.stdout


@pytest.mark.parametrize("command", [("agent",), ("run", "room"), ("serve",), ("serve", "--workers", "2")])
@pytest.mark.parametrize("flag", ["--store.password", "--admin-key"])
def test_a_unit_is_not_printed_with_a_secret_in_it(command: tuple[str, ...], flag: str) -> None:
    done = longline(*command, "--systemd", flag, "hunter2hunter2")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "EnvironmentFile" in done.stderr
    assert "hunter2" not in done.stderr


def test_show_prints_no_password_that_is_inside_a_url() -> None:
    done = longline("config", "show", LONGLINE_STORE__URL="redis://:hunter2@127.0.0.1:6379")
    assert done.returncode == 1
    assert "hunter2" not in done.stdout + done.stderr
    assert "store.password" in done.stderr
