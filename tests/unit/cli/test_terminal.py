"""What a person at a terminal, or a program at a pipe, meets: words, encodings, empty variables."""

import json
import os
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from longline.cli import main
from longline.cli.output import print_json
from longline.cli.times import seconds, shown

NOWHERE = ("--url", "http://127.0.0.1:1", "--key", "k")  # nothing listens there


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("LONGLINE_")]:
        monkeypatch.delenv(name)


def longline(
    *arguments: str | bytes, given: bytes = b"", **environ: str
) -> subprocess.CompletedProcess[bytes]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LONGLINE_")}
    return subprocess.run(
        [sys.executable, "-m", "longline", *arguments],
        env={**clean, "COLUMNS": "200", **environ},
        input=given,
        capture_output=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("push", "news", "hello", "--all", "--ttl", "soon"),
        ("push", "news", "hello", "--all", "--tag", "beta"),
        ("listen", "news", "d1", "--protocol", "3"),
        ("listen", "news", "d1", "--port", "65536"),
        ("token",),
        ("serve", "--workers", "0"),
        ("serve", "--room.port", "seven"),
        ("serve", "--room.port"),
        ("app", "list", "--key", "two words"),
        ("app", "list", "--key", "k", "--url", "nowhere"),
    ],
)
def test_every_wrong_usage_is_told_in_one_style_and_where_to_read_on(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    line, hint = printed.err.splitlines()
    assert line.startswith("longline: ")
    assert line.endswith(" (usage)")
    assert hint.startswith("hint: `longline ")
    assert hint.endswith(" --help` says how")


def test_with_json_wrong_usage_has_the_format_of_the_api_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["push", "news", "hello", "--all", "--ttl", "soon", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "usage"


@pytest.mark.parametrize("key", ["hunter2\nx", "hunter2 x", "hunter2\u00fc"])
def test_a_key_with_a_flaw_is_refused_without_being_printed(
    key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["app", "list", "--url", "http://127.0.0.1:1", "--key", key]) == 2
    printed = capsys.readouterr()
    assert "hunter2" not in printed.out + printed.err


def test_an_empty_key_file_is_told_as_such(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "admin.key").write_text("\n")
    assert main(["app", "list", "--data", str(tmp_path)]) == 2
    assert "admin.key: it is empty" in capsys.readouterr().err


def test_empty_variables_count_as_not_set_for_every_command(tmp_path: Path) -> None:
    """Compose files leave them so."""
    (tmp_path / "longline-data").mkdir()
    (tmp_path / "longline-data" / "admin.key").write_text("the-key\n")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LONGLINE_")}
    empty = dict.fromkeys(
        ("LONGLINE_URL", "LONGLINE_KEY", "LONGLINE_ADMIN_KEY", "LONGLINE_DATA_DIR", "LONGLINE_ROOM__PORT"), ""
    )
    for arguments in (("app", "list"), ("listen", "news", "d1", "--count", "0")):
        done = subprocess.run(
            [sys.executable, "-m", "longline", *arguments],
            env={**clean, **empty},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        # What is wrong comes after the variables were read: nothing listens there, or the count is none.
        assert "http://127.0.0.1:8080" in done.stderr or "--count" in done.stderr, done.stderr


def test_the_second_of_two_variables_counts_when_the_first_is_empty() -> None:
    done = longline("app", "list", LONGLINE_KEY="", LONGLINE_ADMIN_KEY="k", LONGLINE_URL="http://127.0.0.1:1")
    assert done.returncode == 1
    assert b"cannot be reached" in done.stderr


def test_the_payload_may_come_from_standard_input() -> None:
    done = longline("push", "news", "--all", "--file", "-", *NOWHERE, given=b"\x00\xff")
    assert done.returncode == 1
    assert b"cannot be reached" in done.stderr


def test_a_flag_without_its_section_is_answered_with_the_flags_it_may_be(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["serve", "--port", "1884"]) == 2
    assert "did you mean --room.port or --center.port?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("setting", "value"), [("node.name", "a b"), ("keeper.root", "longline"), ("node.name", "x" * 65)]
)
def test_what_a_text_has_to_be_like_is_said_in_words(
    setting: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["config", "show", f"--{setting}", value]) == 2
    said = capsys.readouterr().err
    assert "letters, digits" in said
    assert "[A-Za-z" not in said


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_json_is_json_whatever_the_encoding_of_the_terminal(encoding: str) -> None:
    script = (
        "from longline.cli.output import bear_any_encoding, print_json\n"
        "bear_any_encoding()\n"
        "print_json({'payload': 'gr\\u00fc\\u00df \\u20ac \\U0001f600 \"\\\\', 'price': 1.5})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=True,
    )
    assert done.stdout.isascii()
    assert json.loads(done.stdout) == {"payload": 'gr\u00fc\u00df \u20ac \U0001f600 "\\', "price": 1.5}


def test_json_on_a_terminal_of_utf_8_is_readable(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"payload": "gr\u00fc\u00df"})
    assert capsys.readouterr().out == '{"payload":"gr\u00fc\u00df"}\n'


@pytest.mark.parametrize("command", [("--help",), ("push", "--help"), ("config", "docs")])
def test_whatever_is_printed_can_be_printed_in_ascii(command: tuple[str, ...]) -> None:
    done = longline(*command, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.isascii()


def test_an_argument_that_is_no_text_is_wrong_usage() -> None:
    done = longline("push", "news", b"\xff", "--all", *NOWHERE, PYTHONUTF8="1")
    assert done.returncode == 2
    assert b"no text" in done.stderr


@pytest.mark.parametrize("command", [("--help",), ("config", "show"), ("doctor",), ("config", "docs")])
def test_a_reader_that_has_seen_enough_is_no_error_of_the_command(command: tuple[str, ...]) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "longline", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 1


@pytest.mark.parametrize("command", [("--version",), ("config", "docs"), ("config", "show", "--json")])
def test_output_that_nothing_takes_is_told_in_one_line(command: tuple[str, ...]) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "longline", *command], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert (done.returncode, done.stderr) == (1, b"longline: No space left on device (os_error)\n")


def test_a_file_that_the_system_refuses_is_told_by_its_name(tmp_path: Path) -> None:
    folder = "d" * 300
    done = longline("backup", str(tmp_path / "copy"), "--data", folder)
    assert done.returncode == 1
    assert done.stderr == f"longline: {folder}/longline.db: File name too long (os_error)\n".encode()


def test_a_command_s_own_help_says_more_than_the_list_of_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--help"]) == 0
    assert "longline serve --room.port 1884" in capsys.readouterr().out
    assert main(["--help"]) == 0
    assert "--room.port" not in capsys.readouterr().out


@pytest.mark.parametrize(("text", "length"), [("3600", 3600), ("2h", 7200), ("7d", 604_800), ("0", 0)])
def test_a_length_of_time_may_be_a_number_of_seconds(text: str, length: int) -> None:
    assert seconds(text) == length


def test_times_are_read_in_one_form() -> None:
    berlin = timezone(timedelta(hours=1))
    assert shown(datetime(2026, 1, 31, 12, 0, 0, 250_000, tzinfo=berlin)) == "2026-01-31T11:00:00Z"
    local = datetime.fromisoformat("2026-01-31T12:00:00")  # wherever that is
    assert shown(local) == "2026-01-31T12:00:00"


def test_without_any_standard_output_a_command_works() -> None:
    done = subprocess.run(
        ["sh", "-c", f"exec {sys.executable} -m longline --version >&-"], capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_help_waits_for_nothing_that_it_does_not_print() -> None:
    script = (
        "import sys\n"
        "from longline.cli import main\n"
        "assert main(['--help']) == 0\n"
        "slow = {'longline.settings', 'longline.sdk.center', 'longline.node', 'httpx', 'msgspec'}\n"
        "sys.exit(' '.join(slow & sys.modules.keys()) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
