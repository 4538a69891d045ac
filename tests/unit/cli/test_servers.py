"""Which server a command asks, and with which key."""

import stat
from pathlib import Path

import httpx
import pytest

from longline.cli import main
from longline.cli.logins import Login, Logins, read_logins, write_logins
from longline.sdk.center import Center

LIVE = Login(url="https://push.example.org", key="live-key")
HERE = Login(url="http://127.0.0.1:8080", key="here-key")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, str]]:
    """Base URL and key of each request, of somebody with two logins."""
    for name in ("URL", "KEY", "ADMIN_KEY", "DATA_DIR", "SERVER", "CA"):
        monkeypatch.delenv(f"LONGLINE_{name}", raising=False)
    monkeypatch.setenv("LONGLINE_KEYS", str(tmp_path / "keys.json"))
    monkeypatch.chdir(tmp_path)
    write_logins(tmp_path / "keys.json", Logins(current="live", servers={"live": LIVE, "here": HERE}))
    requests: list[tuple[str, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        url = f"{request.url.scheme}://{request.url.netloc.decode()}"
        requests.append((url, request.headers["authorization"].removeprefix("Bearer ")))
        return httpx.Response(200, json={"apps": []})

    monkeypatch.setattr(Center, "_transport", httpx.MockTransport(answer))
    return requests


@pytest.mark.parametrize(
    ("flags", "environ", "url", "key"),
    [
        ((), {}, LIVE.url, "live-key"),
        (("--server", "here"), {}, HERE.url, "here-key"),
        ((), {"LONGLINE_SERVER": "here"}, HERE.url, "here-key"),
        (("--server", "here", "--key", "other"), {}, HERE.url, "other"),
        (("--url", HERE.url), {}, HERE.url, "here-key"),
        (("--url", f"{HERE.url}/"), {}, HERE.url, "here-key"),
        (("--url", "http://127.0.0.1:9", "--key", "k"), {}, "http://127.0.0.1:9", "k"),
        ((), {"LONGLINE_KEY": "k"}, "http://127.0.0.1:8080", "k"),
        (("--data", "."), {}, "http://127.0.0.1:8080", "from-the-folder"),
    ],
)
def test_the_first_of_server_address_folder_and_login_counts(
    flags: tuple[str, ...],
    environ: dict[str, str],
    url: str,
    key: str,
    asked: list[tuple[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    (tmp_path / "admin.key").write_text("from-the-folder\n")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert main(["app", "list", *flags]) == 0
    assert asked == [(url, key)]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("app", "list", "--server", "absent"), "no server 'absent'"),
        (("app", "list", "--server", "here", "--url", LIVE.url), "and not both"),
        (("servers", "use", "absent"), "no server 'absent'"),
        (("logout", "absent"), "no server 'absent'"),
    ],
)
def test_a_server_that_is_not_there_is_told(
    arguments: tuple[str, ...], why: str, asked: list[tuple[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert why in capsys.readouterr().err
    assert asked == []


def test_servers_are_listed_without_keys_chosen_and_forgotten(
    asked: list[tuple[str, str]], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "keys.json"
    assert main(["servers"]) == 0
    assert capsys.readouterr().out == f"here\t{HERE.url}\t\nlive\t{LIVE.url}\tyes\n"
    assert main(["servers", "use", "here"]) == 0
    assert main(["app", "list"]) == 0
    assert asked == [(HERE.url, "here-key")]
    assert main(["logout"]) == 0
    assert main(["logout", LIVE.url]) == 0
    assert read_logins(file) == Logins()
    assert "-key" not in capsys.readouterr().out
    assert main(["logout"]) == 2


def test_a_login_has_its_name_and_again_the_same_one(asked: list[tuple[str, str]], tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    assert main(["login", "http://127.0.0.1:9/", "--key", "a", "--name", "test"]) == 0
    assert main(["login", "http://127.0.0.1:9", "--key", "b"]) == 0
    assert main(["login", "https://other.example.org:8443", "--key", "c"]) == 0
    logins = read_logins(file)
    assert logins.servers["test"].key == "b"
    assert logins.current == "other.example.org:8443"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
