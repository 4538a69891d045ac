"""Administration from a shell: what is refused before anything is sent, and how answers are printed."""

import base64
import io
import sys
from pathlib import Path

import msgspec
import pytest

from longline import Push
from longline.cli import main
from longline.cli.message import ledger_rows
from longline.model.ledger import Ledger

NOWHERE = ("--url", "http://127.0.0.1:1", "--key", "k")  # nothing listens there


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("LONGLINE_URL", "LONGLINE_KEY", "LONGLINE_ADMIN_KEY", "LONGLINE_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("push", "news", "hello"), "to whom"),
        (("push", "news", "hello", "--all", "--device", "d1"), "to whom"),
        (("push", "news", "hello", "--tag", "red", "--alias", "ann"), "to whom"),
        (("push", "news", "hello", "--audience", "everybody"), "JSON"),
        (("push", "news", "hello", "--audience", "[1]"), "JSON"),
        (("audience", "estimate", "news", "{"), "JSON"),
        (("device", "set", "news", "d1", "--attribute", "age"), "NAME=VALUE"),
        (("push", "news", "--all"), "payload"),
        (("push", "news", "hello", "--all", "--file", "x"), "payload"),
        (("push", "news", "--all", "--file", "absent"), "absent"),
        (("push", "news", "not base64!", "--all", "--base64"), "base64"),
        (("app", "limits", "news", "colour=7"), "no limit"),
        (("app", "limits", "news", "devices"), "NAME=NUMBER"),
        (("app", "limits", "news", "devices=many"), "NAME=NUMBER"),
        (("app", "limits", "news", "devices=-1"), "NAME=NUMBER"),
        (("listen", "news", "d1", "--protocol", "3"), "--protocol"),
        (("listen", "news", "d1", "--count", "0"), "--count"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_sent(
    arguments: tuple[str, ...], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, *NOWHERE]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert why in printed.err


def test_without_any_key_the_message_says_where_one_is_looked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["app", "list"]) == 2
    assert "longline-data/admin.key" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ("app", "list"),
        ("app", "create", "news"),
        ("app", "delete", "news", "--yes"),
        ("key", "rotate", "news"),
        ("token", "news", "d1"),
    ],
)
def test_a_server_that_is_not_there_is_a_failure_with_a_hint(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, *NOWHERE]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    said, hint = printed.err.splitlines()
    assert said.startswith("longline: ")
    assert said.endswith(" (unavailable)")
    assert "`longline serve`" in hint


def test_deleting_without_a_terminal_needs_a_yes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("news\n"))
    assert main(["app", "delete", "news", *NOWHERE]) == 2
    assert "--yes" in capsys.readouterr().err


def test_the_rows_of_a_ledger_leave_out_what_is_zero_and_end_with_the_sum() -> None:
    ledger = Ledger(
        targeted=7,
        pending=1,
        acked=3,
        expired=0,
        collapsed=0,
        dropped={"device_not_found": 2, "cancelled": 1},
        routed=4,
        sent=4,
    )
    assert ledger_rows(ledger) == [
        ("acked", "3"),
        ("dropped: cancelled", "1"),
        ("dropped: device_not_found", "2"),
        ("pending", "1"),
        ("targeted", "7"),
    ]


class _Sent(Exception):
    """Stands for the request, and carries what would have been sent."""


@pytest.mark.parametrize(
    ("arguments", "content"),
    [
        (("hello",), "hello"),
        (("42",), "42"),
        (('{"price": 1.10}',), msgspec.Raw(b'{"price": 1.10}')),
        ((" [1e2, 12345678901234567890]",), msgspec.Raw(b"[1e2, 12345678901234567890]")),
        (("[1e999]",), msgspec.Raw(b"[1e999]")),
        (("[draft] hello",), "[draft] hello"),
        ((base64.b64encode(b"\x00\xff").decode(), "--base64"), b"\x00\xff"),
    ],
)
def test_a_payload_is_text_unless_it_is_a_json_object_or_array_or_bytes(
    arguments: tuple[str, ...], content: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[object] = []

    async def send(_: object, app: str, push: Push, **options: object) -> None:
        sent.append(push.payload)
        raise _Sent

    monkeypatch.setattr("longline.sdk.center.Center.send_push", send)
    with pytest.raises(_Sent):
        main(["push", "news", *arguments, "--all", *NOWHERE])
    assert sent == [content]
