"""What holds for every command: each is run on terminals wide and narrow, in pipes, with colours and without,
interrupted, refused, and in an encoding of seven bits."""

import asyncio
import io
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from cyclopts import App
from rich.console import Console
from tools.commands import leaves

from longline.center.api import operations
from longline.center.openapi.document import document
from longline.cli import main, tree
from longline.cli.logins import Login, Logins, write_logins
from longline.sdk.center import Center
from longline.settings import CenterSettings
from longline.settings.catalogue import ENV_PREFIX
from tests.unit.center.conftest import close_api, open_api
from tests.unit.cli.every_command import (
    ASKING,
    DOCUMENTS,
    ELSEWHERE,
    FURTHER,
    HERE,
    DocumentedServer,
    called,
)

RUN = [*HERE, *ASKING]
STYLE = re.compile(r"\x1b\[[0-9;]*m")
COLOUR = re.compile(r"\x1b\[(?:[0-9;]*;)?(?:3[0-7]|38|9[0-7])[0-9;]*m")


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The API's document."""

    async def written() -> object:
        api = await open_api(tmp_path_factory.mktemp("api"), CenterSettings(), 100)
        try:
            return document(operations(api.center))
        finally:
            await close_api(api)

    return asyncio.run(written())


@pytest.fixture
def server(spec: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> DocumentedServer:
    """The server that all commands ask, in an environment that is theirs alone."""
    for name in [name for name in os.environ if name.startswith("LONGLINE_")]:
        monkeypatch.delenv(name)
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("LONGLINE_KEYS", str(tmp_path / "keys.json"))
    monkeypatch.chdir(tmp_path)
    log_in(tmp_path)
    (tmp_path / "messages").write_text('{"audience": "all", "payload": "hello"}\n')
    (tmp_path / "devices").write_text('{"device": "d1", "tags": ["beta"]}\n')
    answering = DocumentedServer(spec)
    monkeypatch.setattr(Center, "_transport", httpx.MockTransport(answering))
    return answering


def log_in(folder: Path) -> None:
    """Keeps the server that commands go by, which some of them change."""
    here = Login(url="http://longline.test", key="secret")
    write_logins(folder / "keys.json", Logins(current="here", servers={"here": here}))


class Screen(io.TextIOWrapper):
    """Standard output or error, kept; a terminal if it is told so."""

    def __init__(self, *, terminal: bool = False, encoding: str = "utf-8") -> None:
        super().__init__(io.BytesIO(), encoding=encoding, write_through=True)
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    def read_back(self) -> str:
        """What was written."""
        written = self.buffer
        assert isinstance(written, io.BytesIO)
        return written.getvalue().decode(self.encoding)


Ran = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Ran:
    """Runs a command; its exit status and what it wrote."""
    # Each command of the tree keeps its console, with the width of the terminal that it first ran on.
    monkeypatch.setattr(App, "console", property(lambda _: Console()))

    def running(arguments: list[str], **how: Any) -> tuple[int, str, str]:
        out, err = Screen(**how), Screen(**how)
        with monkeypatch.context() as standing:
            standing.setattr(sys, "stdout", out)
            standing.setattr(sys, "stderr", err)
            status = main(arguments)
        return status, out.read_back(), err.read_back()

    return running


def test_all_commands_are_looked_at() -> None:
    assert sorted(name for name, _ in leaves(tree.app)) == sorted([*ELSEWHERE, *RUN])
    for reason in ELSEWHERE.values():
        assert Path(reason.rpartition(" ")[2]).exists()


def test_empty_variables_are_those_of_the_settings() -> None:
    assert tree.ENV_PREFIX == ENV_PREFIX


def test_no_call_of_the_api_is_without_a_command(server: DocumentedServer, run: Ran, tmp_path: Path) -> None:
    for arguments in [*(called(command, tmp_path) for command in ASKING), *FURTHER]:
        status, _, err = run(arguments)
        assert status == 0, (arguments, err)
    assert server.operations - server.made == set()


@pytest.mark.parametrize("command", [each for each in RUN if each not in DOCUMENTS])
def test_json_is_an_object_a_line_and_says_what_the_words_say(
    command: str, server: DocumentedServer, run: Ran, tmp_path: Path
) -> None:
    status, out, err = run([*called(command, tmp_path), "--json"])
    assert (status, err) == (1 if command == "doctor" and '"ok":false' in out else 0, "")
    for line in out.splitlines():
        assert isinstance(json.loads(line), dict)
    assert out


@pytest.mark.parametrize("command", RUN)
def test_a_narrow_terminal_loses_nothing_that_a_pipe_is_told_and_a_pipe_has_no_colours(
    command: str, server: DocumentedServer, run: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, piped, err = run(called(command, tmp_path))
    assert "\x1b" not in piped + err
    log_in(tmp_path)
    monkeypatch.setenv("COLUMNS", "40")
    status, out, _ = run(called(command, tmp_path), terminal=True)
    assert status == 0 or command == "doctor"
    if command not in ("doctor", "top", "login", "logout", "servers"):  # which say how things are now
        lost = Counter(re.sub(r"\s", "", piped)) - Counter(re.sub(r"\s", "", STYLE.sub("", out)))
        assert lost == Counter(), f"lost: {lost}"


@pytest.mark.parametrize("command", RUN)
def test_a_terminal_of_seven_bits_that_wants_no_colours_is_no_reason_to_fail(
    command: str, server: DocumentedServer, run: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, out, err = run(called(command, tmp_path), encoding="ascii")
    assert status == 0 or command == "doctor"
    assert (out + err).isascii()
    log_in(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    status, out, err = run(called(command, tmp_path), terminal=True, encoding="ascii")
    assert status == 0 or command == "doctor"
    assert (out + err).isascii()
    assert not COLOUR.search(out + err)


def test_there_are_colours(server: DocumentedServer, run: Ran) -> None:
    _, out, _ = run(["device", "list", "news"], terminal=True)
    assert COLOUR.search(out)


def test_wrong_usage_is_told_without_colours_in_a_pipe(
    server: DocumentedServer, run: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kept in ("_fallback_console", "_fallback_error_console"):  # as wide as it is now, for the next test
        monkeypatch.setattr(tree.app["device"]["list"], kept, None)
    status, out, err = run(["device", "list", "news", "--nonsense"])
    assert (status, out) == (2, "")
    assert "--nonsense" in err
    assert "\x1b" not in err


@pytest.mark.parametrize("command", RUN)
def test_a_reader_that_has_gone_is_no_fault(
    command: str, server: DocumentedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    err = Screen()
    with open(writer, "w", encoding="utf-8") as closed, monkeypatch.context() as standing:
        standing.setattr(sys, "stdout", closed)
        standing.setattr(sys, "stderr", err)
        status = main(called(command, tmp_path))
    silent = {"app delete", "issuer delete", "key delete", "device delete", "device kick", "device release"}
    silent |= {"group delete", "schedule delete", "webhook delete", "profiles delete"}
    assert (status, err.read_back()) == (0 if command in silent else 1, "")


@pytest.mark.parametrize("command", ASKING)
def test_an_interrupted_command_says_nothing_and_ends_with_130(
    command: str, server: DocumentedServer, run: Ran, tmp_path: Path
) -> None:
    server.refusal = KeyboardInterrupt()
    assert run(called(command, tmp_path)) == (130, "", "")


@pytest.mark.parametrize("command", ASKING)
def test_what_a_server_refuses_is_told_with_its_code_and_a_hint(
    command: str, server: DocumentedServer, run: Ran, tmp_path: Path
) -> None:
    error = {"code": "unauthorized", "message": "that key is none", "details": []}
    server.refusal = httpx.Response(401, json={"error": error})
    status, out, err = run(called(command, tmp_path))
    assert (status, out) == (1, "")
    said, hint = err.splitlines()
    assert said == "longline: that key is none (unauthorized)"
    assert hint.startswith("hint: `longline login URL`")
    status, out, err = run([*called(command, tmp_path), "--json"])
    assert (status, err) == (1, "")
    told = json.loads(out)["error"]
    assert told.pop("hint").startswith("`longline login URL`")
    assert told == error


@pytest.mark.parametrize(
    ("flags", "variables", "source"),
    [
        ([], {}, "the login at http://longline.test"),
        (["--key", "k"], {}, "--key"),
        ([], {"LONGLINE_KEY": "k"}, "LONGLINE_KEY"),
        ([], {"LONGLINE_ADMIN_KEY": "k"}, "LONGLINE_ADMIN_KEY"),
        (["--data", "."], {}, "admin.key"),
    ],
)
@pytest.mark.parametrize(("status", "code"), [(401, "unauthorized"), (403, "forbidden")])
def test_who_is_refused_for_a_key_is_told_where_that_is_from(
    flags: list[str],
    variables: dict[str, str],
    source: str,
    status: int,
    code: str,
    server: DocumentedServer,
    run: Ran,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "admin.key").write_text("k")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    server.refusal = httpx.Response(status, json={"error": {"code": code, "message": "no", "details": []}})
    assert run(["app", "list", *flags])[2].endswith(f"the key was that of {source}\n")


def test_what_looks_like_json_and_is_none_is_sent_as_text_with_a_word(
    server: DocumentedServer, run: Ran
) -> None:
    status, _, err = run(["push", "news", '{"title": "Hel', "--all"], terminal=True)
    assert (status, "sent as text, since it is no JSON" in err) == (0, True)
    status, _, err = run(["push", "news", '{"title": "Hello"}', "--all"], terminal=True)
    assert (status, err) == (0, "")


@pytest.mark.parametrize("command", [*RUN, *ELSEWHERE])
def test_help_fits_forty_columns_of_seven_bits(
    command: str, run: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    status, out, err = run([*command.split(), "--help"], encoding="ascii")
    assert (status, err) == (0, "")
    assert out.isascii()
    assert max(map(len, out.splitlines())) <= 40
    assert "Usage: longline" in " ".join(out.split())
