"""The log holds no secrets and cannot be flooded."""

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest
import structlog

from longline.settings import Secret
from longline.telemetry.logs import HIDDEN, OncePerPeer, configure, lost, redact

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJkMSJ9.c2lnbmF0dXJl"


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()
    lost.clear()  # of this process, in which other tests look whether any was


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "token",
        "admin_key",
        "server_key",
        "device_secret",
        "Authorization",
        "x-api-key",
        "secret",
        "cookie",
    ],
)
def test_a_field_with_a_secret_s_name_is_hidden(name: str) -> None:
    assert redact(None, "info", {"event": "x", name: "hunter2"}) == {"event": "x", name: HIDDEN}


@pytest.mark.parametrize("name", ["device", "app", "monkey", "keyboard", "collapse_key", "tokens_made_by"])
def test_other_fields_stay(name: str) -> None:
    assert redact(None, "info", {"event": "x", name: "value"})[name] == "value"


def test_numbers_stay_whatever_their_name() -> None:
    assert redact(None, "info", {"event": "x", "tokens": 3, "key": None})["tokens"] == 3


def test_secrets_are_found_inside_of_values() -> None:
    event = redact(
        None,
        "info",
        {
            "event": f"refused {JWT}",
            "headers": {"Authorization": "Bearer abc", "Accept": "*/*"},
            "seen": ["bearer abc.def", {"password": "hunter2"}],
        },
    )
    assert event == {
        "event": f"refused {HIDDEN}",
        "headers": {"Authorization": HIDDEN, "Accept": "*/*"},
        "seen": [HIDDEN, {"password": HIDDEN}],
    }


@pytest.mark.parametrize("before", ["lla_", "llk_news.", "llk_a_b-c.", "lls_", f"lln_{'0a' * 16}_"])
@pytest.mark.parametrize("secret", ["x" * 43, "-_" * 21 + "-", "aB3_" * 10 + "abc"])
def test_keys_of_ours_are_found_by_their_look(before: str, secret: str) -> None:
    event = redact(None, "info", {"event": "x", "path": f"/v1/keys/{before}{secret}"})
    assert event["path"] == f"/v1/keys/{HIDDEN}"


@pytest.mark.parametrize("text", ["all_is_well", "lln_", f"lln_{'0' * 32}", "ball_a_" + "x" * 50])
def test_what_only_begins_like_a_key_stays(text: str) -> None:
    assert redact(None, "info", {"event": "x", "path": text})["path"] == text


def test_json_lines_carry_level_time_and_fields() -> None:
    stream = io.StringIO()
    configure("info", "json", stream)
    structlog.get_logger().info("listening", port=1883, key=Secret("hunter2"), odd=Secret("hunter2"))
    (line,) = lines(stream)
    assert line["event"] == "listening"
    assert line["level"] == "info"
    assert line["port"] == 1883
    assert str(line["time"]).endswith("Z")
    assert "hunter2" not in stream.getvalue()


def test_a_stream_that_is_no_terminal_gets_json_unless_told_otherwise() -> None:
    stream = io.StringIO()
    configure("info", "auto", stream)
    structlog.get_logger().info("listening")
    assert lines(stream)[0]["event"] == "listening"


def test_less_severe_events_than_the_level_are_left_out() -> None:
    stream = io.StringIO()
    configure("warning", "json", stream)
    structlog.get_logger().info("quiet")
    logging.getLogger("library").info("quiet")
    structlog.get_logger().warning("loud")
    logging.getLogger("library").warning("loud")
    assert [line["event"] for line in lines(stream)] == ["loud", "loud"]


def test_what_libraries_log_comes_out_in_the_same_form_and_without_secrets() -> None:
    stream = io.StringIO()
    configure("info", "json", stream)
    logging.getLogger("uvicorn").warning("bad header %s", f"Bearer {JWT}", extra={"peer": "127.0.0.1"})
    (line,) = lines(stream)
    assert line["level"] == "warning"
    assert line["event"] == f"bad header {HIDDEN}"
    assert line["peer"] == "127.0.0.1"


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_is_logged_without_local_variables(form: str) -> None:
    stream = io.StringIO()
    configure("info", form, stream)
    innocent_name = "hunter" + "2"
    try:
        raise ValueError(f"cannot parse, length {len(innocent_name)}")
    except ValueError:
        structlog.get_logger().exception("failed")
    assert "Traceback" in stream.getvalue()
    assert "cannot parse" in stream.getvalue()
    assert "hunter2" not in stream.getvalue()


def test_a_peer_s_fault_is_logged_once_for_each_kind_and_peer() -> None:
    once = OncePerPeer(limit=100, period=60)
    assert once.first("malformed_packet", "192.0.2.1", now=0)
    assert not once.first("malformed_packet", "192.0.2.1", now=1)
    assert once.first("bad_token", "192.0.2.1", now=2)
    assert once.first("malformed_packet", "192.0.2.2", now=3)
    assert once.suppressed == {"malformed_packet": 1}


def test_many_peers_can_fill_neither_memory_nor_log() -> None:
    once = OncePerPeer(limit=10, period=60)
    logged = sum(once.first("malformed_packet", f"192.0.2.{peer}", now=peer / 100) for peer in range(250))
    assert logged == 10
    assert once.suppressed == {"malformed_packet": 240}


def test_after_the_period_a_peer_may_be_logged_once_more() -> None:
    once = OncePerPeer(limit=10, period=60)
    assert once.first("bad_token", "192.0.2.1", now=1000)
    assert not once.first("bad_token", "192.0.2.1", now=1059)
    assert once.first("bad_token", "192.0.2.1", now=1060)
    assert not once.first("bad_token", "192.0.2.1", now=1061)


# --- a log that cannot be written ----------------------------------------------------------------------


class Sound:
    """Says everything that a node says while something is wrong."""

    def __init__(self, stream: TextIO | None) -> None:
        lost.clear()
        configure(form="json", stream=stream)

    def make(self, times: int = 1) -> None:
        for _ in range(times):
            structlog.get_logger("longline.node").warning("refused", peer="192.0.2.1", reason="x" * 200)
            try:
                raise RuntimeError("a fault")
            except RuntimeError:
                structlog.get_logger("longline.faults").exception("fault")
            logging.getLogger("asyncio").error("a library has %s to say", "something")


def test_a_pipe_that_is_closed_costs_lines_and_nothing_else() -> None:
    read, write = os.pipe()
    os.close(read)
    with open(write, "w") as stream:
        Sound(stream).make()
        assert lost == {"unwritable": 3}


def test_a_pipe_that_nobody_reads_holds_up_nothing() -> None:
    """What has room is written whole, line by line; for the rest nobody waits."""
    read, write = os.pipe()
    with open(write, "w") as stream, open(read, "rb") as reader:
        Sound(stream).make(1000)
        assert lost["unwritable"] > 1000
        os.set_blocking(read, False)
        before = reader.read().splitlines()
        assert len(before) > 10
        lost.clear()
        Sound(stream).make()
        assert lost == {}
        assert len(reader.read().splitlines()) == 3


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no disk that is always full")
def test_a_full_disk_costs_lines_and_nothing_else() -> None:
    with open("/dev/full", "w") as stream:
        Sound(stream).make()
        assert lost == {"unwritable": 3}


def test_a_stream_that_is_closed_or_was_never_there_costs_nothing() -> None:
    stream = io.StringIO()
    sound = Sound(stream)
    stream.close()
    sound.make()
    assert lost == {"unwritable": 3}


def test_a_process_without_standard_error_logs_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", None)
    Sound(None).make()
    assert lost == {}


class Sly:
    """A value that cannot be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("not me")


@pytest.mark.parametrize("form", ["json", "console"])
def test_what_cannot_be_put_into_words_is_left_out(form: str) -> None:
    stream = io.StringIO()
    lost.clear()
    configure(form=form, stream=stream)
    structlog.get_logger().error("odd", value=Sly())
    logging.getLogger("odd").error("%s", Sly())
    logging.getLogger("odd").error("%d", "no number")
    assert lost == {"unspeakable": 3}
    structlog.get_logger().error("fine")
    assert "fine" in stream.getvalue()


def test_a_node_whose_log_is_a_closed_pipe_answers_and_ends_well(tmp_path: Path) -> None:
    """Seen from outside: exit status and all."""
    program = (
        "import structlog\n"
        "from longline.telemetry.logs import configure\n"
        "configure()\n"
        "for _ in range(100): structlog.get_logger().error('x', peer='y' * 1000)\n"
        "print('done')\n"
    )
    read, write = os.pipe()
    os.close(read)
    ended = subprocess.run(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=write, check=False, timeout=60
    )
    os.close(write)
    assert (ended.returncode, ended.stdout) == (0, b"done\n")


def test_a_network_of_ipv6_is_one_peer() -> None:
    once = OncePerPeer(limit=100, period=60.0)
    assert once.first("bad", "2001:db8::1", 0.0)
    assert not once.first("bad", "2001:db8::2", 0.0)
