"""`longline bench` as a user runs it, against a broker that is right and against one that is wrong.

The command runs in a process of its own: it forks its workers, which a process with threads may not.
"""

import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

import longline
from longline.bench import broadcast, connections, drain, fanout, unicast, upstream
from longline.bench.ledgers import ServerVerdict
from tests.unit.bench.peers import Broker, serving

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(longline.__file__).parents[1])}
ACCOUNT = ("--app", "news", "--secret", "s" * 32, "--key", "server-key")
STALL = 60.0  # s of waiting for what does come
SHORT_STALL = 0.5  # s of waiting for what never does
LONGEST = 10.0  # s that a measurement takes at most

Outcome = TypeVar("Outcome")


def lengthened(
    measure: Callable[[float], Outcome], enough: Callable[[Outcome], bool], seconds: float, longest: float
) -> Outcome:
    """Measures with so many seconds; with three times as many, and again up to the longest, where that is not
    enough on a busy machine.
    """
    while not enough(outcome := measure(seconds)) and seconds < longest:
        seconds *= 3
    return outcome


def patiently(measure: Callable[[float], Outcome], one_is_lost: Callable[[Outcome], bool]) -> Outcome:
    """Measures with a short stall time; and with a longer one, where more seems to be lost than one, for what
    is late on a busy machine is not lost.
    """
    return lengthened(measure, one_is_lost, SHORT_STALL, STALL)


def bench(*arguments: str | float) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "longline", "bench", *map(str, arguments)]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=300, check=False)


def fanned_out(
    broker: Broker, *arguments: str | float, stall: float = STALL, faulty: bool = False
) -> tuple[int, fanout.FanoutFigures]:
    """Of a short while; of a longer one, where nobody got to publish anything in it, or too little for the
    broker to make the mistake that it is to make.
    """

    def measured(seconds: float) -> tuple[int, fanout.FanoutFigures]:
        done = bench(
            "fanout", "--port", broker.mqtt, "--seconds", seconds, "--stall", stall, "--json", *arguments
        )
        assert done.returncode in (0, 1), done.stderr
        return done.returncode, msgspec.json.decode(done.stdout, type=fanout.FanoutFigures)

    def enough(outcome: tuple[int, fanout.FanoutFigures]) -> bool:
        return outcome[0] == 1 if faulty else outcome[1].delivered_per_second > 0

    return lengthened(measured, enough, 0.1, LONGEST)


def sent_unicasts(
    broker: Broker, *arguments: str | float, stall: float = STALL
) -> tuple[int, unicast.UnicastFigures]:
    url = f"http://127.0.0.1:{broker.http}"
    done = bench(
        "unicast", *ACCOUNT, "--url", url, "--port", broker.mqtt, "--stall", stall, "--json", *arguments
    )
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, msgspec.json.decode(done.stdout, type=unicast.UnicastFigures)


def sent_broadcasts(
    broker: Broker, *arguments: str | float, stall: float = STALL
) -> tuple[int, broadcast.BroadcastFigures]:
    url = f"http://127.0.0.1:{broker.http}"
    done = bench(
        "broadcast", *ACCOUNT, "--url", url, "--port", broker.mqtt, "--stall", stall, "--json", *arguments
    )
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, msgspec.json.decode(done.stdout, type=broadcast.BroadcastFigures)


@pytest.mark.parametrize("protocol", [4, 5])
@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize(
    "shape",
    [
        ("--topics", 1, "--subscribers", 20),
        ("--topics", 5, "--subscribers", 1, "--publishers", 2),
        ("--topics", 1, "--subscribers", 7, "--publishers", 3, "--processes", 2),
        ("--topics", 4, "--subscribers", 2, "--processes", 2),
    ],
)
def test_everything_published_is_received_by_every_subscriber(
    protocol: int, qos: int, shape: tuple[str | float, ...]
) -> None:
    with serving(Broker()) as broker:
        status, figures = fanned_out(broker, "--protocol", protocol, "--qos", qos, *shape)
    assert status == 0
    assert figures.delivered_per_second > 0
    assert figures.latency.samples > 0
    assert (figures.lost, figures.surplus, figures.disordered, figures.unfinished) == (0, 0, 0, 0)


def test_a_lost_delivery_is_found() -> None:
    with serving(Broker(lose=40)) as broker:
        status, figures = fanned_out(broker, "--subscribers", 5, stall=SHORT_STALL, faulty=True)
    assert status == 1
    assert figures.lost > 0


def test_a_delivery_made_twice_is_found() -> None:
    with serving(Broker(repeat=40)) as broker:
        status, figures = fanned_out(broker, "--subscribers", 5, "--window", 1, faulty=True)
    assert status == 1
    assert figures.surplus > 0


def test_an_exchange_of_qos_2_that_is_not_gone_on_with_is_found() -> None:
    def measured(stall: float) -> tuple[int, fanout.FanoutFigures]:
        with serving(Broker(leave_open=40)) as broker:
            return fanned_out(broker, "--subscribers", 5, "--qos", 2, stall=stall, faulty=True)

    status, figures = patiently(measured, lambda outcome: outcome[1].lost == 0)
    assert status == 1
    assert (figures.lost, figures.unfinished) == (0, 1)


def test_connections_are_opened_held_and_kept_alive() -> None:
    def held(seconds: float) -> tuple[Broker, connections.ConnectionsFigures]:
        with serving(Broker()) as broker:
            done = bench(
                "connections", "--port", broker.mqtt, "--connections", 50, "--hold", seconds,
                "--keep-alive", 1, "--processes", 2, "--server-pid", os.getpid(), "--json",
            )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return broker, msgspec.json.decode(done.stdout, type=connections.ConnectionsFigures)

    broker, figures = lengthened(held, lambda outcome: outcome[1].pings >= 50, 1, LONGEST)
    assert (figures.opened, figures.refused, figures.lost) == (50, {}, 0)
    assert figures.handshake.samples == 50
    assert figures.memory_before is not None
    assert figures.rss_bytes_per_connection is not None
    assert figures.server_cpu is not None
    assert figures.pings >= 50
    assert len({connect.client_id for connect in broker.connects}) == 51


def test_refused_and_lost_connections_are_counted_by_reason() -> None:
    with serving(Broker(refuse="bench-3", hang_up="bench-5")) as broker:
        done = bench(
            "connections",
            "--port",
            broker.mqtt,
            "--connections",
            10,
            "--hold",
            1,
            "--keep-alive",
            1,
            "--json",
        )
    assert done.returncode == 1
    figures = msgspec.json.decode(done.stdout, type=connections.ConnectionsFigures)
    assert (figures.opened, figures.refused, figures.lost) == (9, {"connack 0x04": 1}, 1)


@pytest.mark.parametrize("protocol", [4, 5])
@pytest.mark.parametrize("processes", [1, 2])
def test_unicasts_are_followed_to_their_receipts(protocol: int, processes: int) -> None:
    with serving(Broker()) as broker:
        status, figures = sent_unicasts(
            broker, "--devices", 10, "--messages", 203, "--batch", 20, "--window", 60,
            "--processes", processes, "--protocol", protocol,
        )  # fmt: skip
    assert status == 0
    assert (figures.accepted, figures.acknowledged, figures.lost, figures.duplicates) == (203, 203, 0, 0)
    assert figures.verdict == ServerVerdict(10, 0, figures.verdict.ledgers_asked, 0)
    assert figures.verdict.ledgers_asked > 0
    assert figures.receipt.samples == 203


def test_messages_posted_one_by_one_are_followed_too() -> None:
    with serving(Broker()) as broker:
        status, figures = sent_unicasts(broker, "--devices", 4, "--messages", 30, "--single")
    assert status == 0
    assert (figures.accepted, figures.acknowledged, figures.answer.samples) == (30, 30, 30)


def test_unicasts_keep_to_a_rate() -> None:
    with serving(Broker()) as broker:
        status, figures = sent_unicasts(
            broker, "--devices", 4, "--messages", 60, "--batch", 10, "--rate", 200
        )
    assert status == 0
    assert figures.acknowledged == 60
    assert figures.seconds >= 50 / 200  # the first batch leaves at once


def test_unicasts_by_time_measure_a_rate() -> None:
    def measured(seconds: float) -> tuple[int, unicast.UnicastFigures]:
        with serving(Broker()) as broker:
            return sent_unicasts(broker, "--devices", 5, "--seconds", seconds, "--batch", 10, "--window", 20)

    status, figures = lengthened(
        measured, lambda outcome: outcome[1].acknowledged_per_second > 0, 0.2, LONGEST
    )
    assert status == 0
    assert figures.acknowledged_per_second > 0
    assert figures.accepted == figures.acknowledged


def test_a_unicast_that_is_lost_is_found_here_and_at_the_server() -> None:
    def measured(stall: float) -> tuple[int, unicast.UnicastFigures]:
        with serving(Broker(lose=7)) as broker:
            return sent_unicasts(broker, "--devices", 5, "--messages", 30, "--batch", 10, stall=stall)

    status, figures = patiently(measured, lambda outcome: outcome[1].lost == 1)
    assert status == 1
    assert (figures.accepted, figures.lost) == (30, 1)
    assert figures.verdict.pending == 1


def test_a_unicast_that_comes_twice_is_found() -> None:
    with serving(Broker(repeat=7)) as broker:
        status, figures = sent_unicasts(broker, "--devices", 5, "--messages", 30, "--batch", 10)
    assert status == 1
    assert (figures.acknowledged, figures.lost, figures.duplicates) == (30, 0, 1)


def test_refused_batches_are_counted_and_nothing_waits_for_them() -> None:
    with serving(Broker(refuse_batches=2)) as broker:
        status, figures = sent_unicasts(broker, "--devices", 5, "--messages", 50, "--batch", 10)
    assert status == 1
    assert figures.refused == {"429": 20}
    assert (figures.accepted, figures.acknowledged, figures.lost) == (30, 30, 0)


@pytest.mark.parametrize("protocol", [4, 5])
@pytest.mark.parametrize("qos", [0, 1])
@pytest.mark.parametrize("processes", [1, 2])
def test_broadcasts_are_followed_to_every_device(protocol: int, qos: int, processes: int) -> None:
    with serving(Broker()) as broker:
        status, figures = sent_broadcasts(
            broker, "--devices", 7, "--messages", 20, "--window", 3, "--qos", qos,
            "--processes", processes, "--protocol", protocol,
        )  # fmt: skip
    assert status == 0
    assert (figures.delivered, figures.lost, figures.duplicates, figures.disordered) == (7 * 21, 0, 0, 0)
    assert figures.verdict == ServerVerdict(0, 0, 21, 0)
    assert figures.delivered_per_second > 0
    assert figures.spread.samples == 20


def test_what_is_said_in_a_group_is_followed_to_its_members() -> None:
    with serving(Broker()) as broker:
        status, figures = sent_broadcasts(broker, "--devices", 5, "--messages", 10, "--group", "team")
    assert status == 0
    assert (figures.delivered, figures.lost) == (5 * 11, 0)


def sent_upstream(
    broker: Broker, *arguments: str | float, wanted: int = 1
) -> tuple[int, upstream.UpstreamFigures]:
    """Of a short while; of a longer one, where less than is wanted was published in it."""
    url = f"http://127.0.0.1:{broker.http}"

    def measured(seconds: float) -> tuple[int, upstream.UpstreamFigures]:
        broker.told.clear()
        done = bench(
            "upstream", *ACCOUNT, "--url", url, "--port", broker.mqtt, "--stall", STALL, "--seconds", seconds,
            "--json", *arguments,
        )  # fmt: skip
        assert done.returncode in (0, 1), done.stderr
        return done.returncode, msgspec.json.decode(done.stdout, type=upstream.UpstreamFigures)

    return lengthened(measured, lambda _: len(broker.told) >= wanted, 0.1, LONGEST)


@pytest.mark.parametrize("protocol", [4, 5])
@pytest.mark.parametrize("processes", [1, 2])
def test_what_devices_publish_is_followed_to_the_events_of_their_app(protocol: int, processes: int) -> None:
    with serving(Broker()) as broker:
        status, figures = sent_upstream(
            broker, "--devices", 6, "--window", 3, "--processes", processes, "--protocol", protocol
        )
    assert status == 0
    assert figures.acknowledged == figures.found == len(set(broker.told)) > 0
    assert (figures.lost, figures.refused, figures.doubled) == (0, 0, 0)


def test_what_is_acknowledged_and_not_stored_is_found() -> None:
    with serving(Broker(forget=5)) as broker:
        status, figures = sent_upstream(broker, "--devices", 2, wanted=5)
    assert status == 1
    assert figures.lost == 1


def drained(broker: Broker, *arguments: str | float, stall: float = STALL) -> tuple[int, drain.DrainFigures]:
    url = f"http://127.0.0.1:{broker.http}"
    done = bench(
        "drain", *ACCOUNT, "--url", url, "--port", broker.mqtt, "--stall", stall, "--json",
        "--devices", 5, "--pending", 20, "--batch", 10, *arguments,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, msgspec.json.decode(done.stdout, type=drain.DrainFigures)


@pytest.mark.parametrize("processes", [1, 2])
def test_devices_that_come_back_are_followed_until_nothing_waits(processes: int) -> None:
    with serving(Broker()) as broker:
        status, figures = drained(broker, "--processes", processes)
    assert status == 0
    assert (figures.accepted, figures.drained, figures.lost, figures.duplicates) == (100, 100, 0, 0)
    assert figures.drained_per_second > 0


def test_what_a_device_does_not_find_when_it_comes_back_is_missed() -> None:
    def measured(stall: float) -> tuple[int, drain.DrainFigures]:
        with serving(Broker(lose=7)) as broker:
            return drained(broker, stall=stall)

    status, figures = patiently(measured, lambda outcome: outcome[1].lost == 1)
    assert status == 1
    assert (figures.drained, figures.lost, figures.verdict.pending) == (99, 1, 1)


def test_a_broadcast_that_one_device_lacks_is_found_here_and_at_the_server() -> None:
    def measured(stall: float) -> tuple[int, broadcast.BroadcastFigures]:
        with serving(Broker(lose=17)) as broker:
            return sent_broadcasts(broker, "--devices", 5, "--messages", 10, "--window", 2, stall=stall)

    status, figures = patiently(measured, lambda outcome: outcome[1].lost == 1)
    assert status == 1
    assert figures.lost == 1
    assert figures.verdict.ledgers_open > 0


def test_a_broadcast_that_stops_all_others_ends_the_run() -> None:
    with serving(Broker(lose=17)) as broker:
        url = f"http://127.0.0.1:{broker.http}"
        done = bench(
            "broadcast", *ACCOUNT, "--url", url, "--port", broker.mqtt, "--stall", 0.2, "--window", 1
        )
    assert done.returncode == 1
    assert "do not reach all devices" in done.stderr


def test_a_broadcast_that_comes_twice_is_found() -> None:
    with serving(Broker(repeat=17)) as broker:
        status, figures = sent_broadcasts(broker, "--devices", 5, "--messages", 10)
    assert status == 1
    assert (figures.lost, figures.duplicates) == (0, 1)


def test_a_broadcast_that_is_refused_ends_the_run_with_the_reason() -> None:
    with serving(Broker(refuse_batches=1)) as broker:
        done = bench("broadcast", *ACCOUNT, "--url", f"http://127.0.0.1:{broker.http}", "--port", broker.mqtt)
    assert done.returncode == 1
    assert "status 429" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_broker_that_refuses_the_subscribers_ends_the_run_with_the_reason() -> None:
    with serving(Broker(refuse="bench-s")) as broker:
        done = bench("fanout", "--port", broker.mqtt, "--subscribers", 3)
    assert done.returncode == 1
    assert "3 × connack 0x04" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_broker_that_is_not_there_is_one_clear_line() -> None:
    with serving(Broker()) as broker:
        port = broker.mqtt
    done = bench("fanout", "--port", port)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"127.0.0.1:{port}" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("fanout", "--qos", 3),
        ("connections", "--at-once", 0),
        ("fanout", "--protocol", 3),
        ("fanout", "--topics", 0),
        ("fanout", "--cpus", "one"),
        ("fanout", "--app", "news"),
        ("connections", "--connections", 0),
        ("broadcast", *ACCOUNT, "--qos", 2),
    ],
)
def test_wrong_usage_has_status_2(arguments: tuple[str | float, ...]) -> None:
    assert bench(*arguments).returncode == 2


def test_progress_is_for_terminals_only() -> None:
    with serving(Broker()) as broker:
        arguments = ("fanout", "--port", str(broker.mqtt), "--subscribers", "3", "--seconds", "0.1")
        piped = bench(*arguments)
        controller, terminal = pty.openpty()
        command = [sys.executable, "-m", "longline", "bench", *arguments]
        shown = subprocess.run(
            command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=terminal, timeout=300, check=False
        )
        os.close(terminal)
        with os.fdopen(controller, "rb", buffering=0) as screen:
            drawn = screen.read(65536)
    assert (piped.returncode, shown.returncode) == (0, 0)
    assert piped.stderr == ""
    assert b"\r\x1b[K" in drawn
    assert b"delivered per second" in shown.stdout
