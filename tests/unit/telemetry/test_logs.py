"""The log holds no secrets and cannot be flooded."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from longline.settings import Secret
from longline.telemetry.logs import HIDDEN, OncePerPeer, configure, redact

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJkMSJ9.c2lnbmF0dXJl"


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


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
